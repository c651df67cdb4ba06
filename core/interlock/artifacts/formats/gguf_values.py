"""Reads numbers, texts and key-values of a GGUF file, each checked against the file's size and the budget first."""

from __future__ import annotations

from typing import Final, Literal

from interlock.artifacts.limits import Budget, LimitPassedError
from interlock.artifacts.source import Buffer

_STRING: Final = 8
_ARRAY: Final = 9
_BOOL: Final = 7
# gguf_metadata_value_type: bytes of each value of a fixed size.
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_DEEPEST: Final = 8
_CHECK_EVERY: Final = 4_096


class MalformedGgufError(Exception):
    """The bytes are no GGUF; `str()` says why.

    Args:
        what: In words, safe to print.
        offset: Where, in bytes from the start of the file.
    """

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


class Reader:
    """A position in a GGUF file, behind its version.

    Args:
        data: Unverified bytes that begin with the magic.
        budget: Metadata up to `Limits.header_bytes` and array elements up to `Limits.values` are read.

    Raises:
        MalformedGgufError: The version is not known.
    """

    UINT32: Final = 4

    def __init__(self, data: Buffer, budget: Budget) -> None:
        self._data = data
        self._size = len(data)
        self._budget = budget
        self._elements = 0
        self._order: Literal["little", "big"] = "little"
        self.at = 4
        raw = data[4:8]
        version = int.from_bytes(raw, "little")
        if int.from_bytes(raw, "big") == 3:
            version, self._order = 3, "big"
        if len(raw) < 4 or version not in (1, 2, 3):
            raise MalformedGgufError("cut off, or of a version that is not 1, 2 or 3", 4)
        # "All sizes are 64 bits from version 2 on" (docs/gguf.md, version history).
        self._width = 4 if version == 1 else 8
        self.at = 8

    @property
    def big(self) -> bool:
        """Whether numbers begin with their most significant byte."""
        return self._order == "big"

    def number(self, width: int) -> int:
        """An unsigned integer of `width` bytes."""
        return int.from_bytes(self._take(width), self._order)

    def size(self) -> int:
        """A count or a length."""
        return self.number(self._width)

    def expect(self, count: int, least: int, what: str) -> None:
        """Check that `count` things of at least `least` bytes fit into what is left."""
        if count * least > self._size - self.at:
            raise MalformedGgufError(f"{count:,} {what}, more than the file has room for", self.at)

    def text(self, longest: int, what: str) -> bytes:
        """A string of up to `longest` bytes."""
        length = self.size()
        if length > longest:
            raise MalformedGgufError(f"a {what} of {length:,} bytes, more than {longest:,}", self.at)
        return self._take(length)

    def value(self, *, keep: bool) -> tuple[int, object, list[bytes]]:
        """A value with its type.

        Args:
            keep: Whether its texts are wanted.

        Returns:
            Its type, the number if it is one, and its texts.
        """
        kind = self.number(4)
        texts: list[bytes] = []
        if kind == _ARRAY:
            self._array(texts, keep=keep, depth=0)
            return kind, None, texts
        return kind, self._scalar(kind, texts, keep=keep), texts

    def _scalar(self, kind: int, texts: list[bytes], *, keep: bool) -> object:
        if kind == _STRING:
            length = self.size()
            if keep:
                texts.append(self._take(length))
            else:
                self._skip(length)
            return None
        if kind not in _SIZES:
            raise MalformedGgufError(f"a value of the unknown type {kind}", self.at)
        number = self.number(_SIZES[kind])
        if kind == _BOOL and number > 1:
            raise MalformedGgufError(f"a boolean that is {number}", self.at)
        return number

    def _array(self, texts: list[bytes], *, keep: bool, depth: int) -> None:
        if depth >= _DEEPEST:
            raise LimitPassedError(f"arrays inside each other deeper than {_DEEPEST}")
        kind, count = self.number(4), self.size()
        if kind in _SIZES:
            self.expect(count, _SIZES[kind], "array elements")
            if kind == _BOOL and self._take(count).strip(b"\x00\x01"):
                raise MalformedGgufError("a boolean that is neither 0 nor 1", self.at)
            self._skip(0 if kind == _BOOL else count * _SIZES[kind])
            return
        if kind not in (_STRING, _ARRAY):
            raise MalformedGgufError(f"an array of the unknown type {kind}", self.at)
        self.expect(count, self._width, "array elements")
        for index in range(count):
            if not index % _CHECK_EVERY:
                self._spend(min(count - index, _CHECK_EVERY))
            if kind == _STRING:
                self._scalar(kind, texts, keep=keep)
            else:
                self._array(texts, keep=keep, depth=depth + 1)

    def _spend(self, elements: int) -> None:
        self._budget.check_time()
        self._elements += elements
        if self._elements > self._budget.limits.values:
            raise LimitPassedError(f"more than {self._budget.limits.values:,} elements in arrays of metadata")

    def _skip(self, count: int) -> None:
        if count > self._size - self.at:
            raise MalformedGgufError(f"cut off: {count:,} bytes at byte {self.at:,} of {self._size:,}", self.at)
        self.at += count
        if self.at > self._budget.limits.header_bytes:
            raise LimitPassedError(f"metadata of more than {self._budget.limits.header_bytes:,} bytes")

    def _take(self, count: int) -> bytes:
        start = self.at
        self._skip(count)
        return self._data[start : self.at]
