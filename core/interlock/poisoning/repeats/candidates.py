"""Which windows stand in many images whose label their content does not explain: found without holding all windows.

Each row has a weight: how much it would surprise, by its content alone, that it carries its label. The sum of the
weights of a window's rows bounds what the window can ever prove, so a table of sums by hash (a count sketch with one
line; Cormode and Muthukrishnan, 2005, count-min) is enough to drop nearly all windows, and only what is left is kept
with its rows. Rows that their content explains can prove nothing, and are not hashed before it is asked who else
carries a candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.bounds import ALARM_DECADES
from interlock.poisoning.hashing import mixed
from interlock.poisoning.patches import MIN_REPEATS
from interlock.poisoning.repeats.windows import Family

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Seen: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.int64]]

BLOCK_VALUES = 2**18
"""Pixels that are hashed at once: what fits into a processor's cache beside its words."""

MAX_BITS = 23
"""Of the table of sums: 64 MiB."""

MAX_WINDOWS = 2**23
"""Windows that are kept with their rows; beyond this only those with the largest bounds are."""

MAX_CANDIDATES = 512
"""Per family; the ones with the largest bounds."""

UNIT = 1000
"""Weights are whole thousandths of a decade: sums do not depend on the order."""

COUNT_BITS = 40
COUNT = 2**COUNT_BITS
"""What one row adds to a table entry beside its weight, so that one table holds count and sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Rows that may prove something.

    Args:
        codes: uint8 array (m, height, width, channels).
        rows: int64 array (m,): their positions among all rows, ascending.
        labels: int64 array (m,).
        weights: int64 array (m,): how surprising their label is, in thousandths of a decade.
    """

    codes: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A window and a label that could prove something together.

    Args:
        word: The window.
        label: Position of the label.
        rows: int64 array: positions of the weighed rows with both, ascending.
        bound: What they can prove at most, in decades.
    """

    word: int
    label: int
    rows: NDArray[np.int64]
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Where windows of interest stand, one line per window and row.

    Args:
        word: int64 array: place of the window in the asked list.
        row: int64 array: position of the row.
        place: int64 array: first place in the image, line by line.
    """

    word: NDArray[np.int64]
    row: NDArray[np.int64]
    place: NDArray[np.int64]

    def only(self, lines: slice) -> Carried:
        """Some lines."""
        return Carried(word=self.word[lines], row=self.row[lines], place=self.place[lines])


def bounded(family: Family, weighed: Weighed) -> tuple[int, list[Bounded]]:
    """How many windows were judged, and those that could prove something, with the largest bounds first."""
    if not len(weighed.rows):
        return 0, []
    pixels = weighed.codes.shape[1] * weighed.codes.shape[2]
    # Rectangles of one value are few, and so are the places where any other window is flat.
    expected = len(weighed.rows) * pixels // (1 if family.side else 32)
    bits = min(MAX_BITS, max(12, expected.bit_length()))
    table, seen = _sums(family, weighed, bits)
    counts = table >> COUNT_BITS
    judged = counts >= MIN_REPEATS
    tested = int(judged.sum())
    least = ALARM_DECADES + math.log10(max(1, tested))
    worth = (table & (COUNT - 1)) * judged
    floor = _floor(worth, counts, round(UNIT * least))
    words, lines = _kept(family, weighed, worth >= floor, bits, seen)
    return tested, _groups(words, lines, weighed, least)


def carriers(family: Family, codes: NDArray[np.uint8], words: NDArray[np.uint64]) -> Carried:
    """Who carries any of these windows.

    Args:
        family: Of the windows.
        codes: uint8 array (n, height, width, channels).
        words: uint64 array, ascending.
    """
    import numpy as np

    shift = np.uint64(64 - 20)
    wanted = np.zeros(2**20, dtype=np.bool_)
    wanted[words >> shift] = True
    parts = []
    for start, count in _starts(codes):
        block = family.turned_words(codes[start : start + count]).ravel()
        seen = np.flatnonzero(wanted[block >> shift])
        held = block[seen]
        at = np.minimum(np.searchsorted(words, held), len(words) - 1)
        hit = words[at] == held
        place, line = np.divmod(seen[hit], count)
        parts.append(np.stack([at[hit], start + line, place]))
    found = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0), dtype=np.int64)
    # Line by line and from the top, so that the first of equals is the first place.
    _, first = np.unique(found[0] * len(codes) + found[1], return_index=True)
    word, row, place = found[:, first].astype(np.int64)
    return Carried(word=word, row=row, place=place)


def _starts(codes: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """First row and length of each block."""
    step = max(1, BLOCK_VALUES // max(1, codes[0].size if len(codes) else 1))
    for at in range(0, len(codes), step):
        yield at, min(step, len(codes) - at)


def _blocks(family: Family, codes: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    for at, count in _starts(codes):
        yield at, family.words(codes[at : at + count])


def _once(block: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Line and word of every window, each word once per line."""
    import numpy as np

    block.sort(axis=1)
    new = block != 0
    new[:, 1:] &= block[:, 1:] != block[:, :-1]
    line = np.repeat(np.arange(len(block)), new.sum(axis=1))
    return line, block[new]


def _slots(words: NDArray[np.uint64], labels: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Where a window with a label is summed."""
    import numpy as np

    return (mixed(words + labels.astype(np.uint64)) >> np.uint64(64 - bits)).astype(np.int64)


def _sums(family: Family, weighed: Weighed, bits: int) -> tuple[NDArray[np.int64], list[Seen]]:
    """Counts and sums by slot, and all windows as long as they fit."""
    import numpy as np
    import torch

    table = torch.zeros(2**bits, dtype=torch.int64)
    seen: list[Seen] = []
    room = MAX_WINDOWS
    for start, block in _blocks(family, weighed.codes):
        line, words = _once(block)
        slots = _slots(words, weighed.labels[start + line], bits)
        table.index_add_(0, torch.from_numpy(slots), torch.from_numpy(weighed.weights[start + line] + COUNT))
        room -= len(words)
        if room >= 0:
            seen.append((words, start + line))
    return np.asarray(table.numpy()), seen if room >= 0 else []


def _floor(worth: NDArray[np.int64], counts: NDArray[np.int64], least: int) -> int:
    """The smallest bound that is kept: `least`, or more where too many windows pass it."""
    import numpy as np

    passing = worth >= least
    if int(counts[passing].sum()) <= MAX_WINDOWS:
        return least
    order = np.argsort(-worth[passing], kind="stable")
    room = np.cumsum(counts[passing][order]) <= MAX_WINDOWS
    return max(least, int(worth[passing][order][min(int(room.sum()), len(order) - 1)]) + 1)


def _kept(
    family: Family, weighed: Weighed, wanted: NDArray[np.bool_], bits: int, seen: list[Seen]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Words and lines of the windows whose slot is wanted."""
    import numpy as np

    words, lines = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    if not wanted.any():
        return words[0], lines[0]
    for word, line in seen or _all_seen(family, weighed):
        hit = wanted[_slots(word, weighed.labels[line], bits)]
        words.append(word[hit])
        lines.append(line[hit])
    return np.concatenate(words), np.concatenate(lines)


def _all_seen(family: Family, weighed: Weighed) -> Iterator[Seen]:
    for start, block in _blocks(family, weighed.codes):
        line, words = _once(block)
        yield words, start + line


def _groups(words: NDArray[np.uint64], lines: NDArray[np.int64], weighed: Weighed, least: float) -> list[Bounded]:
    """Exactly, now that few are left: slots may have been shared."""
    import numpy as np

    if not len(words):
        return []
    labels = weighed.labels[lines]
    order = np.lexsort((lines, labels, words))
    words, lines, labels = words[order], lines[order], labels[order]
    new = np.concatenate([[True], (words[1:] != words[:-1]) | (labels[1:] != labels[:-1])])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(words)))
    bounds = np.add.reduceat(weighed.weights[lines], starts)
    good = np.flatnonzero((sizes >= MIN_REPEATS) & (bounds >= UNIT * least))
    good = good[np.lexsort((words[starts[good]], -bounds[good]))][:MAX_CANDIDATES]
    return [
        Bounded(
            word=int(words[starts[at]]),
            label=int(labels[starts[at]]),
            rows=weighed.rows[lines[starts[at] : starts[at] + sizes[at]]],
            bound=float(bounds[at]) / UNIT,
        )
        for at in good.tolist()
    ]
