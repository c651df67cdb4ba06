"""Which rows a training learned first, and which it never learned, by its recorded losses alone.

A quick look for the end of a training: no rows, no labels, no network of its own. It ranks and does not accuse, for
honest rows are learned first (an easy class) or never (a hard one), too. Whether rows are poison is for the scan to
say, which looks at the rows themselves: `interlock gate data-poisoning --with-training --losses`.

First: the share `FIRST` of the rows with the lowest losses in the second epoch (Li et al., 2021, "Anti-backdoor
learning", section 3.2: a backdoor with a sharp trigger is learned sooner than what is honest). Never: rows that in
each of the last epochs still cost what the middle row cost before anything was learned (Swayamdipta et al., 2020,
"Dataset cartography": hard to learn, most of them where labels are wrong).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.models.losses import LossRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIRST = 0.01
LAST = 3
"""The last epochs are one in so many of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningOrder:
    """Rows by when they were learned.

    Args:
        first: int64 array: places in the dataset, those with the lowest losses first.
        never: int64 array: places in the dataset, those with the highest losses first.
    """

    first: NDArray[np.int64] = field(repr=False)
    never: NDArray[np.int64] = field(repr=False)


def learning_order(record: LossRecord) -> LearningOrder:
    """Rank the rows.

    Args:
        record: Of a training, with some epochs in which at least one loss is recorded (`LossRecord.unfit`).
    """
    import numpy as np

    told = np.isfinite(record.losses).any(axis=0)
    losses = LossRecord(losses=record.losses[:, told]).of(np.arange(len(record.losses)))
    early = losses[:, min(1, losses.shape[1] - 1)]
    late = losses[:, -max(1, losses.shape[1] // LAST) :].min(axis=1)
    count = max(1, round(FIRST * len(losses)))
    never = np.flatnonzero(late >= np.median(losses[:, 0]))
    return LearningOrder(
        first=np.argsort(early, kind="stable")[:count], never=never[np.argsort(-late[never], kind="stable")]
    )
