"""The columns of a table as few codes each: values that repeat, ranges of numbers, and what is missing.

The state is a sample of distinct rows, made of those with the smallest content hashes (bottom-k sampling: Cohen and
Kaplan, 2007), so that it depends neither on the order of rows nor on how they were split, and copies of one row are
one witness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.hashing import mixed, multipliers, text_hashes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ROWS = 2**17
"""Distinct rows that are kept; a combination on 1 in 1,000 of them is still 131 rows."""

MIN_ROWS = 8
"""A value or a combination on fewer rows proves nothing."""

RANGES = 16
"""Ranges of equal numbers of rows that a column of numbers is cut into."""

MANY_VALUES = 2 * RANGES
"""A column of more numbers than this is also cut into ranges."""

MAX_CODED = 96
"""Columns of codes; in a wider table numbers are told by their range only."""

MAX_VALUES = 128
MAX_CELLS = 2**22
"""Cells of the table that two columns and the labels span; with many labels fewer values of a column are told apart."""

MAX_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """A sample of distinct labelled rows.

    Args:
        rows: int64 array: every labelled row seen, as its index in the dataset.
        keys: uint64 array (m,), ascending: content hashes of the sampled rows.
        labels: int64 array (m,): positions in the profile's classes.
        numbers: float32 array (m, d).
        words: uint64 array (m, c): hashes of the texts in the category columns, 0 where there is none.
        names: Of the numbers; empty when nothing names them.
        columns: Names of the category columns, sorted.
    """

    rows: NDArray[np.int64] = field(repr=False)
    keys: NDArray[np.uint64] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    numbers: NDArray[np.float32] = field(repr=False)
    words: NDArray[np.uint64] = field(repr=False)
    names: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of one column, or a range of numbers.

    Args:
        column: Name.
        place: Of a column of numbers, among the features; -1 for a column of texts.
        low: Smallest number; NaN for what is missing.
        high: Largest number.
        word: Hash of the text; 0 for what is missing.
    """

    column: str
    place: int = -1
    low: float = math.nan
    high: float = math.nan
    word: int = 0

    @property
    def exact(self) -> bool:
        """False for a range."""
        return self.place < 0 or not self.low < self.high

    def among(self, batch: Batch) -> NDArray[np.bool_]:
        """Which rows of a batch hold it."""
        import numpy as np

        if self.place >= 0:
            numbers = batch.features[:, self.place]
            return np.isnan(numbers) if math.isnan(self.low) else (numbers >= self.low) & (numbers <= self.high)
        coded = batch.categories.get(self.column)
        if coded is None:
            return np.zeros(len(batch.labels), dtype=bool)
        held: NDArray[np.bool_] = text_hashes(coded.vocabulary)[coded.codes] == np.uint64(self.word)
        return held

    def said(self, texts: Mapping[int, str]) -> str:
        """For people: ``age=39``.

        Args:
            texts: Text by hash.
        """
        column = self.column[:MAX_NAME]
        if self.place >= 0:
            if math.isnan(self.low):
                return f"{column} is missing"
            return f"{column}={self.low:.9g}" if self.exact else f"{column}={self.low:.9g}..{self.high:.9g}"
        return f"{column}={texts.get(self.word, '?')[:MAX_NAME]}" if self.word else f"{column} is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """Rows as codes, 0 for what does not repeat.

    Args:
        codes: int64 array (n, m): place of a row's value in `values`, which holds those of every column in turn.
        labels: int64 array (n,).
        classes: Number of classes.
        values: None for the first of each column (what does not repeat), the value else.
        column_of: int64 array (len(values),): the column of codes that a value belongs to.
        first: int64 array (m,): place of each column's first value.
        base: int64 array (m,): the column of the table that a column of codes is made from.
    """

    codes: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: int
    values: tuple[Value | None, ...]
    column_of: NDArray[np.int64]
    first: NDArray[np.int64]
    base: NDArray[np.int64]

    def holders(self, places: tuple[int, ...]) -> NDArray[np.bool_]:
        """Bool array (n,): rows that hold all of these values."""
        import numpy as np

        held = np.ones(len(self.labels), dtype=bool)
        for place in places:
            held &= self.codes[:, self.column_of[place]] == place
        return held


def table_state(batch: Batch, classes: tuple[str, ...], seed: int) -> TableState:
    """The state of one batch.

    Args:
        batch: The rows.
        classes: Labels as text; rows of others are left out.
        seed: Of the hashes.
    """
    import numpy as np

    mine = batch.labelled(classes)
    columns = tuple(sorted(batch.categories))
    held = [batch.categories[name] for name in columns]
    words = [text_hashes(column.vocabulary)[column.codes[mine.known]] for column in held]
    table = np.stack(words, axis=1) if words else np.zeros((len(mine.rows), 0), dtype=np.uint64)
    factors = multipliers(len(columns) + 1, seed + 1)
    label_words = text_hashes(classes)[mine.labels]
    keys = batch.keys(classes, seed) + (table * factors[:-1]).sum(axis=1, dtype=np.uint64) + label_words * factors[-1]
    return _kept(
        TableState(
            rows=mine.rows,
            keys=mixed(keys),
            labels=mine.labels,
            numbers=mine.features,
            words=table,
            names=batch.names,
            columns=columns,
        )
    )


def joined(one: TableState, other: TableState) -> TableState:
    """The state of both; associative and commutative, but for the order of `rows`."""
    import numpy as np

    columns = tuple(name for name in one.columns if name in other.columns)
    words = [state.words[:, [state.columns.index(name) for name in columns]] for state in (one, other)]
    return _kept(
        TableState(
            rows=np.concatenate([one.rows, other.rows]),
            keys=np.concatenate([one.keys, other.keys]),
            labels=np.concatenate([one.labels, other.labels]),
            numbers=np.concatenate([one.numbers, other.numbers]),
            words=np.concatenate(words),
            names=max(one.names, other.names),
            columns=columns,
        )
    )


def coded(state: TableState, classes: int) -> Coding:
    """Every column's values as codes, and the ranges of numbers as columns of their own.

    Args:
        state: Of the whole dataset.
        classes: Number of classes.
    """
    import numpy as np

    room = max(2, min(MAX_VALUES, math.isqrt(MAX_CELLS // max(1, classes))))
    width = state.numbers.shape[1]
    names = state.names if len(state.names) == width else tuple(f"feature {place}" for place in range(width))
    made: list[tuple[NDArray[np.int64], list[Value], int]] = []
    columns = [np.unique(state.numbers[:, place], return_inverse=True) for place in range(width)]
    many = sum(len(distinct) > MANY_VALUES for distinct, _ in columns)
    wide = width + many + len(state.columns) > MAX_CODED
    for place, (name, (distinct, codes)) in enumerate(zip(names, columns, strict=True)):
        if len(distinct) <= MANY_VALUES or not wide:
            made.append((codes, [_number(name, place, value) for value in distinct.tolist()], place))
        if len(distinct) > MANY_VALUES:
            made.append((*_ranges(state.numbers[:, place], name, place), place))
    for at, name in enumerate(state.columns):
        hashes, codes = np.unique(state.words[:, at], return_inverse=True)
        made.append((codes, [Value(column=name, word=int(word)) for word in hashes], width + at))
    return _together(made, state.labels, classes, room)


def _number(name: str, place: int, value: float) -> Value:
    return Value(column=name, place=place, low=value, high=value)


def _ranges(numbers: NDArray[np.float32], name: str, place: int) -> tuple[NDArray[np.int64], list[Value]]:
    """Codes of the range that each number is in; -0.0 and what is missing come right."""
    import numpy as np

    finite = numbers[np.isfinite(numbers)]
    cuts = np.linspace(0, 1, RANGES + 1)[1:-1]
    edges = np.unique(np.quantile(finite, cuts, method="higher")) if len(finite) else finite
    missing = np.isnan(numbers)
    codes = np.where(missing, len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    values = []
    for code in range(len(edges) + 2):
        inside = numbers[codes == code]
        if not len(inside) or code > len(edges):
            values.append(Value(column=name, place=place))
        else:
            values.append(Value(column=name, place=place, low=float(inside.min()), high=float(inside.max())))
    return codes.astype(np.int64), values


def _together(
    made: list[tuple[NDArray[np.int64], list[Value], int]], labels: NDArray[np.int64], classes: int, room: int
) -> Coding:
    import numpy as np

    shares = np.bincount(labels, minlength=classes) / max(1, len(labels))
    codes, values, column_of, first, base = [], list[Value | None](), list[int](), list[int](), list[int]()
    for at, (raw, names, column) in enumerate(made):
        kept = _worth_keeping(raw, len(names), labels, shares, room)
        table = np.zeros(len(names), dtype=np.int64)
        table[kept] = np.arange(1, len(kept) + 1)
        codes.append(table[raw] + len(values))
        first.append(len(values))
        values += [None, *(names[place] for place in kept.tolist())]
        column_of += [at] * (len(kept) + 1)
        base.append(column)
    return Coding(
        codes=np.stack(codes, axis=1) if codes else np.zeros((len(labels), 0), dtype=np.int64),
        labels=labels,
        classes=classes,
        values=tuple(values),
        column_of=np.array(column_of, dtype=np.int64),
        first=np.array(first, dtype=np.int64),
        base=np.array(base, dtype=np.int64),
    )


def _worth_keeping(
    raw: NDArray[np.int64], count: int, labels: NDArray[np.int64], shares: NDArray[np.float64], room: int
) -> NDArray[np.int64]:
    """Values that repeat; when they are too many, those that go with one label most."""
    import numpy as np

    seen = np.bincount(raw, minlength=count)
    kept = np.flatnonzero(seen >= MIN_ROWS)
    if len(kept) < room:
        return kept
    order = np.full(count, -1)
    order[kept] = np.arange(len(kept))
    mine = order[raw] >= 0
    table = np.bincount(order[raw[mine]] * len(shares) + labels[mine], minlength=len(kept) * len(shares))
    expected = seen[kept][:, None] * shares
    apart = ((table.reshape(len(kept), -1) - expected) / np.sqrt(expected + 1)).max(axis=1)
    return np.sort(kept[np.argsort(-apart, kind="stable")[: room - 1]])


def _kept(state: TableState) -> TableState:
    """The rows with the smallest keys, one per key."""
    import numpy as np

    unique, first = np.unique(state.keys, return_index=True)
    first = first[:MAX_ROWS]
    return TableState(
        rows=state.rows,
        keys=unique[:MAX_ROWS],
        labels=state.labels[first],
        numbers=np.ascontiguousarray(state.numbers[first]),
        words=np.ascontiguousarray(state.words[first]),
        names=state.names,
        columns=state.columns,
    )
