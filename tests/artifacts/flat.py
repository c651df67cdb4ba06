"""Writes FlatBuffers by hand, so that tests can write what no library would."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a table, as the `struct` code says."""

    code: str
    value: float


@dataclass(frozen=True, slots=True)
class Vector:
    """Numbers or structs in a vector: `code` is the layout of one element."""

    code: str
    values: Sequence[float | tuple[float, ...]]
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Many:
    """Tables or texts in a vector."""

    values: Sequence[Mapping[int, Field] | bytes]


Field: TypeAlias = Number | Vector | Many | bytes | Mapping[int, "Field"]
"""A number, a vector, a text, or a table by the numbers of its fields."""


def flat(root: Mapping[int, Field]) -> bytes:
    """A buffer with this root table; each table stands before what it points to."""
    out = bytearray(4)
    _point(out, 0, root)
    return bytes(out)


def _point(out: bytearray, place: int, value: Field) -> None:
    """Write `value` at the end, and its distance to where it is asked for."""
    out += bytes(-len(out) % 8)
    if isinstance(value, Mapping):
        size = 2 * (max(value, default=-1) + 3)
        out += bytes(size + -size % 8)
        at = len(out)
        _table(out, at - (size + -size % 8), value)
    else:
        at = len(out)
        _vector(out, value)
    out[place : place + 4] = struct.pack("<I", at - place)


def _table(out: bytearray, vtable: int, fields: Mapping[int, Field]) -> None:
    at = len(out)
    out += struct.pack("<i", at - vtable)
    places: dict[int, int] = {}
    for number, value in fields.items():
        raw = struct.pack(f"<{value.code}", value.value) if isinstance(value, Number) else bytes(4)
        out += bytes(-len(out) % len(raw))
        places[number] = len(out)
        out += raw
    offsets = [places.get(number, at) - at for number in range(max(fields, default=-1) + 1)]
    head = struct.pack(f"<{2 + len(offsets)}H", 4 + 2 * len(offsets), len(out) - at, *offsets)
    out[vtable : vtable + len(head)] = head
    for number, value in fields.items():
        if not isinstance(value, Number):
            _point(out, places[number], value)


def _vector(out: bytearray, value: Vector | Many | bytes | Number) -> None:
    if isinstance(value, bytes):
        out += struct.pack("<I", len(value)) + value + b"\0"
    elif isinstance(value, Vector):
        out += struct.pack("<I", len(value.values) if value.count is None else value.count)
        for item in value.values:
            out += struct.pack(f"<{value.code}", *(item if isinstance(item, tuple) else (item,)))
    elif isinstance(value, Many):
        out += struct.pack("<I", len(value.values))
        first = len(out)
        out += bytes(4 * len(value.values))
        for number, inner in enumerate(value.values):
            _point(out, first + 4 * number, inner)
