"""CSV, read strictly.

Left alone, pandas pads short rows with nulls, renames repeated columns, and may take the first column as an index.
"""

from __future__ import annotations

import codecs
import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import SubjectError
from interlock.validation.table import CsvDialect, Part, Source, Table, projection

if TYPE_CHECKING:
    import pandas

_BLOCK = 2**20


def read_csv_files(source: Source) -> Table:
    """Read one CSV file, or several with the same header.

    Raises:
        SubjectError: A file cannot be read, or the headers differ.
    """
    import pandas as pd

    files, options, progress = source.files, source.options, source.progress

    progress.stage("reading CSV", steps=len(files))
    frames: list[pandas.DataFrame] = []
    for file in files:
        frame = read_csv(source.at(file), shown=source.shown(file), dialect=options.csv)
        if frames and list(frame.columns) != list(frames[0].columns):
            raise SubjectError(
                f"the columns differ from those of {files[0]}",
                where=file,
                next_step="give every file of the folder the same header",
            )
        frames.append(frame)
        progress.advance()
    whole = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    parts = tuple(Part(path=file, rows=len(frame)) for file, frame in zip(files, frames, strict=True))
    names, unread = projection(list(whole.columns), options.columns)
    return Table(frame=whole[names], parts=parts, skipped=unread)


def read_csv(path: Path, *, shown: str, dialect: CsvDialect) -> pandas.DataFrame:
    """Read one CSV file with a header row.

    Args:
        path: Local file, untrusted content.
        shown: What to call it in messages; its suffix chooses the separator.
        dialect: How it was written.

    Raises:
        SubjectError: Broken encoding, a repeated or missing column name, rows of different lengths.
    """
    import pandas as pd

    _check_encoding(path, shown, dialect.encoding)
    separator = dialect.separator_for(shown)
    _check_header(path, shown, separator, dialect.encoding)
    _check_rows(path, shown, separator, dialect.encoding)
    try:
        return pd.read_csv(
            path,
            sep=separator,
            encoding=dialect.encoding,
            index_col=False,
            low_memory=False,
            compression=None,
            on_bad_lines="error",
        )
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        raise SubjectError(
            f"the CSV cannot be read: {_reason(error)}", where=shown, next_step="write the file again"
        ) from error


def _reason(error: Exception) -> str:
    """Only the tokenizer's text is free of the file's content."""
    found = re.search(r"C error: (.+)", str(error))
    return found.group(1) if found else type(error).__name__


def _check_encoding(path: Path, shown: str, encoding: str) -> None:
    """Names the byte, which pandas does not."""
    decoder = codecs.getincrementaldecoder(encoding)()
    start = offset = 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                pending = len(decoder.getstate()[0])
                start, offset = offset - pending, offset + len(block)
                decoder.decode(block)
            start = offset - len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise SubjectError(
            f"the text is not {encoding}: {error.reason}",
            where=f"{shown}, byte {start + error.start}",
            next_step="write it as UTF-8, or set csv_encoding",
        ) from error


def _check_header(path: Path, shown: str, separator: str, encoding: str) -> None:
    with path.open(encoding=encoding, newline="") as stream:
        try:
            names = next(csv.reader(stream, delimiter=separator, strict=True), [])
        except csv.Error as error:
            raise SubjectError(f"the header row cannot be read: {error}", where=shown) from error
    names = [name.removeprefix("\ufeff") for name in names]
    if not any(names):
        raise SubjectError("the CSV has no header row", where=shown, next_step="write the column names first")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SubjectError(f"column {twice!r} stands twice in the header", where=shown, next_step="rename one of them")


def _check_rows(path: Path, shown: str, separator: str, encoding: str) -> None:
    """Every row has as many fields as the header; a file that was cut off usually has not."""
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
    from pyarrow import csv as arrow_csv

    try:
        reader = arrow_csv.open_csv(
            path,
            read_options=arrow_csv.ReadOptions(use_threads=False, encoding=encoding, block_size=16 * _BLOCK),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=["interlock: none"], include_missing_columns=True, check_utf8=False
            ),
        )
        for _ in reader:
            pass
    except pa.ArrowInvalid as error:
        found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        if found is None:
            raise SubjectError("the rows cannot be told apart: a quote is not closed", where=shown) from error
        row, expected, got = found.groups()
        raise SubjectError(
            f"row {row}, counting the header as 1, has {got} fields where the header has {expected}",
            where=shown,
            next_step="write the file again; it may be cut off",
        ) from error
