"""Keeps Kingfisher's compiled rules: compiling them takes seconds, loading what was compiled a fraction of one.

They are compiled here, before the library sees a byte of a model, and read again only in the sandbox. Whoever may
write to the home folder may also replace the keys in it, so they are trusted as far as those.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from interlock.artifacts.privacy import child
from interlock.gate.settings import Settings

PACKAGE = "kingfisher-secret-scanner"
LARGEST = 64 << 20
"""Bytes of a compiled set of rules; it has less than 3 MiB in version 1.5."""


def compiled() -> dict[str, bytes]:
    """The compiled rules as files by name; none where they cannot be kept, and then each scan compiles them."""
    folder = Settings.load().home / "cache" / f"{PACKAGE}-{metadata.version(PACKAGE)}"
    try:
        if not folder.is_dir():
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".compiling-", dir=folder.parent) as work:
                made = Path(work, "rules")
                made.mkdir(mode=0o700)
                child.secret_rules(made)
                with suppress(OSError):  # somebody else was faster
                    made.rename(folder)
        return {path.name: path.read_bytes() for path in _entries(folder)}
    except OSError:
        return {}


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.stat().st_size <= LARGEST]
