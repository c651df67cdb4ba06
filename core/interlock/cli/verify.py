"""`interlock verify RECEIPT|SUBJECT`: does this receipt hold, or which receipts speak for these bytes?"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import Settings, Subject, Verdict, utc_now
from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY, EXIT_UNDECIDED

if TYPE_CHECKING:
    from interlock.evidence import Testimony
    from interlock.evidence.ancestry import Ancestor

_RECEIPT_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")


@click.command()
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.argument("what", metavar="RECEIPT|SUBJECT")
def verify(what: str, format_: str) -> int:
    """Check a receipt (an id of the ledger, or a file of DSSE envelopes), or name the receipts for some bytes.

    For bytes (a file, folder, URL or sha256:<digest>) the newest valid receipt of each gate counts: exit 0 when all
    of them say ALLOW, 1 when one says DENY, 3 when none is valid or nobody could tell. Behind a model that a training
    of Interlock wrote, its data and base models count, too.
    """
    from interlock.evidence import KeyRing, Ledger, open_receipts, speaks_for, verify_file
    from interlock.evidence.ancestry import trace

    settings = Settings.load()
    keyring, now = KeyRing.load(settings), utc_now()
    if _is_receipt_file(what):
        return _present(verify_file(Path(what), keyring, now=now), format_)
    receipts = open_receipts(settings, Ledger.open(settings.ledger_url))
    if _RECEIPT_ID.match(what):
        digest = _subject_of(receipts.get(what).envelope)
        _, found = speaks_for(receipts, keyring, digest, now=now)
        return _present([testimony for testimony in found if testimony.receipt_id == what], format_)
    subject, testimonies = speaks_for(receipts, keyring, what, now=now)
    named = subject or Subject(name=what, uri="", digest=what.removeprefix("sha256:"))
    return _present_bytes(trace(named, receipts, keyring, now=now), testimonies, format_, read=subject is not None)


def _present_bytes(model: Ancestor, testimonies: Sequence[Testimony], format_: str, *, read: bool) -> int:
    """Show what speaks for some bytes, and for what they were made from.

    Args:
        model: The bytes, and what is behind them.
        testimonies: Every receipt about them, guards' too.
        format_: ``table`` or ``json``.
        read: Whether the bytes were there, and not only a digest.
    """
    from interlock.evidence.ancestry import Worth, testimony_document

    worths = {one.worth for _, one in model.all()}
    status = EXIT_ALLOW if worths <= {Worth.VALID, Worth.NAMED} else EXIT_UNDECIDED
    status = EXIT_DENY if Worth.REFUSED in worths else status
    if format_ == "json":
        others = [testimony_document(one) for one in testimonies if one not in model.testimonies]
        show.say_json({**model.document(), "guards": others, "exit_status": status})
        return status
    if read:
        show.say(f"sha256:{model.subject.digest}  {model.subject.uri}")
    if not testimonies:
        show.say("no receipt speaks for these bytes")
    _show(testimonies)
    for depth, one in model.all():
        if depth:
            gates = ", ".join(dict.fromkeys(t.receipt.gate for t in one.testimonies if t.receipt is not None))
            place = f"sha256:{one.subject.digest[:16]}  {one.subject.name}"
            show.say(f"{'  ' * depth}{one.role}: {one.worth.value}  {place}{f'  ({gates})' if gates else ''}")
    return status


def _present(testimonies: Sequence[Testimony], format_: str) -> int:
    """Show receipts that were asked for by name; each of them speaks for itself."""
    from interlock.evidence import State
    from interlock.evidence.ancestry import testimony_document

    said: dict[str, Verdict] = {}
    for one in testimonies:
        if one.state is State.VALID and one.receipt is not None:
            said[f"{one.receipt.gate} {one.receipt.stage.value}"] = one.receipt.verdict
    status = EXIT_ALLOW if set(said.values()) == {Verdict.ALLOW} else EXIT_UNDECIDED
    status = EXIT_DENY if Verdict.DENY in said.values() else status
    if format_ == "json":
        show.say_json({"receipts": [testimony_document(one) for one in testimonies], "exit_status": status})
    else:
        _show(testimonies)
    return status


def _show(testimonies: Sequence[Testimony]) -> None:
    rows = []
    for one in testimonies:
        receipt = one.receipt
        about = "" if receipt is None else f"{receipt.gate} ({receipt.stage.value})"
        verdict = "" if receipt is None else receipt.verdict.value
        signer = "" if receipt is None else f"{receipt.keyid[:12]}{' dev' if receipt.dev else ''}"
        part = "" if one.whole else "as a file of a folder"
        rows.append((one.receipt_id, one.state.value, verdict, about, signer, one.reason or part))
    if rows:
        show.table(("receipt", "state", "verdict", "gate", "signer", "note"), rows)


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
