"""Holds the texts of one subject until all files were scanned: what the scan read as text, archives' members too."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 1 << 30
"""Bytes of all texts together."""


@dataclass(slots=True)
class Texts:
    """A folder of texts, each under its number in `paths`; a context, at whose end the folder is gone.

    Args:
        prefix: Stands before each path that is added from now on.

    `left_out` are the paths for which there was no room.
    """

    prefix: str = ""
    paths: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    _bytes: int = 0
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Texts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def folder(self) -> Path | None:
        """Where they are; None while there are none."""
        return Path(self._folder.name) if self._folder is not None else None

    def add(self, text: str, path: str) -> None:
        """Keep a text.

        Args:
            text: Unverified, and small enough to be held in memory.
            path: Of the file or member.
        """
        data = text.encode()
        if self._bytes + len(data) > LARGEST:
            self.left_out.append(self.prefix + path)
            return
        self._bytes += len(data)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="interlock-")
        Path(self._folder.name, str(len(self.paths))).write_bytes(data)
        self.paths.append(self.prefix + path)
