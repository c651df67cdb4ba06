"""`interlock verify RECEIPT|SUBJECT`: does this receipt hold, or which receipts speak for these bytes?"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import Settings, Stage, Verdict, utc_now
from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY, EXIT_UNDECIDED

if TYPE_CHECKING:
    from interlock.evidence import Testimony

_RECEIPT_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")


@click.command()
@click.argument("what", metavar="RECEIPT|SUBJECT")
def verify(what: str) -> int:
    """Check a receipt (an id of the ledger, or a file of DSSE envelopes), or name the receipts for some bytes.

    For bytes (a file, folder, URL or sha256:<digest>) the newest valid receipt of each gate counts: exit 0 when all
    of them say ALLOW, 1 when one says DENY, 3 when none is valid or nobody could tell.
    """
    from interlock.evidence import KeyRing, Ledger, open_receipts, speaks_for, verify_file

    settings = Settings.load()
    keyring, now = KeyRing.load(settings), utc_now()
    if _is_receipt_file(what):
        return _present(verify_file(Path(what), keyring, now=now))
    receipts = open_receipts(settings, Ledger.open(settings.ledger_url))
    if _RECEIPT_ID.match(what):
        digest = _subject_of(receipts.get(what).envelope)
        _, found = speaks_for(receipts, keyring, digest, now=now)
        return _present([testimony for testimony in found if testimony.receipt_id == what])
    subject, testimonies = speaks_for(receipts, keyring, what, now=now)
    if subject is not None:
        show.say(f"sha256:{subject.digest}  {subject.uri}")
    if not testimonies:
        show.say("no receipt speaks for these bytes")
    return _present(testimonies, of_bytes=True)


def _present(testimonies: Sequence[Testimony], *, of_bytes: bool = False) -> int:
    """Show them; of receipts about bytes, those of guards are shown but speak for nothing."""
    from interlock.evidence import State

    rows = []
    newest: dict[str, Verdict] = {}
    for one in testimonies:
        receipt = one.receipt
        about = "" if receipt is None else f"{receipt.gate} ({receipt.stage.value})"
        verdict = "" if receipt is None else receipt.verdict.value
        signer = "" if receipt is None else f"{receipt.keyid[:12]}{' dev' if receipt.dev else ''}"
        part = "" if one.whole else "as a file of a folder"
        rows.append((one.receipt_id, one.state.value, verdict, about, signer, one.reason or part))
        if one.state is State.VALID and receipt is not None and not (of_bytes and receipt.stage is Stage.GUARD):
            newest[about] = receipt.verdict
    if rows:
        show.table(("receipt", "state", "verdict", "gate", "signer", "note"), rows)
    if not newest or Verdict.UNDECIDED in newest.values():
        return EXIT_DENY if Verdict.DENY in newest.values() else EXIT_UNDECIDED
    return EXIT_ALLOW if set(newest.values()) == {Verdict.ALLOW} else EXIT_DENY


def _is_receipt_file(what: str) -> bool:
    """Content decides: a file whose first JSON document is a DSSE envelope."""
    try:
        with Path(what).open(encoding="utf-8") as file:
            head = file.read(1 << 20)
    except (OSError, ValueError):
        return False
    for candidate in (head, head.splitlines()[0] if head else ""):
        try:
            document = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and {"payload", "payloadType", "signatures"} <= set(document):
            return True
    return False


def _subject_of(envelope: str) -> str:
    from interlock.evidence.receipt import receipt_from
    from interlock.evidence.verification import open_envelope

    return f"sha256:{receipt_from(open_envelope(envelope).payload).subject.digest}"
