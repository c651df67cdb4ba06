"""Where a model may say that another of its files is: beside it or below, written so that every system agrees."""

from __future__ import annotations

from pathlib import PurePosixPath

_ODD = frozenset('\\:*?"<>|\ufffd')


def stays_beside(location: str) -> bool:
    """Whether a relative path leads nowhere but to a file beside the one that names it, or below.

    No absolute path, parent, drive, URL, home, empty part, and no character that some system or loader takes for more
    (ONNX Runtime takes ``*/_ORT_MEM_ADDR_/*`` for an address in its own memory).
    """
    parts = location.split("/")
    parts = parts[1:] if parts[0] == "." else parts
    return location.isprintable() and not _ODD.intersection(location) and not {"", ".", "..", "~"}.intersection(parts)


def path_beside(path: str, location: str) -> str:
    """Path in the subject of what a file at `path` calls `location`; empty inside of an archive, where none is."""
    return "" if "!" in path else str(PurePosixPath(path).parent / PurePosixPath(location))
