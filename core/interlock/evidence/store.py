"""Held copies: bytes that stay what they were while a gate looks, a guard checks and a step reads.

`Store.open` is `interlock.gate.Opener`. It copies a subject into a private folder, computes the digest from the very
bytes that it writes, and shows the copy under its digest::

    <root>/incoming/<pid>-<random>/    being copied; swept when its owner is gone
    <root>/held/<key>/content/<...>    read-only copies; the key is the digest (and, for one file, its name)
    <root>/held/<key>/manifest.json    the files of a folder
    <root>/locks/<key>.lock            shared lock while somebody reads the copy

A copy that is already there is hashed again before it is used; one that does not match is replaced, never trusted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from interlock.evidence.claims import claimed, locked, remove_tree
from interlock.evidence.listing import SnapshotLimits, Source
from interlock.evidence.publish import publish_local, publish_remote
from interlock.evidence.region import region_of
from interlock.evidence.snapshot import FileEntry, Sink, Snapshot, manifest_files, read_all, take_snapshot
from interlock.evidence.sources import local_path, open_source
from interlock.gate.errors import SettingsError, SubjectError, UnavailableError
from interlock.gate.protocols import OpenSubject
from interlock.gate.values import utc_now

_CONTENT = "content"
_MANIFEST = "manifest.json"
_ATTEMPTS = 3


class Store:
    """Folder of held copies on this machine."""

    def __init__(
        self,
        root: Path,
        *,
        limits: SnapshotLimits | None = None,
        threads: int | None = None,
        region: str = "",
    ) -> None:
        """Nothing is written until the first `open`.

        Args:
            root: Folder, made private (mode 0700) when it is not there.
            limits: How much a subject may be.
            threads: How many files are copied at a time; by default as many as there are processors, 8 at most.
            region: Where this machine's own disks stand; an object store is asked itself.
        """
        self._root = root.expanduser().absolute()
        self._limits = limits or SnapshotLimits()
        self._threads = threads
        self._region = region

    @contextmanager
    def open(self, uri: str) -> Iterator[OpenSubject]:
        """Copy and digest the subject at `uri` and hold the copy for as long as the context lasts.

        Args:
            uri: Path, ``file://``, ``s3://`` or ``gs://`` URL, untrusted.

        Raises:
            SubjectError: Missing, unreadable, unsafe, or changed while it was read.
            UnavailableError: The storage did not answer, or the store is full.
            UsageError: The URL is not one that a subject may have.
            SettingsError: The store's folder cannot be used.
        """
        self._prepare()
        for attempt in range(_ATTEMPTS):
            known = self._known(uri) if attempt == 0 else None
            snapshot = known or self._fetch(uri)
            with locked(self._lock_of(_key(snapshot)), shared=True):
                # An old copy is hashed again, a fresh one was just hashed; either may have been pruned meanwhile.
                if self._holds(snapshot) if known is not None else (self._held / _key(snapshot)).is_dir():
                    self._remember(uri, snapshot)
                    yield replace(self._opened(snapshot), region=region_of(uri, here=self._region))
                    return
        raise UnavailableError("the held copy was removed again and again", where=uri, next_step="try again")

    def publish(self, source: str | Path, target: str) -> Snapshot:
        """Make the output file or folder at `source` appear at `target`, whole or not at all.

        A local target appears by one atomic rename (exchanged with what was there). A remote folder gets its manifest
        last, and is refused as a subject until it is there.

        Args:
            source: Local file or folder, untrusted: it is copied and hashed first, and only the copy is published.
            target: Path, ``file://``, ``s3://`` or ``gs://`` URL.

        Returns:
            What was published, under the target's name and URI.

        Raises:
            SubjectError: The source is missing, unreadable, unsafe, or changed while it was read.
            UnavailableError: The target's storage did not answer; nothing of the target is used by a reader.
            UsageError: The target is not one that can be published to.
        """
        path = local_path(target)
        with open_source(str(source)) as opened:
            if path is not None:
                return publish_local(opened, path, limits=self._limits, threads=self._threads)
            self._prepare()
            with claimed(self._incoming, "") as staging:
                held = self._copy(opened, staging)
                return publish_remote(held, staging / _CONTENT, target)

    def files_of(self, digest: str) -> tuple[FileEntry, ...]:
        """The files of a folder that this store holds, or nothing when it does not hold a folder of that digest.

        The manifest is hashed before it is read, so what is returned is what `digest` names.
        """
        try:
            text = (self._held / digest / _MANIFEST).read_bytes()
        except OSError:
            return ()
        if hashlib.sha256(text).hexdigest() != digest:
            return ()
        return manifest_files(text, where=digest)

    def prune(self, *, unused_for: timedelta) -> int:
        """Remove copies that nobody reads and nobody opened for a while.

        Args:
            unused_for: Copies opened more recently than this stay.

        Returns:
            How many copies went.
        """
        self._prepare()
        before = (utc_now() - unused_for).timestamp()
        removed = 0
        for entry in list(self._held.iterdir()):
            lock = self._lock_of(entry.name)
            with suppress(BlockingIOError), locked(lock, wait=False):
                if lock.stat().st_mtime <= before:
                    remove_tree(entry)
                    lock.unlink(missing_ok=True)
                    removed += 1
        return removed

    @property
    def _held(self) -> Path:
        return self._root / "held"

    @property
    def _incoming(self) -> Path:
        return self._root / "incoming"

    def _lock_of(self, key: str) -> Path:
        return self._root / "locks" / f"{key}.lock"

    def _hint_of(self, uri: str) -> Path:
        return self._root / "hints" / hashlib.sha256(uri.encode()).hexdigest()

    def _prepare(self) -> None:
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("held", "incoming", "locks", "hints"):
                (self._root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the store cannot be used: {error.strerror}",
                where=str(self._root),
                next_step="set `store` to a folder that this user may write",
            ) from error

    def _known(self, uri: str) -> Snapshot | None:
        """The snapshot of `uri` as it is now, if the store probably has it: then hashing is enough, without copying."""
        try:
            key = self._hint_of(uri).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        if not (self._held / Path(key).name).is_dir():
            return None
        snapshot = take_snapshot(uri, threads=self._threads, limits=self._limits)
        return snapshot if _key(snapshot) == key else None

    def _remember(self, uri: str, snapshot: Snapshot) -> None:
        """Note what `uri` was, only to save a copy next time: a wrong or lost note costs time, nothing else."""
        self._lock_of(_key(snapshot)).touch()
        with suppress(OSError):
            self._hint_of(uri).write_text(_key(snapshot), encoding="ascii")

    def _fetch(self, uri: str) -> Snapshot:
        try:
            with open_source(uri) as source, claimed(self._incoming, "") as staging:
                snapshot = self._copy(source, staging)
                if not self._holds(snapshot):
                    self._install(snapshot, staging)
        except OSError as error:
            raise UnavailableError(
                f"the store cannot be written: {error.strerror}", where=str(self._root), next_step="make room there"
            ) from error
        return snapshot

    def _copy(self, source: Source, staging: Path) -> Snapshot:
        content = staging / _CONTENT
        content.mkdir()
        snapshot = read_all(
            source, threads=self._threads, limits=self._limits, sink_for=lambda path: writing(content, path)
        )
        _make_read_only(content)
        if not snapshot.single_file:
            (staging / _MANIFEST).write_bytes(snapshot.manifest())
        return snapshot

    def _install(self, snapshot: Snapshot, staging: Path) -> None:
        """Move a fresh copy to its place, unless another process was faster; a damaged copy makes way."""
        place = self._held / _key(snapshot)
        with locked(self._root / "locks" / "install"):
            if place.exists() and self._holds(snapshot):
                return
            whole = staging / "whole"
            whole.mkdir(mode=0o700)
            for name in (_CONTENT, _MANIFEST):
                if (staging / name).exists():
                    # Moving a folder needs write permission on it, as its ".." changes.
                    (staging / name).chmod(0o700)
                    (staging / name).rename(whole / name)
            if place.exists():
                place.chmod(0o700)
                place.rename(staging / "damaged")
            whole.rename(place)
            _make_read_only(place)

    def _holds(self, snapshot: Snapshot) -> bool:
        """Hash the held copy again and compare it with what it should be."""
        content = self._held / _key(snapshot) / _CONTENT
        place = content / snapshot.name if snapshot.single_file else content
        try:
            found = take_snapshot(str(place), threads=self._threads, limits=self._limits)
        except SubjectError:
            return False
        return found.digest == snapshot.digest and found.single_file == snapshot.single_file

    def _opened(self, snapshot: Snapshot) -> OpenSubject:
        content = self._held / _key(snapshot) / _CONTENT
        if snapshot.single_file:
            return OpenSubject(subject=snapshot.subject, path=content / snapshot.name, files=("",))
        return OpenSubject(subject=snapshot.subject, path=content, files=tuple(entry.path for entry in snapshot.files))


def writing(root: Path, path: str) -> AbstractContextManager[Sink | None]:
    """Open a new file for writing below `root`, with its folders.

    Raises:
        UnavailableError: It cannot be made.
    """
    place = root / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return place.open("xb", buffering=0)
    except OSError as error:
        raise UnavailableError(f"a copy cannot be written: {error.strerror}", where=str(place)) from error


def _key(snapshot: Snapshot) -> str:
    """A single file keeps its name, because readers choose by its ending; so the name is a part of the key."""
    if not snapshot.single_file:
        return snapshot.digest
    return f"{snapshot.digest}.{hashlib.sha256(snapshot.name.encode()).hexdigest()[:8]}"


def _make_read_only(top: Path) -> None:
    for folder, _, files in os.walk(top, topdown=False):
        for name in files:
            (Path(folder) / name).chmod(0o400)
        Path(folder).chmod(0o500)
