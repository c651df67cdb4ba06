"""Holds the bytes of one file so that they can be indexed and searched without reading them whole.

A mapped file that somebody else shortens kills the process that reads it. That cannot happen to what a gate is given:
an opener's private, read-only copy.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from interlock.artifacts.limits import LimitPassedError
from interlock.gate.errors import SubjectError

_SMALL = 64 << 20
_STRETCH = 1 << 17
"""Memory of this size is used again and again; that of a larger piece is new to the process each time."""


class MappedFile(mmap.mmap):
    """A large file, mapped for looking things up; long stretches are read, which keeps no pages in memory."""

    descriptor: int


Buffer: TypeAlias = bytes | MappedFile
"""Bytes that can be indexed, sliced and searched without a copy of the whole."""

ScanHeld: TypeAlias = Callable[[Buffer, str], str]
"""Scans held bytes as a file of their own, under a path; gives the format that they were recognised as."""


@contextmanager
def open_bytes(path: Path, *, small: int = _SMALL) -> Iterator[Buffer]:
    """The bytes of a regular file: read if it is small, mapped if it is large.

    Args:
        path: Of the file.
        small: Bytes up to which it is read; an empty file cannot be mapped.

    Raises:
        SubjectError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= small:
                yield file.read(small)
                return
            with MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                mapped.descriptor = file.fileno()
                yield mapped
    except OSError as error:
        raise SubjectError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


@contextmanager
def hold(chunks: Iterable[bytes], *, most: int) -> Iterator[Buffer]:
    """Bytes that come out of a container, held to be scanned: in memory while they are few, else in a nameless file.

    Args:
        chunks: The bytes in order, unverified; what they raise passes through.
        most: Bytes that may be held.

    Raises:
        LimitPassedError: There are more, or there is no room on the disk.
    """
    few = bytearray()
    file: IO[bytes] | None = None
    total = 0
    with ExitStack() as stack:
        try:
            for chunk in chunks:
                total += len(chunk)
                if total > most:
                    raise LimitPassedError(f"expands to more than {most:,} bytes")
                if total <= _SMALL:
                    few += chunk
                    continue
                if file is None:
                    file = stack.enter_context(tempfile.TemporaryFile(prefix="interlock-"))
                    file.write(few)
                    few = bytearray()
                file.write(chunk)
            if file is not None:
                file.flush()
        except OSError as error:
            raise LimitPassedError(f"what it expands to cannot be held on the disk: {error.strerror}") from error
        if file is None:
            yield bytes(few)
            return
        with MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            mapped.descriptor = file.fileno()
            yield mapped


def stretches(data: Buffer, start: int, end: int) -> Iterator[bytes]:
    """The bytes from `start` to `end` in pieces."""
    for at in range(start, end, _STRETCH):
        after = min(at + _STRETCH, end)
        yield os.pread(data.descriptor, after - at, at) if isinstance(data, MappedFile) else data[at:after]


def find_newline(data: Buffer, start: int, end: int) -> int:
    """Offset of the first newline in a stretch, or -1; holes of a sparse file, which are zeros, cost nothing."""
    if isinstance(data, bytes):
        return data.find(b"\n", start, end)
    at = _behind_hole(data, start)
    while at < end:
        piece = os.pread(data.descriptor, min(_STRETCH, end - at), at)
        found = piece.find(b"\n")
        if found >= 0:
            return at + found
        at = _behind_hole(data, at + len(piece))
    return -1


def _behind_hole(data: MappedFile, at: int) -> int:
    """The first offset from `at` on that the file system keeps bytes for, or the end of the file."""
    try:
        return os.lseek(data.descriptor, at, os.SEEK_DATA)
    except OSError as error:
        # lseek(2): ENXIO where nothing but a hole follows; any other error means that holes are not told here.
        return len(data) if error.errno == errno.ENXIO else at
