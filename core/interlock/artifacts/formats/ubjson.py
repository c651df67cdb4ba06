"""Reads UBJSON as XGBoost writes it: numbers, texts, arrays with a type and a count, objects.

Format: Universal Binary JSON, draft 12, and of it what XGBoost's ``UBJWriter`` writes. Counted objects, no-ops and
high-precision numbers are refused.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_NUMBERS: Final = {b"i": "b", b"U": "B", b"I": "h", b"l": "i", b"L": "q", b"d": "f", b"D": "d"}
_LENGTHS: Final = frozenset({b"i", b"U", b"I", b"l", b"L"})
_CONSTANTS: Final = {b"Z": None, b"T": True, b"F": False}
_DEEPEST = 64


class MalformedUbjsonError(Exception):
    """The bytes are no UBJSON that all readers understand alike; `str()` says why."""


def read_ubjson(data: Buffer, record: Record) -> Any:
    """Parse one document.

    Args:
        data: The whole file, unverified.
        record: Whose budget it is held against.

    Returns:
        Dicts, lists, texts and numbers; arrays of numbers of one type are tuples.

    Raises:
        MalformedUbjsonError: It is none.
        LimitPassedError: It is larger than a text may be.
    """
    record.budget.hold_text(len(data))
    record.budget.spend_bytes(len(data))
    reader = _Reader(bytes(data[:]), record)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise MalformedUbjsonError("bytes behind its end")
    return value


class _Reader:
    """One pass over the bytes."""

    def __init__(self, data: bytes, record: Record) -> None:
        self.data, self.record, self.at, self.count = data, record, 0, 0

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) != size:
            raise MalformedUbjsonError("cut off")
        self.at += size
        return piece

    def value(self, kind: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise MalformedUbjsonError("nested deeper than any model")
        self.count += 1
        if self.count > self.record.budget.limits.values:
            raise LimitPassedError(f"more than {self.record.budget.limits.values:,} values in one file")
        if self.count % 4096 == 0:
            self.record.budget.check_time()
        if kind in _NUMBERS:
            return self._numbers(kind, 1)[0]
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == b"S":
            return self._text()
        if kind == b"[":
            return self._array(depth)
        if kind == b"{":
            return self._object(depth)
        raise MalformedUbjsonError(f"a value of the unknown type {shown(repr(kind))}")

    def _numbers(self, kind: bytes, count: int) -> tuple[int | float, ...]:
        layout = _NUMBERS[kind]
        return struct.unpack(f">{count}{layout}", self.take(count * struct.calcsize(f">{layout}")))

    def _length(self) -> int:
        kind = self.take(1)
        if kind not in _LENGTHS:
            raise MalformedUbjsonError(f"a length of the unknown type {shown(repr(kind))}")
        length = self._numbers(kind, 1)[0]
        if not 0 <= length <= len(self.data):
            raise MalformedUbjsonError(f"a length of {length:,}")
        return int(length)

    def _text(self) -> str:
        try:
            return self.take(self._length()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedUbjsonError("a text that is no UTF-8") from error

    def _array(self, depth: int) -> list[Any] | tuple[int | float, ...]:
        mark = self.take(1)
        kind = b""
        if mark == b"$":
            kind, mark = self.take(1), self.take(1)
            if kind not in _NUMBERS or mark != b"#":
                raise MalformedUbjsonError("an array of one type that is no number")
        if mark == b"#":
            count = self._length()
            if kind:
                return self._numbers(kind, count)
            return [self.value(self.take(1), depth + 1) for _ in range(count)]
        items = []
        while mark != b"]":
            items.append(self.value(mark, depth + 1))
            mark = self.take(1)
        return items

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.data[self.at : self.at + 1] != b"}":
            key = self._text()
            if key in found:
                raise MalformedUbjsonError(f"the key {shown(key)!r} twice, of which readers take either")
            found[key] = self.value(self.take(1), depth + 1)
        self.take(1)
        return found
