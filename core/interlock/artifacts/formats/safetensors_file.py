"""Scans a safetensors file by its header; the tensors' bytes are never read.

Layout (safetensors 0.8, ``safetensors/src/tensor.rs``): the header's length as an unsigned 64-bit little-endian
number, the header as JSON, the tensors. Stricter than the library where readers differ: duplicate keys, unknown
fields and tensors out of place are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.kinds import LARGEST, element_count, is_size
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer
from interlock.gate.documents import unambiguous_json

LONGEST_HEADER = 100_000_000
"""The format's own limit."""

_BITS: Final[Mapping[str, int]] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip


class MalformedHeaderError(Exception):
    """The header is not what the format says; `str()` says how."""


def scan_safetensors(data: Buffer, *, path: str, record: Record) -> None:
    """Check that the header describes exactly the bytes that follow it.

    Raises:
        LimitPassedError: The header is larger than may be read.
    """
    try:
        length = _header_length(data)
        if length > record.budget.limits.header_bytes:
            raise LimitPassedError(f"a header of {length:,} bytes, more than {record.budget.limits.header_bytes:,}")
        record.budget.spend_bytes(length)
        record.keep_text(data[8 : 8 + length].decode("utf-8", "replace"), path)
        _, header = read_header(data)
        record.tensors[path] = frozenset(header)
    except MalformedHeaderError as error:
        record.error(rules.MALFORMED_SAFETENSORS, str(error), path, 0)
    record.looked(path)


def read_header(data: Buffer) -> tuple[int, dict[str, Any]]:
    """Where the tensors' bytes start, and each tensor's entry by its name: dtype, shape and offsets from there on.

    Raises:
        MalformedHeaderError: It does not describe exactly the bytes that follow it.
    """
    length = _header_length(data)
    header = _header(data[8 : 8 + length])
    _check_tensors(header, len(data) - 8 - length)
    return 8 + length, header


def _header_length(data: Buffer) -> int:
    length = int.from_bytes(data[:8], "little")
    if length > LONGEST_HEADER:
        raise MalformedHeaderError(f"a header of {length:,} bytes, more than the format's {LONGEST_HEADER:,}")
    if 8 + length > len(data):
        raise MalformedHeaderError(f"cut off: the header says {length:,} bytes, the file has {len(data) - 8:,}")
    return length


def _header(raw: bytes) -> dict[str, Any]:
    try:
        header = unambiguous_json(raw.decode("utf-8"))
    except ValueError as error:
        raise MalformedHeaderError(f"a header that is no JSON: {shown(str(error))}") from error
    if not isinstance(header, dict):
        raise MalformedHeaderError("a header that is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise MalformedHeaderError("__metadata__ that maps to anything but text")
    return header


def _check_tensors(header: dict[str, Any], room: int) -> None:
    spans = sorted(_span(name, entry) for name, entry in header.items())
    cursor = 0
    for start, end, name in spans:
        if start != cursor:
            what = "overlaps another one" if start < cursor else "leaves a gap before it"
            raise MalformedHeaderError(f"the tensor {shown(name)!r} {what}, at byte {start} of the tensors")
        cursor = end
    if cursor != room:
        what = f"{room - cursor:,} bytes after the last tensor" if cursor < room else "tensors past the end of the file"
        raise MalformedHeaderError(what)


def _span(name: str, entry: object) -> tuple[int, int, str]:
    """Start and end of one tensor, checked against its shape and dtype."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise MalformedHeaderError(f"the tensor {shown(name)!r} has other fields than dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise MalformedHeaderError(f"the tensor {shown(name)!r} has the unknown dtype {shown(repr(dtype))}")
    if not isinstance(shape, list) or not all(is_size(size) for size in shape):
        raise MalformedHeaderError(f"the tensor {shown(name)!r} has a shape that is no list of sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(is_size(offset) for offset in offsets):
        raise MalformedHeaderError(f"the tensor {shown(name)!r} has offsets that are no pair of sizes")
    start, end = offsets
    bits = element_count(tuple(shape)) * _BITS[dtype]
    if bits > LARGEST or bits % 8 or end - start != bits // 8:
        raise MalformedHeaderError(
            f"the tensor {shown(name)!r} holds {end - start:,} bytes where {dtype} {shape[:8]} needs {bits // 8:,}"
        )
    return start, end, name
