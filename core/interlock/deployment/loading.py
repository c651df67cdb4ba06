"""What a ClusterStorageContainer of ours does: load a model only if its bytes are those that its place is named by.

KServe gives it the place and an empty folder, and starts the model server only when it ends well. No settings, no keys,
no ledger: which digest may be served was decided where the place comes from.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from interlock.deployment.kserve import digest_in
from interlock.evidence.fetching import fetch
from interlock.evidence.snapshot import Snapshot
from interlock.gate import UnavailableError, UsageError


def load_model(place: str, folder: Path) -> Snapshot:
    """Copy the model at `place` into `folder`, or leave the folder empty.

    Args:
        place: URL or path with one step ``sha256-<digest>``; untrusted.
        folder: Empty, or not there yet. A model of one file lies in it under its own name.

    Raises:
        UsageError: `place` names no digest, or there is something in `folder`.
        SubjectError: Missing, unreadable, unsafe, or other bytes than those that it is named by.
        UnavailableError: The storage did not answer, or the copy cannot be written.
    """
    digest = digest_in(place)
    if not digest:
        raise UsageError(
            "the place is not named by a digest",
            where=place,
            next_step="serve a version of the registry: sha256-<digest>",
        )
    step, _, file = place.rpartition("/")
    single = digest_in(step) == digest
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError("there is something in the folder already", where=str(folder))
        staging = folder / ".interlock-loading"
        try:
            snapshot = fetch(place, f"sha256:{digest}", staging / (file if single else "model"))
            _move_up(staging if single else staging / "model", folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise UnavailableError(
            f"the model cannot be written: {error.strerror}", where=str(folder), next_step="check space and rights"
        ) from error
    return snapshot


def _move_up(source: Path, folder: Path) -> None:
    """Into the folder that KServe mounted, which cannot be replaced itself; the copy is read-only until then."""
    source.chmod(0o755)
    for entry in sorted(source.iterdir()):
        mode = entry.stat().st_mode
        entry.chmod(mode | 0o200)  # a folder that its owner may not write cannot be moved
        moved = entry.rename(folder / entry.name)
        moved.chmod(mode)
