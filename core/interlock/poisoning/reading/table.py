"""Tables of any format to blocks: Parquet, Arrow, CSV and JSON Lines differ only in how record batches come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import MissingExtraError, SubjectError
from interlock.poisoning.batches import Block, Columns
from interlock.poisoning.reading import roles as kinds
from interlock.poisoning.reading.arrow import open_arrow
from interlock.poisoning.reading.census import Census
from interlock.poisoning.reading.csv import open_csv
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.form import Table
from interlock.poisoning.reading.huggingface import class_names
from interlock.poisoning.reading.images import IMAGE_SUFFIXES, Picture, draw, sizes
from interlock.poisoning.reading.jsonl import open_jsonl
from interlock.poisoning.reading.limits import check_width, first_line, rows_per_block
from interlock.poisoning.reading.parquet import open_parquet
from interlock.poisoning.reading.roles import Roles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
            for at, batch in enumerate(table.batches(roles.wanted, _rows(roles, columns), chosen)):
                if at % every == (number if every > 1 else 0):
                    self._check_drift(batch, table, columns)
                    yield start, _Rows(batch, start, self, columns).block(roles, names)
                start += batch.num_rows

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
            read = (_Rows(batch, 0, self, columns) for batch in table.batches(roles.wanted, ENCODED_ROWS, None))
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
                for file in _Rows(batch, 0, self, columns).files()
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

    def _check_drift(self, batch: Any, table: Table, columns: Columns) -> None:
        """Refuse columns that begin in the middle of a file, unless the user said which columns count."""
        if columns.by_default and (new := set(batch.schema.names) - set(table.schema.names)):
            raise SubjectError(
                f"{min(new)!r} is in no line of the first megabytes, but in later ones",
                where=self.name,
                next_step="write every key in every line, or name the columns with `features`",
            )


def _rows(roles: Roles, columns: Columns) -> int:
    if columns.image is not None:
        return ENCODED_ROWS
    return rows_per_block(len(roles.features) + len(roles.categories)) if columns.embedding is None else 4096


class _Rows:
    """One record batch of a part, whose first row is row `start` of the part."""

    def __init__(self, batch: Any, start: int, part: TablePart, columns: Columns) -> None:
        self._batch, self._start, self._part, self._columns = batch, start, part, columns

    def block(self, roles: Roles, names: Mapping[str, tuple[str, ...]]) -> Block:
        """The rows as detectors see them."""
        columns = self._columns
        about: dict[str, Any] = {
            "labels": self._labels(names),
            "texts": {name: self._texts(name) for name in columns.texts},
            "categories": {name: self._batch.column(name).to_pylist() for name in roles.categories},
            "sources": None if columns.source is None else self._batch.column(columns.source).to_pylist(),
            "ids": None if columns.id is None else self._batch.column(columns.id).to_pylist(),
        }
        if columns.image is not None:
            drawn = draw(list(self.pictures()), columns.drawn_to)
            return Block(features=drawn.features, unread=drawn.unread, resized=drawn.resized, **about)
        if columns.embedding is not None:
            return Block(features=self._embedding(columns.embedding), **about)
        return Block(features=self._numbers(roles.features), names=roles.features, **about)

    def pictures(self) -> Iterator[Picture]:
        """What the image column holds, row by row."""
        for row, value in enumerate(self._images()):
            content, path, file = _content(value), _path(value), self._file(value)
            name = path or f"row {self._start + row} of {self._part.name}"
            if content is not None:
                yield Picture(name=name, content=content)
            elif file is not None:
                yield Picture(name=file, content=self._part.folder.path / file)
            else:
                yield Picture(name=name, content=None, reason="no such file is here" if path else "there is no image")

    def files(self) -> Iterator[str]:
        """The files that the rows name, of those that are there."""
        return (file for value in self._images() if (file := self._file(value)) is not None)

    def _file(self, value: Any) -> str | None:
        path = _path(value)
        if path is None or _content(value) is not None:
            return None
        return self._part.folder.named(path, manifest=self._part.file, shown=self._part.name)

    def _images(self) -> list[Any]:
        values: list[Any] = self._batch.column(self._columns.image).to_pylist()
        return values

    def _labels(self, names: Mapping[str, tuple[str, ...]]) -> list[Any]:
        label = self._columns.label
        if label is None:
            return [None] * int(self._batch.num_rows)
        values: list[Any] = self._batch.column(label).to_pylist()
        if label not in names:
            return values
        known: dict[Any, str | None] = {**dict(enumerate(names[label])), -1: None}  # -1: Hugging Face's missing label
        return [known.get(value, value) for value in values]

    def _texts(self, name: str) -> list[str]:
        import pyarrow as pa

        column = self._batch.column(name)
        if not kinds.is_text(column.type) and not pa.types.is_null(column.type):
            raise SubjectError(f"text column {name!r} holds {column.type}, not text", where=self._part.name)
        return [text or "" for text in column.to_pylist()]

    def _numbers(self, names: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np
        import pyarrow as pa

        features = np.empty((self._batch.num_rows, len(names)), dtype=np.float32)
        for place, name in enumerate(names):
            column = self._batch.column(name)
            if not kinds.is_numeric(column.type):  # CSV and JSON guess a type per column from their first block
                raise kinds.no_numbers(name, column.type, self._part.name)
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and that is looked at as such
                values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
                features[:, place] = values
        return features

    def _embedding(self, name: str) -> NDArray[np.float32]:
        """Lists of one length as rows; a row without a list is NaN."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc  # type: ignore[import-untyped]  # no stubs are published

        column = self._batch.column(name)
        if not (kinds.is_list(column.type) and kinds.is_numeric(column.type.value_type)):
            raise SubjectError(f"embedding column {name!r} holds {column.type}, not lists", where=self._part.name)
        lengths = pc.list_value_length(column)
        there = column.is_valid().to_numpy(zero_copy_only=False)
        found = pc.unique(lengths.drop_null()).to_pylist()
        if len(found) > 1:
            raise SubjectError(
                f"the lists in embedding column {name!r} have several lengths: {min(found)} and {max(found)}",
                where=f"{self._part.name}, rows from {self._start}",
                next_step="write vectors of one length",
            )
        width = found[0] if found else getattr(column.type, "list_size", 0)
        check_width(width, self._part.name, self._columns)
        features = np.full((len(column), width), np.nan, dtype=np.float32)
        with np.errstate(over="ignore"):
            values = pc.list_flatten(column.filter(column.is_valid())).cast(pa.float64())
            features[there] = values.to_numpy(zero_copy_only=False).reshape(-1, width)
        return features


def _content(value: Any) -> bytes | None:
    found = value.get("bytes") if isinstance(value, Mapping) else value
    return found if isinstance(found, bytes) else None


def _path(value: Any) -> str | None:
    found = value.get("path") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) and found else None
