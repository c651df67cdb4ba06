"""What the ledger says of a DAG or a run, for the page: receipts, verified, and what people and enforcement did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.gate.documents import moment_of
from interlock.gate.errors import InterlockError
from interlock.gate.values import utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from interlock.evidence import EnforcementEvent, KeyRing, Ledger, LedgerEntry

MAX_EVENTS = 100
MAX_RECEIPTS = 200
MAX_REASONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptView:
    """One receipt of the run; the fields but `recorded`, `receipt_id` and `state` are empty when it is not genuine."""

    recorded: str
    receipt_id: str
    state: str
    verdict: str = ""
    gate: str = ""
    stage: str = ""
    task_id: str = ""
    subject: str = ""
    digest: str = ""
    exempted: bool = False
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One enforcement event."""

    at: str
    kind: str
    level: str
    actor: str
    run_id: str
    task_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found.

    Args:
        receipts: Of the run, oldest first; of a DAG without a run there are none.
        events: Newest first.
        trouble: Why some or all of it could not be read.
    """

    receipts: tuple[ReceiptView, ...] = ()
    events: tuple[EventView, ...] = ()
    trouble: str = ""


def evidence_of(dag_id: str, run_id: str) -> Evidence:
    """Read the ledger that this deployment's settings name.

    Args:
        dag_id: The DAG.
        run_id: One run of it; empty means all, and then only events.
    """
    from interlock.evidence import KeyRing, Ledger
    from interlock.gate import Settings

    try:
        settings = Settings.load()
        ledger = Ledger.open(settings.ledger_url)
        events = tuple(_events(ledger, dag_id, run_id))
        receipts = tuple(_receipts(ledger, KeyRing.load(settings), dag_id, run_id)) if run_id else ()
    except InterlockError as error:
        return Evidence(trouble=f"{error.what}. {error.next_step}".strip())
    return Evidence(receipts=receipts, events=events)


def _events(ledger: Ledger, dag_id: str, run_id: str) -> Iterator[EventView]:
    for row in ledger.events(pipeline=dag_id, run_id=run_id or None, limit=MAX_EVENTS):
        yield _event(row.enforcement_event())


def _event(event: EnforcementEvent) -> EventView:
    return EventView(
        at=clock(event.at),
        kind=event.kind.value.replace("-", " "),
        level=event.level,
        actor=event.actor,
        run_id=event.run_id,
        task_id=event.task_id,
        reason=event.reason,
    )


def _receipts(ledger: Ledger, keyring: KeyRing, dag_id: str, run_id: str) -> Iterator[ReceiptView]:
    from interlock.gate.values import RunIdentity

    run = RunIdentity(orchestrator="airflow", pipeline=dag_id, run_id=run_id, task_id="", attempt=1)
    for entry in ledger.of_run(run)[-MAX_RECEIPTS:]:
        yield _receipt(entry, keyring)


def _receipt(entry: LedgerEntry, keyring: KeyRing) -> ReceiptView:
    from interlock.evidence import verify_receipt
    from interlock.evidence.verification import authentic

    try:
        receipt = authentic(entry.envelope, keyring).receipt
    except InterlockError as error:
        return ReceiptView(recorded=_recorded(entry), receipt_id=entry.receipt_id, state=f"not genuine: {error.what}")
    try:
        verify_receipt(entry.envelope, keyring, now=utc_now())
        state = "valid, dev key" if receipt.dev else "valid"
    except InterlockError as error:
        state = error.what
    return ReceiptView(
        recorded=_recorded(entry),
        receipt_id=entry.receipt_id,
        state=state,
        verdict=receipt.verdict.value,
        gate=receipt.gate,
        stage=receipt.stage.value,
        task_id=receipt.run.task_id,
        subject=receipt.subject.name,
        digest=receipt.subject.digest,
        exempted=bool(receipt.exemptions),
        why=(*(reason.message for reason in receipt.decision.reasons), *map(str, receipt.decision.errors))[
            :MAX_REASONS
        ],
    )


def _recorded(entry: LedgerEntry) -> str:
    try:
        return clock(moment_of(entry.recorded))
    except ValueError:
        return entry.recorded


def clock(moment: datetime) -> str:
    """A time as the page shows it, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
