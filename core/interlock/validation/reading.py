"""Reading a subject into one table, or saying in one sentence why it cannot be read.

The bytes may be hostile, and what a gate reads must be what training will read: a file whose name and content
disagree, or a folder of several formats or schemas, is refused rather than repaired the way pandas would repair it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interlock.gate import Gap, SubjectError, UsageError
from interlock.validation.delimited import read_csv_files
from interlock.validation.parquet import read_parquet_files
from interlock.validation.progress import ProgressSink, Silent
from interlock.validation.table import ReadOptions, Source, Table

PARQUET_SUFFIXES = frozenset({".parquet", ".pq", ".parq"})
CSV_SUFFIXES = frozenset({".csv", ".tsv"})
_PARQUET_MAGIC = b"PAR1"  # Apache Parquet format, section "File format"
_SQLITE_MAGIC = b"SQLite format 3\x00"  # https://www.sqlite.org/fileformat.html, section 1.3
_REWRITE = "write the data again under the name of its format"


def read_table(
    path: Path, files: Sequence[str], *, name: str, options: ReadOptions, progress: ProgressSink | None = None
) -> Table:
    """Read a file or a folder of files of one format.

    Args:
        path: A local file or folder; its content is untrusted.
        files: Paths relative to `path`, sorted; ``("",)`` for a single file.
        name: What the subject is called, for messages and for the suffix of a single file.
        options: How to read.
        progress: Told once a file.

    Raises:
        SubjectError: The bytes are not one readable table.
        UnsafeSubjectError: The table is larger than `options.max_cells`.
        UsageError: The subject is a database, which needs a datasource.
    """
    progress = progress or Silent()
    wanted = [file for file in files if not _is_hidden(file)]
    if any(part == "_delta_log" for file in files for part in Path(file).parts):
        raise SubjectError(
            "the folder is a Delta table: which of its files count is in its log",
            where=name,
            next_step="export the version to judge into a folder of Parquet files",
        )
    if not wanted:
        raise SubjectError("the folder holds no data file", where=name, next_step="give Parquet or CSV files")
    kinds = {file: _kind_of(path / file if file else path, file or name, options.file_format) for file in wanted}
    if len(set(kinds.values())) > 1:
        first, other = wanted[0], next(file for file in wanted if kinds[file] != kinds[wanted[0]])
        raise SubjectError(
            f"the folder mixes formats: {first} is {kinds[first]}, {other} is {kinds[other]}",
            where=name,
            next_step="keep files of one format in the folder",
        )
    skipped = tuple(
        Gap(path=file, reason="names that begin with _ or . are not data") for file in files if file not in wanted
    )
    read = read_parquet_files if kinds[wanted[0]] == "parquet" else read_csv_files
    table = read(Source(path=path, files=tuple(wanted), name=name, options=options, progress=progress))
    return replace(table, skipped=(*skipped, *table.skipped))


def _is_hidden(file: str) -> bool:
    """Spark's and Hive's convention, which pyarrow follows: ``_SUCCESS``, ``.part-0.crc`` are not data."""
    return any(part.startswith(("_", ".")) for part in Path(file).parts)


def _kind_of(path: Path, shown: str, file_format: str) -> str:
    suffix = Path(shown).suffix.lower()
    try:
        with path.open("rb") as stream:
            magic = stream.read(16)
    except OSError as error:
        raise SubjectError(f"the file cannot be read: {error.strerror}", where=shown) from error
    if not magic:
        raise SubjectError("the file is empty", where=shown, next_step="write the data again")
    if magic == _SQLITE_MAGIC:
        raise UsageError(
            "the subject is a SQLite database",
            where=shown,
            next_step='say which table: datasource={"type": "sql-file", "table": "..."}',
        )
    is_parquet = magic.startswith(_PARQUET_MAGIC)
    claimed = "parquet" if suffix in PARQUET_SUFFIXES else "csv" if suffix in CSV_SUFFIXES else file_format
    if file_format not in ("auto", claimed):
        claimed = file_format
    if claimed == "parquet" and not is_parquet:
        raise SubjectError("this is no Parquet file: it does not begin with PAR1", where=shown, next_step=_REWRITE)
    if claimed == "csv" and is_parquet:
        raise SubjectError("the file claims to be CSV but its content is Parquet", where=shown, next_step=_REWRITE)
    if claimed == "auto" and not is_parquet:
        raise SubjectError(
            "the file is neither Parquet nor named .csv or .tsv",
            where=shown,
            next_step='name it after what it is, or set file_format="csv"; compressed CSV is not read',
        )
    return "parquet" if is_parquet else "csv"
