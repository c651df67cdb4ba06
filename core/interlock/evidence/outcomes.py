"""The outcome of a gate or a guard again, from its receipt and the report that the ledger keeps with it."""

from __future__ import annotations

from interlock.evidence.ledger_check import LedgerEntry
from interlock.evidence.receipt import Receipt
from interlock.gate.documents import report_from
from interlock.gate.protocols import Recorded
from interlock.gate.run import GateOutcome


def outcome_from(entry: LedgerEntry, receipt: Receipt) -> GateOutcome:
    """What `interlock.gate.run_gate` returned, but for what the gate left behind beside its report.

    Args:
        entry: With its report, as `ReceiptSource.get` returns it.
        receipt: What its envelope says, verified by the caller.

    Raises:
        LedgerError: The report is not there, or cannot be read.
    """
    return GateOutcome(
        report=report_from(entry.report_document()),
        decision=receipt.decision,
        recorded=Recorded(receipt_id=entry.receipt_id, envelope_digest=entry.envelope_digest),
    )
