"""The chain of enforcement events inside the ledger: one row an event, each hanging on the one before.

Nothing signs an event, so whoever owns the database can rewrite the whole chain, and cutting its tail leaves a chain
that is whole in itself; what it shows is an event that was altered, taken out, swapped or put in between.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, select

from interlock.evidence.enforcement import EnforcementEvent, event_from
from interlock.evidence.ledger_chain import ChainedEvent, EventChain
from interlock.evidence.ledger_tables import EVENTS
from interlock.evidence.receipt import strict_json
from interlock.gate.documents import canonical_json
from interlock.gate.errors import ReceiptError


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent(ChainedEvent):
    """One row of the chain of enforcement events; the link need not bind what follows from the event.

    Args:
        pipeline: sha256 of its pipeline's name, to look for.
        run: sha256 of its run id, to look for.
    """

    pipeline: str
    run: str

    def enforcement_event(self) -> EnforcementEvent:
        """The event, parsed.

        Raises:
            LedgerError: It cannot be read.
        """
        try:
            document = strict_json(self.event, what="an enforcement event")
        except ReceiptError as error:
            raise _CHAIN.broken(self, "cannot be read") from error
        if not isinstance(document, dict):
            raise _CHAIN.broken(self, "cannot be read")
        return event_from(document)


def append_enforcement(connection: Connection, event: EnforcementEvent, *, recorded: str) -> RecordedEvent:
    """Add one event; the caller holds the writer's lock."""
    return _CHAIN.append(
        connection,
        canonical_json(event.document()).decode(),
        recorded=recorded,
        pipeline=_mark(event.pipeline),
        run=_mark(event.run_id),
    )


def newest_enforcement(
    connection: Connection, *, pipeline: str | None, run_id: str | None, limit: int | None
) -> tuple[RecordedEvent, ...]:
    """The newest events, newest first, each compared with its own hashes.

    Args:
        connection: Inside one consistent view.
        pipeline: Only those of this pipeline.
        run_id: Only those of runs of this id.
        limit: How many at most.

    Raises:
        LedgerError: One was altered; names it.
    """
    wanted = select(EVENTS).order_by(EVENTS.c.seq.desc()).limit(limit)
    if pipeline is not None:
        wanted = wanted.where(EVENTS.c.pipeline == _mark(pipeline))
    if run_id is not None:
        wanted = wanted.where(EVENTS.c.run == _mark(run_id))
    return _CHAIN.read(connection, wanted)


def check_enforcement(connection: Connection) -> int:
    """Walk the chain and recompute everything.

    Returns:
        How many events there are.

    Raises:
        LedgerError: Names the first broken event.
    """
    return _CHAIN.walk(connection)


def _mark(text: str) -> str:
    return hashlib.sha256(canonical_json(text)).hexdigest()


def _check_names(row: RecordedEvent) -> None:
    event = row.enforcement_event()
    if (row.pipeline, row.run) != (_mark(event.pipeline), _mark(event.run_id)):
        raise _CHAIN.broken(row, "is filed under another pipeline or run than the one that it names")


_CHAIN = EventChain(
    table=EVENTS,
    kind=RecordedEvent,
    genesis=hashlib.sha256(b"urn:interlock:events:v1").hexdigest(),
    breaks="the enforcement events break",
    called="enforcement event {}",
    restore="trust no enforcement event from that one on; restore the ledger from a backup",
    check=_check_names,
)
