"""Reads FlatBuffers without their library or generated code, and follows no offset that leads out of the buffer.

Format: flatbuffers.dev, "FlatBuffer Internals". What `flatbuffers::Verifier` checks is checked here, for readers that
do not ask it: offsets, tables against their vtables, lengths of vectors, the zero byte behind a text. Values stay where
they are until somebody asks for them.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Any, Final

from interlock.artifacts.limits import Budget
from interlock.artifacts.source import Buffer

_LEAST_TABLE: Final = 8
"""Bytes that are a table's own: its offset to the vtable, and the offset that leads to it."""
_READ_TWICE: Final = 2
_CODES: Final = {"b": 1, "B": 1, "H": 2, "i": 4, "I": 4, "f": 4, "d": 8}


class MalformedBufferError(Exception):
    """The bytes are no FlatBuffer of this shape; `str()` says why."""


class FlatBuffer:
    """A stretch of a file that holds one root table.

    Args:
        data: Unverified bytes.
        start: Where the buffer begins.
        end: Where it ends.
        budget: Pays for every table and every text.
    """

    __slots__ = ("_left", "budget", "data", "end", "start")

    def __init__(self, data: Buffer, start: int, end: int, budget: Budget) -> None:
        self.data = data
        self.start = start
        self.end = end
        self.budget = budget
        self._left = _READ_TWICE * (end - start)

    def take(self, count: int) -> None:
        """Account for `count` bytes that one reference leads to; parts that share bytes would grow without limit.

        Raises:
            MalformedBufferError: All that was read is more than the buffer holds, each byte twice.
        """
        self._left -= count
        if self._left < 0:
            raise MalformedBufferError("parts that overlap")

    def root(self) -> Table:
        """The root table.

        Raises:
            MalformedBufferError: There is none.
        """
        return Table(self, self.followed(self.start))

    def number(self, at: int, code: str) -> int | float:
        """The number at an offset of the file."""
        size = struct.calcsize(f"<{code}")
        if at < self.start or at + size > self.end:
            raise MalformedBufferError("an offset leads out of it")
        found: int | float = struct.unpack(f"<{code}", self.data[at : at + size])[0]
        return found

    def followed(self, at: int) -> int:
        """Where the offset that stands at `at` leads to."""
        offset = int(self.number(at, "I"))
        if not 0 < offset < 1 << 31 or at + offset + 4 > self.end:
            raise MalformedBufferError("an offset leads out of it")
        return at + offset

    def counted(self, at: int, size: int) -> tuple[int, int]:
        """Where the elements of the vector at `at` begin, and how many there are, of `size` bytes each."""
        count = int(self.number(at, "I"))
        if at + 4 + count * size > self.end:
            raise MalformedBufferError(f"a vector of {count:,} elements reaches over its end")
        return at + 4, count


class Table:
    """One table.

    Args:
        buffer: It stands in.
        at: Offset in the file.

    Raises:
        MalformedBufferError: It is none.
    """

    __slots__ = ("_fields", "_length", "_vtable", "at", "buffer")

    def __init__(self, buffer: FlatBuffer, at: int) -> None:
        buffer.budget.spend_fields(1)
        buffer.take(_READ_TWICE * _LEAST_TABLE)
        self.buffer = buffer
        self.at = at
        self._vtable = at - int(buffer.number(at, "i"))
        size = int(buffer.number(self._vtable, "H"))
        self._length = int(buffer.number(self._vtable + 2, "H"))
        if size < 4 or size % 2 or self._vtable + size > buffer.end or at + self._length > buffer.end:
            raise MalformedBufferError("a table that reaches over its end")
        self._fields = (size - 4) // 2

    def _place(self, field: int, size: int) -> int:
        """Where a field stands, of `size` bytes; 0 if it is not there."""
        if field >= self._fields:
            return 0
        offset = int(self.buffer.number(self._vtable + 4 + 2 * field, "H"))
        if not offset:
            return 0
        if offset < 4 or offset + size > self._length:
            raise MalformedBufferError(f"field {field} lies outside of its table")
        return self.at + offset

    def scalar(self, field: int, code: str, default: int | float = 0) -> int | float:
        """A number, as the `struct` code says; the default where it is not there."""
        at = self._place(field, _CODES[code])
        return self.buffer.number(at, code) if at else default

    def whole(self, field: int, code: str, default: int = 0) -> int:
        """A whole number."""
        return int(self.scalar(field, code, default))

    def table(self, field: int) -> Table | None:
        """A table, None where it is not there."""
        at = self._place(field, 4)
        return Table(self.buffer, self.buffer.followed(at)) if at else None

    def count(self, field: int, size: int) -> int:
        """How many elements of `size` bytes a vector has; 0 where it is not there."""
        at = self._place(field, 4)
        return self.buffer.counted(self.buffer.followed(at), size)[1] if at else 0

    def raw(self, field: int, size: int = 1) -> bytes:
        """The bytes of a vector of structs or numbers of `size` bytes each."""
        at = self._place(field, 4)
        if not at:
            return b""
        start, count = self.buffer.counted(self.buffer.followed(at), size)
        self.buffer.budget.spend_bytes(count * size)
        self.buffer.take(count * size)
        return self.buffer.data[start : start + count * size]

    def numbers(self, field: int, code: str, *, each: int = 1) -> array[Any]:
        """The numbers of a vector, whose elements hold `each` of them."""
        found = array(code, self.raw(field, each * _CODES[code]))
        if sys.byteorder == "big":
            found.byteswap()
        return found

    def tables(self, field: int) -> list[Table]:
        """The tables of a vector."""
        return [Table(self.buffer, self.buffer.followed(at)) for at in self._offsets(field)]

    def texts(self, field: int) -> list[bytes]:
        """The texts of a vector."""
        return [self._text(self.buffer.followed(at)) for at in self._offsets(field)]

    def text(self, field: int) -> bytes | None:
        """A text, None where it is not there."""
        at = self._place(field, 4)
        return self._text(self.buffer.followed(at)) if at else None

    def _offsets(self, field: int) -> range:
        at = self._place(field, 4)
        if not at:
            return range(0)
        start, count = self.buffer.counted(self.buffer.followed(at), 4)
        return range(start, start + 4 * count, 4)

    def _text(self, at: int) -> bytes:
        start, count = self.buffer.counted(at, 1)
        self.buffer.budget.spend_fields(1)
        self.buffer.budget.spend_bytes(count)
        self.buffer.take(count)
        if start + count >= self.buffer.end or self.buffer.data[start + count]:
            raise MalformedBufferError("a text without its zero byte")
        return self.buffer.data[start : start + count]
