"""A subject as one table in memory, and how it is to be read."""

from __future__ import annotations

import bisect
import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Gap, Location, UsageError
from interlock.validation.progress import ProgressSink

if TYPE_CHECKING:
    import pandas

FORMATS = ("auto", "parquet", "csv")
MAX_CELLS = 1_000_000_000
"""Rows times columns that are read into memory; eight gigabytes when all are 64-bit numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a table.

    Args:
        path: Relative to the subject; empty when the subject is this file.
        rows: How many rows it adds.
    """

    path: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A subject in memory.

    Args:
        frame: All rows, in the order of the files' names, under a plain 0..n-1 index.
        parts: Where the rows came from, in the same order.
        skipped: What was left out on purpose.
    """

    frame: pandas.DataFrame
    parts: tuple[Part, ...]
    skipped: tuple[Gap, ...] = ()

    def place(self, row: int) -> Location:
        """Where row `row` of the table stands in the subject."""
        ends = list(accumulate(part.rows for part in self.parts))
        which = bisect.bisect_right(ends, row)
        if which >= len(ends):
            return Location(row=row)
        return Location(path=self.parts[which].path, row=row - (ends[which] - self.parts[which].rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvDialect:
    """How the CSV was written.

    Args:
        separator: One character; empty means a comma, or a tab for ``.tsv``.
        encoding: A Python codec name.
    """

    separator: str = ""
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if len(self.separator) > 1:
            raise UsageError(f"a CSV separator is one character, not {self.separator!r}", where="csv_separator")
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise UsageError(f"unknown encoding {self.encoding!r}", where="csv_encoding") from error

    def separator_for(self, shown: str) -> str:
        """The separator of the file called `shown`."""
        return self.separator or ("\t" if shown.lower().endswith(".tsv") else ",")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a subject is read.

    Args:
        file_format: One of `FORMATS`; ``auto`` goes by name and content, which must agree.
        csv: Separator and encoding of CSV.
        columns: Read only these where they exist; everything when None.
        max_cells: Larger tables are refused before they are read.
    """

    file_format: str = "auto"
    csv: CsvDialect = field(default_factory=CsvDialect)
    columns: frozenset[str] | None = None
    max_cells: int = MAX_CELLS

    def __post_init__(self) -> None:
        if self.file_format not in FORMATS:
            raise UsageError(f"unknown file format {self.file_format!r}", next_step=f"use {', '.join(FORMATS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a reader is handed: files of one format, already chosen.

    Args:
        path: A local file or folder; its content is untrusted.
        files: The data files, relative to `path`, sorted; ``("",)`` for a single file.
        name: What the subject is called.
        options: How to read.
        progress: Told once a file.
    """

    path: Path
    files: tuple[str, ...]
    name: str
    options: ReadOptions
    progress: ProgressSink

    def at(self, file: str) -> Path:
        """Where `file` lies."""
        return self.path / file if file else self.path

    def shown(self, file: str) -> str:
        """What to call `file` in messages."""
        return file or self.name


def projection(names: Sequence[str], wanted: frozenset[str] | None) -> tuple[list[str], tuple[Gap, ...]]:
    """Which columns to read, and what to say about the others; all of them when none of the wanted ones is there."""
    keep = [name for name in names if wanted is None or name in wanted] or list(names)
    unread = [name for name in names if name not in keep]
    said = (Gap(path="", reason=f"columns that no expectation names were not read: {', '.join(unread)}"),)
    return keep, said if unread else ()
