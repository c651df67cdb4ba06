"""Writes protobuf's wire format by hand, so that tests can write what no library would."""

from __future__ import annotations

Value = int | bytes | str


def varint(value: int, *, width: int = 0) -> bytes:
    """A base-128 number, longer than it needs to be where `width` says so."""
    out = bytearray()
    while value > 0x7F or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number: int, value: Value) -> bytes:
    """A varint for a number, a length and bytes for anything else."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % (1 << 64))
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def message(*fields: tuple[int, Value]) -> bytes:
    """A message of these fields in this order."""
    return b"".join(field(number, value) for number, value in fields)
