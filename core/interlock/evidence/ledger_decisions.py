"""The decision log inside the ledger: one event a decision, chained, and bound by the receipts' signatures.

Two things hold an event. Its `link` is the sha256 over its row and the row before, as with receipts; and a receipt
that was made from a decision names the event's sha256 under its signature. So whoever owns the database and rewrites
the whole chain still cannot change what an event of a receipt says, or take it away. Events of decisions that led to
no receipt (a process that died in between) are held by the chain alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from interlock.evidence.ledger_tables import DECISIONS
from interlock.evidence.receipt import strict_json
from interlock.gate.documents import canonical_json
from interlock.gate.errors import LedgerError, ReceiptError, UsageError
from interlock.gate.values import Json

GENESIS_LINK = hashlib.sha256(b"urn:interlock:decisions:v1").hexdigest()
"""What the first event hangs on."""

MAX_ID = 200
_BATCH = 200
_RESTORE = "trust no decision log from that event on; restore the ledger from a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDecision:
    """One event of the decision log.

    Args:
        seq: Place in the chain, from 1.
        decision_id: As in the event and in the receipt.
        event: The event as canonical JSON, in the form of OPA's decision log.
        event_digest: sha256 of `event`.
        recorded: When it was appended, RFC 3339 in UTC.
        previous: Link of the event before.
        link: sha256 over all of the above but the event itself.
    """

    seq: int
    decision_id: str
    event: str
    event_digest: str
    recorded: str
    previous: str
    link: str

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
    newest = select(DECISIONS.c.seq, DECISIONS.c.link).order_by(DECISIONS.c.seq.desc()).limit(1)
    before = connection.execute(newest).one_or_none()
    logged = LoggedDecision(
        seq=before.seq + 1 if before is not None else 1,
        decision_id=decision_id,
        event=event,
        event_digest=hashlib.sha256(event.encode()).hexdigest(),
        recorded=recorded,
        previous=before.link if before is not None else GENESIS_LINK,
        link="",
    )
    logged = replace(logged, link=_link_of(logged))
    connection.execute(insert(DECISIONS), {column.name: getattr(logged, column.name) for column in DECISIONS.columns})
    return logged


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
    found = tuple(_logged_of(row) for row in connection.execute(wanted))[::-1]
    for logged in found:
        _check_one(logged)
    return found


def check_events(connection: Connection) -> int:
    """Walk the chain of events and recompute everything.

    Returns:
        How many there are.

    Raises:
        LedgerError: Names the first broken event.
    """
    seq, link = 0, GENESIS_LINK
    while True:
        rows = select(DECISIONS).where(DECISIONS.c.seq > seq).order_by(DECISIONS.c.seq).limit(_BATCH)
        if seq == 0:  # a row that was put before the first one must be met, too
            rows = select(DECISIONS).order_by(DECISIONS.c.seq).limit(_BATCH)
        batch = [_logged_of(row) for row in connection.execute(rows)]
        if not batch:
            return seq
        for logged in batch:
            if logged.seq != seq + 1:
                raise LedgerError(
                    f"the decision log breaks after event {seq}: event {seq + 1} is missing",
                    where=logged.decision_id,
                    next_step=_RESTORE,
                )
            if logged.previous != link:
                raise _broken(logged, f"does not follow event {seq}")
            _check_one(logged)
            seq, link = logged.seq, logged.link


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


def _logged_of(row: Row[Any]) -> LoggedDecision:
    return LoggedDecision(**{column.name: getattr(row, column.name) for column in DECISIONS.columns})


def _link_of(logged: LoggedDecision) -> str:
    bound: dict[str, Json] = {
        "seq": logged.seq,
        "decision_id": logged.decision_id,
        "event": logged.event_digest,
        "recorded": logged.recorded,
        "previous": logged.previous,
    }
    return hashlib.sha256(canonical_json(bound)).hexdigest()


def _check_one(logged: LoggedDecision) -> None:
    if logged.link != _link_of(logged):
        raise _broken(logged, "was altered: its fields do not give its link")
    if hashlib.sha256(logged.event.encode(errors="surrogatepass")).hexdigest() != logged.event_digest:
        raise _broken(logged, "was altered: it is not the one that was recorded")
    try:
        decision_id = logged.document().get("decision_id")
    except ReceiptError as error:
        raise _broken(logged, "cannot be read") from error
    if decision_id != logged.decision_id:
        raise _broken(logged, "names another decision than the one that it is filed under")


def _broken(logged: LoggedDecision, how: str) -> LedgerError:
    return LedgerError(f"event {logged.seq} of the decision log {how}", where=logged.decision_id, next_step=_RESTORE)
