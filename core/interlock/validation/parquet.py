"""Parquet: footers first, then the pages, with one schema over all files and every physical column in sight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import Gap, InterlockError, SubjectError, UnsafeSubjectError
from interlock.validation.table import Part, Source, Table, projection

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]  # no stubs are published
    from pyarrow.dataset import Dataset  # type: ignore[import-untyped]  # no stubs are published


def read_parquet_files(source: Source) -> Table:
    """Read one Parquet file, or several of one schema with the columns that hive-style folder names add.

    Raises:
        SubjectError: A footer or a page cannot be read, or the files disagree.
        UnsafeSubjectError: The table is larger than the limit.
    """
    options, progress, files = source.options, source.progress, source.files
    progress.stage("reading Parquet", steps=len(files) + 1)
    schemas, parts = [], []
    for file in files:
        schema, rows = _footer(source.at(file), source.shown(file))
        schemas.append(schema)
        parts.append(Part(path=file, rows=rows))
        progress.advance()
    schema = _one_schema(schemas, files, source.name)
    names, _ = projection(schema.names, options.columns)
    _refuse_too_large(sum(part.rows for part in parts), len(names), options.max_cells, source.name)
    try:
        data = _dataset(source, schema)
        names, unread = projection(data.schema.names, options.columns)
        frame, unnamed_index = _frame_of(data.to_table(columns=names), source.name)
    except InterlockError:
        raise
    except Exception as error:
        # pyarrow and pandas raise whatever a hostile file makes them raise; it is one thing to the reader.
        raise SubjectError(
            f"the Parquet data cannot be read: {_first_line(error)}",
            where=source.name,
            next_step="write the file again",
        ) from error
    progress.advance()
    if unnamed_index:
        unread = (*unread, Gap(path="", reason="the unnamed index that pandas stored is not a column"))
    return Table(frame=frame, parts=tuple(parts), skipped=unread)


def _dataset(source: Source, schema: pyarrow.Schema) -> Dataset:
    """One dataset over the listed files, with the columns that hive-style folder names (``year=2024/``) add."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    scan = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    reader = ds.ParquetFileFormat(default_fragment_scan_options=scan)
    files = [str(source.at(file)) for file in source.files]
    if source.files == ("",):
        return ds.dataset(files, schema=schema, format=reader)
    hive = {"format": reader, "partitioning": "hive", "partition_base_dir": str(source.path)}
    keys = {part.partition("=")[0] for file in source.files for part in Path(file).parts[:-1] if "=" in part}
    if both := sorted(keys & set(schema.names)):
        raise SubjectError(
            f"column {both[0]!r} stands in the files and in the names of their folders", where=source.name
        )
    added = [field for field in ds.dataset(files, **hive).schema if field.name in keys]
    return ds.dataset(files, schema=pa.schema([*schema, *added], metadata=schema.metadata), **hive)


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
    training reads. An index becomes columns again; a renaming is refused.
    """
    table.validate(full=True)
    physical = [column for column in table.column_names if not column.startswith("__index_level_")]
    frame = table.to_pandas().reset_index(drop=True)
    if list(frame.columns) != [column for column in physical if column in frame.columns]:
        raise SubjectError(
            "the file's pandas metadata renames columns, so that pandas and others would read different data",
            where=name,
            next_step="write the file again from a DataFrame, or without the metadata",
        )
    for place, column in enumerate(physical):
        if column not in frame.columns:
            frame.insert(place, column, table.select([column]).to_pandas(ignore_metadata=True)[column])
    return frame, len(physical) < len(table.column_names)


def _first_line(error: BaseException) -> str:
    """The first sentence of an error's text, without the class name and without a stack trace."""
    text = str(error).strip().splitlines()
    return text[0].partition(". ")[0].rstrip(". ") if text else type(error).__name__
