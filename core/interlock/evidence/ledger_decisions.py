"""The decision log inside the ledger: one event a decision, chained, and bound by the receipts' signatures.

Two things hold an event. Its `link` is the sha256 over its row and the row before, as with receipts; and a receipt
that was made from a decision names the event's sha256 under its signature. So whoever owns the database and rewrites
the whole chain still cannot change what an event of a receipt says, or take it away. Events of decisions that led to
no receipt (a process that died in between) are held by the chain alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from interlock.evidence.ledger_chain import ChainedEvent, EventChain
from interlock.evidence.ledger_tables import DECISIONS
from interlock.evidence.receipt import strict_json
from interlock.gate.errors import LedgerError, ReceiptError, UsageError
from interlock.gate.values import Json

MAX_ID = 200
_RESTORE = "trust no decision log from that event on; restore the ledger from a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDecision(ChainedEvent):
    """One event of the decision log; `event` is canonical JSON in the form of OPA's decision log.

    Args:
        decision_id: As in the event and in the receipt.
    """

    decision_id: str

    def document(self) -> Mapping[str, Json]:
        """The event, parsed.

        Raises:
            ReceiptError: It is no JSON object.
        """
        document = strict_json(self.event, what="an event of the decision log")
        if not isinstance(document, dict):
            raise ReceiptError("an event of the decision log is an object", where=self.decision_id)
        return document


def append_event(connection: Connection, event: str, *, recorded: str) -> LoggedDecision:
    """Add one event; the caller holds the writer's lock.

    Raises:
        UsageError: It is no event with a decision id.
        LedgerError: An event of that id is there. Ids come from an OPA server where one decides, and who repeats an
            answer may mean another question.
    """
    try:
        document = strict_json(event, what="an event of the decision log")
    except ReceiptError as error:
        raise UsageError(error.what) from error
    decision_id = document.get("decision_id") if isinstance(document, dict) else None
    if not isinstance(decision_id, str) or not 1 <= len(decision_id) <= MAX_ID:
        raise UsageError(f"an event of the decision log has a decision_id of 1 to {MAX_ID} characters")
    if connection.execute(select(DECISIONS.c.seq).where(DECISIONS.c.decision_id == decision_id)).first() is not None:
        raise LedgerError(
            f"a decision with id {decision_id!r} is logged already; the server, or something in front of it, "
            "repeats answers",
            next_step="let nothing between Interlock and the OPA server keep answers",
        )
    return _CHAIN.append(connection, event, recorded=recorded, decision_id=decision_id)


def newest_events(connection: Connection, *, since: str, limit: int | None) -> tuple[LoggedDecision, ...]:
    """The newest events since a moment, oldest first, each compared with its own hashes.

    Args:
        connection: Inside one consistent view.
        since: RFC 3339 in UTC as the ledger writes it; empty for all.
        limit: How many at most.

    Raises:
        LedgerError: One was altered; names it.
    """
    wanted = select(DECISIONS).where(DECISIONS.c.recorded >= since).order_by(DECISIONS.c.seq.desc()).limit(limit)
    return _CHAIN.read(connection, wanted)[::-1]


def check_events(connection: Connection) -> int:
    """Walk the chain of events and recompute everything.

    Returns:
        How many there are.

    Raises:
        LedgerError: Names the first broken event.
    """
    return _CHAIN.walk(connection)


def check_bound(connection: Connection, statement: Mapping[str, Any], *, where: str) -> None:
    """Compare a receipt with the event that it binds, if it binds one.

    Args:
        connection: Inside one consistent view.
        statement: The receipt's statement.
        where: The receipt's id.

    Raises:
        LedgerError: The event is gone, or is another one.
    """
    try:
        decision = statement["predicate"]["interlock_receipt"]["decision"]
        decision_id, bound = str(decision["decision_id"]), decision["event"]["sha256"] if "event" in decision else ""
    except (KeyError, TypeError) as error:
        raise LedgerError("a receipt's decision cannot be read", where=where, next_step=_RESTORE) from error
    if not bound:
        return
    wanted = select(DECISIONS.c.event).where(DECISIONS.c.decision_id == decision_id)
    event = connection.execute(wanted).scalar_one_or_none()
    if event is None:
        raise LedgerError("the decision log has lost a receipt's event", where=where, next_step=_RESTORE)
    if hashlib.sha256(event.encode(errors="surrogatepass")).hexdigest() != bound:
        raise LedgerError(
            "the decision log holds another event than the one that a receipt binds", where=where, next_step=_RESTORE
        )


def _check_id(logged: LoggedDecision) -> None:
    try:
        decision_id = logged.document().get("decision_id")
    except ReceiptError as error:
        raise _CHAIN.broken(logged, "cannot be read") from error
    if decision_id != logged.decision_id:
        raise _CHAIN.broken(logged, "names another decision than the one that it is filed under")


_CHAIN = EventChain(
    table=DECISIONS,
    kind=LoggedDecision,
    genesis=hashlib.sha256(b"urn:interlock:decisions:v1").hexdigest(),
    besides=("decision_id",),
    breaks="the decision log breaks",
    called="event {} of the decision log",
    restore=_RESTORE,
    check=_check_id,
    where=lambda logged: logged.decision_id,
)
