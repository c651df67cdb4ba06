"""Holds the bytes of one file so that they can be indexed and searched without reading them whole.

A mapped file that somebody else shortens kills the process that reads it. That cannot happen to what a gate is given:
an opener's private, read-only copy.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from interlock.gate.errors import SubjectError

Buffer: TypeAlias = bytes | mmap.mmap
"""Bytes that can be indexed, sliced and searched without a copy of the whole."""

_SMALL = 64 << 20


@contextmanager
def open_bytes(path: Path) -> Iterator[Buffer]:
    """The bytes of a regular file: read if it is small, mapped if it is large.

    Raises:
        SubjectError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size <= _SMALL:
                yield file.read(_SMALL)
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                yield mapped
    except OSError as error:
        raise SubjectError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def release(data: Buffer, start: int, end: int) -> None:
    """Give pages that will not be read again back, so that a scan of a large file stays small in memory."""
    if isinstance(data, mmap.mmap):
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        if end > first:
            data.madvise(mmap.MADV_DONTNEED, first, end - first)
