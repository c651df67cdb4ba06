"""Which elements of a storage a view shows, and in which order; lengths and steps are in elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.artifacts.layout import lies_row_by_row
from interlock.artifacts.limits import LimitPassedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""How many steps and how wide each is, the widest first; no element is reached in two ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A tensor as the pickle of a torch archive makes it.

    Args:
        key: Of its storage.
        type: Of its elements, as torch calls it.
        size: Bytes of an element.
        start: Of its first element in the storage.
        shape: Unverified, but inside of the storage.
        strides: One for each axis.
    """

    key: str
    type: str
    size: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def length(self) -> int:
        """Bytes from its first element to the end of its last one."""
        if 0 in self.shape:
            return 0
        return self.size * (1 + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True)))

    @property
    def first(self) -> int:
        """Offset of its first byte in the storage."""
        return self.start * self.size

    @property
    def row_by_row(self) -> bool:
        """It stands in the storage as a whole tensor does."""
        return lies_row_by_row(self.shape, self.strides)


def runs(shape: Sequence[int], strides: Sequence[int]) -> Runs:
    """The elements that a view shows, each once; what stands side by side is one run of steps of one.

    Args:
        shape: Unverified.
        strides: One for each axis, none negative.

    Raises:
        LimitPassedError: They overlap or interleave in a way that no library's views do.
    """
    if 0 in shape:
        return ((0, 1),)
    found: list[tuple[int, int]] = []
    reach = 0
    for step, size in sorted((step, size) for size, step in zip(shape, strides, strict=True) if size > 1 and step):
        steps, inner = found[-1] if found else (0, 1)
        if found and step % inner == 0 and step // inner <= steps:  # goes on where the run ends, or within it
            found[-1] = (steps + step // inner * (size - 1), inner)
        elif found and step <= reach:
            raise LimitPassedError(f"the strides {tuple(strides)[:8]} are not read; save `tensor.contiguous()`")
        else:
            found.append((size, step))
        reach += step * (size - 1)
    return tuple(reversed(found)) or ((1, 1),)


def is_dense(of: Runs) -> bool:
    """Whether nothing lies between the elements."""
    return len(of) == 1 and (of[0][1] == 1 or of[0][0] <= 1)


def shows(of: Runs, elements: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which elements a view shows.

    Args:
        of: The view.
        elements: Counted from its first one; int64 array (n,).

    Returns:
        Boolean array (n,).
    """
    import numpy as np

    found: NDArray[np.bool_] = elements >= 0
    left = elements
    for size, step in of:
        index, left = np.divmod(left, step)
        found &= index < size
    found &= left == 0
    return found


def in_order(axes: Sequence[tuple[int, int]], start: int, count: int) -> NDArray[np.int64]:
    """Where the elements of a view stand, row by row.

    Args:
        axes: Size and step of each, the outermost first.
        start: The first element that is asked for.
        count: How many are.

    Returns:
        int64 array (count,), counted from the view's first element.
    """
    import numpy as np

    left = np.arange(start, start + count)
    found = np.zeros(count, dtype=np.int64)
    for size, step in reversed(axes):
        left, index = np.divmod(left, size)
        found += index * step
    return found
