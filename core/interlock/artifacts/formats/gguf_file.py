"""Scans a GGUF file by its metadata and tensor infos; the tensors' bytes are never read.

Format: ``docs/gguf.md`` of ggml, versions 1 to 3, little-endian, from version 3 on big-endian as well. Stricter than
some readers: a key or a tensor twice, gaps, overlaps and bytes after the last tensor are errors. Sizes are checked
against the file before anything is read, which is what CVE-2024-21802, CVE-2024-21825, CVE-2024-21836, CVE-2024-23496,
CVE-2024-23605, CVE-2025-53630 and CVE-2026-27940 (llama.cpp) did not do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.gguf_values import MalformedGgufError, Reader
from interlock.artifacts.formats.template import scan_template
from interlock.artifacts.pickles.kinds import LARGEST, element_count
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_ALIGNMENT: Final = 32
_LARGEST_ALIGNMENT: Final = 1 << 20
_LONGEST_KEY: Final = 65_535
_LONGEST_NAME: Final = 127
"""The specification says 64; writers of picture models patch readers to 127."""
_MOST_DIMENSIONS: Final = 4
_TEMPLATE: Final = "chat_template"
_LEAST_ENTRY: Final = 12
"""Bytes of the shortest key-value: an empty key, a type and a value of one byte."""

# Elements and bytes of a block (gguf-py, ``constants.GGML_QUANT_SIZES``); types that are gone from GGUF are not here.
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One tensor, as the file describes it.

    Args:
        name: Unverified bytes.
        kind: Its ``ggml_type``.
        shape: The axis whose neighbours stand side by side comes first.
        start: Offset of its first byte.
        end: Offset behind its last byte.
    """

    name: bytes
    kind: int
    shape: tuple[int, ...]
    start: int
    end: int


def gguf_tensors(data: Buffer, record: Record) -> tuple[bool, list[TensorInfo]]:
    """Whether numbers begin with their most significant byte, and every tensor by offsets from the file's start.

    Args:
        data: Unverified bytes that begin with the magic.
        record: Whose budget is spent; what speaks against the chat templates goes there, too.

    Raises:
        MalformedGgufError: Metadata and tensors do not describe exactly this file.
        LimitPassedError: There is more metadata than may be read.
    """
    scan = _Scan(data, "", record)
    infos = scan.run()
    return scan.reader.big, [replace(info, start=scan.base + info.start, end=scan.base + info.end) for info in infos]


def scan_gguf(data: Buffer, *, path: str, record: Record) -> None:
    """Check that metadata and tensor infos describe exactly this file, and judge the chat templates in it.

    Args:
        data: Unverified bytes that begin with the magic.
        path: For findings and coverage.
        record: Where findings go.

    Raises:
        LimitPassedError: There is more metadata than may be read.
    """
    try:
        _Scan(data, path, record).run()
    except MalformedGgufError as error:
        record.error(rules.MALFORMED_GGUF, str(error), path, error.offset)
    record.looked(path)


class _Scan:
    def __init__(self, data: Buffer, path: str, record: Record) -> None:
        self.data = data
        self.path = path
        self.record = record
        self.reader = Reader(data, record.budget)
        self.alignment = _ALIGNMENT
        self.base = 0

    def run(self) -> list[TensorInfo]:
        reader = self.reader
        tensors, pairs = reader.size(), reader.size()
        reader.expect(pairs, _LEAST_ENTRY, "key-values")
        reader.expect(tensors, _LEAST_ENTRY, "tensors")
        keys: set[str] = set()
        for _ in range(pairs):
            self._pair(keys)
        names: set[bytes] = set()
        infos = [self._tensor(names) for _ in range(tensors)]
        self.base = self._check_spans(infos)
        return infos

    def _pair(self, keys: set[str]) -> None:
        reader = self.reader
        at = reader.at
        raw = reader.text(_LONGEST_KEY, "key")
        if not raw.isascii() or not raw.decode("latin-1").isprintable() or not raw:
            raise MalformedGgufError(f"the key {shown(repr(raw), 80)}, which is no printable ASCII", at)
        key = raw.decode("ascii")
        if key in keys:
            raise MalformedGgufError(f"the key {shown(key)!r} twice, of which readers take either", at)
        keys.add(key)
        kind, value, texts = reader.value(keep=_TEMPLATE in key)
        if key == "general.alignment":
            self._align(kind, value, at)
        for text in texts:
            self._template(key, text, at)

    def _align(self, kind: int, value: object, at: int) -> None:
        whole = kind == Reader.UINT32 and isinstance(value, int) and 8 <= value <= _LARGEST_ALIGNMENT
        if not whole or not isinstance(value, int) or value & (value - 1):
            raise MalformedGgufError("general.alignment that is no power of two from 8 to 2^20", at)
        self.alignment = value

    def _template(self, key: str, raw: bytes, at: int) -> None:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedGgufError(
                f"{shown(key)} that is no UTF-8, so that readers take it differently", at
            ) from error
        scan_template(text, path=self.path, record=self.record, where=f"the metadata {shown(key)}")

    def _tensor(self, names: set[bytes]) -> TensorInfo:
        reader = self.reader
        at = reader.at
        name = reader.text(_LONGEST_NAME, "tensor name")
        if name in names:
            raise MalformedGgufError(f"the tensor {shown(repr(name))} twice", at)
        names.add(name)
        dimensions = reader.number(4)
        if dimensions > _MOST_DIMENSIONS:
            raise MalformedGgufError(f"the tensor {shown(repr(name))} has {dimensions:,} dimensions, not up to 4", at)
        shape = tuple(reader.size() for _ in range(dimensions))
        kind, offset = reader.number(4), reader.number(8)
        if kind not in _BLOCKS:
            raise MalformedGgufError(f"the tensor {shown(repr(name))} has the unknown type {kind}", at)
        elements, size = _BLOCKS[kind]
        if (shape[0] if shape else 1) % elements:
            raise MalformedGgufError(f"the tensor {shown(repr(name))} has rows that are no whole blocks", at)
        length = element_count(shape) // elements * size
        if max(length, offset, *shape, 0) > LARGEST:
            raise MalformedGgufError(f"the tensor {shown(repr(name))} is larger than any file", at)
        if offset % self.alignment:
            raise MalformedGgufError(f"the tensor {shown(repr(name))} is not aligned to {self.alignment} bytes", at)
        return TensorInfo(name=name, kind=kind, shape=shape, start=offset, end=offset + length)

    def _check_spans(self, infos: list[TensorInfo]) -> int:
        """Where the tensors' data begins; they have to follow each other to the end of the file."""
        base = self._padded(self.reader.at)
        if not infos:
            base = min(base, len(self.data))
        self._check_padding(self.reader.at, base)
        cursor = base
        for info in sorted(infos, key=lambda info: (info.start, info.end, info.name)):
            expected = self._padded(cursor)
            if base + info.start != expected:
                what = "overlaps another one" if base + info.start < expected else "leaves a gap before it"
                raise MalformedGgufError(f"the tensor {shown(repr(info.name))} {what}", base + info.start)
            self._check_padding(cursor, expected)
            cursor = base + info.end
        if cursor > len(self.data):
            raise MalformedGgufError(f"tensors up to byte {cursor:,}, past the end of the file", cursor)
        if len(self.data) > self._padded(cursor):
            raise MalformedGgufError(f"{len(self.data) - cursor:,} bytes after the last tensor", cursor)
        self._check_padding(cursor, len(self.data))
        return base

    def _padded(self, offset: int) -> int:
        return offset + -offset % self.alignment

    def _check_padding(self, start: int, end: int) -> None:
        if end > len(self.data):
            raise MalformedGgufError("tensors past the end of the file", start)
        if self.data[start:end].strip(b"\x00"):
            raise MalformedGgufError("padding that is not zero", start)
