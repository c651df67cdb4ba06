"""Which columns are measured finely: the others fall apart by themselves, into the values that many rows share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMON = 0.05
"""A feature, other than a pixel, of which more rows hold one value is a category or a count: it falls apart anyway."""


def fine(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Bool array (w,): columns that hold no value too often.

    Args:
        points: float32 array (n, w).
    """
    import numpy as np

    ordered = np.sort(points, axis=0)
    step = max(1, int(COMMON * len(points)))
    # In order, a value that is held more than `step` times stands `step` places after itself.
    return np.asarray(~(ordered[step:] == ordered[:-step]).any(axis=0))
