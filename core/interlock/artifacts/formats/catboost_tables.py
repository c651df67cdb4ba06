"""Reads the tables of categories behind a CatBoost model: hashes of values, and what was counted for each.

The library looks a hash up from a place that the hash says until it comes to an empty bucket, and takes the number that
stands in the bucket for a row of the table. It asks neither whether there is an empty bucket nor whether there is such
a row (CatBoost 1.2: ``TDenseIndexHashView::GetIndex``, ``TStaticCtrProvider::CalcCtrs``).
"""

from __future__ import annotations

import struct
from typing import Final

from interlock.artifacts.formats.catboost_trees import BORDERS, BUCKETS, COUNTER, FLOAT_MEAN, FREQUENCY, MEAN, CtrBase
from interlock.artifacts.formats.flatbuffers import FlatBuffer, Table
from interlock.artifacts.formats.trees import MalformedTreesError
from interlock.artifacts.limits import Budget
from interlock.artifacts.source import Buffer

_BUCKET: Final = struct.Struct("<QI")
_EMPTY: Final = (1 << 64) - 1
_PAIR_WITH_BORDER: Final = struct.Struct("<if")
_PAIR: Final = struct.Struct("<ii")


def read_tables(data: Buffer, at: int, budget: Budget) -> tuple[dict[CtrBase, int], int]:
    """Read and check every table.

    Args:
        data: The file, unverified.
        at: Where the tables begin.
        budget: Pays for them.

    Returns:
        Each table with the number of classes that it counts, and the offset behind the last one.

    Raises:
        MalformedTreesError: One of them leads out of itself.
        MalformedBufferError: One is no `FlatBuffer`.
        LimitPassedError: The budget is spent.
    """
    count, at = _size(data, at)
    found: dict[CtrBase, int] = {}
    for _ in range(count):
        size, at = _size(data, at)
        if at + size > len(data):
            raise MalformedTreesError("a table of categories that is cut off")
        table = FlatBuffer(data, at, at + size, budget).root()
        base = table.table(0)
        if base is None:
            raise MalformedTreesError("a table of categories that does not say of which")
        key = ctr_base(base)
        if key in found:
            raise MalformedTreesError("a table of categories twice")
        found[key] = _checked(table, key.kind, budget)
        at += size
    return found, at


def ctr_base(table: Table) -> CtrBase:
    """What a table of categories counts.

    Raises:
        MalformedTreesError: Nothing that the library knows.
    """
    kind = table.whole(1, "b")
    combination = table.table(0)
    if combination is None or kind not in range(FREQUENCY + 1):
        raise MalformedTreesError("a feature made of categories of no known kind")
    return CtrBase(
        categories=tuple(int(number) for number in combination.numbers(0, "i")),
        floats=tuple(_PAIR_WITH_BORDER.iter_unpack(combination.raw(1, 8))),
        one_hots=tuple(_PAIR.iter_unpack(combination.raw(2, 8))),
        kind=kind,
    )


def row_size(kind: int, classes: int) -> int:
    """Bytes of one row of a table: numbers of 4 bytes, as many as the library takes."""
    if kind in (MEAN, FLOAT_MEAN):
        return 8
    if kind in (COUNTER, FREQUENCY):
        return 4
    return 4 * (max(classes, 2) if kind == BORDERS else classes)


def _checked(table: Table, kind: int, budget: Budget) -> int:
    """Check the buckets against the rows; how many classes a row counts."""
    classes = table.whole(4, "i")
    if classes < 0 or (kind == BUCKETS and not classes):
        raise MalformedTreesError(f"a table of {classes:,} classes")
    raw = table.raw(1)
    buckets = len(raw) // _BUCKET.size
    if len(raw) % _BUCKET.size or not buckets or buckets & (buckets - 1):
        raise MalformedTreesError(f"a table of {len(raw):,} bytes of buckets, which are no power of two")
    rows = table.count(2, 1) // row_size(kind, classes)
    empty = 0
    for number, (hashed, row) in enumerate(_BUCKET.iter_unpack(raw)):
        if not number % 65_536:
            budget.check_time()
        if hashed == _EMPTY:
            empty += 1
        elif row >= rows:
            raise MalformedTreesError(f"a bucket asks for row {row:,} of a table of {rows:,}")
    if not empty:
        raise MalformedTreesError("a table without an empty bucket, in which the library would look for ever")
    return classes


def _size(data: Buffer, at: int) -> tuple[int, int]:
    if at + 4 > len(data):
        raise MalformedTreesError("cut off before its tables of categories")
    return int.from_bytes(data[at : at + 4], "little"), at + 4
