"""The rows that are judged: all of them up to `JUDGED` distinct ones, else those with the smallest content hashes.

Which rows those are depends neither on their order nor on how they were split (bottom-k sampling: Cohen and Kaplan,
2007), and what is held does not grow with the dataset. Copies of a row that is judged are held by their index alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.hashing import first_of_each

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JUDGED = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Rows of a state.

    Args:
        rows: int64 array (n,): indices in the dataset.
        keys: uint64 array (n,): content hashes.
        labels: int64 array (n,): positions in the profile's classes.
        of: int64 array (n,): which of the points is the row's; copies share one.
        points: float32 array (m, p): rows on the principal axes.
        left: How many rows were left out.
    """

    rows: NDArray[np.int64]
    keys: NDArray[np.uint64]
    labels: NDArray[np.int64]
    of: NDArray[np.int64]
    points: NDArray[np.float32]
    left: int = 0

    @classmethod
    def joined(cls, parts: tuple[Drawn, ...]) -> Drawn:
        """Several as one, in the order of content, with no more distinct rows than are judged."""
        import numpy as np

        rows, keys, labels = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "keys", "labels")
        )
        starts = np.cumsum([0, *(len(part.points) for part in parts)])
        held = np.concatenate([part.of + start for part, start in zip(parts, starts, strict=False)])
        # One order for one content: equal distances are then cut in the same way however the rows came.
        order = np.lexsort((rows, labels, keys))
        first = first_of_each(keys[order], labels[order])
        of = np.cumsum(first) - 1
        order, of = order[of < JUDGED], of[of < JUDGED]
        wanted = held[order[_firsts(of)]]
        points = np.empty((len(wanted), parts[0].points.shape[1]), dtype=np.float32)
        for part, start in zip(parts, starts, strict=False):
            mine = (wanted >= start) & (wanted < start + len(part.points))
            points[mine] = part.points[wanted[mine] - start]
        left = sum(part.left for part in parts) + len(rows) - len(order)
        return cls(rows=rows[order], keys=keys[order], labels=labels[order], of=of, points=points, left=left)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """int64 array (m,): the place of the first row of each point."""
        return _firsts(self.of)

    @property
    def last(self) -> tuple[int, int]:
        """Content hash and label of the last row; those that were left out come after it."""
        return int(self.keys[-1]), int(self.labels[-1])


def _firsts(of: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    return np.flatnonzero(np.diff(of, prepend=-1))
