"""The folder of checkpoints: each one there whole or not at all, and opened only as the bytes that were verified.

A checkpoint grows under a name that begins with a dot, every byte of it reaches the disk, and then one rename(2) shows
it. There is no pointer to the newest one that could be torn: the newest is the highest number among the folders that
have their final name. Reading takes the bytes into private memory, verifies those, and never goes back to the file.
"""

from __future__ import annotations

import mmap
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interlock.evidence.claims import locked
from interlock.gate.documents import timestamp
from interlock.gate.durable import sync
from interlock.gate.errors import SignatureError, SubjectError, UnavailableError
from interlock.gate.values import utc_now
from interlock.training.checkpoints.digests import RunningDigest
from interlock.training.checkpoints.keys import LineageKey
from interlock.training.checkpoints.manifest import LARGEST, MANIFEST, SIGNATURE, Manifest, StoredFile, signed, verified
from interlock.training.checkpoints.sealing import SCHEME, SUFFIX, opened, sealed

DAMAGE = (SubjectError, SignatureError)
"""What a checkpoint that may not be used raises."""

_COMPLETE = re.compile(r"(\d{8})-step-(\d{1,18})\Z")
_WRITING, _REMOVING, _LOCK = ".writing-", ".removing-", ".lock"
_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose signature holds.

    Args:
        place: Its folder.
        manifest: What it is made of.
    """

    place: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        """How far the training was."""
        return self.manifest.step

    @property
    def digest(self) -> str:
        """sha256 of its manifest."""
        return self.manifest.digest


def complete(folder: Path) -> tuple[Path, ...]:
    """The folders of complete checkpoints, the newest first; nothing about them is verified."""
    try:
        names = [name for name in os.listdir(folder) if _COMPLETE.match(name)]  # noqa: PTH208 (the names are wanted)
    except FileNotFoundError:
        return ()
    return tuple(folder / name for name in sorted(names, reverse=True))


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep others from removing checkpoints while one is read."""
    with locked(folder / _LOCK, shared=True):
        yield


def write(
    folder: Path,
    *,
    step: int,
    parent: str,
    files: Mapping[str, Iterable[memoryview]],
    key: LineageKey,
    seal: bool,
    keep: int,
) -> Checkpoint:
    """Add a checkpoint, and remove all but the newest `keep`.

    Args:
        folder: Made when it is not there.
        step: How far the training is.
        parent: Digest of the checkpoint that the training went on from; empty for the first.
        files: The content of each file by its name.
        key: The lineage's.
        seal: Whether the files are sealed.
        keep: At least 1.

    Raises:
        UnavailableError: The disk did not take it; the checkpoints before it are as they were.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / _LOCK):
            _sweep(folder)
            begun = Manifest(
                sequence=_highest(folder) + 1, step=step, files=(), parent=parent, created=timestamp(utc_now())
            )
            place = folder / f"{_WRITING}{secrets.token_hex(8)}"
            place.mkdir(mode=0o700)
            try:
                manifest = _written(place, begun, files=files, key=key, seal=seal)
                place.rename(folder / manifest.folder)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
            sync(folder)
            _prune(folder, keep)
    except OSError as error:
        raise UnavailableError(
            f"the checkpoint could not be written: {error.strerror}",
            where=str(folder),
            next_step="make room, or raise the limit on the folder of checkpoints",
        ) from error
    return Checkpoint(place=folder / manifest.folder, manifest=manifest)


def _highest(folder: Path) -> int:
    return max((int(place.name[:8]) for place in complete(folder)), default=0)


def _written(
    place: Path, manifest: Manifest, *, files: Mapping[str, Iterable[memoryview]], key: LineageKey, seal: bool
) -> Manifest:
    stored: list[StoredFile] = []
    with ThreadPoolExecutor(1) as syncing:
        waiting: list[Future[None]] = []
        for name, pieces in files.items():
            content: Iterable[memoryview] = pieces
            if seal:
                content = map(memoryview, sealed(pieces, key=key.sealing, name=_bound(manifest, name)))
            file = _write_file(place / (name + SUFFIX if seal else name), content)
            stored.append(file)
            # Beside the writing of the next file: the disk works while tensors are copied and digested.
            waiting.append(syncing.submit(sync, place / file.name))
        for done in waiting:
            done.result()
    manifest = replace(manifest, files=tuple(stored), scheme=SCHEME if seal else "")
    for name, text in ((MANIFEST, manifest.content), (SIGNATURE, signed(manifest, key))):
        _write_file(place / name, [memoryview(text)])
        sync(place / name)
    sync(place)
    return manifest


def _bound(manifest: Manifest, name: str) -> str:
    """What sealed bytes are bound to: they open in their own checkpoint, as their own file."""
    return f"{manifest.folder}/{name}"


def _write_file(path: Path, pieces: Iterable[memoryview]) -> StoredFile:
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, new, 0o600)
    size = 0
    try:
        with RunningDigest() as digest:
            for piece in pieces:
                digest.feed(piece)
                at = 0
                while at < len(piece):
                    at += os.write(descriptor, piece[at : at + _CHUNK])
                size += at
    finally:
        os.close(descriptor)
    return StoredFile(name=path.name, sha256=digest.hexdigest(), size=size)


def _sweep(folder: Path) -> None:
    """Remove what a killed training left half written or half removed; the lock says that no other one is at it."""
    for name in os.listdir(folder):  # noqa: PTH208 (the names are wanted)
        if name.startswith((_WRITING, _REMOVING)):
            shutil.rmtree(folder / name)


def _prune(folder: Path, keep: int) -> None:
    for place in complete(folder)[keep:]:
        # Out of sight by one rename first: what is removed in parts must never look complete.
        leaving = folder / f"{_REMOVING}{secrets.token_hex(8)}"
        place.rename(leaving)
        shutil.rmtree(leaving)


def look(place: Path, key: LineageKey) -> Checkpoint:
    """A checkpoint whose signature holds; its files are not read yet.

    Raises:
        SignatureError: The lineage's key did not sign it.
        SubjectError: It is no folder of a checkpoint, or another one than its name says.
    """
    with _folder(place) as inside:
        return _looked(inside, place, key)


def verify(place: Path, key: LineageKey) -> Checkpoint:
    """Verify signature and every byte, and hold none of them: for whoever looks from outside.

    Raises:
        SignatureError: As `look`.
        SubjectError: As `look`, or a file is not the one that was signed.
    """
    with _folder(place) as inside:
        found = _looked(inside, place, key)
        for file in found.manifest.files:
            with _file(inside, file, place) as descriptor, RunningDigest() as digest:
                while piece := os.read(descriptor, _CHUNK):
                    digest.feed(memoryview(piece))
            _check(digest, file, place)
    return found


def read(place: Path, key: LineageKey) -> tuple[Checkpoint, dict[str, Any]]:
    """The content of every file by its plain name, as exactly the bytes that were verified.

    All of them are verified before the first one is given out. Needs as much memory as they are large.

    Raises:
        SignatureError: As `look`.
        SubjectError: As `verify`, or a sealed file does not open.
    """
    held: dict[str, Any] = {}
    with _folder(place) as inside:
        found = _looked(inside, place, key)
        for file in found.manifest.files:
            held[file.name] = _read_file(inside, file, place)
    if not found.manifest.scheme:
        return found, held
    if found.manifest.scheme != SCHEME:
        raise SubjectError(f"this version cannot open {found.manifest.scheme!r}", where=str(place))
    plain = {name.removesuffix(SUFFIX): memoryview(data) for name, data in held.items()}
    return found, {
        name: opened(data, key=key.sealing, name=_bound(found.manifest, name)) for name, data in plain.items()
    }


def _looked(inside: int, place: Path, key: LineageKey) -> Checkpoint:
    content, envelope = (_small(inside, name, where=place) for name in (MANIFEST, SIGNATURE))
    manifest = verified(content, envelope, key, where=str(place))
    if manifest.folder != place.name:
        raise SubjectError(f"it is the checkpoint {manifest.folder} under another name", where=str(place))
    expected = {MANIFEST, SIGNATURE, *(file.name for file in manifest.files)}
    odd = expected ^ set(os.listdir(inside))
    if odd:
        what = "lacks" if min(odd) in expected else "holds, unsigned,"
        raise SubjectError(f"the checkpoint {what} {min(odd)!r}", where=str(place))
    return Checkpoint(place=place, manifest=manifest)


@contextmanager
def _folder(place: Path) -> Iterator[int]:
    """A descriptor of the folder, so that all files come out of the same one."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SubjectError(f"the checkpoint cannot be read: {error.strerror}", where=str(place)) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _open(inside: int, name: str, place: Path) -> Iterator[tuple[int, int]]:
    """A regular file and its size; a link, a FIFO or a device is none."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=inside)
    except OSError as error:
        raise SubjectError(f"the checkpoint's {name} cannot be read: {error.strerror}", where=str(place)) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SubjectError(f"the checkpoint's {name} is no file", where=str(place))
        yield descriptor, found.st_size
    finally:
        os.close(descriptor)


def _small(inside: int, name: str, *, where: Path) -> bytes:
    with _open(inside, name, where) as (descriptor, size):
        if size > LARGEST:
            raise SubjectError(f"the checkpoint's {name} has {size:,} bytes", where=str(where))
        return os.read(descriptor, LARGEST)


@contextmanager
def _file(inside: int, file: StoredFile, place: Path) -> Iterator[int]:
    with _open(inside, file.name, place) as (descriptor, size):
        if size != file.size:
            raise SubjectError(f"the checkpoint's {file.name} has {size:,} bytes of {file.size:,}", where=str(place))
        yield descriptor


def _read_file(inside: int, file: StoredFile, place: Path) -> mmap.mmap | bytearray:
    # Not a bytearray for large ones: that is cleared first, and this is not.
    held = mmap.mmap(-1, file.size) if file.size > _CHUNK else bytearray(file.size)
    with _file(inside, file, place) as descriptor, RunningDigest() as digest, memoryview(held) as view:
        at = 0
        while at < file.size and (count := os.readv(descriptor, [view[at : at + _CHUNK]])):
            digest.feed(view[at : at + count])
            at += count
    _check(digest, file, place)
    return held


def _check(digest: RunningDigest, file: StoredFile, place: Path) -> None:
    if digest.hexdigest() != file.sha256:
        raise SubjectError(
            f"the checkpoint's {file.name} is not the one that was signed",
            where=str(place),
            next_step="look at the disk, and at who can write there",
        )
