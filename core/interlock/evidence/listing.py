"""What a source of bytes may hold: the limits, the names and the protocol that local and remote sources share.

Everything here is written for a hostile source: names that leave the root and listings without end are refused.
"""

from __future__ import annotations

import unicodedata
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from interlock.gate.errors import SubjectError, UnsafeSubjectError

MAX_PATH_BYTES = 4096
"""PATH_MAX of Linux: a longer relative path could not be held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLimits:
    """How much a subject may be before it is refused as unsafe.

    Args:
        files: Number of files.
        bytes: Sum of all sizes.
        depth: Folders inside folders.
    """

    files: int = 1_000_000
    bytes: int = 4 << 40
    depth: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One file of a listing: its path relative to the root (empty for a single file) and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a source holds right now; nothing of it is trusted until the bytes are read and counted."""

    single_file: bool
    files: tuple[Listed, ...]


class Reader(Protocol):
    """The two methods that `hashlib.file_digest` needs."""

    def readinto(self, buffer: bytearray, /) -> int:
        """Fill `buffer` and say how many bytes; 0 at the end."""
        ...

    def readable(self) -> bool:
        """Whether it can be read."""
        ...


class Source(Protocol):
    """An opened subject, local or remote."""

    name: str
    uri: str
    workers: int

    def listing(self, limits: SnapshotLimits) -> Listing:
        """List all files.

        Raises:
            SubjectError: Missing, unreadable, unsafe, or past a limit.
            UnavailableError: The storage did not answer.
        """
        ...

    def open(self, path: str) -> AbstractContextManager[Reader]:
        """Open one listed file (the empty path when the source is a single file).

        Raises:
            SubjectError: It is gone, or something else than a regular file is there now.
            UnavailableError: The storage did not answer.
        """
        ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def checked_path(path: str, where: str) -> str:
    """Give back `path` if it stays below its root and can be shown to a person.

    Raises:
        UnsafeSubjectError: It is absolute, has ``..`` or empty parts, is no UTF-8, too long, or has control characters.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise UnsafeSubjectError("a path leaves its root", where=f"{where}: {path!r}", next_step="rename that file")
    try:
        length = len(path.encode())
    except UnicodeEncodeError as error:
        raise UnsafeSubjectError("a file name is not UTF-8", where=f"{where}: {path!r}") from error
    if length > MAX_PATH_BYTES:
        raise UnsafeSubjectError(f"a path is longer than {MAX_PATH_BYTES} bytes", where=f"{where}: {path[:80]!r}...")
    if any(unicodedata.category(character) == "Cc" for character in path):
        raise UnsafeSubjectError("a file name has control characters", where=f"{where}: {path!r}")
    return path


class Tally:
    """Counts files and bytes against the limits while a listing grows."""

    def __init__(self, limits: SnapshotLimits, where: str) -> None:
        self._limits = limits
        self._where = where
        self._bytes = 0
        self.files: list[Listed] = []

    def add(self, path: str, size: int) -> None:
        """Add one file.

        Raises:
            UnsafeSubjectError: The path is unsafe, or a limit is passed.
        """
        self.files.append(Listed(path=checked_path(path, self._where) if path else "", size=size))
        self._bytes += size
        if len(self.files) > self._limits.files:
            raise UnsafeSubjectError(f"more than {self._limits.files} files", where=self._where)
        if self._bytes > self._limits.bytes:
            raise UnsafeSubjectError(f"more than {self._limits.bytes} bytes", where=self._where)


def changed_while_read(where: str) -> SubjectError:
    """The error for bytes that moved under the reader."""
    return SubjectError("changed while it was read", where=where, next_step="stop what writes there, then run again")
