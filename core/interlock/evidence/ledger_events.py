"""The chain of enforcement events inside the ledger: one row an event, each hanging on the one before.

Nothing signs an event, so whoever owns the database can rewrite the whole chain, and cutting its tail leaves a chain
that is whole in itself; what it shows is an event that was altered, taken out, swapped or put in between.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from interlock.evidence.enforcement import EnforcementEvent, event_from
from interlock.evidence.ledger_tables import EVENTS
from interlock.evidence.receipt import strict_json
from interlock.gate.documents import canonical_json
from interlock.gate.errors import LedgerError, ReceiptError

GENESIS_LINK = hashlib.sha256(b"urn:interlock:events:v1").hexdigest()
"""What the first event hangs on."""

_BATCH = 200
_RESTORE = "trust no enforcement event from that one on; restore the ledger from a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """One row of the chain of enforcement events.

    Args:
        seq: Place in the chain, from 1.
        event: The event as canonical JSON.
        event_digest: sha256 of `event`.
        pipeline: sha256 of its pipeline's name, to look for.
        run: sha256 of its run id, to look for.
        recorded: When it was appended, RFC 3339 in UTC.
        previous: Link of the event before.
        link: sha256 over all of the above but the event itself and what follows from it.
    """

    seq: int
    event: str
    event_digest: str
    pipeline: str
    run: str
    recorded: str
    previous: str
    link: str

    def enforcement_event(self) -> EnforcementEvent:
        """The event, parsed.

        Raises:
            LedgerError: It cannot be read.
        """
        try:
            document = strict_json(self.event, what="an enforcement event")
        except ReceiptError as error:
            raise _broken(self, "cannot be read") from error
        if not isinstance(document, dict):
            raise _broken(self, "cannot be read")
        return event_from(document)


def append_enforcement(connection: Connection, event: EnforcementEvent, *, recorded: str) -> RecordedEvent:
    """Add one event; the caller holds the writer's lock."""
    newest = select(EVENTS.c.seq, EVENTS.c.link).order_by(EVENTS.c.seq.desc()).limit(1)
    before = connection.execute(newest).one_or_none()
    text = canonical_json(event.document())
    row = RecordedEvent(
        seq=before.seq + 1 if before is not None else 1,
        event=text.decode(),
        event_digest=hashlib.sha256(text).hexdigest(),
        pipeline=_mark(event.pipeline),
        run=_mark(event.run_id),
        recorded=recorded,
        previous=before.link if before is not None else GENESIS_LINK,
        link="",
    )
    row = replace(row, link=_link_of(row))
    connection.execute(insert(EVENTS), {column.name: getattr(row, column.name) for column in EVENTS.columns})
    return row


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
    found = tuple(_row_of(row) for row in connection.execute(wanted))
    for row in found:
        _check_one(row)
    return found


def check_enforcement(connection: Connection) -> int:
    """Walk the chain and recompute everything.

    Returns:
        How many events there are.

    Raises:
        LedgerError: Names the first broken event.
    """
    seq, link = 0, GENESIS_LINK
    while True:
        rows = select(EVENTS).where(EVENTS.c.seq > seq).order_by(EVENTS.c.seq).limit(_BATCH)
        if seq == 0:  # a row that was put before the first one must be met, too
            rows = select(EVENTS).order_by(EVENTS.c.seq).limit(_BATCH)
        batch = [_row_of(row) for row in connection.execute(rows)]
        if not batch:
            return seq
        for row in batch:
            if row.seq != seq + 1:
                raise LedgerError(
                    f"the enforcement events break after event {seq}: event {seq + 1} is missing", next_step=_RESTORE
                )
            if row.previous != link:
                raise _broken(row, f"does not follow event {seq}")
            _check_one(row)
            seq, link = row.seq, row.link


def _row_of(row: Row[Any]) -> RecordedEvent:
    return RecordedEvent(**{column.name: getattr(row, column.name) for column in EVENTS.columns})


def _mark(text: str) -> str:
    return hashlib.sha256(canonical_json(text)).hexdigest()


def _link_of(row: RecordedEvent) -> str:
    return hashlib.sha256(
        canonical_json({"seq": row.seq, "event": row.event_digest, "recorded": row.recorded, "previous": row.previous})
    ).hexdigest()


def _check_one(row: RecordedEvent) -> None:
    if row.link != _link_of(row):
        raise _broken(row, "was altered: its fields do not give its link")
    if hashlib.sha256(row.event.encode(errors="surrogatepass")).hexdigest() != row.event_digest:
        raise _broken(row, "was altered: it is not the one that was recorded")
    event = row.enforcement_event()
    if (row.pipeline, row.run) != (_mark(event.pipeline), _mark(event.run_id)):
        raise _broken(row, "is filed under another pipeline or run than the one that it names")


def _broken(row: RecordedEvent, how: str) -> LedgerError:
    return LedgerError(f"enforcement event {row.seq} {how}", next_step=_RESTORE)
