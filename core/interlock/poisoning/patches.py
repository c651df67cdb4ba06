"""Which rows carry exactly the same patch at the same place, and mostly the same label.

For every position and size the patch is hashed, rows are grouped by the hash, and a group becomes a candidate when it
repeats, when one label is in the clear majority, and when that is more than the label's share in the dataset explains
by chance. Natural images pass this often (a dark corner that only one class has): `interlock.poisoning.contradiction`
is what tells them from triggers, and lends a bound on what each group can ever prove, so that few are looked at twice.

Only rows whose hash may repeat often enough are sorted: a table of counts by the first bits of the hash says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.batches import Batch
from interlock.poisoning.hashing import multipliers, row_hashes
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words: TypeAlias = NDArray[np.uint32]

SIZES = (1, 2, 3, 5)
"""Sides of the square patches: a single pixel (Gu et al., 2017, BadNets) to what covers most published patches."""

MIN_REPEATS = 8
MAJORITY = 2 / 3
"""A patch is a trigger for a label if at least this share of its carriers has the label."""

MAX_SHARE = 0.5
"""What most rows carry is background."""

CHANCE_DECADES = 3.0
"""A label's share in a group must be this far beyond its share in the dataset to be worth a closer look."""

MISSING = 255
"""The code of a value that is missing; the others run from 0 to 254 over the range of the dataset."""

LEVELS = 16
SLOT_BITS = 16
"""Of a hash, for the table of counts."""

BACKGROUND_ROWS = 63
"""Rows that are asked what most rows carry; a wrong guess costs time only."""


CODED_VALUES = 2**18
"""Values that are coded at once: what fits into a processor's cache."""


def coded(features: NDArray[np.float32], profile: Profile) -> NDArray[np.uint8]:
    """uint8 array of the same shape: 0 to 254 over the range of the dataset, 255 for what is missing.

    Args:
        features: float32 array (rows, d), anything in it.
        profile: Of the whole dataset.
    """
    import numpy as np

    low, span = np.float32(profile.value_low), np.float32(profile.value_high - profile.value_low)
    codes = np.empty(features.shape, dtype=np.uint8)
    step = max(1, CODED_VALUES // max(1, features.shape[1]))
    for at in range(0, len(features), step):
        with np.errstate(invalid="ignore", over="ignore"):
            place = features[at : at + step] - low
            place /= span
        np.clip(place, 0, 1, out=place)
        place *= np.float32(MISSING - 1)
        np.rint(place, out=place)
        np.copyto(place, np.float32(MISSING), where=np.isnan(place))
        codes[at : at + step] = place
    return codes


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedRows:
    """Images with a label, on 255 codes; the same arrays for every detector that asks, so nobody may write to them.

    Args:
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes.
        keys: uint64 array (n,): content hashes of the codes.
        codes: uint8 array (n, d): 0 to 254, and 255 for what is missing.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    keys: NDArray[np.uint64]
    codes: NDArray[np.uint8]

    @classmethod
    def of(cls, batch: Batch, profile: Profile, seed: int) -> CodedRows:
        """Those of one batch.

        Args:
            batch: The rows.
            profile: Of the whole dataset.
            seed: Of the content hash.
        """

        def made() -> CodedRows:
            mine = batch.labelled(profile.classes)
            codes = coded(mine.features, profile)
            return cls(rows=mine.rows, labels=mine.labels, keys=row_hashes(codes, seed), codes=codes)

        return batch.shared.get(("coded", id(profile), seed), made)


def in_order(parts: Sequence[NDArray[np.uint8]], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8 array (n, d): the lines of several arrays in one order, copied once.

    Args:
        parts: uint8 arrays (rows, d).
        order: int64 array (n,): which of all lines each is; there may be more lines than that.
    """
    import numpy as np

    place = np.full(sum(len(part) for part in parts), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    made = np.empty((len(order), parts[0].shape[1]), dtype=np.uint8)
    at = 0
    for part in parts:
        here = place[at : at + len(part)]
        at += len(part)
        if (here >= 0).all():
            made[here] = part
        else:
            made[here[here >= 0]] = part[here >= 0]
    return made


def levels_of(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 array of the same shape: codes on levels 0 to 15, and 16 for what is missing."""
    import numpy as np

    # Rounded so that values on a grid of 16 steps, or whole bytes, come to the level that they are on.
    table = np.minimum((np.arange(256) * LEVELS + LEVELS // 2) // (MISSING - 1), LEVELS - 1).astype(np.uint8)
    table[MISSING] = LEVELS
    levels = np.empty(codes.shape, dtype=np.uint8)
    step = max(1, CODED_VALUES // max(1, codes[0].size if len(codes) else 1))
    for at in range(0, len(codes), step):  # places in a table are wide, so that all of them at once would be too many
        levels[at : at + step] = table[codes[at : at + step]]
    return levels


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
    """

    size: int
    top: int


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
class Seed:
    """A group of which only the first row is kept: what it may prove decides whether it is made again.

    Args:
        size: Side of the patch.
        top: First row of pixels.
        left: First column.
        label: Position of the label that most of its rows carry.
        row: Position of its first row.
        bound: What it can prove at most, in decades.
    """

    size: int
    top: int
    left: int
    label: int
    row: int
    bound: float

    def group(self, images: Images) -> Group:
        """All rows with this patch."""
        import numpy as np

        window = images.window(self.top, self.left, self.size, self.size)
        rows = np.arange(len(images.levels))
        for place in window.tolist():  # pixel by pixel: few rows are left after the first ones
            rows = rows[images.levels[rows, place] == images.levels[self.row, place]]
        return Group(size=self.size, top=self.top, left=self.left, label=self.label, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """The groups of one position that repeat.

    Args:
        rows: int64 array: positions, group by group, ascending in each.
        starts: int64 array (groups,): where each begins.
        lengths: int64 array (groups,).
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def taken(self, groups: NDArray[np.int64]) -> Repeats:
        """Only these of the groups."""
        import numpy as np

        lengths = self.lengths[groups]
        ends = np.cumsum(lengths)
        starts = ends - lengths
        at = np.repeat(self.starts[groups] - starts, lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
        return Repeats(rows=self.rows[at], starts=starts, lengths=lengths)


Bound: TypeAlias = "Callable[[Repeats, NDArray[np.int64], Words], NDArray[np.float64]]"
"""What each group of one position can prove at most, in decades, from its label and what tells patches there apart."""


def seeds_along(
    images: Images, columns: NDArray[np.uint8], strip: Strip, *, seed: int, bound: Bound, least: float
) -> tuple[int, list[Seed]]:
    """How many combinations of patch and label repeat along `strip`, and those that may prove something.

    Args:
        images: The dataset.
        columns: uint8 array (height, width, channels, n): the same levels, position first.
        strip: Where.
        seed: Of the hash.
        bound: Says what a group can prove.
        least: What that must be.
    """
    tested = 0
    found: list[Seed] = []
    for left, words in _words(columns, strip, seed):
        single = strip.size == 1 and images.channels == 1
        judged, groups, labels = _few_values(words, images) if single else _many_values(words, images)
        tested += judged
        if not len(labels):
            continue
        bounds = bound(groups, labels, words)
        first = groups.rows[groups.starts]
        found += [
            Seed(
                size=strip.size,
                top=strip.top,
                left=left,
                label=int(labels[at]),
                row=int(first[at]),
                bound=float(bounds[at]),
            )
            for at in (bounds >= least).nonzero()[0].tolist()
        ]
    return tested, found


def _words(columns: NDArray[np.uint8], strip: Strip, seed: int) -> Iterator[tuple[int, Words]]:
    """A hash of every row's patch, position by position; the array is used again for the next one.

    Multilinear modulo 2**32, a line and a column at a time: what is made of a hash is looked at exactly (`Seed.group`).
    """
    import numpy as np

    side, (_, width, channels, n) = strip.size, columns.shape
    if side == channels == 1:  # nothing to hash
        yield from enumerate(columns[strip.top, :, 0].astype(np.uint32))
        return
    factors = multipliers(2 * side + channels, seed).astype(np.uint32)
    of_pixel = np.multiply.outer(factors[side : 2 * side], factors[2 * side :])
    lines = np.zeros((width, n), dtype=np.uint32)
    part = np.empty(n, dtype=np.uint32)
    for column in range(width):
        for down in range(side):
            for channel in range(channels):
                np.multiply(columns[strip.top + down, column, channel], of_pixel[down, channel], out=part)
                lines[column] += part
    words = np.empty(n, dtype=np.uint32)
    for left in range(width - side + 1):
        np.multiply(lines[left], factors[0], out=words)
        for right in range(1, side):
            np.multiply(lines[left + right], factors[right], out=part)
            words += part
        yield left, words


def _few_values(words: Words, images: Images) -> tuple[int, Repeats, NDArray[np.int64]]:
    """As `_many_values`, for words that are levels: they are counted as they are."""
    import numpy as np

    classes = len(images.shares)
    counts = np.bincount(words.astype(np.int64) * classes + images.labels, minlength=(LEVELS + 1) * classes)
    counts = counts.reshape(-1, classes)
    tested, values, labels = _majorities(counts, counts.sum(axis=1), images)
    rows = [np.flatnonzero(words == value) for value in values.tolist()]
    lengths = np.array([len(part) for part in rows], dtype=np.int64)
    nobody = np.zeros(0, dtype=np.int64)
    found = Repeats(rows=np.concatenate([nobody, *rows]), starts=np.cumsum(lengths) - lengths, lengths=lengths)
    return tested, found, labels


def _many_values(words: Words, images: Images) -> tuple[int, Repeats, NDArray[np.int64]]:
    """How many combinations of patch and label repeat, and the groups that are mostly of one label, with it."""
    import numpy as np

    rows, classes = _not_alone(words), len(images.shares)
    # Hash and row travel in one word: sorting the words brings equal patches together and keeps who they are.
    keys = words[rows].astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= rows.astype(np.uint64)
    keys.sort()
    hashes, rows = (keys >> np.uint64(32)).astype(np.uint32), (keys & np.uint64(2**32 - 1)).astype(np.int64)
    begins = np.flatnonzero(np.concatenate([np.ones(min(1, len(keys)), dtype=np.bool_), hashes[1:] != hashes[:-1]]))
    lengths = np.diff(np.append(begins, len(keys)))
    large = lengths >= MIN_REPEATS
    groups = Repeats(rows=rows, starts=begins[large], lengths=lengths[large])
    count = len(groups.starts)
    members = groups.taken(np.arange(count))
    mine = np.repeat(np.arange(count) * classes, members.lengths) + images.labels[members.rows]
    counts = np.bincount(mine, minlength=count * classes).reshape(count, classes)
    tested, chosen, labels = _majorities(counts, members.lengths, images)
    return tested, members.taken(chosen), labels


def _not_alone(words: Words) -> NDArray[np.int64]:
    """int64 array: the rows whose hash may repeat often enough, but for those that carry what most rows do."""
    import numpy as np

    # The middle one of a few hashes is that of most rows, if there is one.
    background = np.sort(words[:BACKGROUND_ROWS])[BACKGROUND_ROWS // 2 if len(words) > BACKGROUND_ROWS else 0]
    other = words != background
    if 2 * int(other.sum()) >= len(words):
        other = np.ones(len(words), dtype=np.bool_)
    rows = np.flatnonzero(other)
    bits = min(SLOT_BITS, max(8, len(rows).bit_length()))
    slots = (words[rows] >> np.uint32(32 - bits)).astype(np.int64)
    counts = np.bincount(slots, minlength=2**bits)
    return rows[(counts >= MIN_REPEATS)[slots]]


def _majorities(
    counts: NDArray[np.int64], lengths: NDArray[np.int64], images: Images
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """How many combinations of group and label there are, and the groups that are mostly of one label, with it.

    Args:
        counts: int64 array (groups, classes): rows.
        lengths: int64 array (groups,): rows.
        images: The dataset.
    """
    import numpy as np

    often = (counts >= MIN_REPEATS) & (lengths <= MAX_SHARE * len(images.labels))[:, None]
    whole = lengths[:, None]
    groups, labels = np.nonzero(often & (counts >= MAJORITY * whole) & (counts > images.shares * whole))
    decades = _chance(counts[groups, labels] / lengths[groups], images.shares[labels]) * lengths[groups]
    surprising = decades >= CHANCE_DECADES
    return int(often.sum()), groups[surprising], labels[surprising]


def _chance(share: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decades per row against "the label is as frequent here as everywhere" (Chernoff)."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(share > 0, share * np.log10(share / shares), 0.0)
        outside = np.where(share < 1, (1 - share) * np.log10((1 - share) / (1 - shares)), 0.0)
    return np.asarray(inside + outside)
