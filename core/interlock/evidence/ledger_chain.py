"""One chain of events in one table of the ledger: each row's `link` is the sha256 over its fields and the link before.

The decision log and the enforcement events are two of these. What it shows is an event that was altered, taken out,
swapped or put in between; cutting the tail leaves a chain that is whole in itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, Table, insert, select

from interlock.gate.documents import canonical_json
from interlock.gate.errors import LedgerError
from interlock.gate.values import Json

_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedEvent:
    """One row of a chain.

    Args:
        seq: Place in the chain, from 1.
        event: The event as JSON.
        event_digest: sha256 of `event`.
        recorded: When it was appended, RFC 3339 in UTC.
        previous: Link of the event before.
        link: sha256 over all of the above but the event itself, and over what the chain binds besides.
    """

    seq: int
    event: str
    event_digest: str
    recorded: str
    previous: str
    link: str


Event = TypeVar("Event", bound=ChainedEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChain(Generic[Event]):
    """How one kind of event is chained.

    Args:
        table: Its columns are the fields of `kind`.
        kind: The row as a value.
        genesis: What the first event hangs on.
        besides: Names of further fields that the link binds.
        breaks: Begins the sentence about an event that is missing: ``the decision log breaks``.
        called: One event in a sentence, with its number left open: ``event {} of the decision log``.
        restore: What to do when it is broken.
        check: Raises `LedgerError` where a row's fields are not what its event says.
        where: Names a row beside its number; may be empty.
    """

    table: Table
    kind: type[Event]
    genesis: str
    besides: tuple[str, ...] = ()
    breaks: str
    called: str
    restore: str
    check: Callable[[Event], None]
    where: Callable[[Event], str] = lambda _: ""

    def append(self, connection: Connection, event: str, *, recorded: str, **further: str) -> Event:
        """Add one event; the caller holds the writer's lock.

        Args:
            connection: Inside the writer's transaction.
            event: JSON text.
            recorded: RFC 3339 in UTC.
            further: The other fields of the row.
        """
        newest = select(self.table.c.seq, self.table.c.link).order_by(self.table.c.seq.desc()).limit(1)
        before = connection.execute(newest).one_or_none()
        row = self.kind(
            seq=before.seq + 1 if before is not None else 1,
            event=event,
            event_digest=hashlib.sha256(event.encode()).hexdigest(),
            recorded=recorded,
            previous=before.link if before is not None else self.genesis,
            link="",
            **further,
        )
        row = replace(row, link=self._link_of(row))
        values = {column.name: getattr(row, column.name) for column in self.table.columns}
        connection.execute(insert(self.table), values)
        return row

    def read(self, connection: Connection, wanted: Select[Any]) -> tuple[Event, ...]:
        """Rows of the table, each compared with its own hashes.

        Raises:
            LedgerError: One was altered; names it.
        """
        found = self._rows(connection, wanted)
        for row in found:
            self._check_one(row)
        return tuple(found)

    def walk(self, connection: Connection) -> int:
        """Go along the whole chain and recompute everything.

        Returns:
            How many events there are.

        Raises:
            LedgerError: Names the first broken event.
        """
        seq, link = 0, self.genesis
        while batch := self._after(connection, seq):
            for row in batch:
                if row.seq != seq + 1:
                    raise LedgerError(
                        f"{self.breaks} after event {seq}: event {seq + 1} is missing",
                        where=self.where(row),
                        next_step=self.restore,
                    )
                if row.previous != link:
                    raise self.broken(row, f"does not follow event {seq}")
                self._check_one(row)
                seq, link = row.seq, row.link
        return seq

    def broken(self, row: Event, how: str) -> LedgerError:
        """The error that names `row`."""
        return LedgerError(f"{self.called.format(row.seq)} {how}", where=self.where(row), next_step=self.restore)

    def _after(self, connection: Connection, seq: int) -> list[Event]:
        rows = select(self.table).where(self.table.c.seq > seq)
        if seq == 0:  # a row that was put before the first one must be met, too
            rows = select(self.table)
        return self._rows(connection, rows.order_by(self.table.c.seq).limit(_BATCH))

    def _rows(self, connection: Connection, wanted: Select[Any]) -> list[Event]:
        names = [column.name for column in self.table.columns]
        return [self.kind(**{name: getattr(row, name) for name in names}) for row in connection.execute(wanted)]

    def _link_of(self, row: Event) -> str:
        bound: dict[str, Json] = {
            "seq": row.seq,
            "event": row.event_digest,
            "recorded": row.recorded,
            "previous": row.previous,
        }
        bound |= {name: getattr(row, name) for name in self.besides}
        return hashlib.sha256(canonical_json(bound)).hexdigest()

    def _check_one(self, row: Event) -> None:
        if row.link != self._link_of(row):
            raise self.broken(row, "was altered: its fields do not give its link")
        if hashlib.sha256(row.event.encode(errors="surrogatepass")).hexdigest() != row.event_digest:
            raise self.broken(row, "was altered: it is not the one that was recorded")
        self.check(row)
