"""The last good copy of each bundle that came from a URL, under `home`: for a server that is down, and for DAG parsing.

One file for each URL: a line of JSON, then the archive as it was served. The file's time says when the server last
confirmed it. A copy is not trusted for lying here: its signature is checked each time it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from interlock.gate.errors import PolicyError
from interlock.policy.bundles.files import MAX_BYTES

_HEAD_BYTES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One kept copy.

    Args:
        content: The ``.tar.gz``, unverified.
        etag: What the server called it; empty where it gave it no name.
        age: Seconds since the server last confirmed it; negative after the clock was set back.
    """

    content: bytes
    etag: str
    age: float


def place_of(home: Path, url: str) -> Path:
    """The file for one URL."""
    return home / "policy" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.bundle"


def read_kept(place: Path, url: str) -> Kept | None:
    """The kept copy; None where there is none that can be read as one of `url`."""
    try:
        with place.open("rb") as stream:
            head = json.loads(stream.readline(_HEAD_BYTES))
            content = stream.read(MAX_BYTES + 1)
            confirmed = os.fstat(stream.fileno()).st_mtime
        if head["url"] != url or head["sha256"] != hashlib.sha256(content).hexdigest():
            return None
        return Kept(content=content, etag=str(head["etag"]), age=time.time() - confirmed)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def keep(place: Path, url: str, content: bytes, etag: str) -> None:
    """Put a good copy in place of the old one: whole and durable, or not at all.

    Raises:
        PolicyError: It cannot be written; the old one is untouched.
    """
    head = json.dumps({"url": url, "etag": etag, "sha256": hashlib.sha256(content).hexdigest()})
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as stream:
                stream.write(head.encode() + b"\n" + content)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_folder(place.parent)
    except OSError as error:
        raise PolicyError(
            f"a copy of the bundle cannot be kept: {error.strerror}",
            where=str(place),
            next_step="make room there, or set `home` to a folder that this user may write",
        ) from error


def confirm(place: Path) -> None:
    """Note that the server has nothing newer; a copy that cannot be touched is only asked for again sooner."""
    try:
        os.utime(place)
    except OSError:
        return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
