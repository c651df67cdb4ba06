"""JSON Lines: one JSON object a line (jsonlines.org; RFC 8259).

The columns are those of the first block of lines. A key that stands twice in one object is refused: readers differ on
which of the two they take, so the scan and the training could see different rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from interlock.gate import SubjectError
from interlock.gate.documents import unambiguous_json
from interlock.poisoning.reading.form import Table
from interlock.poisoning.reading.limits import first_line

BLOCK_BYTES = 4 * 2**20
MAX_LINE_BYTES = 16 * 2**20
MAX_KEYS = 4096
"""Columns of one file."""


@contextmanager
def open_jsonl(path: Path, shown: str) -> Iterator[Table]:
    """A JSON Lines file of untrusted content."""
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published

    with path.open("rb") as file:
        blocks = _blocks(file, shown)
        first = next(blocks, None)
        if first is None:
            yield Table(schema=pa.schema([]), batches=lambda _wanted, _rows, _groups: iter(()))
            return
        lead = _batch(first, (), shown)

        def batches(_wanted: Sequence[str], rows: int, _groups: Sequence[int] | None) -> Iterator[Any]:
            rest = (_batch(block, lead.schema.names, shown) for block in blocks)
            return (batch.slice(at, rows) for batch in chain([lead], rest) for at in range(0, batch.num_rows, rows))

        yield Table(schema=lead.schema, batches=batches)


def _blocks(file: BinaryIO, shown: str) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Objects with their line numbers, some megabytes of them at once."""
    block: list[tuple[int, dict[str, Any]]] = []
    size, number = 0, 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise SubjectError(f"line {number} has more than {MAX_LINE_BYTES} bytes", where=shown)
        if not line.strip():
            continue
        block.append((number, _object(line, number, shown)))
        size += len(line)
        if size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _object(line: bytes, number: int, shown: str) -> dict[str, Any]:
    try:
        found = unambiguous_json(line.decode("utf-8-sig" if number == 1 else "utf-8"), constants=True)
    except ValueError as error:
        raise SubjectError(
            f"line {number} is no JSON: {first_line(error)}", where=shown, next_step="write one object a line"
        ) from error
    if not isinstance(found, dict):
        raise SubjectError(f"line {number} is no JSON object", where=shown, next_step="write one object a line")
    return found


def _batch(block: list[tuple[int, dict[str, Any]]], before: Sequence[str], shown: str) -> Any:
    """One record batch: the columns of the blocks before, and whatever is new."""
    import pyarrow as pa

    names = dict.fromkeys(before)
    for _, line in block:
        names.update(dict.fromkeys(line))
    if len(names) > MAX_KEYS:
        raise SubjectError(f"more than {MAX_KEYS} different keys up to line {block[-1][0]}", where=shown)
    arrays = []
    for name in names:
        try:
            arrays.append(pa.array([line.get(name) for _, line in block]))
        except (pa.ArrowException, OverflowError, TypeError) as error:
            raise SubjectError(
                f"{name!r} holds values of several kinds in lines {block[0][0]} to {block[-1][0]}: {first_line(error)}",
                where=shown,
                next_step="write one kind of value under one key",
            ) from error
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
