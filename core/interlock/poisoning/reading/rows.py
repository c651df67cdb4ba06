"""One record batch to a block: labels, texts, and features that are numbers, a vector or an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.gate import SubjectError
from interlock.poisoning.batches import Block, Columns
from interlock.poisoning.reading import roles as kinds
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.images import Picture, draw
from interlock.poisoning.reading.limits import check_width
from interlock.poisoning.reading.roles import Roles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One record batch of a file.

    Args:
        batch: The Arrow record batch, untrusted.
        start: Place of its first row in the file.
        name: Of the file, for people.
        file: Relative to the subject.
        folder: Where the paths in it lead.
        columns: What its columns are.
    """

    batch: Any
    start: int
    name: str
    file: str
    folder: Folder
    columns: Columns

    def block(self, roles: Roles, names: Mapping[str, tuple[str, ...]]) -> Block:
        """The rows as detectors see them."""
        columns = self.columns
        about: dict[str, Any] = {
            "labels": self._labels(names),
            "texts": {name: self._texts(name) for name in columns.texts},
            "categories": {name: self.batch.column(name).to_pylist() for name in roles.categories},
            "sources": None if columns.source is None else self.batch.column(columns.source).to_pylist(),
            "ids": None if columns.id is None else self.batch.column(columns.id).to_pylist(),
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
            name = path or f"row {self.start + row} of {self.name}"
            if content is not None:
                yield Picture(name=name, content=content)
            elif file is not None:
                yield Picture(name=file, content=self.folder.path / file)
            else:
                yield Picture(name=name, content=None, reason="no such file is here" if path else "there is no image")

    def files(self) -> Iterator[str]:
        """The files that the rows name, of those that are there."""
        return (file for value in self._images() if (file := self._file(value)) is not None)

    def _file(self, value: Any) -> str | None:
        path = _path(value)
        if path is None or _content(value) is not None:
            return None
        return self.folder.named(path, manifest=self.file, shown=self.name)

    def _images(self) -> list[Any]:
        values: list[Any] = self.batch.column(self.columns.image).to_pylist()
        return values

    def _labels(self, names: Mapping[str, tuple[str, ...]]) -> list[Any]:
        label = self.columns.label
        if label is None:
            return [None] * int(self.batch.num_rows)
        values: list[Any] = self.batch.column(label).to_pylist()
        if label not in names:
            return values
        known: dict[Any, str | None] = {**dict(enumerate(names[label])), -1: None}  # -1: Hugging Face's missing label
        return [known.get(value, value) for value in values]

    def _texts(self, name: str) -> list[str]:
        column = self.batch.column(name)
        kinds.check_text(name, column.type, self.name)
        return [_running(value) for value in column.to_pylist()]

    def _numbers(self, names: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np
        import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published

        by_column = np.empty((len(names), self.batch.num_rows), dtype=np.float32)
        for place, name in enumerate(names):
            column = self.batch.column(name)
            if not kinds.is_numeric(column.type):  # CSV and JSON guess a type per column from their first block
                raise kinds.no_numbers(name, column.type, self.name)
            plain = column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
            values = column if plain else column.cast(pa.float64())
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and that is looked at as such
                by_column[place] = values.to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(by_column.T)

    def _embedding(self, name: str) -> NDArray[np.float32]:
        """Lists of one length as rows; a row without a list is NaN."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc  # type: ignore[import-untyped]  # no stubs are published

        column = self.batch.column(name)
        if not (kinds.is_list(column.type) and kinds.is_numeric(column.type.value_type)):
            raise SubjectError(f"embedding column {name!r} holds {column.type}, not lists", where=self.name)
        lengths = pc.call_function("list_value_length", [column])
        there = column.is_valid()
        found = lengths.drop_null().unique().to_pylist()
        if len(found) > 1:
            raise SubjectError(
                f"the lists in embedding column {name!r} have several lengths: {min(found)} and {max(found)}",
                where=f"{self.name}, rows from {self.start}",
                next_step="write vectors of one length",
            )
        width = found[0] if found else getattr(column.type, "list_size", 0)
        check_width(width, self.name, self.columns)
        values = column.filter(there).flatten()
        if not pa.types.is_float32(values.type):
            values = values.cast(pa.float64())
        with np.errstate(over="ignore"):
            given: NDArray[np.float32] = values.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width)
        if not column.null_count:
            return given
        features = np.full((len(column), width), np.nan, dtype=np.float32)
        features[there.to_numpy(zero_copy_only=False)] = given
        return features


def _content(value: Any) -> bytes | None:
    found = value.get("bytes") if isinstance(value, Mapping) else value
    return found if isinstance(found, bytes) else None


def _path(value: Any) -> str | None:
    found = value.get("path") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) and found else None


def _running(value: Any) -> str:
    """A text, or the turns of a conversation line by line; empty where there is none."""
    if not isinstance(value, list):
        return value or ""
    turns = (turn.get("content") if isinstance(turn, Mapping) else turn for turn in value)
    return "\n".join(turn for turn in turns if turn)
