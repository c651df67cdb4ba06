"""What `interlock exempt` and `interlock approve` share: naming a subject, signing, and saying what came of it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli import show
from interlock.gate import Settings, Subject, UsageError
from interlock.gate.documents import timestamp

if TYPE_CHECKING:
    from interlock.evidence import Approval, Exemption
    from interlock.evidence.grants import Signed

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")


def subject_of(text: str) -> Subject:
    """The subject that a person names: ``sha256:<hex>``, or a path or URL whose bytes are digested now.

    Raises:
        SubjectError: It is missing, unreadable or unsafe.
    """
    from interlock.evidence import take_snapshot

    match = _DIGEST.match(text)
    return Subject(name=text, uri="", digest=match[1]) if match else take_snapshot(text).subject


def expiry(issued: datetime, days: float) -> datetime:
    """When something that lives for `days` ends.

    Raises:
        UsageError: That is no time span, or too long.
    """
    from interlock.evidence.grants import LONGEST

    if not 0 < days <= LONGEST.days:
        raise UsageError(f"it lives for more than 0 and at most {LONGEST.days} days", where="--days")
    return issued + timedelta(days=days)


def sign_and_write(grant: Exemption | Approval, settings: Settings, *, kind: str, out: Path | None) -> Signed:
    """Sign with the deployment's signer and write the envelope, by default where this deployment reads it.

    Args:
        grant: What to sign.
        settings: Name the signer and the folder.
        kind: ``exemption`` or ``approval``.
        out: Write it to this file instead.

    Returns:
        Who signed, as far as this deployment knows the key.

    Raises:
        UsageError: It says something that it may not say, or the file is there already.
        SettingsError, UnavailableError: The key cannot be used.
    """
    from interlock.evidence import KeyRing, load_signer, sign_grant
    from interlock.evidence.grants import Signed
    from interlock.reporting import write_whole

    signer = load_signer(settings)
    place = out or settings.exemptions / f"{kind}-{grant.id}.json"
    if place.exists():
        raise UsageError("a file is there already", where=str(place), next_step="give another --out")
    envelope = sign_grant(grant, signer)
    if out is None:
        place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, envelope)
    key = KeyRing.load(settings).get(signer.keyid)
    may = key is not None and (key.exemptions if kind == "exemption" else key.approvals)
    if not may:
        show.progress(
            f"note: this deployment does not let key {signer.keyid[:16]} sign {kind}s; it counts where its "
            f'<name>.json in the trusted keys says {{"{kind}s": true}}'
        )
    if signer.dev:
        show.progress("note: signed with the dev key, which policy may not accept outside the profile dev")
    show.say(f"{kind} {grant.id} until {timestamp(grant.expires)}, in {place}")
    return Signed(by=key.name if key is not None else signer.keyid, keyid=signer.keyid, dev=signer.dev)
