"""Publication: an output appears whole or not at all.

A local place changes by one rename; where something is already there, the two are exchanged in one step
(``renameat2`` with ``RENAME_EXCHANGE``), so that no reader ever finds the place empty or half-written. An object store
has no rename: there a mark is put first and a manifest last, and `interlock.evidence.snapshot` refuses a folder with
the mark, or one that is not what its manifest says.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from interlock.evidence.claims import claimed
from interlock.evidence.listing import SnapshotLimits, Source
from interlock.evidence.remote import remote_errors, remote_filesystem
from interlock.evidence.snapshot import MANIFEST_NAME, PUBLISHING_NAME, Sink, Snapshot, read_all
from interlock.gate.durable import sync
from interlock.gate.errors import UnavailableError, UsageError

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2


def publish_local(source: Source, target: Path, *, limits: SnapshotLimits, threads: int | None) -> Snapshot:
    """Copy `source` beside `target`, make it durable, and let it take `target`'s place in one step.

    Raises:
        SubjectError: The source is unreadable, unsafe, or changed while it was read.
        UnavailableError: The target cannot be written.
        UsageError: The target has no name.
    """
    if not target.name:
        raise UsageError("an output needs a name", where=str(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with claimed(target.parent, f".{target.name}.publishing-") as staging:
            content = staging / "content"
            snapshot = read_all(source, threads=threads, limits=limits, sink_for=lambda path: _durable(content / path))
            whole = content / snapshot.name if snapshot.single_file else content
            _sync_folders(content)
            _take_place(whole, target, staging / "before")
            sync(target.parent)
    except OSError as error:
        raise UnavailableError(
            f"the output cannot be written: {error.strerror}", where=str(target), next_step="check space and rights"
        ) from error
    return replace(snapshot, name=target.name, uri=target.as_uri())


def publish_remote(snapshot: Snapshot, content: Path, target: str) -> Snapshot:
    """Upload a staged, hashed copy to an object store, the manifest last.

    Args:
        snapshot: What `content` is.
        content: Private folder that holds the copy (for a single file: the folder around it).
        target: URL.

    Raises:
        UsageError: The URL's scheme is not one that can be published to.
        UnavailableError: The storage did not answer; what is there is refused by readers until published again.
    """
    files = remote_filesystem(target)
    root = str(files._strip_protocol(target)).rstrip("/")  # noqa: SLF001 - fsspec's documented idiom
    name = root.rpartition("/")[2]
    with remote_errors(target):
        if snapshot.single_file:
            files.put_file(str(content / snapshot.name), root)
            return replace(snapshot, name=name, uri=target)
        mark, manifest = f"{root}/{PUBLISHING_NAME}", f"{root}/{MANIFEST_NAME}"
        files.pipe_file(mark, b"")
        files.invalidate_cache()
        keep = {f"{root}/{entry.path}" for entry in snapshot.files} | {mark}
        stale = [key for key in files.find(root) if key not in keep]
        if stale:
            files.rm(stale)
        for entry in snapshot.files:
            files.put_file(str(content / entry.path), f"{root}/{entry.path}")
        files.pipe_file(manifest, snapshot.manifest())
        files.rm_file(mark)
        files.invalidate_cache()
    return replace(snapshot, name=name, uri=target)


@contextmanager
def _durable(place: Path) -> Iterator[Sink]:
    place.parent.mkdir(parents=True, exist_ok=True)
    stream: IO[bytes]
    with place.open("xb", buffering=0) as stream:
        yield stream
        os.fsync(stream.fileno())


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        sync(Path(folder))


def take_free_place(whole: Path, target: Path) -> None:
    """Give `whole` the name `target` unless something bears it already, in one step where the system can.

    Raises:
        FileExistsError: Something is there.
        OSError: It cannot be renamed.
    """
    if _renamed(whole, target, _RENAME_NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(target)
    whole.rename(target)  # a file system without that step


def _take_place(whole: Path, target: Path, before: Path) -> None:
    if not os.path.lexists(target):
        whole.rename(target)
    elif not _renamed(whole, target, _RENAME_EXCHANGE):
        target.rename(before)
        whole.rename(target)


def _renamed(one: Path, other: Path, how: int) -> bool:
    """Rename in one step, as only the system can (Linux 3.15, glibc 2.28); False where it cannot or does not."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    done = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), how)
    return bool(done == 0)
