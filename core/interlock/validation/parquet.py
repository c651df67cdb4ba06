"""Parquet: footers first, then the pages, with one schema over all files and every physical column in sight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import Gap, InterlockError, SubjectError, UnsafeSubjectError
from interlock.validation.table import Part, Source, Table, projection

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]  # no stubs are published


def read_parquet_files(source: Source) -> Table:
    """Read one Parquet file, or several of one schema with the columns that hive-style folder names add.

    Raises:
        SubjectError: A footer or a page cannot be read, or the files disagree.
        UnsafeSubjectError: The table is larger than the limit.
    """
    import pyarrow.dataset as ds  # type: ignore[import-untyped]  # no stubs are published

    options, progress, name, files = source.options, source.progress, source.name, source.files

    progress.stage("reading Parquet", steps=len(files) + 1)
    schemas, parts = [], []
    for file in files:
        schema, rows = _footer(source.at(file), source.shown(file))
        schemas.append(schema)
        parts.append(Part(path=file, rows=rows))
        progress.advance()
    schema = _one_schema(schemas, files, name)
    names, unread = projection(schema.names, options.columns)
    _refuse_too_large(sum(part.rows for part in parts), len(names), options.max_cells, name)
    scan = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    try:
        data = ds.dataset(
            [str(source.at(file)) for file in files],
            schema=None if any("=" in file for file in files) else schema,
            format=ds.ParquetFileFormat(default_fragment_scan_options=scan),
            partitioning="hive",
            partition_base_dir=str(source.path),
        )
        names, unread = projection(data.schema.names, options.columns)  # with the columns of hive-style folder names
        frame, unnamed_index = _frame_of(data.to_table(columns=names), name)
    except InterlockError:
        raise
    except Exception as error:
        # pyarrow and pandas raise whatever a hostile file makes them raise; it is one thing to the reader.
        raise SubjectError(
            f"the Parquet data cannot be read: {_first_line(error)}", where=name, next_step="write the file again"
        ) from error
    progress.advance()
    if unnamed_index:
        unread = (*unread, Gap(path="", reason="the unnamed index that pandas stored is not a column"))
    return Table(frame=frame, parts=tuple(parts), skipped=unread)


def _footer(path: Path, shown: str) -> tuple[pyarrow.Schema, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise SubjectError(
            f"the Parquet file cannot be read, it may be truncated: {_first_line(error)}",
            where=shown,
            next_step="write the file again",
        ) from error
    twice = sorted({column for column in schema.names if schema.names.count(column) > 1})
    if twice:
        raise SubjectError(f"column {twice[0]!r} stands twice", where=shown, next_step="rename one of them")
    return schema, rows


def _one_schema(schemas: Sequence[pyarrow.Schema], files: Sequence[str], name: str) -> pyarrow.Schema:
    """Left alone, pyarrow fills a column that a file lacks with nulls and drops one that the first file lacks."""
    import pyarrow as pa

    first = schemas[0]
    for schema, file in zip(schemas, files, strict=True):
        if differing := sorted(set(schema.names) ^ set(first.names)):
            raise SubjectError(
                f"column {differing[0]!r} is not in every file of the folder", where=f"{name}/{file}".rstrip("/")
            )
    try:
        return pa.unify_schemas(list(schemas))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SubjectError(
            f"the files of the folder have different types: {_first_line(error)}",
            where=name,
            next_step="write them with one schema",
        ) from error


def _refuse_too_large(rows: int, columns: int, max_cells: int, name: str) -> None:
    if rows * columns > max_cells:
        raise UnsafeSubjectError(
            f"{rows} rows of {columns} columns are more than {max_cells} cells",
            where=name,
            next_step="raise max_cells if the memory is there, or judge it in parts or through a datasource",
        )


def _frame_of(table: pyarrow.Table, name: str) -> tuple[Any, bool]:
    """To pandas, with every physical column as a column; True when an unnamed stored index was dropped.

    The file's pandas metadata may turn columns into an index or rename them, so that a suite would not see what
    training reads.
    """
    table.validate(full=True)
    frame = table.to_pandas()
    physical = [column for column in table.column_names if not column.startswith("__index_level_")]
    missing = [column for column in physical if column not in frame.columns]
    if missing:
        if sorted(str(level) for level in frame.index.names) != sorted(missing):
            raise SubjectError(f"the file's pandas metadata hides column {missing[0]!r}", where=name)
        frame = frame.reset_index()
    unnamed = len(physical) < len(table.column_names)
    frame = frame.loc[:, physical].reset_index(drop=True)
    return frame, unnamed


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, without the class name and without a stack trace."""
    text = str(error).strip().splitlines()
    return text[0].rstrip(". ") if text else type(error).__name__
