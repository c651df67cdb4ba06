"""Tables are read once more, for what their columns say of a row as they are, texts among them.

Trees on the columns see what nearest rows do not: a number that matters among many that do not, and every text. They
raise no alarm (labels that the columns do not determine look like wrong ones); they say which rows are named when
there is one, and how doubtful each label is.

Cost: one reading, and `interlock.poisoning.labels.out_of_fold` with its trees.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch, Coded
from interlock.poisoning.detector import Scores
from interlock.poisoning.labels.cores import MIN_CLASSES
from interlock.poisoning.labels.drawn import JUDGED
from interlock.poisoning.labels.judged import Judged
from interlock.poisoning.labels.out_of_fold import MAX_TREE_CLASSES, MIN_TREE_ROWS, Columns, Models
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_COLUMNS = 64
MAX_TEXTS = 254
"""Texts of a column that are told apart, the commonest; the trees take so many codes and one for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Rows of a table.

    Args:
        rows: int64 array (n,): indices in the dataset.
        numbers: float32 array (n, d).
        texts: By name of the column.
    """

    rows: NDArray[np.int64]
    numbers: NDArray[np.float32]
    texts: Mapping[str, Coded]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLook:
    """The rest of label consistency for a table.

    Args:
        judged: What the first look found.
        points: float32 array (m, p): the distinct rows.
        models: Learned from the first of them.
    """

    judged: Judged = field(repr=False)
    points: NDArray[np.float32] = field(repr=False)
    models: Models = field(repr=False)

    @staticmethod
    def can(profile: Profile) -> bool:
        """Whether this is a table that trees can be grown on."""
        return (
            profile.width <= MAX_COLUMNS
            and len(profile.classes) <= MAX_TREE_CLASSES
            and MIN_TREE_ROWS <= profile.labelled <= JUDGED
            and importlib.util.find_spec("sklearn") is not None
        )

    @property
    def name(self) -> str:
        """The detector that it ends."""
        return "knn"

    def unfit(self) -> str:
        """Always fit."""
        return ""

    def partial(self, batch: Batch) -> tuple[Shown, ...]:
        """The columns of one batch."""
        return (Shown(rows=batch.rows, numbers=batch.features, texts=batch.categories),)

    def merge(self, one: tuple[Shown, ...], other: tuple[Shown, ...]) -> tuple[Shown, ...]:
        """Both; they are joined only when all are there."""
        return one + other

    def finalize(self, state: tuple[Shown, ...]) -> Scores:
        """Grow the trees."""
        import numpy as np

        judged, votes = self.judged, self.judged.votes
        rows = np.concatenate([part.rows for part in state])
        order = np.argsort(rows)
        places = order[np.searchsorted(rows[order], judged.firsts)]
        numbers = np.concatenate([part.numbers for part in state])[places].astype(np.float32)
        names = sorted({name for part in state for name in part.texts})[: MAX_COLUMNS - numbers.shape[1]]
        texts = [_coded(state, name)[places] for name in names]
        table = Columns(
            values=np.column_stack([np.where(np.isfinite(numbers), numbers, np.nan), *texts]).astype(np.float32),
            texts=np.array([False] * numbers.shape[1] + [True] * len(names)),
        )
        classes = len(judged.classes)
        if classes >= MIN_CLASSES:
            judged = judged.heard(self.models.chances(self.points, votes.neighbours))
        said = self.models.chances_beside(self.points, votes.neighbours, votes.labels, table)
        return judged.scores(said, of_columns=True)


def _coded(state: tuple[Shown, ...], name: str) -> NDArray[np.float32]:
    """float32 array (n,): the texts of a column by how common they are, NaN where there is none."""
    import numpy as np

    parts = [(part.texts.get(name), len(part.rows)) for part in state]
    counts: Counter[str] = Counter()
    for coded, _ in parts:
        counts.update(coded.counts() if coded is not None else {})
    common = sorted(counts, key=lambda text: (-counts[text], text))[:MAX_TEXTS]
    codes = []
    for coded, count in parts:
        if coded is None:
            codes.append(np.full(count, np.nan, dtype=np.float32))
            continue
        place = coded.among(common)
        other = np.where(coded.codes >= 0, np.float32(MAX_TEXTS), np.float32(np.nan))
        codes.append(np.where(place >= 0, place, other).astype(np.float32))
    return np.concatenate(codes)
