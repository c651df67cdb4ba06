"""What a job says of itself while it runs, and the secrets that it is handed: both ends of the two channels.

Inside the sandbox `tell` writes one line of JSON into a FIFO and `secret` reads a descriptor; they import the standard
library only, never raise for want of a channel, and never make the training wait. Outside, `EventReader` turns lines
into events. Everything in an event is the job's own word.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.gate import Json

CHANNEL = "INTERLOCK_EVENTS"
"""The variable that names the FIFO, inside."""

SECRET = "INTERLOCK_SECRET_"  # noqa: S105 (the beginning of a variable's name, not a secret)
"""How the variables begin that hold the number of a secret's descriptor, inside."""

MEMORY = "interlock"
"""What a secret's descriptor is called, inside and outside."""

LONGEST = 4096
"""Bytes of one line with its end: what a pipe takes from several writers without mixing them (PIPE_BUF, pipe(7))."""

_KIND = re.compile(r"[a-z][a-z_]{0,31}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a job said.

    Args:
        kind: What it is about; lower-case letters and underscores.
        fields: The rest, JSON values; untrusted. Numbers that are not finite are the texts ``nan``, ``inf``, ``-inf``.
    """

    kind: str
    fields: Mapping[str, Json]

    def number(self, name: str) -> float | None:
        """The number in a field, ``nan`` and ``inf`` included; None when it holds none."""
        value = self.fields.get(name)
        if value in ("nan", "inf", "-inf"):
            return float(str(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            return float(value)
        except OverflowError:
            return None


class EventReader:
    """Turns the bytes of the channel into events.

    Attributes:
        unreadable: How many lines were none.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False
        self.unreadable = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take the next bytes, unverified; a line that is too long or no event is counted and left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            too_long, self._skipping = self._skipping or len(line) >= LONGEST, False
            event = None if too_long else _event(line)
            if event is None:
                self.unreadable += 1
            else:
                yield event
        if len(self._rest) >= LONGEST:
            self._rest, self._skipping = b"", True


def _event(line: bytes) -> Event | None:
    try:
        said = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    kind = said.pop("event", None)
    return Event(kind=kind, fields=said) if isinstance(kind, str) and _KIND.match(kind) else None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def tell(kind: str, **fields: Any) -> bool:
    """Say something about the training to whoever watches it from outside of the sandbox.

    Args:
        kind: What it is about; lower-case letters and underscores.
        fields: Numbers, texts, truth values, lists and mappings of them; numpy and torch scalars are taken as numbers.

    Returns:
        Whether it was said: not outside of a sandbox, when nobody reads fast enough, and when it is too long.
    """
    channel = _channel()
    if channel is None or not _KIND.match(kind):
        return False
    try:
        line = json.dumps({**_plain(fields), "event": kind}, separators=(",", ":")).encode() + b"\n"
        return len(line) <= LONGEST and os.write(channel, line) == len(line)
    except (OSError, ValueError, RecursionError):
        return False


_opened: dict[str, int] = {}


def _channel() -> int | None:
    path = os.environ.get(CHANNEL, "")
    if path and path not in _opened:
        try:
            _opened[path] = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
    return _opened.get(path)


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a scalar of numpy or torch
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def secret(name: str) -> bytes | None:
    """A secret that Interlock handed to this job, by descriptor and not by environment; None when there is none.

    Args:
        name: As the safeguard that brought it calls it, upper case.
    """
    number = os.environ.get(SECRET + name, "")
    if not number.isdecimal():
        return None
    # A launcher of workers (torchrun) closes what it does not know before it starts them, and keeps it open itself.
    for process in _ancestry():
        path = f"/proc/{process}/fd/{number}"
        try:
            # Else it is another file that took over the number.
            if not os.readlink(path).startswith(f"/memfd:{MEMORY}"):  # noqa: PTH115 (a text, not a place)
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read()
    return None


def _ancestry() -> Iterator[int]:
    """This process and those above it that can be seen."""
    process = os.getpid()
    while process > 0:
        yield process
        try:
            with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as stream:  # noqa: PTH123
                # The name in brackets may hold anything; the parent's number is the second word after it.
                process = int(stream.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
