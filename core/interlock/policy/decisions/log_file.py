"""The decision log as JSON lines, in a file or on standard output.

A line is there whole or not at all, whatever happens and however many processes write: each holds the file's lock for
its one write, takes half a line back that a full disk left, and starts afresh behind a line that a killed writer did
not end.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from pathlib import Path

from interlock.gate.errors import UnavailableError

STANDARD_OUTPUT = "-"


class LineFile:
    """Appends lines to one place.

    Args:
        place: Path of the file, made with mode 0600 when it is not there; ``-`` is standard output.
    """

    def __init__(self, place: str) -> None:
        self._place = place

    def write(self, line: str) -> None:
        """Append one line; it is durable when this returns (where the place is a file).

        Args:
            line: JSON without a line break.

        Raises:
            UnavailableError: It cannot be written; the place holds no part of it.
        """
        try:
            if self._place == STANDARD_OUTPUT:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
            else:
                _append(Path(self._place).expanduser(), f"{line}\n".encode())
        except (OSError, ValueError) as error:  # ValueError: standard output is closed
            raise UnavailableError(
                f"the decision log cannot be written: {getattr(error, 'strerror', None) or error}",
                where=self._place,
                next_step="make room and check the rights there, or change setting `decision_log`",
            ) from error


def _append(place: Path, line: bytes) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(place, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a device or a pipe has neither an end nor a lock
            _write(descriptor, line)
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            _write(descriptor, line)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
