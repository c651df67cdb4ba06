"""The opcodes that push a constant, one handler each; see `interlock.artifacts.pickles.opcodes`."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

from interlock.artifacts.pickles import text
from interlock.artifacts.pickles.text import MalformedError
from interlock.artifacts.pickles.values import BYTEARRAY, DATA, INTEGER, LONGEST_TEXT, TEXT, Span, Value

if TYPE_CHECKING:
    from interlock.artifacts.pickles.walk import PickleWalk

Handler: TypeAlias = "Callable[[PickleWalk, int], int]"
"""Given the machine and the offset after the opcode, gives the offset of the next opcode."""

_I32 = Struct("<i")
_U16 = Struct("<H")
_U32 = Struct("<I")
_U64 = Struct("<Q")
_F64 = Struct(">d")


def none(walk: PickleWalk, at: int) -> int:
    """NONE."""
    walk.stack.append(None)
    return at


def true(walk: PickleWalk, at: int) -> int:
    """NEWTRUE."""
    walk.stack.append(True)
    return at


def false(walk: PickleWalk, at: int) -> int:
    """NEWFALSE."""
    walk.stack.append(False)
    return at


def binint(walk: PickleWalk, at: int) -> int:
    """BININT."""
    walk.stack.append(_I32.unpack_from(walk.data, at)[0])
    return at + 4


def binint1(walk: PickleWalk, at: int) -> int:
    """BININT1."""
    walk.stack.append(walk.data[at])
    return at + 1


def binint2(walk: PickleWalk, at: int) -> int:
    """BININT2."""
    walk.stack.append(_U16.unpack_from(walk.data, at)[0])
    return at + 2


def binfloat(walk: PickleWalk, at: int) -> int:
    """BINFLOAT."""
    walk.stack.append(_F64.unpack_from(walk.data, at)[0])
    return at + 8


def _little_endian(walk: PickleWalk, at: int, size: int) -> int:
    following = walk.raw(at, size)
    walk.stack.append(int.from_bytes(walk.data[at:following], "little", signed=True) if size <= 32 else INTEGER)
    return following


def long1(walk: PickleWalk, at: int) -> int:
    """LONG1."""
    return _little_endian(walk, at + 1, walk.data[at])


def long4(walk: PickleWalk, at: int) -> int:
    """LONG4."""
    return _little_endian(walk, at + 4, _I32.unpack_from(walk.data, at)[0])


def _unicode_of(walk: PickleWalk, at: int, size: int) -> int:
    following = walk.raw(at, size)
    walk.budget.hold_text(size)
    try:
        value = str(walk.data[at:following], "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise MalformedError("a text that is not UTF-8") from None
    walk.stack.append(value if size <= LONGEST_TEXT else _long(walk, TEXT, at, size))
    return following


def _long(walk: PickleWalk, known: Value, at: int, size: int) -> Value:
    """A long constant: where its bytes stand, if the profile's rules may ask for them."""
    return Value(known.kind, fact=Span(walk.data, at, size)) if walk.contents else known


def short_binunicode(walk: PickleWalk, at: int) -> int:
    """SHORT_BINUNICODE."""
    return _unicode_of(walk, at + 1, walk.data[at])


def binunicode(walk: PickleWalk, at: int) -> int:
    """BINUNICODE."""
    return _unicode_of(walk, at + 4, _U32.unpack_from(walk.data, at)[0])


def binunicode8(walk: PickleWalk, at: int) -> int:
    """BINUNICODE8."""
    return _unicode_of(walk, at + 8, _U64.unpack_from(walk.data, at)[0])


def _bytes_of(walk: PickleWalk, at: int, size: int) -> int:
    following = walk.raw(at, size)
    walk.stack.append(walk.data[at:following] if size <= LONGEST_TEXT else _long(walk, DATA, at, size))
    return following


def short_binbytes(walk: PickleWalk, at: int) -> int:
    """SHORT_BINBYTES."""
    return _bytes_of(walk, at + 1, walk.data[at])


def binbytes(walk: PickleWalk, at: int) -> int:
    """BINBYTES."""
    return _bytes_of(walk, at + 4, _U32.unpack_from(walk.data, at)[0])


def binbytes8(walk: PickleWalk, at: int) -> int:
    """BINBYTES8."""
    return _bytes_of(walk, at + 8, _U64.unpack_from(walk.data, at)[0])


def bytearray8(walk: PickleWalk, at: int) -> int:
    """BYTEARRAY8."""
    following = walk.raw(at + 8, _U64.unpack_from(walk.data, at)[0])
    walk.stack.append(_long(walk, BYTEARRAY, at + 8, following - at - 8))
    return following


def _string_of(walk: PickleWalk, at: int, size: int) -> int:
    following = walk.raw(at, size)
    walk.budget.hold_text(size)
    walk.stack.append(text.text_of_bytes(walk.data[at:following]))
    return following


def short_binstring(walk: PickleWalk, at: int) -> int:
    """SHORT_BINSTRING."""
    return _string_of(walk, at + 1, walk.data[at])


def binstring(walk: PickleWalk, at: int) -> int:
    """BINSTRING."""
    return _string_of(walk, at + 4, _I32.unpack_from(walk.data, at)[0])


def number_line(read: Callable[[bytes], object]) -> Handler:
    """INT, LONG and FLOAT, whose argument `read` reads."""

    def handler(walk: PickleWalk, at: int) -> int:
        line, following = walk.line(at)
        # Readers take more spellings of numbers than picklers write.
        walk.stack.append(read(line) if walk.strict else INTEGER)
        return following

    return handler


def string(walk: PickleWalk, at: int) -> int:
    """STRING."""
    line, following = walk.text_line(at)
    walk.stack.append(TEXT if line is None else text.quoted(line, strict=walk.strict))
    return following


def unicode(walk: PickleWalk, at: int) -> int:
    """UNICODE."""
    line, following = walk.text_line(at)
    walk.stack.append(TEXT if line is None else text.raw_unicode(line))
    return following
