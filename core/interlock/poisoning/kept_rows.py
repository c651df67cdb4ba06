"""Files without some of their rows, format by format: whatever is kept is kept as it was.

Parquet and Arrow keep their schema, metadata and compression, row group by row group and batch by batch; CSV and JSON
Lines keep each line byte for byte; arrays keep their type and order. Everything is streamed. Nothing here knows which
rows are bad, or why.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from interlock.gate import SubjectError
from interlock.poisoning.batches import BATCH_BYTES
from interlock.poisoning.reading.limits import values_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

IDX_BYTES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}
"""Of one value, by the third byte of a file."""

Writer = Callable[[Path, Path, "Rows"], int]
"""Writes the file at the first path to the second without some rows, and says how many rows the first has."""


def keep_parquet(held: Path, target: Path, without: Rows) -> int:
    """Parquet, row group by row group; one that loses all its rows is left out."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    with pq.ParquetFile(held, page_checksum_verification=True) as file:
        schema, meta = file.schema_arrow, file.metadata
        at = 0
        with pq.ParquetWriter(target, schema, write_page_checksum=True, **_parquet_options(meta)) as writer:
            for group in range(meta.num_row_groups):
                rows = meta.row_group(group).num_rows
                kept = kept_rows(at, rows, without)
                if kept.all():
                    writer.write_table(file.read_row_group(group), row_group_size=max(1, rows))
                elif kept.any():
                    table = file.read_row_group(group).filter(_mask(kept))
                    writer.write_table(table, row_group_size=max(1, rows))
                at += rows
    return at


def keep_arrow(held: Path, target: Path, without: Rows) -> int:
    """Arrow IPC, as a file or as a stream, record batch by record batch."""
    import pyarrow as pa
    from pyarrow import ipc

    with held.open("rb") as content:
        is_file = content.read(6) == b"ARROW1"
    with pa.memory_map(str(held)) as mapped, (ipc.open_file if is_file else ipc.open_stream)(mapped) as reader:
        found = (reader.get_batch(place) for place in range(reader.num_record_batches)) if is_file else reader
        at = 0
        with (ipc.new_file if is_file else ipc.new_stream)(str(target), reader.schema) as writer:
            for batch in found:
                batch.validate(full=True)
                kept = kept_rows(at, batch.num_rows, without)
                writer.write_batch(batch if kept.all() else batch.filter(_mask(kept)))
                at += batch.num_rows
    return at


def keep_csv(held: Path, target: Path, without: Rows) -> int:
    """CSV with a header, line by line; a line break inside of quotes ends no row (RFC 4180)."""
    with held.open("rb") as source, target.open("xb") as kept:
        return _keep_records(_csv_records(source), kept, without, header=True)


def keep_jsonl(held: Path, target: Path, without: Rows) -> int:
    """JSON Lines, line by line."""
    with held.open("rb") as source, target.open("xb") as kept:
        return _keep_records(source, kept, without, header=False)


def keep_npz(held: Path, target: Path, without: Rows, *, rows: int) -> int:
    """Npz: every array with as many rows as the dataset, the others as they are."""
    with zipfile.ZipFile(held) as source, zipfile.ZipFile(target, "x") as kept:
        for member in source.infolist():
            entry = zipfile.ZipInfo(member.filename)  # of 1980: equal arrays make equal files
            entry.compress_type = member.compress_type
            with source.open(member) as content, kept.open(entry, "w", force_zip64=True) as out:
                _keep_array(content, out, without, rows)
    return rows


def keep_idx(held: Path, target: Path, without: Rows) -> int:
    """IDX, packed or not: its header says how many rows are left."""
    with ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(held.open("rb"))
        out: Any = stack.enter_context(target.open("xb"))
        content: Any = raw
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if packed:  # without a time or a name, equal rows make equal files
            content = stack.enter_context(gzip.open(raw))
            out = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0))
        head = content.read(4)
        sides: tuple[int, ...] = struct.unpack(f">{head[3]}I", content.read(4 * head[3]))
        out.write(head + struct.pack(f">{head[3]}I", sides[0] - len(without), *sides[1:]))
        size = IDX_BYTES[head[2]] * values_in(sides[1:])
        _keep_bytes(content, out, without, rows=sides[0], size=size)
    return sides[0]


WRITERS: dict[str, Writer] = {
    ".parquet": keep_parquet,
    ".arrow": keep_arrow,
    ".arrows": keep_arrow,
    ".feather": keep_arrow,
    ".ipc": keep_arrow,
    ".csv": keep_csv,
    ".jsonl": keep_jsonl,
    ".ndjson": keep_jsonl,
}
"""By suffix, for files that are one table."""


def _parquet_options(meta: Any) -> dict[str, Any]:
    """Compression and dictionaries of a Parquet file, column by column, as its first row group has them."""
    if not meta.num_row_groups:
        return {}
    first = meta.row_group(0)
    columns = [first.column(place) for place in range(first.num_columns)]
    codecs = {column.path_in_schema: _codec(column.compression) for column in columns}
    coded = [column.path_in_schema for column in columns if column.has_dictionary_page]
    return {"compression": codecs, "use_dictionary": coded or False, "version": _version(meta.format_version)}


def _codec(name: str) -> str:
    return "none" if name == "UNCOMPRESSED" else name.lower()


def _version(name: str) -> str:
    return name if name in ("1.0", "2.4", "2.6") else "2.6"


def kept_rows(at: int, count: int, without: Rows) -> NDArray[np.bool_]:
    """Which of the `count` rows from row `at` on stay.

    Args:
        at: The first of them.
        count: How many.
        without: int64 array (n,), ascending: the rows that go.
    """
    import numpy as np

    kept = np.ones(count, dtype=bool)
    first, last = np.searchsorted(without, [at, at + count])
    kept[without[first:last] - at] = False
    return kept


def _mask(kept: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(kept)


def _keep_records(records: Any, kept: IO[bytes], without: Rows, *, header: bool) -> int:
    """Copy records but some; blank lines are no rows, and stay."""
    drop = iter([*without.tolist(), -1])
    following, row, waiting = next(drop), 0, header
    for record in records:
        if not record.strip(b"\r\n" if header else None):
            kept.write(record)
            continue
        if waiting:
            waiting = False
            kept.write(record)
            continue
        if row == following:
            following = next(drop)
        else:
            kept.write(record)
        row += 1
    return row


def _csv_records(lines: IO[bytes]) -> Iterator[bytes]:
    """Lines, joined where one ends inside of quotes."""
    held: list[bytes] = []
    inside = False
    for line in lines:
        held.append(line)
        if inside or b'"' in line:
            inside = _ends_inside(line, inside=inside)
        if not inside:
            yield b"".join(held)
            held = []
    if held:
        raise SubjectError("the CSV file ends inside of quotes")


def _ends_inside(line: bytes, *, inside: bool) -> bool:
    """Whether a quoted field goes on behind the end of `line`; quotes open a field only at its beginning."""
    at, begins = 0, not inside
    while True:
        if inside:
            end = line.find(b'"', at)
            if end < 0:
                return True
            doubled = line[end + 1 : end + 2] == b'"'
            inside, at = doubled, end + 1 + doubled
        elif begins and line[at : at + 1] == b'"':
            inside, at, begins = True, at + 1, False
        else:
            comma = line.find(b",", at)
            if comma < 0:
                return False
            at, begins = comma + 1, True


def _keep_array(content: IO[bytes], out: IO[bytes], without: Rows, rows: int) -> None:
    """One npy member (NEP 1)."""
    from numpy.lib import format as npy

    version = npy.read_magic(content)
    if version not in ((1, 0), (2, 0)):
        raise SubjectError(f"an array is of the npy version {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(content)
    concerned = bool(shape) and shape[0] == rows and not dtype.hasobject
    if concerned and fortran and len(shape) > 1:
        raise SubjectError("an array is in Fortran order, so its rows do not lie together")
    after = (rows - len(without), *shape[1:]) if concerned else shape
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": fortran, "shape": after}
    (npy.write_array_header_1_0 if version == (1, 0) else npy.write_array_header_2_0)(out, header)
    if concerned:
        _keep_bytes(content, out, without, rows=rows, size=dtype.itemsize * values_in(shape[1:]))
    else:
        while chunk := content.read(BATCH_BYTES):
            out.write(chunk)


def _keep_bytes(content: IO[bytes], out: IO[bytes], without: Rows, *, rows: int, size: int) -> None:
    """Copy rows of `size` bytes but some."""
    for before, after in pairwise([-1, *without.tolist(), rows]):
        left = (after - before - 1) * size
        while left:
            chunk = content.read(min(left, BATCH_BYTES))
            if not chunk:
                raise EOFError("it ends before its rows do")
            out.write(chunk)
            left -= len(chunk)
        if after < rows and len(content.read(size)) < size:
            raise EOFError("it ends before its rows do")
