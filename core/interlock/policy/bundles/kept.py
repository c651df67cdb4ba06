"""The last good copy of each bundle that came from a URL, under `home`: for a server that is down, and for DAG parsing.

One file for each URL: a line of JSON, then the archive as it was served. The line says when the server sent it; a small
file beside it says when the server last confirmed it, and names the line, so that it speaks of no other copy. Both are
written whole, so that a restart knows what was known; copying them about makes nothing younger. A copy is not trusted
for lying here: its signature is checked each time it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from interlock.gate.durable import sync
from interlock.gate.errors import PolicyError
from interlock.policy.bundles.files import MAX_BYTES

_HEAD_BYTES = 8192
_CLOCKS = 60.0
"""Seconds by which a clock may be set back without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One kept copy.

    Args:
        content: The ``.tar.gz``, unverified.
        etag: What the server called it; empty where it gave it no name.
        age: Seconds since the server last confirmed it; negative after the clock was set back.
        head: sha256 of its first line, by which its confirmation names it.
    """

    content: bytes
    etag: str
    age: float
    head: str

    def is_within(self, seconds: float) -> bool:
        """Whether its server confirmed it so lately. A time after now says nothing of its age, so it is not."""
        return -_CLOCKS <= self.age < seconds


def place_of(home: Path, url: str) -> Path:
    """The file for one URL."""
    return home / "policy" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.bundle"


def read_kept(place: Path, url: str) -> Kept | None:
    """The kept copy; None where there is none that can be read as one of `url`."""
    try:
        with place.open("rb") as stream:
            line = stream.readline(_HEAD_BYTES)
            content = stream.read(MAX_BYTES + 1)
        about = json.loads(line)
        if about["url"] != url or about["sha256"] != hashlib.sha256(content).hexdigest():
            return None
        etag, sent = str(about["etag"]), float(about["confirmed"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    head = hashlib.sha256(line).hexdigest()
    confirmed = _confirmed(place, head)
    return Kept(content=content, etag=etag, age=time.time() - (sent if confirmed is None else confirmed), head=head)


def keep(place: Path, url: str, content: bytes, etag: str) -> None:
    """Put a good copy in place of the old one: whole and durable, or not at all.

    Raises:
        PolicyError: It cannot be written; the old one is untouched.
    """
    about = {"url": url, "etag": etag, "sha256": hashlib.sha256(content).hexdigest(), "confirmed": time.time()}
    _write(place, json.dumps(about).encode() + b"\n" + content, "a copy of the bundle cannot be kept")


def confirm(place: Path, kept: Kept) -> None:
    """Note that the server has nothing newer than this copy: durable when this returns.

    Raises:
        PolicyError: It cannot be written; the copy is as old as before.
    """
    note = {"head": kept.head, "confirmed": time.time()}
    _write(_note_of(place), json.dumps(note).encode() + b"\n", "that the bundle is the newest cannot be kept")


def _note_of(place: Path) -> Path:
    return place.with_suffix(".confirmed")


def _confirmed(place: Path, head: str) -> float | None:
    """When the copy with this head was last confirmed, in seconds since the epoch; None where nobody noted it."""
    try:
        with _note_of(place).open("rb") as stream:
            note = json.loads(stream.read(_HEAD_BYTES))
        return float(note["confirmed"]) if note["head"] == head else None
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _write(place: Path, content: bytes, problem: str) -> None:
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)
        sync(place.parent)
    except OSError as error:
        raise PolicyError(
            f"{problem}: {error.strerror}",
            where=str(place),
            next_step="make room there, or set `home` to a folder that this user may write",
        ) from error
