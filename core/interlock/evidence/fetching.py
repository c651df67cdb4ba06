"""A copy of exactly the bytes that a digest names, or nothing.

For places where nothing of Interlock's deployment is at hand, such as the first container of a training pod: no
settings, no keys, no ledger. Whether these bytes may be used was decided where the digest comes from.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from interlock.evidence.claims import claimed
from interlock.evidence.listing import SnapshotLimits
from interlock.evidence.publish import publish_local, take_free_place
from interlock.evidence.snapshot import Snapshot
from interlock.evidence.sources import open_source
from interlock.gate.errors import SubjectError, UnavailableError, UsageError

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def fetch(uri: str, digest: str, target: Path) -> Snapshot:
    """Copy the subject at `uri` to `target` if its bytes are those of `digest`; otherwise `target` never appears.

    The digest is computed from the very bytes that are written, so nothing can change between the look and the use.

    Args:
        uri: Path or URL of a file or folder, untrusted.
        digest: ``sha256:`` and 64 hexadecimal digits: of the file, or of the folder's manifest.
        target: A place that does not exist; the copy is for everybody to read and for nobody to write.

    Raises:
        SubjectError: Missing, unreadable, unsafe, changed while it was read, or other bytes than `digest` names.
        UnavailableError: The storage did not answer, or the copy cannot be written.
        UsageError: `digest` has another form, or `target` exists or has no name.
    """
    wanted = _DIGEST.fullmatch(digest)
    if wanted is None:
        raise UsageError(f"{digest!r} is no digest", next_step="write sha256: and 64 hexadecimal digits")
    if not target.name or target.is_symlink() or target.exists():
        raise UsageError("the copy needs a place that does not exist", where=str(target))
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with claimed(target.parent, f".{target.name}.fetching-") as staging, open_source(uri) as source:
            copy = staging / "copy"
            snapshot = publish_local(source, copy, limits=SnapshotLimits(), threads=None)
            if snapshot.digest != wanted[1]:
                raise SubjectError(
                    f"the bytes are sha256:{snapshot.digest}, not {digest}",
                    where=uri,
                    next_step="find out who changed it, then run its gates on the bytes that are there now",
                )
            _for_reading(*copy.rglob("*"))
            take_free_place(copy, target)
            _for_reading(target)  # last: a folder that its owner may not write cannot be moved
    except OSError as error:
        raise UnavailableError(
            f"the copy cannot be written: {error.strerror}", where=str(target), next_step="check space and rights"
        ) from error
    return snapshot


def _for_reading(*paths: Path) -> None:
    """Whoever trains is another user than whoever fetched, as may be."""
    reading = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
    for path in paths:
        path.chmod(reading | 0o111 if path.is_dir() else reading)
