"""Takes the messages of HDF5 object headers apart: shapes, types, storage, filters, links and attributes.

Clauses are of the "HDF5 File Format Specification Version 3.0".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from interlock.artifacts.formats.hdf5_structure import UNDEFINED, Fields, MalformedError, UnreadError

_STRING, _VARIABLE = 3, 9
_HARD, _SOFT, _EXTERNAL = 0, 1, 64
_MOST_DIMENSIONS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A shape: how many elements, and whether it is that of a single one."""

    count: int
    scalar: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where a dataset's elements are: ``compact``, ``contiguous``, ``chunked`` or ``virtual``.

    Args:
        kind: One of those.
        size: Bytes in the file; 0 where nothing was written, or where it takes a walk through an index to know.
        address: Of contiguous elements that were written.
    """

    kind: str
    size: int = 0
    address: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One entry of a group: `kind` 0 is an object at `address`, 1 a soft link, anything else leaves the file."""

    name: bytes
    kind: int
    address: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A name, and the value of a single text: itself, or a reference into a heap."""

    name: bytes
    text: bytes | None = None
    reference: bytes | None = None


def space(body: bytes) -> Space:
    """The dataspace message (IV.A.2.b)."""
    fields = Fields(body)
    version, rank, flags, kind = (fields.number(1) for _ in range(4))
    if version == 1:
        fields.take(4)
        kind = 1 if rank else 0
    elif version != 2:
        raise MalformedError(f"a shape of the unknown version {version}")
    if rank > _MOST_DIMENSIONS or kind > 2 or flags & ~3:
        raise MalformedError("a shape that the format does not have")
    sizes = [fields.number(8) for _ in range(rank)]
    return Space(count=0 if kind == 2 else math.prod(sizes), scalar=kind == 0)


def item_type(body: bytes) -> tuple[int, int]:
    """Class and bytes of one element, out of the datatype message (IV.A.2.d)."""
    fields = Fields(body)
    kind = fields.number(1) & 0x0F
    fields.take(3)
    return kind, fields.number(4)


def storage(body: bytes) -> Storage:
    """The layout message (IV.A.2.i)."""
    fields = Fields(body)
    version, kind = fields.number(1), fields.number(1)
    if version not in (3, 4):
        raise UnreadError(f"storage of version {version}")
    if kind == 0:
        return Storage(kind="compact", size=fields.number(2))
    if kind == 1:
        address, size = fields.number(8), fields.number(8)
        if address == UNDEFINED:
            return Storage(kind="contiguous")
        return Storage(kind="contiguous", size=size, address=address)
    if kind == 2:
        return Storage(kind="chunked")
    if kind == 3 and version == 4:
        return Storage(kind="virtual")
    raise MalformedError("elements that are stored in a way that the format does not have")


def filters(body: bytes) -> list[int]:
    """The numbers of the filters that a dataset's chunks go through (IV.A.2.l)."""
    fields = Fields(body)
    version, count = fields.number(1), fields.number(1)
    if version not in (1, 2):
        raise MalformedError(f"filters of the unknown version {version}")
    fields.take(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        number = fields.number(2)
        length = fields.number(2) if version == 1 or number >= 256 else 0
        fields.take(2)
        values = fields.number(2)
        fields.take(length + (-length % 8 if version == 1 else 0))
        fields.take(4 * values + (4 if version == 1 and values % 2 else 0))
        found.append(number)
    return found


def link(body: bytes) -> Link:
    """The link message (IV.A.2.g)."""
    fields = Fields(body)
    version, flags = fields.number(1), fields.number(1)
    if version != 1:
        raise MalformedError(f"a link of the unknown version {version}")
    kind = fields.number(1) if flags & 0x08 else _HARD
    fields.take((8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0))
    name = fields.take(fields.number(1 << (flags & 3)))
    return Link(name=name, kind=kind, address=fields.number(8) if kind == _HARD else None)


def attribute(body: bytes) -> Attribute:
    """The attribute message (IV.A.2.m); its value only where that is one text.

    Raises:
        MalformedError: It cannot be taken apart.
        UnreadError: It has a named datatype.
    """
    fields = Fields(body)
    version, flags = fields.number(1), fields.number(1)
    if version not in (1, 2, 3):
        raise MalformedError(f"an attribute of the unknown version {version}")
    if version > 1 and flags:
        raise UnreadError("an attribute of a named datatype")
    sizes = [fields.number(2) for _ in range(3)]
    fields.take(1 if version == 3 else 0)
    name, kind, shape = (fields.take(size + (-size % 8 if version == 1 else 0))[:size] for size in sizes)
    return _value(name.rstrip(b"\0"), kind, space(shape), fields)


def _value(name: bytes, kind: bytes, shape: Space, fields: Fields) -> Attribute:
    number, size = item_type(kind)
    value = fields.take(shape.count * size)
    if not shape.scalar:
        return Attribute(name=name)
    if number == _STRING:
        return Attribute(name=name, text=value)
    # A variable-length type says in its first bits whether it is a text; its element is a reference into a heap.
    if number == _VARIABLE and kind[1] & 0x0F == 1:
        return Attribute(name=name, reference=value)
    return Attribute(name=name)
