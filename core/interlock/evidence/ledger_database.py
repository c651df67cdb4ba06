"""The database behind a ledger: SQLite or PostgreSQL, opened, read from and written to by one writer at a time.

Nothing of receipts is known here. A read is one consistent view; a write holds the one writer's lock; and a turn is a
lock by name for whoever has to read, decide and write without another doing the same meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from interlock.evidence.ledger_errors import database_errors
from interlock.evidence.ledger_tables import ADVISORY_LOCK
from interlock.gate.errors import MissingExtraError, SettingsError, UnavailableError

_WRITES = "interlock_writes"
_BUSY_SECONDS = 30
_TURN_SECONDS = 600


def parsed_url(url: str) -> URL:
    """Read a ledger's URL.

    Raises:
        SettingsError: It is malformed, or of a database that keeps no ledger.
    """
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


def make_private(url: URL) -> None:
    """Let the file of an SQLite ledger be there, for this user alone.

    Raises:
        SettingsError: It is no file, or cannot be made.
    """
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


def engine_for(url: URL) -> Engine:
    """An engine that pools nothing, so it survives a fork and leaves nothing open.

    Raises:
        SettingsError: The URL names an unknown driver.
        MissingExtraError: The driver is not installed.
    """
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
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view, whatever writers do meanwhile."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """The one writer's transaction."""
    with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        yield connection


@contextmanager
def turn(engine: Engine, name: str) -> Iterator[None]:
    """Hold the lock of `name` until the block ends; others who want it wait, on other machines too with PostgreSQL.

    It is no writer's lock: receipts are written inside of the block, by whoever holds it and by everybody else.

    Args:
        engine: The ledger's.
        name: Any text; whoever agrees on it takes turns.

    Raises:
        UnavailableError: Another kept it for ten minutes.
    """
    held = _turn_in_postgresql if engine.dialect.name == "postgresql" else _turn_beside_sqlite
    with held(engine, name):
        yield


@contextmanager
def _turn_in_postgresql(engine: Engine, name: str) -> Iterator[None]:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with engine.connect() as connection, connection.begin():
        with database_errors(engine):
            connection.execute(text(f"SET LOCAL lock_timeout = '{_TURN_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        yield


@contextmanager
def _turn_beside_sqlite(engine: Engine, name: str) -> Iterator[None]:
    place = Path(f"{engine.url.database}.{hashlib.sha256(name.encode()).hexdigest()[:16]}.turn")
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + _TURN_SECONDS
        while not _locked(descriptor):
            if time.monotonic() > until:
                raise UnavailableError("another keeps its turn at the ledger", where=str(place), next_step="try again")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
