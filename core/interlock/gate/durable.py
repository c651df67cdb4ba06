"""What was written must be there after a crash: write beside, fsync, rename, and last sync the folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path


def sync(path: Path) -> None:
    """Let a file's bytes, or the names in a folder, reach the disk.

    Args:
        path: A file or folder of one's own; a link is followed.

    Raises:
        OSError: It is not there, or the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[BufferedRandom]:
    """A new file that takes the place of `path`, durable, when the block ends well; nothing of it stays when not.

    Until then it lies beside `path` under a name that nobody can know before, so that no link waits there.

    Args:
        path: Replaced itself where it is a link.

    Yields:
        The open file, to write, and to read what was written.

    Raises:
        OSError: It cannot be written; or, after the rename, its name does not reach the disk.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    new = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, new, 0o666)  # less the umask
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)
