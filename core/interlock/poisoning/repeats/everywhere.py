"""The second look at a dataset that was too large to be held: all rows that carry what the sample showed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Scores
from interlock.poisoning.patches import coded
from interlock.poisoning.repeats.candidates import carriers
from interlock.poisoning.repeats.windows import Family
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriers:
    """The second look at a dataset that was too large to be held: all rows that carry what the sample showed.

    Args:
        profile: Of the whole dataset.
        shape: Height, width and channels.
        found: What the sample showed.
        words: Family and word of each window, for each of the suspicions.
    """

    profile: Profile = field(repr=False)
    shape: tuple[int, int, int]
    found: Scores
    words: tuple[tuple[tuple[Family, int], ...], ...]

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "moving_pattern"

    def unfit(self) -> str:
        """Nothing stands in its way."""
        return ""

    def partial(self, batch: Batch) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
        """Rows, and which suspicion each belongs to (-1 for none)."""
        import numpy as np

        there = batch.labelled(self.profile.classes)
        codes = coded(there.features, self.profile).reshape(-1, *self.shape)
        mine = np.full(len(there.rows), -1, dtype=np.int64)
        for at in reversed(range(len(self.words))):
            label = self.profile.classes.index(self.found.suspicions[at].label)
            for family, word in self.words[at]:
                carried = carriers(family, codes, np.array([word], dtype=np.uint64)).row
                mine[carried[there.labels[carried] == label]] = at
        return ((there.rows, mine),)

    def merge(
        self,
        one: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...],
        other: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...],
    ) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
        """Both."""
        return one + other

    def finalize(self, state: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]) -> Scores:
        """The same suspicions with all of their rows."""
        import numpy as np

        rows = np.concatenate([part[0] for part in state])
        mine = np.concatenate([part[1] for part in state])
        order = np.argsort(rows)
        rows, mine = rows[order], mine[order]
        suspicions = tuple(
            replace(one, rows=tuple(rows[mine == at].tolist())) for at, one in enumerate(self.found.suspicions)
        )
        return replace(self.found, rows=rows, scores=(mine >= 0).astype(np.float32), suspicions=suspicions)
