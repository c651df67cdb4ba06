"""`interlock ledger events`: what people and enforcement did, as a table and as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock.cli import main
from interlock.evidence import EnforcementEvent, EventKind, Ledger


@pytest.fixture
def ledger(home: Path) -> Ledger:
    opened = Ledger.open(f"sqlite:///{home / 'ledger.db'}")
    for pipeline, kind, actor in (
        ("retrain", EventKind.MARKED_SUCCESS, "mal\x1b[31mlory"),
        ("retrain", EventKind.PAUSED, "ada"),
        ("other", EventKind.CLEARED, "ada"),
    ):
        opened.record_event(
            EnforcementEvent(kind=kind, actor=actor, pipeline=pipeline, run_id="r1", task_id="gate", map_index=2)
        )
    return opened


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["ledger", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@pytest.mark.usefixtures("ledger")
def test_events_of_a_pipeline_are_listed_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "events", "--pipeline", "retrain")
    first, second = [line.split("\t") for line in out.splitlines()]
    assert status == 0
    assert (first[1], first[3]) == ("paused", "ada")
    assert (second[1], second[3], second[6]) == ("marked-success", "mal\\x1b[31mlory", "gate[2]")


@pytest.mark.usefixtures("ledger")
def test_events_as_json_are_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "events", "--run", "r1", "--format", "json", "--limit", "2")
    assert status == 0
    found = json.loads(out)["events"]
    assert [(one["seq"], one["kind"], one["pipeline"]) for one in found] == [
        (3, "cleared", "other"),
        (2, "paused", "retrain"),
    ]


def test_verify_walks_the_events_too(capsys: pytest.CaptureFixture[str], ledger: Ledger, home: Path) -> None:
    import sqlite3

    assert "3 enforcement events" in said(capsys, "verify")[1]
    ledger.close()
    with sqlite3.connect(home / "ledger.db") as database:
        database.execute("DROP TRIGGER interlock_events_no_DELETE")
        database.execute("DELETE FROM interlock_events WHERE seq = 1")
    status, _, err = said(capsys, "verify")
    assert status == 3
    assert "event 1 is missing" in err


def test_an_empty_ledger_has_no_events(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert home
    assert said(capsys, "events")[:2] == (0, "")
    assert json.loads(said(capsys, "events", "--format", "json")[1]) == {"events": []}
