"""Windows of an image as words that do not say where the window stands.

Families, each blind to something that an attacker may change from image to image:

- ``exact``: the levels themselves; blind to the place.
- ``relative``: levels relative to the window's own darkest and brightest, up to inversion; blind to place, brightness,
  contrast, and to which of two colours is the darker one.
- ``flat``: a small rectangle of one value that ends where it ends; blind to place and colour. Rectangles of the darkest
  or brightest value are left out: where a camera or a drawing reaches an end of its range it makes such by itself.
- ``flat-level``: such a rectangle of any value, and the value; blind to the place.
- ``flat-here``: such a rectangle of any value, and its place; blind to the colour.

Windows without contrast are no windows: what is flat everywhere says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from interlock.poisoning.hashing import mixed, multipliers
from interlock.poisoning.patches import LEVELS, MISSING
from interlock.poisoning.repeats.flats import rectangles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes: TypeAlias = NDArray[np.uint8]
    Words: TypeAlias = NDArray[np.uint64]

RELATIVE_STEPS = 4
DIGITS = 6
"""Steps that fit into 16 bits."""

CONTRAST = 2
"""A window spans at least this many levels: less is a smooth surface on the edge between two of them."""

Kind = Literal["exact", "relative", "flat", "flat-level", "flat-here"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One way to write a window as a word.

    Args:
        kind: What it is blind to.
        side: Of the square window; 0 where the word says the size itself.
        seed: Of the hash.
    """

    kind: Kind
    side: int
    seed: int

    def words(self, codes: Codes) -> Words:
        """uint64 array (n, height * width): the window whose upper left corner is there; 0 where there is none.

        Args:
            codes: uint8 array (n, height, width, channels).
        """
        import numpy as np

        return np.ascontiguousarray(self.turned_words(codes).reshape(-1, len(codes)).T)

    def turned_words(self, codes: Codes) -> Words:
        """uint64 array (height, width, n): the same, images last.

        Args:
            codes: uint8 array (n, height, width, channels).
        """
        import numpy as np

        n, height, width, channels = codes.shape
        # Images last: every step is then one long line of numbers.
        turned = np.ascontiguousarray(codes.reshape(n, -1).T).reshape(height, width, channels, n)
        made = np.zeros((height, width, n), dtype=np.uint64)
        if not self.side:
            _flats(turned, made, self)
        elif self.side <= min(height, width):
            words = _exact(turned, self) if self.kind == "exact" else _relative(turned, self)
            made[: len(words), : words.shape[1]] = words
        return made

    def size(self, word: int) -> tuple[int, int]:
        """Height and width of a window that is written so."""
        if self.side:
            return self.side, self.side
        return word >> 4 & 15, word & 15


FAMILIES: tuple[tuple[Kind, int], ...] = (
    ("exact", 5),
    ("exact", 3),
    ("exact", 2),
    ("relative", 5),
    ("relative", 3),
    ("flat-level", 0),
    ("flat-here", 0),
    ("flat", 0),
)


def families(seed: int) -> tuple[Family, ...]:
    """All of them, the ones that say most of a window first."""
    return tuple(Family(kind=kind, side=side, seed=seed + at) for at, (kind, side) in enumerate(FAMILIES))


def levels(codes: Codes) -> Codes:
    """uint8 array of the same shape: 0 to 15, and 16 for what is missing."""
    import numpy as np

    return np.asarray((codes >> 4) + (codes == MISSING), dtype=np.uint8)


def ranges(values: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Smallest and largest value of every square window.

    Args:
        values: uint8 array (height, width, ...).
        side: Of the window.
    """
    import numpy as np

    height, width = len(values) - side + 1, values.shape[1] - side + 1
    low, high = values[:, :width], values[:, :width]
    for at in range(1, side):
        low, high = np.minimum(low, values[:, at : at + width]), np.maximum(high, values[:, at : at + width])
    lowest, highest = low[:height], high[:height]
    for at in range(1, side):
        lowest, highest = np.minimum(lowest, low[at : at + height]), np.maximum(highest, high[at : at + height])
    return lowest, highest


def between(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which colours are at neither end of the range in some channel: bool array (n,).

    Args:
        values: uint8 array (n, channels).
    """
    import numpy as np

    return np.asarray(((values > 0) & (values < MISSING - 1)).any(axis=1), dtype=np.bool_)


def _exact(codes: Codes, family: Family) -> Words:
    import numpy as np

    seen, side = levels(codes), family.side
    height, width, channels = len(codes) - side + 1, codes.shape[1] - side + 1, codes.shape[2]
    factors = multipliers(channels + 2 * side, family.seed)
    colour, down, right = factors[:channels], factors[channels : channels + side], factors[-side:]
    pixels: Words = (seen[:, :, 0].astype(np.uint64) + np.uint64(1)) * colour[0]
    for at in range(1, channels):
        pixels += (seen[:, :, at].astype(np.uint64) + np.uint64(1)) * colour[at]
    # The multipliers of a window are products of one for its line and one for its column: two passes, not side^2.
    lines = pixels[:, :width] * right[0]
    for at in range(1, side):
        lines += pixels[:, at : at + width] * right[at]
    words = lines[:height] * down[0]
    for at in range(1, side):
        words += lines[at : at + height] * down[at]
    low, high = ranges(seen, side)
    busy = ((high - low) >= CONTRAST).any(axis=2)
    return (mixed(words) | np.uint64(1)) * busy


def _relative(codes: Codes, family: Family) -> Words:
    import numpy as np

    side, least = family.side, CONTRAST * MISSING // LEVELS
    values = codes[:, :, 0] if codes.shape[2] == 1 else np.rint(codes.mean(axis=2)).astype(np.uint8)
    low, high = ranges(values, side)
    span = high - low
    height, width = span.shape[:2]
    # Whole numbers, so that one window is one word on every machine: half a step up is the next step.
    cuts = [
        (low + (span.astype(np.uint16) * (2 * step - 1) + 2 * RELATIVE_STEPS - 1) // (2 * RELATIVE_STEPS)).astype(
            np.uint8
        )
        for step in range(1, RELATIVE_STEPS + 1)
    ]
    # The steps are the digits of a number; a few of them fit into 16 bits, which are quickly reckoned with.
    base, digits = RELATIVE_STEPS + 1, np.zeros(span.shape, dtype=np.uint16)
    words = np.zeros(span.shape, dtype=np.uint64)
    for at in range(side * side):
        down, right = divmod(at, side)
        part = values[down : down + height, right : right + width]
        step = (part >= cuts[0]).view(np.uint8)
        for cut in cuts[1:]:
            step += (part >= cut).view(np.uint8)
        digits *= np.uint16(base)
        digits += step
        if at % DIGITS == DIGITS - 1 or at == side * side - 1:
            words *= np.uint64(base ** (at % DIGITS + 1))
            words += digits
            digits[:] = 0
    # A pattern and its inverse are one: every step r becomes RELATIVE_STEPS - r, and the number follows.
    words = np.minimum(words, np.uint64(base ** (side * side) - 1) - words)
    busy = (span >= least) & (high < MISSING)
    return (mixed(words + np.uint64(family.seed)) | np.uint64(1)) * busy


def _flats(codes: Codes, made: Words, family: Family) -> None:
    """Write every rectangle of one value where its upper left corner is."""
    import numpy as np

    found = rectangles(codes)
    if family.kind == "flat":
        found = found.only(between(codes[found.top, found.left, :, found.image]))
    what = np.zeros(len(found.top), dtype=np.int64)
    if family.kind == "flat-level":
        what = levels(codes[found.top, found.left, 0, found.image]).astype(np.int64)
    elif family.kind == "flat-here":
        what = found.top * codes.shape[1] + found.left
    size = (found.height * 16 + found.width).astype(np.uint64)
    said = (what * 256).astype(np.uint64) + size + (np.uint64(family.seed + 1) << np.uint64(40))
    # Height and width stay readable in the lowest bits.
    made[found.top, found.left, found.image] = mixed(said) & ~np.uint64(255) | size
