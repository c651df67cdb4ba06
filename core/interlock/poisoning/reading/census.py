"""The first look at pictures of mixed sizes: to which one shape all of them are drawn.

The most frequent size, at most `MAX_DRAWN` pixels a side, in colour when one of them has colour: a coloured trigger in
a grey set must not lose its colour before anyone looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Columns
from interlock.poisoning.reading.images import Size

if TYPE_CHECKING:
    from interlock.poisoning.reading.sorting import Part

MAX_DRAWN = 64
MAX_SIZES = 65_536
"""Different sizes that are counted; the rare ones are forgotten beyond that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Sizes of pictures.

    Args:
        sizes: How many pictures there are of each (height, width).
        colour: True when one has colour.
        shape: The shape of arrays of pixels, which are taken as they are; None when there are none.
        encoded: True when there are pictures at all, even if none has a header that can be read.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    colour: bool = False
    shape: tuple[int, ...] | None = None
    encoded: bool = False

    @classmethod
    def of(cls, found: Iterable[Size]) -> Census:
        """Count."""
        counts: Counter[tuple[int, int]] = Counter()
        colour = False
        for size in found:
            counts[size.height, size.width] += 1
            colour = colour or size.colour
            if len(counts) > MAX_SIZES:
                counts = Counter(dict(counts.most_common(MAX_SIZES // 2)))
        return cls(sizes=counts, colour=colour, encoded=True)

    @property
    def drawn(self) -> tuple[int, ...] | None:
        """Height, width and, for colour, channels; None when there is no picture."""
        if self.shape is not None:
            return self.shape
        if not self.sizes:
            return (1, 1) if self.encoded else None
        height, width = max(self.sizes, key=lambda size: (self.sizes[size], size))
        shrink = min(1.0, MAX_DRAWN / max(height, width))
        sides = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        return (*sides, 3) if self.colour else sides


def joined(parts: Sequence[Census]) -> Census:
    """The pictures of all parts together."""
    counts: Counter[tuple[int, int]] = Counter()
    for part in parts:
        counts.update(part.sizes)
    shapes = [part.shape for part in parts if part.shape is not None]
    return Census(
        sizes=counts,
        colour=any(part.colour for part in parts),
        shape=shapes[0] if shapes else None,
        encoded=any(part.encoded for part in parts),
    )


def shaped(parts: Sequence[Part], columns: Columns) -> Columns:
    """`columns` with the shape that images are drawn to, where there are images and nobody named it.

    Args:
        parts: Of the dataset.
        columns: What the user says.

    Raises:
        SubjectError: A part cannot be read.
    """
    if columns.image_shape is not None or columns.embedding is not None:
        return columns
    shape = joined([part.census(columns) for part in parts]).drawn
    return columns if shape is None else replace(columns, image_shape=shape)
