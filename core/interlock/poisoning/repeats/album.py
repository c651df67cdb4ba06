"""Images in one order, and groups of them that have a window in common, laid over each other at the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """Images in canonical order, so that any first rows are a random sample.

    Args:
        codes: uint8 array (n, height, width, channels).
        labels: int64 array (n,).
        shares: float64 array (classes,): each class's share of the rows.
        distinct: bool array (n,): False for all but the first of equal rows.
    """

    codes: NDArray[np.uint8]
    labels: NDArray[np.int64]
    shares: NDArray[np.float64]
    distinct: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Rows with one window, each at a place of its own.

    Args:
        label: Position of the label that is judged.
        height: Of the window.
        width: Of the window.
        rows: int64 array (N,): positions, ascending.
        tops: int64 array (N,): where the window stands first.
        lefts: int64 array (N,).
    """

    label: int
    height: int
    width: int
    rows: NDArray[np.int64]
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]

    def only(self, kept: NDArray[np.bool_]) -> Moved:
        """Some of the rows."""
        return Moved(
            label=self.label,
            height=self.height,
            width=self.width,
            rows=self.rows[kept],
            tops=self.tops[kept],
            lefts=self.lefts[kept],
        )


def laid_over(
    album: Album, group: Moved, before: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Boxes of one size around the window, and which of their pixels lie in the image."""
    import numpy as np

    _, height, width, _ = album.codes.shape
    tops = group.tops[:, None] - before[0] + np.arange(size[0])
    lefts = group.lefts[:, None] - before[1] + np.arange(size[1])
    inside = ((tops >= 0) & (tops < height))[:, :, None] & ((lefts >= 0) & (lefts < width))[:, None, :]
    tops, lefts = np.clip(tops, 0, height - 1), np.clip(lefts, 0, width - 1)
    return album.codes[group.rows[:, None, None], tops[:, :, None], lefts[:, None, :]], inside
