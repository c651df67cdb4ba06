"""Tables of any format to blocks: Parquet, Arrow, CSV and JSON Lines differ only in how record batches come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock.gate import MissingExtraError, SubjectError
from interlock.poisoning.batches import Block, Columns
from interlock.poisoning.reading import roles as kinds
from interlock.poisoning.reading.arrow import open_arrow
from interlock.poisoning.reading.census import Census
from interlock.poisoning.reading.csv import open_csv
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.form import Table
from interlock.poisoning.reading.huggingface import class_names
from interlock.poisoning.reading.images import IMAGE_SUFFIXES, sizes
from interlock.poisoning.reading.jsonl import open_jsonl
from interlock.poisoning.reading.limits import first_line, rows_per_block
from interlock.poisoning.reading.parquet import open_parquet
from interlock.poisoning.reading.roles import Roles
from interlock.poisoning.reading.rows import Rows

FORMS: Mapping[str, Callable[[Path, str], AbstractContextManager[Table]]] = {
    ".parquet": open_parquet,
    ".arrow": open_arrow,
    ".arrows": open_arrow,
    ".feather": open_arrow,
    ".ipc": open_arrow,
    ".csv": open_csv,
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
}
ENCODED_ROWS = 256
"""Rows that are read at once when each may hold an encoded picture of any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePart:
    """One file of rows.

    Args:
        name: For people.
        file: Relative to the subject; empty when it is the subject.
        suffix: Which of `FORMS` it is.
        folder: Where the paths in it lead.
        names: Class names by column, from a card beside it; those in its schema when there is no card.
    """

    name: str
    file: str
    suffix: str
    folder: Folder
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def held(self, columns: Columns) -> tuple[str, ...]:
        """The file, and every image when paths in it may name one."""
        if columns.image is None:
            return (self.file,)
        return (self.file, *sorted(file for file in self.folder.files if file.lower().endswith(IMAGE_SUFFIXES)))

    def blocks(self, columns: Columns) -> Iterator[Block]:
        """Its rows, in order.

        Raises:
            SubjectError: It cannot be read, lacks a column, or holds something else than was named.
            UnsafeSubjectError: A limit was passed, or a path in it leaves the subject.
        """
        return (block for _, block in self.piece(columns, 0, 1))

    def piece(self, columns: Columns, number: int, pieces: int) -> Iterator[tuple[int, Block]]:
        """Its rows in one of several disjoint pieces, each block with the place of its first row in the file.

        A file that can only be read from its beginning is; of its batches every so many are looked at.

        Args:
            columns: What its columns are.
            number: Of the piece, from 0.
            pieces: How many there are.

        Raises:
            SubjectError: As `blocks`.
            UnsafeSubjectError: As `blocks`.
        """
        with self._opened() as table:
            roles = Roles.of(table.schema, self.name, columns)
            names = self.names or class_names(table.schema)
            first, last = (len(table.groups) * (number + step) // pieces for step in (0, 1))
            start = sum(table.groups[:first])
            chosen, every = (range(first, last), 1) if table.groups else (None, pieces)
            for at, batch in enumerate(table.batches(roles.wanted, _most_rows(roles, columns), chosen)):
                if at % every == (number if every > 1 else 0):
                    self._check_drift(batch, table, columns)
                    yield start, self._rows(batch, start, columns).block(roles, names)
                start += batch.num_rows

    def encoded(self, columns: Columns) -> bool:
        """True when reading it decodes pictures."""
        return columns.image is not None

    def image(self, _row: int) -> str:
        """Rows share the file."""
        return ""

    def left_out(self, columns: Columns) -> tuple[str, ...]:
        """Columns that nobody looks at."""
        with self._opened() as table:
            return tuple(f"column {name!r}" for name in kinds.left_out(table.schema, columns))

    def census(self, columns: Columns) -> Census:
        """The sizes of its pictures."""
        if columns.image is None:
            return Census()
        with self._opened() as table:
            roles = Roles.of(table.schema, self.name, columns)
            read = (self._rows(batch, 0, columns) for batch in table.batches(roles.wanted, ENCODED_ROWS, None))
            return Census.of(sizes(picture for rows in read for picture in rows.pictures()))

    def used(self, columns: Columns) -> frozenset[str]:
        """The files of the subject that its image column names."""
        if columns.image is None:
            return frozenset()
        with self._opened() as table:
            wanted = Roles.of(table.schema, self.name, columns).wanted
            return frozenset(
                file
                for batch in table.batches(wanted, ENCODED_ROWS, None)
                for file in self._rows(batch, 0, columns).files()
            )

    @property
    def path(self) -> Path:
        """Where the held file is."""
        return self.folder.path / self.file

    @contextmanager
    def _opened(self) -> Iterator[Table]:
        try:
            import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
        except ModuleNotFoundError as error:
            raise MissingExtraError("pyarrow", extra="torch") from error
        try:
            with FORMS[self.suffix](self.path, self.name) as table:
                yield table
        except (pa.ArrowException, OSError, EOFError, ValueError, OverflowError, MemoryError) as error:
            raise SubjectError(
                f"the file cannot be read, it may be truncated: {first_line(error)}",
                where=self.name,
                next_step="write the file again",
            ) from error

    def _rows(self, batch: Any, start: int, columns: Columns) -> Rows:
        return Rows(batch=batch, start=start, name=self.name, file=self.file, folder=self.folder, columns=columns)

    def _check_drift(self, batch: Any, table: Table, columns: Columns) -> None:
        """Refuse columns that begin in the middle of a file, unless the user said which columns count."""
        if columns.by_default and (new := set(batch.schema.names) - set(table.schema.names)):
            raise SubjectError(
                f"{min(new)!r} is in no line of the first megabytes, but in later ones",
                where=self.name,
                next_step="write every key in every line, or name the columns with `features`",
            )


def _most_rows(roles: Roles, columns: Columns) -> int:
    if columns.image is not None:
        return ENCODED_ROWS
    return rows_per_block(len(roles.features) + len(roles.categories)) if columns.embedding is None else 4096
