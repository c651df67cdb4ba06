"""Snapshots: what bytes a subject has, as a manifest of per-file sha256 and sizes.

A single file is named by its own sha256, so that any tool can check it. A folder is named by the sha256 of its
manifest, which says nothing of where the folder was: the same files have the same digest on a disk and in a bucket.
A file that starts like a manifest is refused as a subject, so no file can bear the digest of a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from interlock.evidence.listing import Listed, Listing, Reader, SnapshotLimits, Source, changed_while_read, checked_path
from interlock.evidence.sources import open_source
from interlock.gate.documents import canonical_json
from interlock.gate.errors import (
    SubjectError,
    SubjectNotFoundError,
    UnavailableError,
    UnsafeSubjectError,
    UsageError,
)
from interlock.gate.values import Json, Subject

MANIFEST_TYPE = "urn:interlock:manifest:v1"
MANIFEST_PREFIX = b'{"_type":"' + MANIFEST_TYPE.encode() + b'"'
"""How every manifest starts, and therefore no subject that is a single file may."""

MANIFEST_NAME = ".interlock-manifest.json"
"""Written last into a published remote folder; checked against the bytes and left out of the snapshot."""

PUBLISHING_NAME = ".interlock-publishing"
"""Lies in a remote folder while it is being published; a folder with it is not whole."""

MAX_MANIFEST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file: relative path ("/" between parts; the name when the subject is a single file), sha256, bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The bytes of one subject at one moment.

    Args:
        name: Last part of the URI, for people.
        uri: Where the bytes were read.
        files: Sorted by path.
        single_file: Whether the subject is one file rather than a folder.
    """

    name: str
    uri: str
    files: tuple[FileEntry, ...]
    single_file: bool
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = self.files[0].sha256 if self.single_file else hashlib.sha256(self.manifest()).hexdigest()
        object.__setattr__(self, "digest", digest)

    @property
    def size(self) -> int:
        """Bytes in all files together."""
        return sum(entry.size for entry in self.files)

    @property
    def subject(self) -> Subject:
        """The in-toto subject that these bytes are."""
        return Subject(name=self.name, uri=self.uri, digest=self.digest)

    def manifest(self) -> bytes:
        """Canonical JSON over all files; its sha256 is a folder's digest."""
        files: list[Json] = [{"path": entry.path, "sha256": entry.sha256, "size": entry.size} for entry in self.files]
        return canonical_json({"_type": MANIFEST_TYPE, "files": files})


class Sink(Protocol):
    """Takes the bytes as they pass; an unbuffered file, so it may take only some of them."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some or all of `data` and say how many bytes."""
        ...


def take_snapshot(uri: str, *, threads: int | None = None, limits: SnapshotLimits | None = None) -> Snapshot:
    """Hash every byte of the subject at `uri`.

    Args:
        uri: Path, ``file://``, ``s3://`` or ``gs://`` URL, untrusted.
        threads: How many files are hashed at a time; by default as many as the machine has processors, 8 at most.
        limits: How much is too much.

    Raises:
        SubjectNotFoundError: Nothing is there.
        UnsafeSubjectError: A link, device, FIFO, a path that leaves the root, or a limit passed.
        SubjectError: Unreadable, changed while it was read, or not what its published manifest says.
        UnavailableError: The storage did not answer.
        UsageError: The URL is not one that a subject may have.
    """
    with open_source(uri) as source:
        return read_all(source, threads=threads, limits=limits or SnapshotLimits())


def read_all(
    source: Source,
    *,
    threads: int | None,
    limits: SnapshotLimits,
    sink_for: Callable[[str], AbstractContextManager[Sink | None]] | None = None,
) -> Snapshot:
    """Hash every file of `source`, handing the bytes to `sink_for(path)` as they pass.

    Args:
        source: Opened subject.
        threads: As for `take_snapshot`.
        limits: As for `take_snapshot`.
        sink_for: Opens where one file's bytes are copied to; the path is the one in the manifest.

    Raises:
        SubjectError, UnavailableError, UsageError: As for `take_snapshot`.
    """
    if threads is not None and threads < 1:
        raise UsageError("a snapshot needs at least one thread", where=f"threads={threads}")
    listing, published = _without_publication(source, source.listing(limits))

    def one(listed: Listed) -> FileEntry:
        path = listed.path or source.name
        with sink_for(path) if sink_for is not None else nullcontext() as sink, source.open(listed.path) as stream:
            return _digest(stream, listed, path=path, where=f"{source.uri}: {path}", sink=sink, listing=listing)

    entries = _in_threads(one, listing.files, threads or source.workers)
    snapshot = Snapshot(
        name=source.name,
        uri=source.uri,
        files=tuple(sorted(entries, key=lambda entry: entry.path)),
        single_file=listing.single_file,
    )
    if published is not None and published != snapshot.manifest():
        raise SubjectError(
            "the folder is not what its published manifest says", where=source.uri, next_step="publish it again"
        )
    return snapshot


def manifest_files(text: bytes, *, where: str) -> tuple[FileEntry, ...]:
    """Read a manifest back; the caller has compared its sha256 with the digest that it trusts.

    Raises:
        SubjectError: It has another shape.
    """
    try:
        document: Mapping[str, Any] = json.loads(text)
        entries = tuple(
            FileEntry(path=checked_path(item["path"], where), sha256=str(item["sha256"]), size=int(item["size"]))
            for item in document["files"]
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SubjectError("a manifest cannot be read", where=where) from error
    return entries


def _without_publication(source: Source, listing: Listing) -> tuple[Listing, bytes | None]:
    names = {listed.path for listed in listing.files}
    if PUBLISHING_NAME in names:
        raise SubjectError(
            "a publication into this folder did not finish", where=source.uri, next_step="publish it again"
        )
    published = None
    if not listing.single_file and MANIFEST_NAME in names:
        published = _small(source, MANIFEST_NAME)
        listing = Listing(
            single_file=False, files=tuple(listed for listed in listing.files if listed.path != MANIFEST_NAME)
        )
    if not listing.files:
        raise SubjectNotFoundError("the folder holds no files", where=source.uri)
    return listing, published


def _small(source: Source, path: str) -> bytes:
    buffer, parts, total = bytearray(1 << 16), [], 0
    with source.open(path) as stream:
        while count := stream.readinto(buffer):
            parts.append(bytes(buffer[:count]))
            total += count
            if total > MAX_MANIFEST_BYTES:
                raise UnsafeSubjectError("a published manifest is too large", where=f"{source.uri}: {path}")
    return b"".join(parts)


def _digest(stream: Reader, listed: Listed, *, path: str, where: str, sink: Sink | None, listing: Listing) -> FileEntry:
    metered = _Metered(stream, limit=listed.size, where=where, sink=sink)
    digest = hashlib.file_digest(metered, "sha256").hexdigest()
    if metered.count != listed.size:
        raise changed_while_read(where)
    if listing.single_file and metered.head.startswith(MANIFEST_PREFIX):
        raise UnsafeSubjectError(
            "a file poses as the manifest of a folder", where=where, next_step="judge the folder, not its manifest"
        )
    return FileEntry(path=path, sha256=digest, size=metered.count)


class _Metered:
    """A reader that counts, copies, and stops a file that grows while it is read."""

    __slots__ = ("_limit", "_sink", "_stream", "_where", "count", "head")

    def __init__(self, stream: Reader, *, limit: int, where: str, sink: Sink | None) -> None:
        self._stream = stream
        self._limit = limit
        self._where = where
        self._sink = sink
        self.count = 0
        self.head = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray, /) -> int:
        count = self._stream.readinto(buffer) or 0
        if len(self.head) < len(MANIFEST_PREFIX):
            self.head += bytes(buffer[: min(count, len(MANIFEST_PREFIX) - len(self.head))])
        self.count += count
        if self.count > self._limit:
            raise changed_while_read(self._where)
        if self._sink is not None and count:
            _write_all(self._sink, memoryview(buffer)[:count])
        return count


def _write_all(sink: Sink, view: memoryview) -> None:
    try:
        while view.nbytes:
            view = view[sink.write(view) or 0 :]
    except OSError as error:
        raise UnavailableError(
            f"a copy cannot be written: {error.strerror}", next_step="make room, then run again"
        ) from error


def _in_threads(one: Callable[[Listed], FileEntry], files: tuple[Listed, ...], threads: int) -> list[FileEntry]:
    """Run `one` on every file; the largest first, so that no thread is left alone with a big one at the end."""
    waiting = deque(sorted(files, key=lambda listed: listed.size, reverse=True))
    done: list[FileEntry] = []

    def work() -> None:
        while True:
            try:
                listed = waiting.popleft()
            except IndexError:
                return
            try:
                done.append(one(listed))
            except BaseException:
                waiting.clear()
                raise

    if threads == 1 or len(files) == 1:
        work()
        return done
    with ThreadPoolExecutor(max_workers=min(threads, len(files)), thread_name_prefix="interlock-hash") as pool:
        try:
            for running in [pool.submit(work) for _ in range(min(threads, len(files)))]:
                running.result()
        finally:
            waiting.clear()
    return done
