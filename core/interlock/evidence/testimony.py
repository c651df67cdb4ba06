"""For people who ask: which receipts speak for these bytes, and in what state is this receipt?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from interlock.evidence.keyring import KeyRing
from interlock.evidence.receipt import Receipt
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.evidence.snapshot import take_snapshot
from interlock.evidence.verification import MAX_ENVELOPE_BYTES, authentic, check_key, check_time
from interlock.gate.errors import EvidenceError, ReceiptError, SignatureError, UsageError
from interlock.gate.values import Subject


class State(Enum):
    """What a receipt is worth at one moment."""

    VALID = "valid"
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    BAD_SIGNATURE = "bad signature"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """One receipt about some bytes.

    Args:
        receipt_id: From the ledger or, when it could be read, the receipt; unverified unless `receipt` is there.
        state: Whether it counts now. A valid receipt may well say DENY.
        reason: Why it does not count; empty when it does.
        receipt: What it says; None unless a trusted key signed it.
        whole: Whether it is about these very bytes, rather than about a folder that holds them as a file.
    """

    receipt_id: str
    state: State
    reason: str = ""
    receipt: Receipt | None = None
    whole: bool = True


def speaks_for(
    receipts: ReceiptSource, keyring: KeyRing, path_or_digest: str, *, now: datetime
) -> tuple[Subject | None, tuple[Testimony, ...]]:
    """Which recorded receipts speak for a file, folder, URL or digest.

    Args:
        receipts: Where to look.
        keyring: Whose signatures count.
        path_or_digest: Path, URL, ``sha256:<hex>`` or 64 hexadecimal digits.
        now: UTC.

    Returns:
        The subject when there were bytes to hash, and the testimonies, oldest first.

    Raises:
        SubjectError: The path is missing, unreadable or unsafe.
        LedgerError: A row about these bytes was altered.
        UnavailableError: Storage or database did not answer.
        UsageError: The URL is not one that a subject may have.
    """
    digest = path_or_digest.removeprefix("sha256:")
    subject = None
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        subject = take_snapshot(path_or_digest).subject
        digest = subject.digest
    testimonies = (
        _testimony(entry.envelope, keyring, now=now, receipt_id=entry.receipt_id, digest=digest)
        for entry in receipts.find(digest, parts=True)
    )
    return subject, tuple(testimonies)


def verify_file(path: Path, keyring: KeyRing, *, now: datetime) -> tuple[Testimony, ...]:
    """Verify a file of receipts: one DSSE envelope as JSON, or one on each line (``*.intoto.jsonl``).

    Args:
        path: Untrusted file.
        keyring: Whose signatures count.
        now: UTC.

    Raises:
        UsageError: The file cannot be read, or holds nothing.
    """
    try:
        if path.stat().st_size > MAX_ENVELOPE_BYTES:
            raise UsageError(f"a file of receipts is larger than {MAX_ENVELOPE_BYTES} bytes", where=str(path))
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"no receipts can be read there: {error}", where=str(path)) from error
    envelopes = [text] if _is_one_document(text) else [line for line in text.splitlines() if line.strip()]
    if not envelopes:
        raise UsageError("the file holds no receipt", where=str(path))
    return tuple(
        _testimony(envelope, keyring, now=now, receipt_id=f"{path.name}:{line}", digest="")
        for line, envelope in enumerate(envelopes, start=1)
    )


def _is_one_document(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _testimony(envelope: str, keyring: KeyRing, *, now: datetime, receipt_id: str, digest: str) -> Testimony:
    try:
        found = authentic(envelope, keyring)
    except SignatureError as error:
        return Testimony(receipt_id=receipt_id, state=State.BAD_SIGNATURE, reason=error.what)
    except ReceiptError as error:
        return Testimony(receipt_id=receipt_id, state=State.MALFORMED, reason=f"{error.what} ({error.where})")
    receipt = found.receipt
    state, reason = State.VALID, ""
    try:
        check_key(found)
        check_time(receipt, now)
    except SignatureError as error:
        state, reason = State.BAD_SIGNATURE, error.what
    except EvidenceError as error:
        state, reason = State.EXPIRED if now >= receipt.expires else State.NOT_YET_VALID, error.what
    whole = not digest or receipt.subject.digest == digest
    return Testimony(receipt_id=receipt.receipt_id, state=state, reason=reason, receipt=receipt, whole=whole)
