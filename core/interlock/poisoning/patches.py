"""Which rows carry exactly the same patch at the same place, and mostly the same label.

For every position and size the patch is hashed, rows are grouped by the hash, and a group becomes a candidate when it
repeats, when one label is in the clear majority, and when that is more than the label's share in the dataset explains
by chance. Natural images pass this often (a dark corner that only one class has): `interlock.poisoning.contradiction`
is what tells them from triggers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.hashing import mixed, multipliers
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZES = (1, 2, 3, 5)
"""Sides of the square patches: a single pixel (Gu et al., 2017, BadNets) to what covers most published patches."""

MIN_REPEATS = 8
MAJORITY = 2 / 3
"""A patch is a trigger for a label if at least this share of its carriers has the label."""

MAX_SHARE = 0.5
"""What most rows carry is background."""

CHANCE_DECADES = 3.0
"""A label's share in a group must be this far beyond its share in the dataset to be worth a closer look."""


def unfit_as_images(profile: Profile, image_shape: tuple[int, ...] | None, least: int) -> str:
    """Why patches of a dataset's rows cannot be looked at; empty when they can.

    Args:
        profile: Of the whole dataset.
        image_shape: Height, width and, for colour, channels; None when features are no image.
        least: Labelled rows that are needed.
    """
    if image_shape is None:
        return "no image_shape was given, so the features are not known to be an image"
    if reason := profile.unfit_with(least):
        return reason
    return "every pixel has one value" if profile.value_low == profile.value_high else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Quantised images, one row per image, in canonical order.

    Args:
        levels: uint8 array (n, height * width * channels).
        height: Pixels.
        width: Pixels.
        channels: 1 for grey.
        labels: int64 array (n,).
        shares: float64 array (classes,): each class's share of the rows.
    """

    levels: NDArray[np.uint8]
    height: int
    width: int
    channels: int
    labels: NDArray[np.int64]
    shares: NDArray[np.float64]

    def window(self, top: int, left: int, height: int, width: int) -> NDArray[np.int64]:
        """int64 array: places of a box's values in a row of `levels`."""
        import numpy as np

        grid = np.arange(self.height * self.width * self.channels).reshape(self.height, self.width, self.channels)
        return grid[top : top + height, left : left + width].ravel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The patches of one size along one line of positions.

    Args:
        size: Side of the patch.
        top: Their first row of pixels.
        lefts: Their first columns.
    """

    size: int
    top: int
    lefts: range


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows with one patch at one place.

    Args:
        size: Side of the patch.
        top: First row of pixels.
        left: First column.
        label: Position of the label that most of them carry.
        rows: int64 array (N,), ascending.
    """

    size: int
    top: int
    left: int
    label: int
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one position gave.

    Args:
        tested: How many combinations of patch and label repeated often enough to be judged.
        groups: The candidates among them.
        group_of: int64 array (n,): which rows share a patch here.
    """

    tested: int
    groups: tuple[Group, ...]
    group_of: NDArray[np.int64]


def repeated(images: Images, columns: NDArray[np.uint8], strip: Strip, seed: int) -> Iterator[Found]:
    """The candidates of every position of `strip`.

    Args:
        images: The dataset.
        columns: uint8 array (height, width, channels, n): the same levels, position first.
        strip: Where.
        seed: Of the hash.
    """
    import numpy as np

    n = len(images.labels)
    side, lefts = strip.size, strip.lefts
    # Position and row travel in one word: sorting the words brings equal patches together and keeps who they are.
    row_bits = np.uint64(max(1, (n - 1).bit_length()))
    row_mask = (np.uint64(1) << row_bits) - np.uint64(1)
    factors = multipliers(side * side * images.channels, seed).reshape(side, side, images.channels)
    words = np.zeros((len(lefts), n), dtype=np.uint64)
    for down in range(side):
        for right in range(side):
            for channel in range(images.channels):
                block = columns[strip.top + down, lefts.start + right : lefts.stop + right, channel]
                words += (block.astype(np.uint64) + np.uint64(1)) * factors[down, right, channel]
    words = (mixed(words) & ~row_mask) | np.arange(n, dtype=np.uint64)
    words.sort(axis=1)
    for place, left in enumerate(lefts):
        rows = (words[place] & row_mask).astype(np.int64)
        yield _groups(images, rows, words[place] >> row_bits, strip, left)


def _groups(images: Images, rows: NDArray[np.int64], hashes: NDArray[np.uint64], strip: Strip, left: int) -> Found:
    import numpy as np

    n, classes = len(rows), len(images.shares)
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    lengths = np.diff(np.append(starts, n))
    group_of = np.empty(n, dtype=np.int64)
    group_of[rows] = np.repeat(np.arange(len(starts)), lengths)
    large = np.flatnonzero((lengths >= MIN_REPEATS) & (lengths <= MAX_SHARE * n))
    if not len(large):
        return Found(tested=0, groups=(), group_of=group_of)
    dense = np.full(len(starts), -1)
    dense[large] = np.arange(len(large))
    members = np.flatnonzero(dense[group_of] >= 0)
    counts = np.bincount(dense[group_of[members]] * classes + images.labels[members], minlength=len(large) * classes)
    counts = counts.reshape(len(large), classes)
    share = counts / lengths[large][:, None]
    good = (counts >= MIN_REPEATS) & (share >= MAJORITY) & (share > images.shares)
    good &= _chance(share, images.shares) * lengths[large][:, None] >= CHANCE_DECADES
    groups = []
    for at, label in zip(*(axis.tolist() for axis in np.nonzero(good)), strict=True):
        start = starts[large[at]]
        mine = rows[start : start + lengths[large[at]]]
        groups.append(Group(size=strip.size, top=strip.top, left=left, label=label, rows=mine))
    return Found(tested=int((counts >= MIN_REPEATS).sum()), groups=tuple(groups), group_of=group_of)


def _chance(share: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decades per row against "the label is as frequent here as everywhere" (Chernoff)."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(share > 0, share * np.log10(share / shares), 0.0)
        outside = np.where(share < 1, (1 - share) * np.log10((1 - share) / (1 - shares)), 0.0)
    return np.asarray(inside + outside)
