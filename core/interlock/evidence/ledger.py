"""The ledger: an append-only store of receipts, each chained to the one before.

SQLite (WAL) by default, PostgreSQL by URL, through SQLAlchemy Core. A receipt is durable when `append` returns. Whoever
writes holds the one writer's lock (``BEGIN IMMEDIATE``, or an advisory lock), so concurrent writers queue and a
process that is killed leaves either the whole receipt or nothing of it.

The ledger keeps receipts; it does not judge them. Signatures are checked by whoever reads one.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Select, create_engine, event, insert, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from interlock.evidence.ledger_check import (
    GENESIS,
    LedgerEntry,
    LedgerHead,
    Mark,
    check_entry,
    check_ledger,
    entry_of,
    link_of,
    mark_of_run,
    mark_value,
    marks_of,
    marks_of_digest,
    statement_of,
)
from interlock.evidence.ledger_decisions import LoggedDecision, append_event, newest_events
from interlock.evidence.ledger_errors import database_errors
from interlock.evidence.ledger_events import RecordedEvent, append_enforcement, newest_enforcement
from interlock.evidence.ledger_tables import ADVISORY_LOCK, ENTRIES, MARKS, REPORTS, create_tables, has_tables
from interlock.evidence.receipt import receipt_from
from interlock.evidence.verification import open_envelope
from interlock.gate.documents import timestamp
from interlock.gate.errors import LedgerError, MissingExtraError, SettingsError, UsageError
from interlock.gate.values import RunIdentity, utc_now

if TYPE_CHECKING:
    from interlock.evidence.enforcement import EnforcementEvent
    from interlock.evidence.export import Exported
    from interlock.evidence.keyring import KeyRing
    from interlock.evidence.keys import ReceiptSigner

_WRITES = "interlock_writes"
_BUSY_SECONDS = 30


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
        parsed = _parsed(url)
        if parsed.get_backend_name() == "sqlite":
            _make_private(parsed)
        engine = _engine(parsed)
        with database_errors(engine), _reading(engine) as connection:
            ready = has_tables(connection)
        if not ready:
            with database_errors(engine), _writing(engine) as connection:
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
        marks = marks_of(statement_of(envelope))
        with database_errors(self._engine), _writing(self._engine) as connection:
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
        with database_errors(self._engine), _reading(self._engine) as connection:
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

    def of_run_id(self, run_id: str) -> tuple[LedgerEntry, ...]:
        """The receipts of every run that an orchestrator called `run_id`, oldest first.

        Raises:
            LedgerError, UnavailableError: As for `find`.
        """
        return self._marked(frozenset({Mark(kind="run_id", value=mark_value(run_id))}))

    def entries(self, *, limit: int | None = None) -> tuple[LedgerEntry, ...]:
        """The newest entries, newest first, without their reports and not re-checked: for listing.

        Raises:
            UnavailableError: The database did not answer; try again.
        """
        wanted = select(ENTRIES).order_by(ENTRIES.c.seq.desc())
        with database_errors(self._engine), _reading(self._engine) as connection:
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
        with database_errors(self._engine), _writing(self._engine) as connection:
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
        with database_errors(self._engine), _reading(self._engine) as connection:
            return newest_events(connection, since=from_then, limit=limit)

    def record_event(self, event: EnforcementEvent) -> RecordedEvent:
        """Add one enforcement event; durable when this returns.

        Raises:
            LedgerError: The database refused the row.
            UnavailableError: The database did not answer; try again.
        """
        with database_errors(self._engine), _writing(self._engine) as connection:
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
        with database_errors(self._engine), _reading(self._engine) as connection:
            return newest_enforcement(connection, pipeline=pipeline, run_id=run_id, limit=limit)

    def head(self) -> LedgerHead:
        """The newest link; kept elsewhere, it later shows whether the tail was cut.

        Raises:
            UnavailableError: The database did not answer; try again.
        """
        with database_errors(self._engine), _reading(self._engine) as connection:
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
        with database_errors(self._engine), _reading(self._engine) as connection:
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
        with database_errors(self._engine), _reading(self._engine) as connection:
            entries = tuple(entry_of(row) for row in connection.execute(wanted))
        for entry in entries:
            check_entry(entry)
            if not marks & set(marks_of(statement_of(entry.envelope))):
                raise LedgerError(
                    f"entry {entry.seq} is found under a mark that is not its own",
                    where=entry.receipt_id,
                    next_step="run `interlock ledger verify`",
                )
        return entries


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError(
            "the ledger's URL cannot be read",
            where="setting `ledger_url`",
            next_step="use sqlite:///<path> or postgresql+pg8000://<user>:<password>@<host>/<database>",
        ) from error
    if backend not in {"sqlite", "postgresql"}:
        raise SettingsError(
            f"no ledger is kept in {backend}", where="setting `ledger_url`", next_step="use SQLite or PostgreSQL"
        )
    return parsed


def _make_private(url: URL) -> None:
    if not url.database or url.database == ":memory:":
        raise SettingsError("a ledger in memory would forget", where="setting `ledger_url`", next_step="give a path")
    place = Path(url.database)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"the ledger cannot be opened: {error.strerror}",
            where=str(place),
            next_step="set `ledger_url` to a place that this user may write",
        ) from error


def _engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "postgresql":
            return create_engine(url, poolclass=NullPool)
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "the database driver", extra="postgres") from error
    except NoSuchModuleError as error:
        raise SettingsError(
            f"the ledger's URL names an unknown driver: {error}", where="setting `ledger_url`"
        ) from error

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy's recipe: sqlite3 must not begin transactions by itself
        _use_wal(connection)
        for pragma in ("synchronous=FULL", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the journal's mode; two that do so on a new file at once are refused without SQLite's own waiting."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view, whatever writers do meanwhile."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    """The one writer's transaction."""
    with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        yield connection


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
