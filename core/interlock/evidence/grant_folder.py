"""The folder of signed exemptions and approvals: what of it holds for one question, and why the rest does not.

The folder needs no protection of its own: whoever can write into it but cannot sign changes nothing, and whoever takes
a file away takes an exemption back. So it is read again for each decision, and what cannot be used is as if absent: a
broken file never keeps a gate from deciding, and never opens one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from interlock.evidence.grants import AuthenticGrant, Exemption, Grant, authentic_grant, check_grant_time
from interlock.evidence.grants import grant_of as unverified_grant_of
from interlock.evidence.keyring import KeyRing
from interlock.evidence.ledger_check import statement_of
from interlock.gate.errors import EvidenceError
from interlock.gate.protocols import Granted
from interlock.gate.values import utc_now

SUFFIX = ".json"
MAX_FILES = 1000
MAX_BYTES = 64 * 1024

SHOWN = 5
"""How many refusals a decision says one by one: they stand in its receipt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGrant:
    """One file of the folder.

    Args:
        place: The file.
        claimed: What it says, unverified, for people; None when it cannot be read.
        authentic: What it says under a trusted signature; None when there is none.
        problem: Why it does not hold now; empty when it does.
    """

    place: Path
    claimed: Grant | None
    authentic: AuthenticGrant | None
    problem: str

    @property
    def holds(self) -> bool:
        """Whether it counts now."""
        return self.authentic is not None and not self.problem


class GrantFolder:
    """Implements `interlock.gate.protocols.Grants` over a folder of DSSE envelopes.

    Args:
        folder: ``*.json``; one that is not there holds nothing.
        keyring: Whose signatures count, and for what.
        clock: UTC now; replaced in tests.
    """

    def __init__(self, folder: Path, keyring: KeyRing, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._folder = folder
        self._keyring = keyring
        self._clock = clock

    def read(self, *, about: Callable[[Grant], bool] = lambda _: True) -> tuple[FoundGrant, ...]:
        """What is in the folder, by file name. Never raises: what cannot be read is said in `problem`.

        Args:
            about: Leave out what says of itself that it is about something else.
        """
        now = self._clock()
        found: list[FoundGrant] = []
        taken: set[str] = set()
        for place in self._places():
            one = self._one(place, now, about)
            if one is None:
                continue
            if one.authentic is not None and one.holds:
                grant_id = one.authentic.grant.id
                if grant_id in taken:
                    one = replace(one, problem=f"another file holds the id {grant_id} already")
                taken.add(grant_id)
            found.append(one)
        return tuple(found)

    def holding(self, *, gate: str, name: str, digest: str, profile: str) -> Granted:
        """What holds now for one question; see `interlock.gate.protocols.Grants`."""

        def about(grant: Grant) -> bool:
            return grant.concerns(gate=gate, name=name, digest=digest, profile=profile)

        exemptions, approvals, refused = [], [], []
        for one in self.read(about=about):
            if one.authentic is None or one.problem:
                refused.append(_plain(f"{one.place.name}: {one.problem}"))
            elif isinstance(one.authentic.grant, Exemption):
                exemptions.append(one.authentic.grant.document(one.authentic.signed))
            else:
                approvals.append(one.authentic.grant.document(one.authentic.signed))
        more = [f"and {len(refused) - SHOWN} more"] if len(refused) > SHOWN else []
        return Granted(exemptions=tuple(exemptions), approvals=tuple(approvals), refused=(*refused[:SHOWN], *more))

    def _places(self) -> list[Path]:
        """The files; those past the limit do not count, and whoever put so many there only made policy stricter."""
        try:
            places = sorted(self._folder.iterdir())
        except OSError:
            return []
        return [place for place in places if place.suffix == SUFFIX and not place.name.startswith(".")][:MAX_FILES]

    def _one(self, place: Path, now: datetime, about: Callable[[Grant], bool]) -> FoundGrant | None:
        claimed: Grant | None = None
        authentic: AuthenticGrant | None = None
        try:
            envelope = _content(place)
            claimed = _claimed(envelope)
            if claimed is not None and not about(claimed):
                return None
            authentic = authentic_grant(envelope, self._keyring)
            if not about(authentic.grant):
                return None  # two readers of base64 may differ; what was signed is what counts
            check_grant_time(authentic.grant, now)
        except EvidenceError as error:
            return FoundGrant(place=place, claimed=claimed, authentic=authentic, problem=str(error))
        except OSError as error:
            problem = f"it cannot be read: {error.strerror}"
            return FoundGrant(place=place, claimed=None, authentic=None, problem=problem)
        return FoundGrant(place=place, claimed=claimed, authentic=authentic, problem="")


def _plain(text: str) -> str:
    """A file may be named in bytes that no receipt could hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _content(place: Path) -> bytes:
    """A regular file's bytes; a link may lead to it, as Kubernetes mounts them so."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EvidenceError("it is no regular file", where=place.name)
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise EvidenceError(f"it is larger than {MAX_BYTES} bytes", where=place.name)
    return content


def _claimed(envelope: bytes) -> Grant | None:
    """What an envelope says of itself, to tell people which question it was for; nothing is decided by it."""
    try:
        statement: Any = statement_of(envelope.decode("utf-8"))
        return unverified_grant_of(statement)
    except (EvidenceError, UnicodeDecodeError):
        return None
