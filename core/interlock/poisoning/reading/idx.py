"""IDX, the format of MNIST: images in one file, labels in another (LeCun, Cortes and Burges, the MNIST database).

``train-images-idx3-ubyte.gz`` belongs to ``train-labels-idx1-ubyte.gz`` beside it; a dot may stand before ``idx``, and
the files need not be packed.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from interlock.gate import SubjectError
from interlock.poisoning.batches import Block, Columns
from interlock.poisoning.reading.census import Census
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.limits import check_width, first_line, rows_per_block, shape_text, values_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = re.compile(r"(?P<stem>.*)(?P<what>images|labels)[-._]idx\d[-._]ubyte(?P<packed>\.gz)?\Z", re.DOTALL)
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""numpy's types by the third byte of a file."""

MAX_DIMENSIONS = 4
MAX_SIDE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class IdxPart:
    """A file of images and the file of their labels.

    Args:
        name: Of the images, for people.
        file: Of the images, relative to the subject; empty when it is the subject.
        labels: The file of their labels; None when none is beside it.
        folder: The held subject.
    """

    name: str
    file: str
    labels: str | None
    folder: Folder

    def held(self, _columns: Columns) -> tuple[str, ...]:
        """Both files."""
        return tuple(file for file in (self.file, self.labels) if file is not None)

    def blocks(self, columns: Columns) -> Iterator[Block]:
        """Its rows, in order.

        Raises:
            SubjectError: There are no labels, a file cannot be read, or the two disagree.
            UnsafeSubjectError: A row is too wide.
        """
        refuse_columns(columns, self.name, "IDX files have no columns")
        if self.labels is None:
            raise SubjectError(
                "its labels are not here",
                where=self.name,
                next_step="give the folder that holds images-idx3-ubyte and labels-idx1-ubyte of the same name",
            )
        with self._opened(self.file) as images, self._opened(self.labels) as labels:
            if images.shape[0] != labels.shape[0] or len(labels.shape) != 1:
                raise SubjectError(f"{images.shape[0]} images, but {labels.shape} labels", where=self.name)
            width = values_in(images.shape[1:])
            check_width(width, self.name, columns)
            step = rows_per_block(width)
            for at in range(0, images.shape[0], step):
                count = min(step, images.shape[0] - at)
                features = images.rows(count).reshape(count, width).astype("float32")
                yield Block(features=features, labels=labels.rows(count).tolist())
            images.end()
            labels.end()

    def encoded(self, _columns: Columns) -> bool:
        """True when reading it decodes pictures."""
        return False

    def image(self, _row: int) -> str:
        """Rows share the file."""
        return ""

    def left_out(self, _columns: Columns) -> tuple[str, ...]:
        """Nothing: all of it is looked at."""
        return ()

    def census(self, _columns: Columns) -> Census:
        """The shape of the images."""
        with self._opened(self.file) as images:
            return Census(shape=images.shape[1:] if len(images.shape) in (3, 4) else None)

    @contextmanager
    def _opened(self, name: str) -> Iterator[_Idx]:
        try:
            with ExitStack() as stack:
                file: IO[bytes] = stack.enter_context((self.folder.path / name).open("rb"))
                packed = file.read(2) == b"\x1f\x8b"
                file.seek(0)
                yield _Idx.of(stack.enter_context(gzip.open(file)) if packed else file)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise SubjectError(
                f"the IDX file cannot be read: {first_line(error)}", where=self.name, next_step="copy it again"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idx:
    """One file behind its header."""

    shape: tuple[int, ...]
    dtype: str
    content: Any

    @classmethod
    def of(cls, content: Any) -> _Idx:
        head = content.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= MAX_DIMENSIONS:
            raise ValueError("it does not begin as IDX does")
        sides = content.read(4 * head[3])
        if len(sides) < 4 * head[3]:
            raise EOFError("it ends in its header")
        shape = struct.unpack(f">{head[3]}I", sides)
        if any(not 1 <= side <= MAX_SIDE for side in shape[1:]):
            raise ValueError(f"no image is {shape_text(shape[1:])}")
        return cls(shape=shape, dtype=TYPES[head[2]], content=content)

    def rows(self, count: int) -> NDArray[Any]:
        """The next `count` rows."""
        import numpy as np

        dtype = np.dtype(self.dtype)
        values = count * values_in(self.shape[1:])
        raw = self.content.read(values * dtype.itemsize)
        if len(raw) < values * dtype.itemsize:
            raise EOFError(f"it ends before its {self.shape[0]} rows do")
        return np.frombuffer(raw, dtype=dtype).reshape(count, *self.shape[1:])

    def end(self) -> None:
        """Refuse what stands behind the last row: a reader that trusts the length would see more than was scanned."""
        if self.content.read(1):
            raise ValueError(f"there is more in it than its {self.shape[0]} rows")


def refuse_columns(columns: Columns, shown: str, why: str) -> None:
    """Refuse options that name columns where there are none.

    Args:
        columns: What the user named; the label is let pass, because it always has a name.
        shown: The file's name for people.
        why: Why there are none.

    Raises:
        SubjectError: A text, feature, embedding, source or id column is named.
    """
    named: Sequence[str] = [name for name in columns.named if columns.role(name) not in ("label", "image")]
    for name in (*named, *(columns.features or ())):
        raise SubjectError(f"there is no column {name!r}: {why}", where=shown, next_step="leave that option out")
