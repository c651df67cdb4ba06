"""Enforcement events in the ledger: kept as they were, in a chain of their own, on both databases."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.evidence.bench import NOON, Bench
from tests.evidence.databases import raw

from interlock.evidence import EnforcementEvent, EventKind, Ledger, fitting
from interlock.evidence.enforcement import MAX_NAME, MAX_REASON, event_from
from interlock.gate import LedgerError, UsageError

MARKED = EnforcementEvent(
    kind=EventKind.MARKED_SUCCESS,
    actor="mallory",
    orchestrator="airflow",
    pipeline="retrain",
    run_id="manual__1",
    task_id="poisoning",
    attempt=1,
    reason="PATCH /api/v2/dags/retrain/dagRuns/manual__1/taskInstances/poisoning",
    at=NOON,
)
REFUSED = replace(MARKED, kind=EventKind.START_REFUSED, level="L4", actor="", task_id="train", map_index=3)


@pytest.fixture
def bench(tmp_path: Path, url: str) -> Bench:
    made = Bench.at(tmp_path)
    return replace(made, ledger=Ledger.open(url, clock=made.clock))


def filled(ledger: Ledger, count: int = 4) -> None:
    for number in range(count):
        ledger.record_event(replace(MARKED, run_id=f"manual__{number}"))


def test_events_come_back_as_they_went_in_newest_first(bench: Bench) -> None:
    bench.ledger.record_event(MARKED)
    bench.ledger.record_event(REFUSED)
    newest, first = bench.ledger.events()
    assert (first.enforcement_event(), newest.enforcement_event()) == (MARKED, REFUSED)
    assert (first.seq, newest.seq, newest.previous) == (1, 2, first.link)
    assert newest.recorded == "2026-11-23T12:00:00.000000Z"
    bench.ledger.verify()


def test_events_are_found_by_pipeline_and_run(bench: Bench) -> None:
    filled(bench.ledger, 3)
    bench.ledger.record_event(replace(MARKED, pipeline="other", run_id="manual__1"))
    assert [one.seq for one in bench.ledger.events(pipeline="retrain")] == [3, 2, 1]
    assert [one.seq for one in bench.ledger.events(run_id="manual__1")] == [4, 2]
    assert [one.seq for one in bench.ledger.events(pipeline="other", run_id="manual__1")] == [4]
    assert [one.seq for one in bench.ledger.events(limit=2)] == [4, 3]
    assert bench.ledger.events(pipeline="none") == ()


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("x" * (MAX_NAME + 1), id="too-long"),
        pytest.param("\ud800", id="no-unicode"),
    ],
)
@pytest.mark.parametrize("name", ["actor", "pipeline", "run_id", "task_id"])
def test_text_that_does_not_fit_is_refused_and_can_be_made_to_fit(bench: Bench, name: str, hostile: str) -> None:
    def said(text: str) -> EnforcementEvent:
        changes: dict[str, Any] = {name: text}
        return replace(MARKED, **changes)

    with pytest.raises(UsageError, match=name):
        said(hostile)
    bench.ledger.record_event(said(fitting(hostile)))
    assert bench.ledger.verify()


def test_a_reason_longer_than_its_limit_is_refused() -> None:
    with pytest.raises(UsageError, match="reason"):
        replace(MARKED, reason="x" * (MAX_REASON + 1))
    assert len(fitting("x" * 9000, MAX_REASON)) == MAX_REASON


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(UsageError, match="L9"):
        replace(MARKED, level="L9")


@given(st.text(max_size=2000), st.text(max_size=9000), st.sampled_from(EventKind), st.integers(-1, 10**6))
def test_an_event_survives_a_round_trip(actor: str, reason: str, kind: EventKind, map_index: int) -> None:
    event = replace(MARKED, kind=kind, actor=fitting(actor), reason=fitting(reason, MAX_REASON), map_index=map_index)
    assert event_from(json.loads(json.dumps(event.document()))) == event


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"kind": "forgiven"}, id="unknown-kind"),
        pytest.param({"actor": 1}, id="a-number-for-text"),
        pytest.param({"attempt": "1"}, id="text-for-a-number"),
        pytest.param({"at": "yesterday"}, id="no-moment"),
        pytest.param({"at": None}, id="null-moment"),
        pytest.param({"more": 1}, id="unknown-field"),
        pytest.param({"level": "L9"}, id="unknown-level"),
        pytest.param({"level": []}, id="a-list-for-a-level"),
    ],
)
def test_a_document_of_another_shape_is_no_event(change: dict[str, object]) -> None:
    with pytest.raises(LedgerError, match="another shape"):
        event_from({**MARKED.document(), **change})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE interlock_events SET event = '{}'", id="update"),
        pytest.param("DELETE FROM interlock_events", id="delete"),
    ],
)
def test_events_are_append_only(bench: Bench, url: str, change: str) -> None:
    filled(bench.ledger)
    with pytest.raises(DBAPIError, match="append-only"), raw(url, triggers=True) as connection:
        connection.execute(text(change))


def test_an_event_is_not_replaced(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    filled(Ledger.open(url))
    with pytest.raises(DBAPIError, match="append-only"), raw(url, triggers=True) as connection:
        connection.execute(text("INSERT OR REPLACE INTO interlock_events SELECT * FROM interlock_events WHERE seq = 2"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param("SET event = replace(event, 'mallory', 'alice')", "event 2 was altered", id="another-name"),
        pytest.param("SET recorded = '2020-01-01T00:00:00.000000Z'", "event 2 was altered", id="moved-in-time"),
        pytest.param("SET event_digest = previous", "event 2 was altered", id="another-digest"),
        pytest.param("SET pipeline = link", "event 2 is filed under another", id="hidden-from-its-pipeline"),
        pytest.param("SET run = link", "event 2 is filed under another", id="hidden-from-its-run"),
        pytest.param("SET previous = link", "event 2 does not follow", id="hung-elsewhere"),
        pytest.param("SET seq = 9", "event 2 is missing", id="moved-to-the-end"),
        pytest.param("SET seq = -1", "event 1 is missing", id="moved-before"),
    ],
)
def test_an_altered_chain_is_found(bench: Bench, url: str, change: str, says: str) -> None:
    filled(bench.ledger)
    with raw(url) as connection:
        connection.execute(text(f"UPDATE interlock_events {change} WHERE seq = 2"))
    with pytest.raises(LedgerError, match=says):
        bench.ledger.verify()


@pytest.mark.parametrize("seq", [1, 3], ids=["first", "in-the-middle"])
def test_an_event_that_was_taken_out_is_missed(bench: Bench, url: str, seq: int) -> None:
    filled(bench.ledger)
    with raw(url) as connection:
        connection.execute(text(f"DELETE FROM interlock_events WHERE seq = {seq}"))
    with pytest.raises(LedgerError, match=f"event {seq} is missing"):
        bench.ledger.verify()


def test_altered_events_are_not_read(bench: Bench, url: str) -> None:
    filled(bench.ledger)
    with raw(url) as connection:
        connection.execute(text("UPDATE interlock_events SET event = '{}' WHERE seq = 2"))
    with pytest.raises(LedgerError, match="event 2"):
        bench.ledger.events()
    with pytest.raises(LedgerError, match="event 2"):
        bench.ledger.events(run_id="manual__1")


def test_a_ledger_from_before_the_events_gets_them(bench: Bench, url: str) -> None:
    with raw(url, triggers=True) as connection:
        connection.execute(text("DROP TABLE interlock_events"))
    again = Ledger.open(url, clock=bench.clock)
    again.record_event(MARKED)
    again.verify()
    with pytest.raises(DBAPIError, match="append-only"), raw(url, triggers=True) as connection:
        connection.execute(text("DELETE FROM interlock_events"))


def test_many_writers_of_events_make_one_chain(bench: Bench) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bench.ledger.record_event, [replace(MARKED, attempt=number) for number in range(20)]))
    bench.ledger.verify()
    assert [one.seq for one in bench.ledger.events()] == list(range(20, 0, -1))
