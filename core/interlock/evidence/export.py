"""Export: receipts as files that other people's tools can check without Interlock.

::

    <folder>/
      receipts.intoto.jsonl              all receipts, one DSSE envelope a line
      receipts/<id>.intoto.jsonl         one receipt
      reports/<sha256>.json              what each receipt's report digest names
      keys/<keyid8>.pem                  the signers' public keys
      openssl/<id>.<keyid8>.pae, .sig    the signed bytes and the raw signature
      openssl/check.sh                   the openssl command for each
      ledger.json                        the chain's links and head
      in-toto/...                        for one run: a signed layout, and a link for each step that was allowed

Nothing is exported that does not verify: chain first, then every signature.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.evidence.claims import claimed
from interlock.evidence.keyring import KeyRing, TrustedKey
from interlock.evidence.keys import ReceiptSigner
from interlock.evidence.layout import LAYOUT_FILE, write_layout
from interlock.evidence.ledger_check import LedgerEntry, LedgerHead
from interlock.evidence.receipt import Receipt
from interlock.evidence.verification import authentic, open_envelope
from interlock.gate.errors import EvidenceError, SignatureError, UsageError

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope

    from interlock.evidence.ledger import Ledger

RECEIPTS = "receipts.intoto.jsonl"
REPORTS = "reports"
LIST = "ledger.json"

_ED25519 = "openssl pkeyutl -verify -pubin -inkey ../keys/{key}.pem -rawin -in {stem}.pae -sigfile {stem}.sig"
_DIGEST = "openssl dgst -{hash} {options}-verify ../keys/{key}.pem -signature {stem}.sig {stem}.pae"
_PSS = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:auto "


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export wrote.

    Args:
        folder: Where.
        receipts: How many receipts.
        layout: The in-toto layout, or None when no run was asked for.
        head: The ledger's head at that moment.
    """

    folder: Path
    receipts: int
    layout: Path | None
    head: LedgerHead

    def __str__(self) -> str:
        more = f"; check the run with in-toto-verify -l {self.layout}" if self.layout else ""
        return f"{self.receipts} receipts in {self.folder}, ledger head {self.head}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """One exported receipt with what it was verified from."""

    entry: LedgerEntry
    receipt: Receipt
    key: TrustedKey
    envelope: Envelope


def export_ledger(
    ledger: Ledger,
    folder: Path,
    *,
    keyring: KeyRing,
    now: datetime,
    signer: ReceiptSigner | None = None,
    run: str | None = None,
) -> Exported:
    """Verify and write the receipts of a ledger, or of one run.

    Args:
        ledger: Verified as a whole before anything is written.
        folder: Must not be there yet; appears whole or not at all.
        keyring: Keys whose receipts are exported; keep a retired key with ``{"gates": []}``.
        now: UTC; the in-toto layout expires a year later.
        signer: Signs the layout and its links; needed with `run`.
        run: Run id; then only that run's receipts are written, and an in-toto layout with links.

    Raises:
        LedgerError: The chain is broken.
        SignatureError, ReceiptError: A receipt does not verify.
        UsageError: The folder is already there or cannot be written, the run is unknown or spans several pipelines,
            or `run` is given without `signer`.
        UnavailableError: Database or key service did not answer.
    """
    if run is not None and signer is None:
        raise UsageError("an in-toto layout needs a signer", where=f"run {run}")
    if os.path.lexists(folder):
        raise UsageError("the export's folder is already there", where=str(folder), next_step="name a new folder")
    head = ledger.verify()
    listed = ledger.entries()[::-1] if run is None else ledger.of_run_id(run)
    if not listed:
        raise UsageError("the ledger holds no such receipts", where=f"run {run}" if run is not None else "ledger")
    verified = [_verified(entry, keyring) for entry in listed]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with claimed(folder.parent.absolute(), f".{folder.name}.export-") as staging:
            whole = staging / "whole"
            _write_all(ledger, whole, verified, head)
            if run is not None and signer is not None:
                write_layout(whole / "in-toto", [(v.entry, v.receipt) for v in verified], signer=signer, now=now)
            whole.rename(folder)
    except OSError as error:
        raise UsageError(f"the export cannot be written: {error.strerror}", where=str(folder)) from error
    layout = folder / "in-toto" / LAYOUT_FILE if run is not None else None
    return Exported(folder=folder, receipts=len(verified), layout=layout, head=head)


def _verified(entry: LedgerEntry, keyring: KeyRing) -> Verified:
    try:
        found = authentic(entry.envelope, keyring)
    except SignatureError as error:
        raise SignatureError(
            error.what,
            where=f"entry {entry.seq}, {entry.receipt_id}",
            next_step='put the key into the folder `trusted_keys`; {"gates": []} beside it lets it sign nothing new',
        ) from error
    except EvidenceError as error:
        error.where = f"entry {entry.seq}, {entry.receipt_id}: {error.where}"
        raise
    return Verified(entry=entry, receipt=found.receipt, key=found.key, envelope=open_envelope(entry.envelope))


def _write_all(ledger: Ledger, whole: Path, verified: Sequence[Verified], head: LedgerHead) -> None:
    for name in ("receipts", REPORTS, "keys", "openssl"):
        (whole / name).mkdir(parents=True)
    lines, checks = [], []
    for one in verified:
        # One envelope is one line, whatever spaces its author liked: only payload and signature are signed.
        line = json.dumps(json.loads(one.entry.envelope), separators=(",", ":")) + "\n"
        lines.append(line)
        (whole / "receipts" / f"{one.receipt.receipt_id}.intoto.jsonl").write_text(line, encoding="utf-8")
        report = ledger.get(one.entry.receipt_id).report or ""
        (whole / REPORTS / f"{one.receipt.report_digest}.json").write_text(report, encoding="utf-8")
        checks.append(_write_for_openssl(whole, one))
    (whole / RECEIPTS).write_text("".join(lines), encoding="utf-8")
    script = "".join(['#!/bin/sh\ncd "$(dirname "$0")" || exit 1\n', *checks])
    (whole / "openssl" / "check.sh").write_text(script, encoding="utf-8")
    chain = [
        {
            "seq": one.entry.seq,
            "receipt_id": one.entry.receipt_id,
            "envelope": one.entry.envelope_digest,
            "report": one.entry.report_digest,
            "recorded": one.entry.recorded,
            "previous": one.entry.previous,
            "link": one.entry.link,
        }
        for one in verified
    ]
    document = json.dumps({"head": str(head), "entries": chain}, indent=1)
    (whole / LIST).write_text(document, encoding="utf-8")


def _write_for_openssl(whole: Path, one: Verified) -> str:
    """Write the signed bytes, the raw signature and the key; give back the shell line that checks them."""
    key = one.key.keyid[:8]
    stem = f"{one.receipt.receipt_id}.{key}"
    signature = bytes.fromhex(one.envelope.signatures[one.key.keyid].signature)
    (whole / "openssl" / f"{stem}.pae").write_bytes(one.envelope.pae())
    (whole / "openssl" / f"{stem}.sig").write_bytes(signature)
    (whole / "keys" / f"{key}.pem").write_text(one.key.pem, encoding="ascii")
    public = one.key.key
    if public.keytype == "ed25519":
        command = _ED25519.format(key=key, stem=stem)
    else:
        options = _PSS if public.keytype == "rsa" else ""
        command = _DIGEST.format(key=key, stem=stem, hash=public.get_hash_algorithm_name(), options=options)
    return f'{command} || {{ echo "DOES NOT HOLD: {stem}" >&2; exit 1; }}\n'
