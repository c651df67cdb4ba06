"""Proof that a worker reads the bytes that the driver holds.

On one machine a file is told by its inode, size and time of change: the held copy is private and read-only, and reading
it twice to hash it would cost as much as the scan. A worker on another machine opens what its own file system shows
under the same path, so there the driver's manifest counts: the worker hashes a file before it reads from it, and looks
after reading whether it is still that file.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.gate import OpenSubject, SubjectError, UsageError

Identity = tuple[int, int, int, int]
"""Device, inode, bytes, and nanoseconds of the last change: what a file is to one machine."""

_hashed: dict[tuple[str, Identity], str] = {}
"""What this process hashed already; a worker gets many shares of one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What one held file is.

    Args:
        sha256: Of its bytes; empty where the machine's own `identity` of it is enough.
        identity: On the driver's machine.
    """

    sha256: str
    identity: Identity


def sealed(opened: OpenSubject, files: Sequence[str], *, hashed: bool) -> dict[str, Seal]:
    """What each of the files is now.

    Args:
        opened: The held subject.
        files: Paths relative to it.
        hashed: True for workers that may be on other machines.

    Raises:
        SubjectError: The held bytes are not those of the subject's digest.
    """
    digests: dict[str, str] = _manifest(opened) if hashed else {}
    return {file: Seal(sha256=digests.get(file, ""), identity=_identity(opened.path / file)) for file in files}


def check(path: Path, shown: str, seal: Seal) -> None:
    """Refuse a file that is not the one that the driver holds.

    Args:
        path: What this process would read.
        shown: Its name for people.
        seal: The driver's.

    Raises:
        UsageError: It cannot be opened here.
        SubjectError: It holds other bytes.
    """
    here = socket.gethostname()
    try:
        same = _sha256(path) == seal.sha256 if seal.sha256 else _identity(path) == seal.identity
    except OSError as error:
        raise UsageError(
            f"the worker on {here} cannot open {path}: {error.strerror}",
            where=shown,
            next_step="let every node mount the store (setting `store`) at the same path and run as the same user, or "
            "scan with the engine local",
        ) from error
    if not same:
        raise SubjectError(
            f"the worker on {here} finds other bytes than this process holds",
            where=shown,
            next_step="let every node mount one and the same store",
        )


def _manifest(opened: OpenSubject) -> dict[str, str]:
    from interlock.evidence import take_snapshot

    snapshot = take_snapshot(str(opened.path))
    if snapshot.digest != opened.subject.digest:
        raise SubjectError("the held copy changed", where=opened.subject.uri, next_step="run again")
    if snapshot.single_file:
        return {"": snapshot.digest}
    return {entry.path: entry.sha256 for entry in snapshot.files}


def _sha256(path: Path) -> str:
    before = _identity(path)
    key = (str(path), before)
    if key not in _hashed:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        _hashed[key] = digest if _identity(path) == before else ""
    return _hashed[key]


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
