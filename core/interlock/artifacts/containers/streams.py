"""Scans compressed streams: what they expand to is scanned as a file of its own.

gzip (RFC 1952), zlib (RFC 1950), bzip2, xz, the older ``.lzma``, zstd (RFC 8878) and lz4 frames. joblib writes all but
zstd, and recognises them by their first bytes as this module does. Several streams in a row are read as one, as the
usual tools do; a reader that takes only the first sees a prefix of what was scanned.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.containers.expanders import (
    CHUNK,
    MAKERS,
    ZSTD_MAGIC,
    BrokenStreamError,
    expanded_zstd,
    is_skippable,
    step,
    zstd_frame,
)
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.file import probe_pickle
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, ScanHeld, hold

_LARGE: Final = 16 << 20
_FEED: Final = 1 << 16
_TRIED: Final = 4096
_MOST_SKIPPED: Final = 1000
_LONGEST_PADDING: Final = 1 << 16
_MAGICS: Final = (
    ("gzip", re.compile(rb"\x1f\x8b\x08")),
    ("bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", re.DOTALL)),
    ("xz", re.compile(rb"\xfd7zXZ\x00")),
    ("zstd", re.compile(re.escape(ZSTD_MAGIC))),
    ("lz4", re.compile(rb"\x04\x22\x4d\x18")),
)


def stream_format(data: Buffer, *, profile: Profile, record: Record) -> str:
    """Which stream these bytes start with, or an empty text.

    zlib and ``.lzma`` have no magic number, so they also have to expand, or to expand to a pickle that acts before
    they break: a reader that unpickles while it expands acts before it meets the damage.
    """
    form = _by_magic(data, 0)
    if form:
        return form
    head = data[:16]
    weak = "zlib" if _zlib_header(head) else "lzma" if _lzma_header(head) else ""
    if not weak:
        return ""
    content, expands = _tried(data[:_TRIED], weak, whole=len(data) <= _TRIED)
    if not expands and not (content and probe_pickle(content, path="", profile=profile, record=record).acts):
        return ""
    return weak


def _by_magic(data: Buffer, at: int) -> str:
    for _ in range(_MOST_SKIPPED):
        if not is_skippable(data[at : at + 4]):
            break
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    head = data[at : at + 16]
    return next((form for form, magic in _MAGICS if magic.match(head)), "")


def _zlib_header(head: bytes) -> bool:
    # RFC 1950, 2.2: method 8, window up to 32 KiB, check bits, no preset dictionary.
    if len(head) < 2 or head[0] & 15 != 8 or head[0] >> 4 > 7:
        return False
    return not head[1] & 32 and int.from_bytes(head[:2], "big") % 31 == 0


def _lzma_header(head: bytes) -> bool:
    # What liblzma's lzma_alone_decoder asks of a header when it has to guess ("picky").
    if len(head) < 13 or head[0] >= 225:
        return False
    dictionary = int.from_bytes(head[1:5], "little")
    size = int.from_bytes(head[5:13], "little")
    usual = dictionary == 0xFFFFFFFF or any(dictionary in (1 << bit, 3 << bit - 1) for bit in range(12, 32))
    return usual and (size == (1 << 64) - 1 or size < 1 << 38)


def _tried(head: bytes, form: str, *, whole: bool) -> tuple[bytes, bool]:
    """What the first bytes expand to, given one by one so that nothing is lost to an error; whether they do."""
    decompressor = MAKERS[form]()
    content = bytearray()
    try:
        for at in range(len(head)):
            content += step(decompressor, head[at : at + 1], CHUNK)
            if decompressor.eof:
                return bytes(content), True
    except (BrokenStreamError, LimitPassedError):
        return bytes(content), False
    return bytes(content), not whole


def scan_stream(data: Buffer, form: str, *, path: str, profile: Profile, record: Record, inner: ScanHeld) -> str:
    """Expand a stream and scan what comes out.

    Args:
        data: The whole file, unverified.
        form: See `stream_format`.
        path: For findings; what it expands to is named ``path!form``.
        profile: What pickles may do.
        record: Where findings go.
        inner: Scans the expanded bytes as a file.

    Returns:
        `form`.

    Raises:
        LimitPassedError: It expands too far, or a package that reads it is not there.
    """
    where = f"{path}!{form}"
    reading = _Reading(data, form, record)
    with hold(reading.content(), most=record.budget.limits.expanded_bytes) as expanded:
        if reading.problem:
            record.error(rules.STREAM, f"a broken {form} stream: {shown(reading.problem)}", path, reading.position)
            # A reader that unpickles while it expands has acted by then.
            if expanded:
                record.merge(probe_pickle(expanded, path=where, profile=profile, record=record).record)
        else:
            inner(expanded, where)
    if reading.position < len(data) and not reading.problem:
        behind = f"{len(data) - reading.position:,} bytes behind the {form} stream, which readers skip or refuse"
        record.error(rules.TRAILING_DATA, behind, path, reading.position)
    if reading.streams > 1:
        record.warning(rules.SEVERAL_STREAMS, f"{reading.streams:,} {form} streams in a row, read as one", path)
    record.looked(path)
    return form


class _Reading:
    """Expands all streams of a file; says afterwards how far it came."""

    def __init__(self, data: Buffer, form: str, record: Record) -> None:
        self.data = data
        self.form = form
        self.record = record
        self.position = 0
        self.streams = 0
        self.problem = ""
        self._total = 0

    def content(self) -> Iterator[bytes]:
        """The expanded bytes of every stream."""
        one = self._zstd_frame if self.form == "zstd" else self._stream
        try:
            while self.position < len(self.data) and (self.streams == 0 or self._another()):
                self.streams += 1
                if self.streams > self.record.budget.limits.members:
                    raise LimitPassedError(f"more than {self.record.budget.limits.members:,} streams in a row")
                self.record.budget.check_time()
                for chunk in one():
                    self._spend(len(chunk))
                    yield chunk
                self._skip_padding()
        except BrokenStreamError as error:
            self.problem = str(error)

    def _another(self) -> bool:
        if self.form in {"zlib", "lzma"}:
            head = self.data[self.position : self.position + 16]
            # `lzma.LZMAFile` and joblib's zlib reader go on with whatever starts a further stream.
            return _zlib_header(head) if self.form == "zlib" else _lzma_header(head)
        return _by_magic(self.data, self.position) == self.form

    def _spend(self, count: int) -> None:
        self._total += count
        self.record.budget.spend_bytes(count)
        limits = self.record.budget.limits
        if self._total > max(_LARGE, self.position * limits.expansion):
            raise LimitPassedError(f"expands more than {limits.expansion} times: a bomb, or nothing but zeros")

    def _stream(self) -> Iterator[bytes]:
        if self.form == "lz4" and is_skippable(self.data[self.position : self.position + 4]):
            self.position = zstd_frame(self.data, self.position).end
            return
        decompressor = MAKERS[self.form]()
        while not decompressor.eof:
            packed = self.data[self.position : self.position + _FEED]
            if not packed:
                raise BrokenStreamError("it is cut off")
            self.position += len(packed)
            self.record.budget.spend_bytes(len(packed))
            chunk = step(decompressor, packed)
            while chunk:
                yield chunk
                # More may be waiting inside.
                chunk = b"" if decompressor.eof else step(decompressor, b"")
        self.position -= len(decompressor.unused_data or b"")

    def _zstd_frame(self) -> Iterator[bytes]:
        frame = zstd_frame(self.data, self.position)
        self.record.budget.spend_bytes(frame.end - frame.start)
        self.position = frame.end
        if not frame.skippable:
            yield from expanded_zstd(io.BufferedReader(_Window(self.data, frame.start, frame.end)))

    def _skip_padding(self) -> None:
        """In xz only: whole words of zeros may stand behind a stream (The .xz File Format, 2.2)."""
        most = self.position + _LONGEST_PADDING
        while self.form == "xz" and self.position < most and self.data[self.position : self.position + 4] == bytes(4):
            self.position += 4


class _Window(io.RawIOBase):
    """A stretch of bytes as a file."""

    def __init__(self, data: Buffer, start: int, end: int) -> None:
        super().__init__()
        self._data, self._at, self._end = data, start, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self._at : min(self._end, self._at + len(buffer))]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
