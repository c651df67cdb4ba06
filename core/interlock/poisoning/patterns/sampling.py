"""The rows that the scan looks for patterns in: of each class those with the smallest content hashes.

Which rows those are depends neither on their order nor on how they were split, so neither does anything that is
computed from them (bottom-k sampling: Cohen and Kaplan, 2007). Equal rows of one class count once: copies of a row
are no pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.hashing import first_of_each
from interlock.poisoning.patterns.views import View, seen
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_ROWS = 16_384
SAMPLE_BYTES = 128 * 2**20
MAX_CLASS_ROWS = 4096
"""The work on a class grows with the square of its rows; 64 MiB hold its Gram matrix."""

MIN_CLASS_ROWS = 40
"""A class with fewer distinct rows is not looked at: a group in it could not be told from chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows of a state.

    Args:
        rows: int64 array (n,): indices of all labelled rows, in no order.
        places: int64 array (s,): indices of the sampled rows, by class and key.
        labels: int64 array (s,): positions in the profile's classes, ascending.
        keys: uint64 array (s,): content hashes, ascending in each class.
        points: float32 array (s, w): as the views give them.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    keys: NDArray[np.uint64]
    points: NDArray[np.float32]

    @classmethod
    def of(cls, batch: Batch, profile: Profile, views: tuple[View, ...], *, room: int, seed: int) -> Sample:
        """The rows of one batch that may belong to the sample.

        Args:
            batch: The rows; those without a label are left out.
            profile: Of the whole dataset.
            views: What is kept of a row.
            room: Rows of each class.
            seed: Of the content hash.
        """
        mine, keys = batch.labelled(profile.classes), batch.keys(profile.classes, seed)
        kept = smallest(mine.rows, mine.labels, keys, room)
        points = seen(mine.features[kept], profile, views)
        return cls(rows=mine.rows, places=mine.rows[kept], labels=mine.labels[kept], keys=keys[kept], points=points)

    def merged(self, other: Sample, room: int) -> Sample:
        """The sample of both."""
        import numpy as np

        places = np.concatenate([self.places, other.places])
        labels = np.concatenate([self.labels, other.labels])
        keys = np.concatenate([self.keys, other.keys])
        kept = smallest(places, labels, keys, room)
        # Row by row into place: the points are most of what is held, and are copied once.
        points = np.empty((len(kept), self.points.shape[1]), dtype=np.float32)
        mine = kept < len(self.places)
        points[mine] = self.points[kept[mine]]
        points[~mine] = other.points[kept[~mine] - len(self.places)]
        return Sample(
            rows=np.concatenate([self.rows, other.rows]),
            places=places[kept],
            labels=labels[kept],
            keys=keys[kept],
            points=points,
        )


def room_per_class(class_rows: tuple[int, ...], width: int) -> int:
    """How many rows of each class fit, when classes with fewer leave their room to the others.

    Args:
        class_rows: Rows of each class.
        width: Numbers a row.
    """
    left = min(SAMPLE_ROWS, SAMPLE_BYTES // (4 * max(1, width)))
    room = 0
    for at, rows in enumerate(sorted(class_rows)):
        room = left // (len(class_rows) - at)
        if rows > room:
            break
        left -= rows
        room = rows
    return min(room, MAX_CLASS_ROWS)


def smallest(
    places: NDArray[np.int64], labels: NDArray[np.int64], keys: NDArray[np.uint64], room: int
) -> NDArray[np.int64]:
    """int64 array: which rows to keep, by class and key, one of each content.

    Args:
        places: int64 array (s,): indices in the dataset.
        labels: int64 array (s,).
        keys: uint64 array (s,).
        room: Rows to keep of each class.
    """
    import numpy as np

    order = np.lexsort((places, keys, labels))
    order = order[first_of_each(labels[order], keys[order])]
    labels = labels[order]
    rank = np.arange(len(labels)) - np.searchsorted(labels, labels)
    return order[rank < room]
