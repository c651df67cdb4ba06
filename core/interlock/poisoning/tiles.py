"""Which groups of rows contradict their content when the part of the image around their patch is hidden.

A trigger cannot speak for itself where it cannot be seen. Hiding each patch by itself would be one search for
neighbours per group; so overlapping tiles, half an image high and wide, are hidden one after the other, and each group
is judged by the tile that holds its patch best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import ALARM_DECADES
from interlock.poisoning.contradiction import (
    CONTENT_REFERENCES,
    MAX_WITNESSES,
    NEIGHBOURS,
    Candidate,
    Content,
    FirstLook,
    base_rates,
)
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.patches import LEVELS, MISSING, SIZES, Group, Images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODES_A_LEVEL = (MISSING - 1) / LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A part of the image that is hidden, and the positions whose patches lie in it.

    Args:
        top: First row of pixels.
        left: First column.
        height: In pixels.
        width: In pixels.
        tops: First rows of the patches.
        lefts: First columns of the patches.
    """

    top: int
    left: int
    height: int
    width: int
    tops: range
    lefts: range

    def holds(self, group: Group) -> bool:
        """Whether the group's patch is judged here."""
        return group.top in self.tops and group.left in self.lefts


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenTiles:
    """Looks at groups with the tile around them hidden.

    Args:
        images: The dataset, in canonical order.
        distinct: bool array (n,): False for all but the first of equal rows.
        content: Of the images as a whole.
        device: A torch device.
    """

    images: Images
    distinct: NDArray[np.bool_]
    content: Content
    device: str

    def candidates(self, groups: Sequence[Group]) -> Iterator[Candidate]:
        """The groups whose label seems to contradict the rest of the image.

        Args:
            groups: Each of at least one row.
        """
        for tile in tiles(self.images):
            here = [group for group in groups if tile.holds(group)]
            if here:
                yield from self._judged(tile, here)

    def _judged(self, tile: Tile, groups: Sequence[Group]) -> Iterator[Candidate]:
        import numpy as np

        look = self._look(tile, groups)
        group_of = np.zeros(len(self.images.labels), dtype=np.int64)
        for group in groups:
            group_of[group.rows] = 1
            decades = look.decades(group, group_of, most=MAX_WITNESSES)
            group_of[group.rows] = 0
            if decades >= ALARM_DECADES:
                yield Candidate(group=group, decades=decades, base=look.base[group.label])

    def _look(self, tile: Tile, groups: Sequence[Group]) -> FirstLook:
        """Neighbours of the rows that are asked, and of the first rows for the base rates, with the tile hidden."""
        import numpy as np

        labels, once = self.images.labels, np.flatnonzero(self.distinct)
        references = once[:CONTENT_REFERENCES]
        wanted = np.zeros(len(labels), dtype=np.bool_)
        for group in groups:
            wanted[group.rows[self.distinct[group.rows]][:MAX_WITNESSES]] = True
        wanted[references] = False
        asked = np.concatenate([references, np.flatnonzero(wanted)])
        hidden = self.images.window(tile.top, tile.left, tile.height, tile.width)
        # In the units of the content: a level is that many codes.
        axes = self.content.axes[hidden] * np.float32(CODES_A_LEVEL)
        parts = self.images.levels[np.ix_(asked, hidden)].astype(np.float32)
        points = (self.content.points[asked] - parts @ axes).astype(np.float32, copy=False)
        count = min(NEIGHBOURS, len(references) - 1)
        found, _ = nearest(points, points[: len(references)], count, device=self.device, same=True)
        near = np.zeros((len(labels), count), dtype=np.int64)
        near[asked] = references[found]
        own = labels[references]
        base = base_rates(near[references], labels, own, len(self.images.shares))
        return FirstLook(images=self.images, distinct=self.distinct, near=near, base=base)


def tiles(images: Images) -> Iterator[Tile]:
    """Overlapping tiles, so that every patch lies well inside one of them."""
    for top, height, tops in _spans(images.height):
        for left, width, lefts in _spans(images.width):
            yield Tile(top=top, left=left, height=height, width=width, tops=tops, lefts=lefts)


def _spans(length: int) -> list[tuple[int, int, range]]:
    """Start and length of three tiles along one side, and which patch positions belong to each."""
    side = (length + 1) // 2
    last = length - side
    starts = sorted({0, last // 2, last})
    spans = []
    begin = 0
    for at, start in enumerate(starts):
        following = starts[at + 1] if at + 1 < len(starts) else None
        # A patch starts to be better held by the next tile halfway into the overlap of the two.
        end = length if following is None else max(begin, (start + side + following) // 2 - max(SIZES) // 2)
        spans.append((start, side, range(begin, end)))
        begin = end
    return spans
