"""Writing a file that a person asked for: whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from interlock.gate import UsageError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write, fsync, rename: a reader sees the old file or the whole new one.

    Args:
        path: Where to; an existing file is replaced.
        content: Text is written as UTF-8.

    Raises:
        UsageError: The place cannot be written; nothing is left behind.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(f"the file cannot be written: {error.strerror}", where=str(path)) from error
