"""Small rectangles of one value that end where they end: the shape of a patch whose colour is anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALLEST = 2
LARGEST = 6
"""Sides of the rectangles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangles:
    """Where they stand.

    Args:
        image: int64 array (n,): in which image.
        top: int64 array (n,): first line.
        left: int64 array (n,): first column.
        height: int64 array (n,).
        width: int64 array (n,).
    """

    image: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]

    def only(self, kept: NDArray[np.bool_]) -> Rectangles:
        """Some of them."""
        return Rectangles(
            image=self.image[kept],
            top=self.top[kept],
            left=self.left[kept],
            height=self.height[kept],
            width=self.width[kept],
        )


def rectangles(codes: NDArray[np.uint8]) -> Rectangles:
    """Rectangles of one value of which at most a quarter of the border is shared with what lies around them.

    Args:
        codes: uint8 array (height, width, channels, n).
    """
    import numpy as np

    height, width, _, n = codes.shape
    nowhere = np.zeros(0, dtype=np.int64)
    if min(height, width) < SMALLEST:
        return Rectangles(image=nowhere, top=nowhere, left=nowhere, height=nowhere, width=nowhere)
    # Padded with False: what lies outside of the image is equal to nothing.
    beside = np.zeros((height + 2, width + 2, n), dtype=np.bool_)
    below = np.zeros((height + 2, width + 2, n), dtype=np.bool_)
    beside[1:-1, 1:-2] = (codes[:, 1:] == codes[:, :-1]).all(axis=2)
    below[1:-2, 1:-1] = (codes[1:] == codes[:-1]).all(axis=2)
    here, down, right = slice(1, -2), slice(2, -1), slice(1, -2)
    corner = beside[here, right] & beside[down, right] & below[here, right]
    corner &= ~(beside[here, :-3] & beside[down, :-3])
    corner &= ~(below[:-3, right] & below[:-3, 2:-1])
    top, left, image = np.nonzero(corner)
    tall = np.minimum(_run(below, top, left, image, down=1), _run(below, top, left + 1, image, down=1))
    wide = np.minimum(_run(beside, top, left, image, down=0), _run(beside, top + 1, left, image, down=0))
    found = Rectangles(image=image, top=top, left=left, height=tall, width=wide)
    found = found.only((tall <= LARGEST) & (wide <= LARGEST))
    return found.only(_isolated(beside, below, found))


def _run(
    equal: NDArray[np.bool_], top: NDArray[np.int64], left: NDArray[np.int64], image: NDArray[np.int64], *, down: int
) -> NDArray[np.int64]:
    """How many values from here on, downwards or to the right, are one; up to one more than the longest side."""
    import numpy as np

    length, going = np.ones(len(top), dtype=np.int64), np.ones(len(top), dtype=np.bool_)
    for at in range(1, LARGEST + 1):
        line = np.minimum(top + at * down + (1 - down), len(equal) - 1)
        column = np.minimum(left + at * (1 - down) + down, equal.shape[1] - 1)
        going &= equal[line, column, image]
        length += going
    return length


def _isolated(beside: NDArray[np.bool_], below: NDArray[np.bool_], found: Rectangles) -> NDArray[np.bool_]:
    """Which rectangles are of one value, and end where they end."""
    import numpy as np

    image, top, left, tall, wide = found.image, found.top, found.left, found.height, found.width
    flat = np.ones(len(top), dtype=np.bool_)
    shared = np.zeros(len(top), dtype=np.int64)
    for at in range(LARGEST):
        down, right = np.minimum(at, tall - 1), np.minimum(at, wide - 1)
        # Every line is of one value, and so is the first column: then the whole is.
        for step in range(LARGEST - 1):
            flat &= beside[top + 1 + down, left + 1 + np.minimum(step, wide - 2), image]
        inside_down, inside_right = at < tall, at < wide
        shared += inside_down & beside[top + 1 + down, left, image]
        shared += inside_down & beside[top + 1 + down, left + wide, image]
        shared += inside_right & below[top, left + 1 + right, image]
        shared += inside_right & below[top + tall, left + 1 + right, image]
    return flat & (2 * shared <= tall + wide)
