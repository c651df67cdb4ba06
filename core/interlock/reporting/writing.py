"""Writing a file that a person asked for: whole, or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

from interlock.gate import UsageError
from interlock.gate.durable import replacing


def target_of(path: Path) -> Path:
    """Find the file that a path stands for, behind all links.

    Args:
        path: As a person gave it; the file need not exist.

    Returns:
        Where to write. A rename onto `path` itself would put a file in the place of a link.

    Raises:
        UsageError: Something is there that is no regular file, so that a rename would destroy a device, a pipe or a
            socket; or the links lead in a circle, or to a file without a name.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return _resolved(path)
    except OSError as error:
        raise UsageError(f"the file cannot be written: {error.strerror}", where=str(path)) from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(
            "that is no regular file, and a report takes the place of what is there",
            where=str(path),
            next_step="name a file, or leave --out away and redirect standard output instead",
        )
    target = _resolved(path)
    if not target.exists() or not target.samefile(path):  # /proc/self/fd/3 of a file that was deleted
        raise UsageError("that file has no name any more", where=str(path), next_step="name another file")
    return target


def write_whole(path: Path, content: str | bytes) -> None:
    """Write, fsync, rename: a reader sees the old file or the whole new one.

    Args:
        path: Where to; an existing file is replaced, and a link is followed.
        content: Text is written as UTF-8.

    Raises:
        UsageError: The place cannot be written, or is no regular file; nothing unfinished is left behind.
    """
    target = target_of(path)
    try:
        with replacing(target) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"the file cannot be written: {error.strerror}", where=str(path)) from error


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, up to Python 3.12
        raise UsageError("links lead in a circle there", where=str(path), next_step="name a file") from error
