"""The value that an `Opener` gives and a `Gate` looks at; apart from them, so that a scan alone loads no more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interlock.gate.values import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSubject:
    """A subject whose bytes are held still: a private, read-only copy whose digest was computed from that copy.

    Args:
        subject: Its name and digest.
        path: A local file or folder; trusted to be the bytes that `subject.digest` names, untrusted in content.
        files: Paths relative to `path`, sorted; ``("",)`` when the subject is a single file.
        region: Where the storage it came from stands, for example ``eu-central-1``; empty where nobody can say.
    """

    subject: Subject
    path: Path
    files: tuple[str, ...]
    region: str = ""
