"""The ledger's tables, and the triggers that make them append-only.

The triggers stop mistakes and ordinary accounts; whoever owns the database can drop them. What such an owner changes
is what the hash chain shows (`interlock.evidence.ledger_check`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Connection, Index, Integer, MetaData, String, Table, Text, inspect, text

TABLES: Final = MetaData()

ENTRIES: Final = Table(
    "interlock_entries",
    TABLES,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("receipt_id", String(26), nullable=False, unique=True),
    Column("envelope", Text, nullable=False),
    Column("envelope_digest", String(64), nullable=False),
    Column("report_digest", String(64), nullable=False),
    Column("recorded", String(27), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("link", String(64), nullable=False),
)
"""One row a receipt, numbered from 1 without gaps; `link` is the hash over the row and the row before."""

MARKS: Final = Table(
    "interlock_marks",
    TABLES,
    Column("kind", String(16), primary_key=True),
    Column("value", String(64), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Index("interlock_marks_seq", "seq"),
)
"""Where to look: digests of subjects and their files, and hashes of run, URI and name. Follows from the envelopes."""

REPORTS: Final = Table(
    "interlock_reports",
    TABLES,
    Column("digest", String(64), primary_key=True),
    Column("document", Text, nullable=False),
)
"""Report documents as canonical JSON, by their sha256."""

DECISIONS: Final = Table(
    "interlock_decisions",
    TABLES,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("decision_id", String(200), nullable=False, unique=True),
    Column("event", Text, nullable=False),
    Column("event_digest", String(64), nullable=False),
    Column("recorded", String(27), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("link", String(64), nullable=False),
    Index("interlock_decisions_recorded", "recorded"),
)
"""The decision log: one row a decision, chained like the entries; a receipt's signature binds its event's digest."""

EVENTS: Final = Table(
    "interlock_events",
    TABLES,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
    Column("event_digest", String(64), nullable=False),
    Column("pipeline", String(64), nullable=False),
    Column("run", String(64), nullable=False),
    Column("recorded", String(27), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("link", String(64), nullable=False),
    Index("interlock_events_pipeline", "pipeline"),
    Index("interlock_events_run", "run"),
)
"""Enforcement events: one row an event, chained like the entries; `pipeline` and `run` are hashes of the names."""

APPEND_ONLY = "the interlock ledger is append-only"

ADVISORY_LOCK = 0x1_2E71_0C4B
"""Key of the PostgreSQL advisory lock that lets one writer append at a time."""

_SQLITE_TRIGGER = """
CREATE TRIGGER IF NOT EXISTS {table}_no_{event} BEFORE {event} ON {table}
BEGIN SELECT RAISE(ABORT, '{message}'); END
"""

# INSERT OR REPLACE deletes without firing a DELETE trigger unless recursive_triggers is on, so it is refused by itself.
_SQLITE_NO_REPLACE = """
CREATE TRIGGER IF NOT EXISTS {table}_no_replace BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE seq = NEW.seq OR {key} = NEW.{key})
BEGIN SELECT RAISE(ABORT, '{message}'); END
"""

_KEYS = (
    ("interlock_entries", "receipt_id"),
    ("interlock_decisions", "decision_id"),
    ("interlock_events", "seq"),
)

_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION interlock_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{message}'; END $$
"""

_POSTGRESQL_TRIGGER = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION interlock_append_only()
"""


def create_tables(connection: Connection) -> None:
    """Make the tables and triggers that are not there; the caller holds the writer's lock, so one process does it."""
    present = set(inspect(connection).get_table_names())
    missing = [name for name in TABLES.tables if name not in present]
    TABLES.create_all(connection)
    if connection.dialect.name == "sqlite":
        for table in TABLES.tables:
            for event in ("UPDATE", "DELETE"):
                connection.execute(text(_SQLITE_TRIGGER.format(table=table, event=event, message=APPEND_ONLY)))
        for table, key in _KEYS:
            connection.execute(text(_SQLITE_NO_REPLACE.format(table=table, key=key, message=APPEND_ONLY)))
        return
    connection.execute(text(_POSTGRESQL_FUNCTION.format(message=APPEND_ONLY)))
    for table in missing:
        connection.execute(text(_POSTGRESQL_TRIGGER.format(table=table)))


def has_tables(connection: Connection) -> bool:
    """Whether the ledger is already there."""
    return set(TABLES.tables) <= set(inspect(connection).get_table_names())
