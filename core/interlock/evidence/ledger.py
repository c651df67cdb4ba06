"""The ledger: an append-only store of receipts, each chained to the one before.

SQLite (WAL) by default, PostgreSQL by URL, through SQLAlchemy Core. A receipt is durable when `append` returns. Whoever
writes holds the one writer's lock (``BEGIN IMMEDIATE``, or an advisory lock), so concurrent writers queue and a
process that is killed leaves either the whole receipt or nothing of it.

The ledger keeps receipts; it does not judge them. Signatures are checked by whoever reads one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, Select, insert, select

from interlock.evidence.ledger_check import (
    GENESIS,
    LedgerEntry,
    LedgerHead,
    Mark,
    accounts_of,
    check_entry,
    check_ledger,
    entry_of,
    link_of,
    mark_of_account,
    mark_of_evaluation,
    mark_of_run,
    mark_value,
    marks_of,
    marks_of_digest,
    statement_of,
)
from interlock.evidence.ledger_database import engine_for, make_private, parsed_url, reading, turn, writing
from interlock.evidence.ledger_decisions import LoggedDecision, append_event, newest_events
from interlock.evidence.ledger_errors import database_errors
from interlock.evidence.ledger_events import RecordedEvent, append_enforcement, newest_enforcement
from interlock.evidence.ledger_tables import ENTRIES, MARKS, REPORTS, create_tables, has_tables
from interlock.evidence.receipt import receipt_from
from interlock.evidence.verification import open_envelope
from interlock.gate.documents import timestamp
from interlock.gate.errors import LedgerError, UsageError
from interlock.gate.values import RunIdentity, utc_now

if TYPE_CHECKING:
    from interlock.evidence.enforcement import EnforcementEvent
    from interlock.evidence.export import Exported
    from interlock.evidence.keyring import KeyRing
    from interlock.evidence.keys import ReceiptSigner

Read = TypeVar("Read")


class Ledger:
    """One ledger in one database. Connections are not pooled, so it survives a fork and leaves nothing open."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        """Use `Ledger.open`.

        Args:
            engine: A SQLAlchemy engine with this ledger's tables.
            clock: UTC now; replaced in tests.
        """
        self._engine = engine
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime] = utc_now) -> Ledger:
        """Open the ledger at `url` and make it when it is not there.

        Args:
            url: SQLAlchemy URL: ``sqlite:///<path>`` or ``postgresql+pg8000://<user>:<password>@<host>/<database>``.
            clock: UTC now; replaced in tests.

        Raises:
            SettingsError: The URL is malformed, of another database, or the account may not use the database.
            MissingExtraError: The database's driver is not installed.
            LedgerError: What is there is no ledger.
            UnavailableError: The database did not answer; try again.
        """
        parsed = parsed_url(url)
        if parsed.get_backend_name() == "sqlite":
            make_private(parsed)
        engine = engine_for(parsed)
        with database_errors(engine), reading(engine) as connection:
            ready = has_tables(connection)
        if not ready:
            with database_errors(engine), writing(engine) as connection:
                if not has_tables(connection):
                    create_tables(connection)
        return cls(engine, clock=clock)

    def close(self) -> None:
        """Let go of the database; nothing stays open between calls anyway, and using the ledger again reopens it."""
        self._engine.dispose()

    def append(self, envelope: str, report: str) -> LedgerEntry:
        """Add one receipt and its report; durable when this returns.

        Args:
            envelope: DSSE envelope as JSON, signed by the caller.
            report: Report document as canonical JSON; its sha256 is in the receipt.

        Raises:
            ReceiptError: The envelope holds no receipt.
            UsageError: The report is not the one that the receipt binds.
            LedgerError: The database refused the row.
            UnavailableError: The database did not answer; try again.
        """
        receipt = receipt_from(open_envelope(envelope).payload)
        report_digest = hashlib.sha256(report.encode()).hexdigest()
        if report_digest != receipt.report_digest:
            raise UsageError("a receipt binds another report than the one to be stored", where=receipt.receipt_id)
        marks = (*marks_of(statement_of(envelope)), *accounts_of(report))
        with database_errors(self._engine), writing(self._engine) as connection:
            before = _head(connection)
            entry = LedgerEntry(
                seq=before.seq + 1,
                receipt_id=receipt.receipt_id,
                envelope=envelope,
                envelope_digest=hashlib.sha256(envelope.encode()).hexdigest(),
                report_digest=report_digest,
                recorded=timestamp(self._clock()),
                previous=before.link,
                link="",
                report=report,
            )
            entry = replace(entry, link=link_of(entry))
            _insert(connection, entry, marks)
        return entry

    def get(self, receipt_id: str) -> LedgerEntry:
        """The entry of one receipt, with its report, re-checked against its own hashes.

        Raises:
            UsageError: No such receipt.
            LedgerError: The row or its report was altered; names the entry.
            UnavailableError: The database did not answer; try again.
        """
        with database_errors(self._engine), reading(self._engine) as connection:
            row = connection.execute(select(ENTRIES).where(ENTRIES.c.receipt_id == receipt_id)).one_or_none()
            if row is None:
                raise UsageError(
                    "the ledger has no such receipt", where=receipt_id, next_step="see `interlock ledger list`"
                )
            found = select(REPORTS.c.document).where(REPORTS.c.digest == row.report_digest)
            report = connection.execute(found).scalar_one_or_none()
        entry = entry_of(row, report)
        check_entry(entry)
        return entry

    def find(self, digest: str, *, parts: bool = False) -> tuple[LedgerEntry, ...]:
        """The receipts about the bytes that `digest` names, oldest first, each re-checked against its own hashes.

        Args:
            digest: sha256 of a file, or of a folder's manifest.
            parts: Also receipts of folders that hold a file of that digest.

        Raises:
            LedgerError: A row was altered; names the entry. Then none is returned.
            UnavailableError: The database did not answer; try again.
        """
        return self._marked(marks_of_digest(digest, parts=parts))

    def of_run(self, run: RunIdentity) -> tuple[LedgerEntry, ...]:
        """The receipts of one run, oldest first.

        Raises:
            LedgerError, UnavailableError: As for `find`.
        """
        return self._marked(frozenset({mark_of_run(run.orchestrator, run.pipeline, run.run_id)}))

    def of_evaluation(self, name: str) -> tuple[LedgerEntry, ...]:
        """The receipts of the evaluations of one name, oldest first.

        Raises:
            LedgerError, UnavailableError: As for `find`.
        """
        return self._marked(frozenset({mark_of_evaluation(name)}))

    def of_run_id(self, run_id: str) -> tuple[LedgerEntry, ...]:
        """The receipts of every run that an orchestrator called `run_id`, oldest first.

        Raises:
            LedgerError, UnavailableError: As for `find`.
        """
        return self._marked(frozenset({Mark(kind="run_id", value=mark_value(run_id))}))

    def of_account(
        self, account: str, read: Callable[[LedgerEntry], Read], *, newest: int | None = None
    ) -> tuple[Read, ...]:
        """What `read` makes of each receipt that counts on an account, oldest first, each re-checked with its report.

        Args:
            account: As the reports of trainings name it in their facts (`accounts`).
            read: Takes an entry with its report; one report is in memory at a time.
            newest: Only so many of the newest.

        Raises:
            LedgerError: A row or report was altered; names the entry. Then nothing is returned.
            UnavailableError: The database did not answer; try again.
        """
        mark = mark_of_account(account)
        wanted: Select[Any] = select(ENTRIES, REPORTS.c.document).join(MARKS, MARKS.c.seq == ENTRIES.c.seq)
        wanted = wanted.join(REPORTS, REPORTS.c.digest == ENTRIES.c.report_digest, isouter=True)
        wanted = wanted.where(MARKS.c.kind == mark.kind, MARKS.c.value == mark.value)
        wanted = wanted.order_by(ENTRIES.c.seq.desc()).limit(newest)
        with database_errors(self._engine), reading(self._engine) as connection:
            found = [read(_accounted(entry_of(row, row.document), mark)) for row in connection.execute(wanted)]
        return tuple(reversed(found))

    def turn(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock of `name` while reading, deciding and writing what nobody else may do in between.

        Raises:
            UnavailableError: Another kept it for ten minutes, or the database did not answer; try again.
        """
        return turn(self._engine, name)

    def entries(self, *, limit: int | None = None) -> tuple[LedgerEntry, ...]:
        """The newest entries, newest first, without their reports and not re-checked: for listing.

        Raises:
            UnavailableError: The database did not answer; try again.
        """
        wanted = select(ENTRIES).order_by(ENTRIES.c.seq.desc())
        with database_errors(self._engine), reading(self._engine) as connection:
            return tuple(entry_of(row) for row in connection.execute(wanted.limit(limit)))

    def append_decision(self, event: str) -> LoggedDecision:
        """Add one event to the decision log; durable when this returns.

        Args:
            event: In the form of OPA's decision log, as JSON, masked by the caller.

        Raises:
            UsageError: It is no event with a decision id.
            LedgerError: The database refused the row, or there is an event of that id already.
            UnavailableError: The database did not answer; try again.
        """
        with database_errors(self._engine), writing(self._engine) as connection:
            return append_event(connection, event, recorded=timestamp(self._clock()))

    def decisions(self, *, since: datetime | None = None, limit: int | None = None) -> tuple[LoggedDecision, ...]:
        """The newest events of the decision log, oldest first, each compared with its own hashes.

        Args:
            since: Only those recorded from then on, UTC.
            limit: How many at most.

        Raises:
            LedgerError: One was altered; names it. Then none is returned.
            UnavailableError: The database did not answer; try again.
        """
        from_then = timestamp(since) if since is not None else ""
        with database_errors(self._engine), reading(self._engine) as connection:
            return newest_events(connection, since=from_then, limit=limit)

    def record_event(self, event: EnforcementEvent) -> RecordedEvent:
        """Add one enforcement event; durable when this returns.

        Raises:
            LedgerError: The database refused the row.
            UnavailableError: The database did not answer; try again.
        """
        with database_errors(self._engine), writing(self._engine) as connection:
            return append_enforcement(connection, event, recorded=timestamp(self._clock()))

    def events(
        self, *, pipeline: str | None = None, run_id: str | None = None, limit: int | None = None
    ) -> tuple[RecordedEvent, ...]:
        """The newest enforcement events, newest first, each compared with its own hashes.

        Args:
            pipeline: Only those of this pipeline.
            run_id: Only those of runs of this id.
            limit: How many at most.

        Raises:
            LedgerError: One was altered; names it. Then none is returned.
            UnavailableError: The database did not answer; try again.
        """
        with database_errors(self._engine), reading(self._engine) as connection:
            return newest_enforcement(connection, pipeline=pipeline, run_id=run_id, limit=limit)

    def head(self) -> LedgerHead:
        """The newest link; kept elsewhere, it later shows whether the tail was cut.

        Raises:
            UnavailableError: The database did not answer; try again.
        """
        with database_errors(self._engine), reading(self._engine) as connection:
            return _head(connection)

    def verify(self, head: LedgerHead | str | None = None) -> LedgerHead:
        """Walk the chains of receipts, logged decisions and enforcement events; compare receipts with decisions.

        Args:
            head: A head that was noted earlier (`LedgerHead` or its text); the ledger must still contain it.

        Returns:
            The head as it is now, to be noted.

        Raises:
            LedgerError: Names the first broken link, and how it is broken.
            UsageError: `head` is no head.
            UnavailableError: The database did not answer; try again.
        """
        expected = LedgerHead.parse(head) if isinstance(head, str) else head
        with database_errors(self._engine), reading(self._engine) as connection:
            return check_ledger(connection, expected)

    def export(
        self,
        folder: Path,
        *,
        keyring: KeyRing,
        signer: ReceiptSigner | None = None,
        run: str | None = None,
        now: datetime | None = None,
    ) -> Exported:
        """Write receipts, reports, keys and, for one run, an in-toto layout with links; see `export.export_ledger`."""
        from interlock.evidence.export import export_ledger

        return export_ledger(self, folder, keyring=keyring, signer=signer, run=run, now=now or self._clock())

    def _marked(self, marks: frozenset[Mark]) -> tuple[LedgerEntry, ...]:
        wanted: Select[Any] = select(ENTRIES).join(MARKS, MARKS.c.seq == ENTRIES.c.seq)
        kinds, values = {mark.kind for mark in marks}, {mark.value for mark in marks}
        wanted = wanted.where(MARKS.c.kind.in_(kinds), MARKS.c.value.in_(values)).order_by(ENTRIES.c.seq).distinct()
        with database_errors(self._engine), reading(self._engine) as connection:
            entries = tuple(entry_of(row) for row in connection.execute(wanted))
        for entry in entries:
            check_entry(entry)
            _refuse_foreign(entry, marks & set(marks_of(statement_of(entry.envelope))))
        return entries


def _accounted(entry: LedgerEntry, mark: Mark) -> LedgerEntry:
    """The entry, once it is known to be whole and to count on the account that it was found under."""
    if entry.report is None:
        raise LedgerError(
            f"entry {entry.seq} has lost its report", where=entry.receipt_id, next_step="run `interlock ledger verify`"
        )
    check_entry(entry)
    _refuse_foreign(entry, {mark} & set(accounts_of(entry.report)))
    return entry


def _refuse_foreign(entry: LedgerEntry, own: Collection[Mark]) -> None:
    if not own:
        raise LedgerError(
            f"entry {entry.seq} is found under a mark that is not its own",
            where=entry.receipt_id,
            next_step="run `interlock ledger verify`",
        )


def _head(connection: Connection) -> LedgerHead:
    newest = select(ENTRIES.c.seq, ENTRIES.c.link).order_by(ENTRIES.c.seq.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return GENESIS if row is None else LedgerHead(seq=row.seq, link=row.link)


def _insert(connection: Connection, entry: LedgerEntry, marks: tuple[Mark, ...]) -> None:
    known = select(REPORTS.c.digest).where(REPORTS.c.digest == entry.report_digest)
    if connection.execute(known).one_or_none() is None:
        connection.execute(insert(REPORTS), {"digest": entry.report_digest, "document": entry.report})
    columns = {column.name: getattr(entry, column.name) for column in ENTRIES.columns}
    connection.execute(insert(ENTRIES), columns)
    connection.execute(insert(MARKS), [{"kind": m.kind, "value": m.value, "seq": entry.seq} for m in marks])
