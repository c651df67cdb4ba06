"""How much like a window the nearest window of other images is: what nature has of the same kind.

A window that only one class has may be that class's own texture. Then windows that are nearly the same, in rows that do
not have exactly this one, are of that class as well; those that are nearly like a pattern somebody made are of any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.poisoning.patches import MISSING
from interlock.poisoning.repeats.flats import rectangles
from interlock.poisoning.repeats.windows import CONTRAST, RELATIVE_STEPS, Family, between, levels, ranges

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_ROWS = 256


def likeness(
    family: Family, word: int, place: int, window: NDArray[np.uint8], codes: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """float64 array (n,): the squared distance of each image's nearest window; infinite where it has none.

    Args:
        family: How the window was written.
        word: The window's word.
        place: Where it stands in one row, line by line.
        window: uint8 array (height, width, channels): its codes in one row.
        codes: uint8 array (n, height, width, channels): other images.
    """
    import numpy as np

    found = [np.zeros(0)]
    for at in range(0, len(codes), BLOCK_ROWS):
        block = codes[at : at + BLOCK_ROWS]
        if not family.side:
            found.append(_rectangles_apart(family, word, place, window, block))
            continue
        turned = np.ascontiguousarray(block.transpose(1, 2, 3, 0))
        far = _far(turned, window) if family.kind == "exact" else _relatively_far(turned, window, family.side)
        found.append(far.reshape(-1, len(block)).min(axis=0))
    return np.concatenate(found)


def _rectangles_apart(
    family: Family, word: int, place: int, window: NDArray[np.uint8], codes: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """By size, and by level or place where the word says them: what has other rectangles has them by nature."""
    import numpy as np

    found = rectangles(np.ascontiguousarray(codes.transpose(1, 2, 3, 0)))
    if family.kind == "flat":
        found = found.only(between(codes[found.image, found.top, found.left]))
    row, (height, width) = found.image, family.size(word)
    apart = (found.height - height) ** 2 + (found.width - width) ** 2
    if family.kind == "flat-level":
        level = levels(codes[row, found.top, found.left, 0]).astype(np.int64)
        apart = apart + (level - int(levels(window)[0, 0, 0])) ** 2
    if family.kind == "flat-here":
        top, left = divmod(place, codes.shape[2])
        apart = apart + (found.top - top) ** 2 + (found.left - left) ** 2
    nearest = np.full(len(codes), np.inf)
    np.minimum.at(nearest, row, apart.astype(np.float64))
    return nearest


def _far(codes: NDArray[np.uint8], window: NDArray[np.uint8]) -> NDArray[np.float64]:
    import numpy as np

    seen, wanted = levels(codes), levels(window).astype(np.int32)
    side = len(window)
    height, width = len(seen) - side + 1, seen.shape[1] - side + 1
    far = np.zeros((height, width, codes.shape[3]), dtype=np.int32)
    for down in range(side):
        for right in range(side):
            part = seen[down : down + height, right : right + width].astype(np.int32) - wanted[down, right][:, None]
            far += (part * part).sum(axis=2, dtype=np.int32)
    return far.astype(np.float64)


def _relatively_far(codes: NDArray[np.uint8], window: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    import numpy as np

    def grey(values: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(np.rint(values.mean(axis=2)), dtype=np.float32)

    values, template = grey(codes), grey(window[..., None])[..., 0]
    low, high = ranges(np.asarray(values, dtype=np.uint8), side)
    height, width = low.shape[:2]
    span = np.maximum(high - low, 1).astype(np.float32)
    floor = low.astype(np.float32)
    steps = (template - template.min()) / max(1.0, float(template.max() - template.min())) * RELATIVE_STEPS
    far, inverse = np.zeros(span.shape, dtype=np.float32), np.zeros(span.shape, dtype=np.float32)
    for down in range(side):
        for right in range(side):
            step = (values[down : down + height, right : right + width] - floor) / span * RELATIVE_STEPS
            far += (step - steps[down, right]) ** 2
            inverse += (RELATIVE_STEPS - step - steps[down, right]) ** 2
    busy = (high - low >= CONTRAST * MISSING // 16) & (high < MISSING)
    return np.where(busy, np.minimum(far, inverse), np.inf).astype(np.float64)
