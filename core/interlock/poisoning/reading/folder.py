"""The held folder around a manifest: what its paths may name, and nothing else.

A manifest is written by whoever made the data. A path in it that leaves the subject would let it show the scan one
file and training another, or read a file of this machine into a report.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from interlock.gate import OpenSubject, SubjectError, UnsafeSubjectError
from interlock.poisoning.reading.limits import short


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The files of a held subject.

    Args:
        path: Of the folder; of the file when the subject is one file.
        files: Paths relative to it; empty when the subject is one file.
    """

    path: Path
    files: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, opened: OpenSubject) -> Folder:
        """The files of `opened`."""
        return cls(path=opened.path, files=frozenset(file for file in opened.files if file))

    def named(self, text: str, *, manifest: str, shown: str) -> str | None:
        """The file that a manifest means, relative to the subject; None when there is none of that name.

        Args:
            text: What stands in the manifest, untrusted; relative to the manifest's folder.
            manifest: The manifest, relative to the subject.
            shown: Its name for people.

        Raises:
            UnsafeSubjectError: It leaves the subject.
            SubjectError: The subject is the manifest alone.
        """
        parts = PurePosixPath(text).parts
        if "://" in text or text.startswith("/") or ".." in parts or "\0" in text or PureWindowsPath(text).drive:
            raise UnsafeSubjectError(
                f"the path {short(text)!r} leaves the dataset",
                where=shown,
                next_step="keep the images in the manifest's folder and name them by relative paths",
            )
        if not self.files:
            raise SubjectError(
                "the images that it names are no part of the subject",
                where=shown,
                next_step="give the folder that holds both the manifest and the images",
            )
        name = posixpath.normpath(posixpath.join(posixpath.dirname(manifest), text))
        if name not in self.files:
            return None
        if not (self.path / name).resolve().is_relative_to(self.path.resolve()):
            raise UnsafeSubjectError(f"{short(name)!r} is a link that leaves the dataset", where=shown)
        return name
