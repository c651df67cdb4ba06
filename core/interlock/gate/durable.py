"""What was written must be there after a crash: the last step of "write, fsync, rename" is to sync the folder."""

from __future__ import annotations

import os
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
