"""Looks into what an allowed object is given: the numbers of arrays, the items of lists, the fields of a state.

Compiled code of scikit-learn, scipy, pandas and pyarrow follows indices that stand in arrays without asking whether
they lead out of its memory. Rules that look at such indices (`interlock.artifacts.pickles.content_checks`) find them
here. Nothing is unpickled; an array is the bytes in the file with a dtype, a shape and an order that the walk saw.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.artifacts.pickles.kinds import Instance, element_count, element_size, kind_of, sizes_of
from interlock.artifacts.pickles.values import DictValue, ListValue, Span, Value

_CODES: Final = {"b1": "B", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
                 "f4": "f", "f8": "d"}  # fmt: skip
_LARGEST: Final = 1 << 31
"""Bytes of one array that are looked at; there is no index array as large."""


class ContentError(Exception):
    """What an object is given would lead its library astray; `str()` says how, to stand behind the object's name."""


@dataclass(frozen=True, slots=True)
class Array:
    """A numpy array as the pickle describes it.

    Args:
        dtype: The symbolic dtype.
        shape: Its shape.
        fortran: Columns stand first.
        content: Its bytes, or what says where they stand, or the list of its objects.
    """

    dtype: object
    shape: tuple[int, ...]
    fortran: bool
    content: object

    @property
    def size(self) -> int:
        """Number of elements."""
        return element_count(self.shape)

    @property
    def type(self) -> str:
        """Byte order and type, as ``<i8``; of a record only ``|V64``; empty where nobody can tell."""
        state = self.dtype.state if isinstance(self.dtype, Instance) else None
        if not isinstance(self.dtype, Instance) or not isinstance(self.dtype.fact, str) or not isinstance(state, tuple):
            return ""
        order = ("<" if sys.byteorder == "little" else ">") if state[1] == "=" else state[1]
        return f"{order}{self.dtype.fact}"

    def raw(self) -> bytes:
        """The bytes of the elements, of which there have to be exactly enough.

        Raises:
            ContentError: There are not, or nobody can tell.
        """
        size = element_size(self.dtype)
        if size is None or self.size * size > _LARGEST or not self.type:
            raise ContentError("has an array of numbers that cannot be read here")
        raw = bytes_of(self.content)
        if raw is None or len(raw) != self.size * size:
            raise ContentError("has an array whose bytes are not as many as its shape says")
        return raw

    def numbers(self) -> Sequence[int | float]:
        """The elements in the order in which they stand.

        Raises:
            ContentError: They are no plain numbers.
        """
        code = _CODES.get(self.type[1:])
        if code is None:
            raise ContentError("has an array of something other than plain numbers")
        found = array(code, self.raw())
        if self.type[0] == (">" if sys.byteorder == "little" else "<"):
            found.byteswap()
        return found

    def integers(self) -> Sequence[int]:
        """The elements, which have to be whole numbers.

        Raises:
            ContentError: They are none.
        """
        if self.type[1:2] not in ("i", "u"):
            raise ContentError("has indices that are no whole numbers")
        return [int(number) for number in self.numbers()]

    def columns(self, wanted: Mapping[str, str]) -> dict[str, list[int | float]]:
        """Fields of an array of records.

        Args:
            wanted: Name of a field to its type, as ``i8``.

        Raises:
            ContentError: It has no such fields, or is no array of records in this machine's byte order.
        """
        fields = fields_of(self.dtype.state[4]) if isinstance(self.dtype, Instance) and self.type[1:2] == "V" else None  # type: ignore[index]  # `type` saw that it is a tuple
        if not fields:
            raise ContentError("has nodes that are no records")
        raw, width, found = self.raw(), int(self.type[2:]), {}
        for name, kind in wanted.items():
            field = fields.get(name)
            of, at = field if isinstance(field, tuple) else (None, 0)
            part = Array(of, (), fortran=False, content=b"").type
            if not part or part[1:] != kind or (part[0] not in "|<=" and int(kind[1:]) > 1):
                raise ContentError(f"has nodes whose field {name} is none of type {kind}")
            layout = struct.Struct(f"<{at}x{_CODES[kind]}{width - at - int(kind[1:])}x")
            found[name] = [row[0] for row in layout.iter_unpack(raw)]
        return found


def bytes_of(value: object) -> bytes | None:
    """The bytes of a `bytes`, a `bytearray` or what stands for one; None where nobody can tell."""
    if isinstance(value, Value) and value.kind in ("bytes", "bytearray"):
        value = value.fact
    if isinstance(value, Span):
        return value.read() if value.size <= _LARGEST else None
    return value if isinstance(value, bytes) else None


def text_of(value: object) -> str | None:
    """A text of any length; None where nobody can tell."""
    if isinstance(value, str):
        return value
    if kind_of(value) == "str" and isinstance(value, Value) and isinstance(value.fact, Span):
        return value.fact.read().decode("utf-8", "replace")
    return None


def array_of(value: object) -> Array | None:
    """The array that `value` is, once it is whole."""
    if kind_of(value) != "ndarray" or not isinstance(value, Value):
        return None
    if isinstance(value.fact, Array):
        return value.fact
    if isinstance(value, Instance) and value.built and isinstance(value.state, tuple):
        _, shape, dtype, fortran, content = value.state
        return Array(dtype, sizes_of(shape) or (), fortran=bool(fortran), content=content)
    if isinstance(value, Instance) and isinstance(value.fact, tuple):
        content, dtype, shape, order = value.fact
        return Array(dtype, sizes_of(shape) or (), fortran=order == "F", content=content)
    return None


def needed_array(value: object, what: str) -> Array:
    """The array that `value` has to be.

    Raises:
        ContentError: It is none, or not yet.
    """
    found = array_of(value)
    if found is None:
        raise ContentError(f"has no array where its {what} should be")
    return found


def fields_of(state: object) -> dict[str, object] | None:
    """A dict's items when all of them are known, each once, under names that are texts."""
    if not isinstance(state, DictValue) or state.more:
        return None
    known = state.known or {}
    return known if len(known) == len(state.keys) else None


def needed_fields(state: object) -> dict[str, object]:
    """The attributes that a state sets, none of them one that Python would call.

    Raises:
        ContentError: Nobody can tell which, or it sets one of those.
    """
    found = fields_of(state)
    if found is None:
        raise ContentError("is given a state that is no dict of names, or that nobody can tell")
    for name in found:
        # BUILD asks an object for __setstate__ first, so an attribute of that name would be called by the next one.
        if name.startswith("__"):
            raise ContentError("is given an attribute that Python would call")
    return found


def items_of(value: object) -> list[object]:
    """The items of a list, a tuple or an array of objects; the list must not change any more.

    Raises:
        ContentError: It is none, or so long that not all of it is known.
    """
    if isinstance(value, tuple):
        return list(value)
    found = array_of(value)
    if found is not None and element_size(found.dtype) is None:
        value = found.content
    if not isinstance(value, ListValue) or value.count != len(value.items):
        raise ContentError("has something other than a list, or a list longer than is looked at")
    value.frozen = True
    return value.items


def in_range(numbers: Sequence[int], below: int, what: str, least: int = 0) -> None:
    """Check indices.

    Raises:
        ContentError: One is below `least`, or not below `below`.
    """
    if numbers and (min(numbers) < least or max(numbers) >= below):
        wrong = next(number for number in numbers if not least <= number < below)
        raise ContentError(f"has the {what} {wrong}, outside of {least} to {below - 1}")


def built(value: object, kind: str) -> Instance | None:
    """The object of `kind` that `value` is, once its state is set."""
    return value if isinstance(value, Instance) and value.kind == kind and value.built else None
