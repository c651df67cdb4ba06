"""Content digests, snapshots, statements, signing, receipts, the ledger and the guard that reads them.

Names are loaded when they are first used: SQLAlchemy and the signing libraries stay out of a DAG file's import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.evidence.enforcement import EnforcementEvent, EventKind, fitting
    from interlock.evidence.export import Exported, export_ledger
    from interlock.evidence.exported import ExportedReceipts
    from interlock.evidence.grant_folder import FoundGrant, GrantFolder
    from interlock.evidence.grants import Approval, Exemption, Signed, sign_grant
    from interlock.evidence.guard import BundledDecider, Guard, Opened
    from interlock.evidence.keyring import KeyRing, TrustedKey
    from interlock.evidence.keys import ReceiptSigner, fetch_public, load_signer
    from interlock.evidence.ledger import Ledger
    from interlock.evidence.ledger_check import LedgerEntry, LedgerHead
    from interlock.evidence.ledger_decisions import LoggedDecision
    from interlock.evidence.ledger_events import RecordedEvent
    from interlock.evidence.listing import SnapshotLimits
    from interlock.evidence.outcomes import outcome_from
    from interlock.evidence.receipt import Receipt
    from interlock.evidence.receipt_sources import JoinedReceipts, ReceiptSource, open_receipts
    from interlock.evidence.recorder import ReceiptRecorder
    from interlock.evidence.snapshot import FileEntry, Snapshot, take_snapshot
    from interlock.evidence.store import Store
    from interlock.evidence.testimony import State, Testimony, speaks_for, verify_file
    from interlock.evidence.verification import CLOCK_SKEW, Authentic, authentic, verify_receipt

_PLACES = {
    "CLOCK_SKEW": "verification",
    "Approval": "grants",
    "Authentic": "verification",
    "BundledDecider": "guard",
    "EnforcementEvent": "enforcement",
    "EventKind": "enforcement",
    "Exemption": "grants",
    "Exported": "export",
    "ExportedReceipts": "exported",
    "FileEntry": "snapshot",
    "FoundGrant": "grant_folder",
    "GrantFolder": "grant_folder",
    "Guard": "guard",
    "JoinedReceipts": "receipt_sources",
    "KeyRing": "keyring",
    "Ledger": "ledger",
    "LedgerEntry": "ledger_check",
    "LedgerHead": "ledger_check",
    "LoggedDecision": "ledger_decisions",
    "Opened": "guard",
    "Receipt": "receipt",
    "ReceiptRecorder": "recorder",
    "ReceiptSource": "receipt_sources",
    "ReceiptSigner": "keys",
    "Signed": "grants",
    "Snapshot": "snapshot",
    "SnapshotLimits": "listing",
    "State": "testimony",
    "RecordedEvent": "ledger_events",
    "Store": "store",
    "Testimony": "testimony",
    "TrustedKey": "keyring",
    "authentic": "verification",
    "export_ledger": "export",
    "fetch_public": "keys",
    "fitting": "enforcement",
    "load_signer": "keys",
    "open_receipts": "receipt_sources",
    "outcome_from": "outcomes",
    "sign_grant": "grants",
    "speaks_for": "testimony",
    "take_snapshot": "snapshot",
    "verify_file": "testimony",
    "verify_receipt": "verification",
}

__all__ = [
    "CLOCK_SKEW",
    "Approval",
    "Authentic",
    "BundledDecider",
    "EnforcementEvent",
    "EventKind",
    "Exemption",
    "Exported",
    "ExportedReceipts",
    "FileEntry",
    "FoundGrant",
    "GrantFolder",
    "Guard",
    "JoinedReceipts",
    "KeyRing",
    "Ledger",
    "LedgerEntry",
    "LedgerHead",
    "LoggedDecision",
    "Opened",
    "Receipt",
    "ReceiptRecorder",
    "ReceiptSigner",
    "ReceiptSource",
    "RecordedEvent",
    "Signed",
    "Snapshot",
    "SnapshotLimits",
    "State",
    "Store",
    "Testimony",
    "TrustedKey",
    "authentic",
    "export_ledger",
    "fetch_public",
    "fitting",
    "load_signer",
    "open_receipts",
    "outcome_from",
    "sign_grant",
    "speaks_for",
    "take_snapshot",
    "verify_file",
    "verify_receipt",
]


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
