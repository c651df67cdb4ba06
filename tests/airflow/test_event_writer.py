"""Events reach the ledger later than they happen, in their order, and not twice where one is enough."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.airflow_plugin.event_writer import EventWriter
from interlock.evidence import EnforcementEvent, EventKind, Ledger


def event(task_id: str) -> EnforcementEvent:
    return EnforcementEvent(
        kind=EventKind.QUARANTINED,
        level="L2",
        orchestrator="airflow",
        pipeline="p",
        run_id="r",
        task_id=task_id,
        reason="no gate",
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the ledger is; its folder can be made impossible."""
    monkeypatch.setenv("INTERLOCK_LEDGER_URL", f"sqlite:///{tmp_path / 'there' / 'ledger.db'}")
    return tmp_path / "there"


def told(place: Path) -> list[str]:
    found = Ledger.open(f"sqlite:///{place / 'ledger.db'}").events()
    return [row.enforcement_event().task_id for row in found][::-1]


def test_events_are_written_in_their_order(place: Path) -> None:
    writer = EventWriter()
    writer.write([event("one"), event("two")])
    writer.write([event("two"), event("three")])
    assert writer.flush(30)
    assert told(place) == ["one", "two", "two", "three"]


def test_what_was_told_already_is_left_out_where_once_is_enough(place: Path) -> None:
    for _ in range(2):  # two processes see the same
        writer = EventWriter(once=True)
        writer.write([event("one"), event("one"), event("two")])
        assert writer.flush(30)
    assert told(place) == ["one", "two"]


def test_a_ledger_that_answers_again_gets_what_waited(place: Path) -> None:
    place.write_text("in the way")
    writer = EventWriter()
    writer.write([event("one")])
    assert not writer.flush(0.5)
    place.unlink()
    assert writer.flush(30)
    assert told(place) == ["one"]


def test_what_a_process_leaves_at_its_end_is_in_the_log(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    place.write_text("in the way")
    writer = EventWriter()
    with caplog.at_level(logging.ERROR, logger="interlock.enforcement"):
        writer.write([event("one"), event("two")])
        writer.end()
    assert len([line for line in caplog.messages if "could not be written to the ledger" in line]) == 2


def test_a_process_that_ends_at_once_still_writes_what_it_saw(place: Path) -> None:
    source = (
        "from interlock.airflow_plugin.event_writer import event_writer\n"
        "from tests.airflow.test_event_writer import event\n"
        "event_writer().write([event('last')])\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=120, cwd=Path(__file__).parents[2])
    assert told(place) == ["last"]
