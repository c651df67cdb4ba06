"""One interface over the decompressors of the standard library and of the extra ``artifacts``.

Each hands out a bounded number of bytes a call, so that a bomb costs no memory, and says where its stream ended.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from interlock.artifacts.limits import LimitPassedError

CHUNK: Final = 1 << 18
_MOST_MEMORY: Final = 256 << 20
"""Bytes that a stream's dictionary may take; ``xz -9`` takes 65 MiB."""
_MISSING: Final = "install interlock[artifacts], which brings {0}, or expand the file and scan what comes out"


class BrokenStreamError(Exception):
    """The packed bytes are no whole stream; `str()` says why."""


class Decompressor(Protocol):
    """What `bz2.BZ2Decompressor`, `lzma.LZMADecompressor` and lz4's have in common."""

    @property
    def eof(self) -> bool:
        """The stream ended."""
        ...

    @property
    def unused_data(self) -> bytes | None:
        """What was given and stands behind the stream's end."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` bytes more."""
        ...


class _Zlib:
    """zlib's decompressor, which leaves it to the caller to keep what it did not take."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits=wbits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _lz4() -> Decompressor:
    try:
        import lz4.frame  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise LimitPassedError("lz4 streams cannot be read: " + _MISSING.format("lz4")) from error
    frame: Any = lz4.frame
    made: Decompressor = frame.LZ4FrameDecompressor()
    return made


MAKERS: Final[dict[str, Callable[[], Decompressor]]] = {
    "gzip": lambda: _Zlib(wbits=16 + zlib.MAX_WBITS),
    "zlib": lambda: _Zlib(wbits=zlib.MAX_WBITS),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MOST_MEMORY),
    "lz4": _lz4,
}
"""Format to a fresh decompressor of one stream; zstd is read by `expanded_zstd`."""


def step(decompressor: Decompressor, packed: bytes, most: int = CHUNK) -> bytes:
    """Give it `packed` and take at most `most` bytes.

    Raises:
        BrokenStreamError: It cannot be expanded.
        LimitPassedError: It wants too much memory.
    """
    try:
        return decompressor.decompress(packed, most)
    except lzma.LZMAError as error:
        if "emory usage limit" in str(error):
            raise LimitPassedError(f"a stream that needs more than {_MOST_MEMORY:,} bytes to be expanded") from error
        raise BrokenStreamError(str(error)) from error
    # lz4 raises RuntimeError; EOFError is a call after the end.
    except (zlib.error, OSError, ValueError, RuntimeError, EOFError) as error:
        raise BrokenStreamError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where one zstd frame lies.

    Args:
        start: Offset of its magic number.
        end: Offset after it.
        skippable: It holds nothing that a reader expands.
    """

    start: int
    end: int
    skippable: bool


ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def is_skippable(head: bytes) -> bool:
    """Whether bytes start as a skippable frame (RFC 8878, 3.1.2); lz4 has the same ones."""
    return len(head) >= 4 and head[0] & 0xF0 == 0x50 and head[1:4] == b"\x2a\x4d\x18"


def zstd_frame(data: Any, start: int) -> Frame:
    """Find the end of a zstd frame by its block headers, which costs nothing however far it expands.

    Source: RFC 8878, 3.1.1.

    Args:
        data: Anything that can be sliced; unverified.
        start: Offset of the magic number.

    Raises:
        BrokenStreamError: It is cut off or uses something reserved.
        LimitPassedError: It needs a dictionary.
    """
    if is_skippable(data[start : start + 4]):
        end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        if start + 8 > len(data) or end > len(data):
            raise BrokenStreamError("a skippable frame that is cut off")
        return Frame(start=start, end=end, skippable=True)
    descriptor = int.from_bytes(data[start + 4 : start + 5], "little")
    content_flag, single, checksum, dictionary = descriptor >> 6, descriptor & 32, descriptor & 4, descriptor & 3
    if descriptor & 8:
        raise BrokenStreamError("a frame header with its reserved bit set")
    if dictionary:
        raise LimitPassedError("a zstd stream that needs a dictionary")
    at = start + 5 + (0 if single else 1) + ((1 if single else 0), 2, 4, 8)[content_flag]
    last = False
    while not last:
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else size)
        if kind == 3 or at > len(data):
            raise BrokenStreamError("a block that is cut off or of the reserved type")
    at += 4 if checksum else 0
    if at > len(data):
        raise BrokenStreamError("a checksum that is cut off")
    return Frame(start=start, end=at, skippable=False)


def expanded_zstd(source: BinaryIO) -> Iterator[bytes]:
    """The content of one zstd frame in chunks.

    Args:
        source: Gives exactly the frame; unverified.

    Raises:
        BrokenStreamError: It cannot be expanded.
        LimitPassedError: It wants too much memory, or the package is not there.
    """
    try:
        import zstandard
    except ImportError as error:
        raise LimitPassedError("zstd streams cannot be read: " + _MISSING.format("zstandard")) from error
    reader: Any = zstandard.ZstdDecompressor(max_window_size=_MOST_MEMORY >> 1).stream_reader(
        source, read_across_frames=False
    )
    try:
        while chunk := reader.read(CHUNK):
            yield chunk
    except zstandard.ZstdError as error:
        if "too much memory" in str(error):
            raise LimitPassedError(f"a stream that needs more than {_MOST_MEMORY >> 1:,} bytes of window") from error
        raise BrokenStreamError(str(error)) from error
