"""numpy's npz: arrays by name in a zip, rows first. Streamed row by row of all arrays at once, without pickles."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from interlock.gate import SubjectError, UnsafeSubjectError
from interlock.poisoning.batches import Block, Columns
from interlock.poisoning.reading.census import Census
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.limits import check_width, first_line, no_column, rows_per_block, values_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_NPZ_BYTES = 8 * 2**30
"""An npz whose members unpack to more than this is refused: it could be a few bytes that blow up."""

MAX_SIDE = 65_536
NUMERIC_KINDS = "biuf"
"""numpy's letters for truth values, whole numbers and floating point."""


@dataclass(slots=True)
class _Array:
    """One member, open behind its header."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    content: IO[bytes]

    @property
    def numeric(self) -> bool:
        return self.dtype.kind in NUMERIC_KINDS

    def rows(self, count: int) -> NDArray[Any]:
        """The next `count` rows."""
        import numpy as np

        width = values_in(self.shape[1:])
        size = count * width * self.dtype.itemsize
        raw = self.content.read(size)
        if len(raw) != size:
            raise EOFError(f"the array {self.name!r} ends in the middle")
        return np.frombuffer(raw, dtype=self.dtype, count=count * width).reshape(count, *self.shape[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzPart:
    """One npz file.

    Args:
        name: For people.
        file: Relative to the subject; empty when it is the subject.
        folder: The held subject.
    """

    name: str
    file: str
    folder: Folder

    def held(self, _columns: Columns) -> tuple[str, ...]:
        """The file."""
        return (self.file,)

    def blocks(self, columns: Columns) -> Iterator[Block]:
        """Its rows, in order.

        Raises:
            SubjectError: It cannot be read, lacks an array, or one has another length.
            UnsafeSubjectError: It unpacks to more than a limit.
        """
        if columns.label is None:
            raise SubjectError("no array is named as the label", where=self.name, next_step="name it with `label`")
        with self._opened() as arrays:
            named = {name: self._named(arrays, name, columns) for name in _about(columns)}
            rows = named[columns.label].shape[0]
            features = self._features(arrays, rows, columns)
            for name, array in named.items():
                if array.shape[0] != rows:
                    raise self._length(name, rows)
            names = _names(features)
            step = rows_per_block(len(names))
            for at in range(0, rows, step):
                count = min(step, rows - at)
                about = {name: array.rows(count) for name, array in named.items()}
                yield _block(about, [array.rows(count) for array in features], names, columns)

    def encoded(self, _columns: Columns) -> bool:
        """True when reading it decodes pictures."""
        return False

    def image(self, _row: int) -> str:
        """Rows share the file."""
        return ""

    def left_out(self, columns: Columns) -> tuple[str, ...]:
        """Arrays that nobody looks at."""
        if not columns.by_default:
            return ()
        with self._opened() as arrays:
            others = (array for name, array in arrays.items() if name not in columns.named)
            return tuple(f"array {array.name!r}" for array in others if not array.numeric)

    def census(self, columns: Columns) -> Census:
        """The shape of its array of images, when one is named."""
        if columns.image is None:
            return Census()
        with self._opened() as arrays:
            return Census(shape=self._image(arrays, columns.image).shape[1:])

    @contextmanager
    def _opened(self) -> Iterator[dict[str, _Array]]:
        """Every member with its header read."""
        try:
            with zipfile.ZipFile(self.folder.path / self.file) as members, ExitStack() as stack:
                unpacked = sum(member.file_size for member in members.infolist())
                if unpacked > MAX_NPZ_BYTES:
                    raise UnsafeSubjectError(
                        f"the arrays unpack to {unpacked} bytes, more than {MAX_NPZ_BYTES}", where=self.name
                    )
                found = [_array(stack.enter_context(members.open(name)), name) for name in members.namelist()]
                yield {array.name: array for array in found}
        except (
            OSError,
            ValueError,
            EOFError,
            KeyError,
            RuntimeError,
            zlib.error,
            zipfile.BadZipFile,
        ) as error:
            raise SubjectError(
                f"the npz file cannot be read: {first_line(error)}",
                where=self.name,
                next_step="write it again with numpy.savez, without object arrays",
            ) from error

    def _named(self, arrays: dict[str, _Array], name: str, columns: Columns) -> _Array:
        """The array of labels, texts, sources or ids."""
        if name not in arrays:
            raise no_column(name, columns.role(name), list(arrays), self.name)
        array = arrays[name]
        if len(array.shape) != 1:
            raise SubjectError(f"the array {name!r} has {len(array.shape)} dimensions, not one", where=self.name)
        return array

    def _features(self, arrays: dict[str, _Array], rows: int, columns: Columns) -> list[_Array]:
        chosen = columns.features or tuple(name for name in arrays if name not in columns.named)
        if columns.image is not None:
            chosen = (self._image(arrays, columns.image).name,)
        elif columns.embedding is not None:
            chosen = (columns.embedding,)
        found = []
        for name in chosen:
            if name not in arrays:
                raise no_column(name, "feature", list(arrays), self.name)
            if not arrays[name].numeric:
                if columns.by_default:
                    continue
                raise SubjectError(f"the array {name!r} holds {arrays[name].dtype}, not numbers", where=self.name)
            if not arrays[name].shape or arrays[name].shape[0] != rows:
                raise self._length(name, rows)
            found.append(arrays[name])
        if not found and not columns.texts:
            raise SubjectError(
                "no numeric array is left beside the label", where=self.name, next_step="name arrays with `features`"
            )
        check_width(sum(values_in(array.shape[1:]) for array in found), self.name, columns)
        return found

    def _image(self, arrays: dict[str, _Array], name: str) -> _Array:
        """The array of pictures: rows, height, width and, for colour, channels."""
        if name not in arrays:
            raise no_column(name, "image", list(arrays), self.name)
        if len(arrays[name].shape) not in (3, 4) or any(not 1 <= side <= MAX_SIDE for side in arrays[name].shape[1:]):
            raise SubjectError(
                f"the array {name!r} has the shape {arrays[name].shape}",
                where=self.name,
                next_step="write images as (rows, height, width) or (rows, height, width, channels)",
            )
        return arrays[name]

    def _length(self, name: str, rows: int) -> SubjectError:
        return SubjectError(f"the array {name!r} has another length than the labels ({rows})", where=self.name)


def _array(content: IO[bytes], member: str) -> _Array:
    """A member behind its header (NEP 1, the npy format)."""
    from numpy.lib import format as npy

    version = npy.read_magic(content)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(content)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(content)
    else:
        raise ValueError(f"the array {member!r} is of the npy version {version}")
    if dtype.hasobject:
        raise ValueError(f"the array {member!r} holds pickled objects")
    if fortran and len(shape) > 1:
        raise ValueError(f"the array {member!r} is in Fortran order; write numpy.ascontiguousarray of it")
    return _Array(member.removesuffix(".npy"), shape, dtype, content)


def _about(columns: Columns) -> tuple[str, ...]:
    """The arrays that say something of a row and are no features."""
    return tuple(name for name in columns.named if columns.role(name) not in ("image", "embedding"))


def _names(features: Sequence[_Array]) -> tuple[str, ...]:
    names: list[str] = []
    for array in features:
        width = values_in(array.shape[1:])
        names += [array.name] if len(array.shape) == 1 else [f"{array.name}[{place}]" for place in range(width)]
    return tuple(names)


def _block(about: dict[str, Any], features: Sequence[Any], names: tuple[str, ...], columns: Columns) -> Block:
    import numpy as np

    labels = about[str(columns.label)].tolist()
    values = np.empty((len(labels), len(names)), dtype=np.float32)
    at = 0
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and that is looked at as such
        for array in features:
            flat = array.reshape(len(labels), -1)
            values[:, at : at + flat.shape[1]] = flat
            at += flat.shape[1]
    return Block(
        features=values,
        labels=labels,
        texts={name: [str(text) for text in about[name]] for name in columns.texts},
        sources=None if columns.source is None else about[columns.source].tolist(),
        ids=None if columns.id is None else about[columns.id].tolist(),
        names=names,
    )
