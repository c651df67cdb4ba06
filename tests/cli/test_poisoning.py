"""The poisoning scan on a terminal: ten lines, its pace, and the options that the gate and the operator have."""

from __future__ import annotations

import inspect
import io
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.gate.doubles import CONTEXT, FixedDecider, FixedGate, FixedOpener, ListRecorder

from interlock.airflow import ScanPoisoningOperator
from interlock.cli import gates, show
from interlock.cli.pace import Pace
from interlock.cli.poisoning_summary import say_poisoning
from interlock.gate import (
    Coverage,
    Decision,
    Finding,
    GateOutcome,
    Level,
    Location,
    Measure,
    Observation,
    Reason,
    Severity,
    Verdict,
    run_gate,
)
from interlock.gate.progress import Progress, counted, listening
from interlock.poisoning import PoisoningGate

MEASURES = {"rows": 60_000, "flagged_rows": 30, "flagged_fraction": 0.0005, "strongest": 0.97, "classes": 10}
MEASURES |= {"features": 784, "detectors_run": 7, "detectors_skipped": 2, "knn_strength": 0.1}


def outcome(decision: Decision, findings: int = 0, *, looked: bool = True) -> GateOutcome:
    levels = (Level.NOTE, Level.WARNING, Level.ERROR)
    found = tuple(
        Finding(
            rule_id=f"data-poisoning.rule-{number}",
            level=levels[number % 3],
            message="words " * 60,
            location=Location(path="a.parquet", row=number),
        )
        for number in range(findings)
    )
    measures = tuple(Measure(name=name, value=value) for name, value in MEASURES.items()) if looked else ()
    seen = Observation(findings=found, measures=measures, coverage=Coverage(looked_at=("a.parquet",)))
    gate = FixedGate(sees=seen, kind="data-poisoning")
    return run_gate(
        gate, "x", context=CONTEXT, opener=FixedOpener(), decider=FixedDecider(decision), recorder=ListRecorder(),
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def reasons(count: int) -> tuple[Reason, ...]:
    return tuple(
        Reason(id=f"r{n}", title="t", severity=Severity.HIGH, message="too much " * 30, remediation="look")
        for n in range(count)
    )


CASES = [
    pytest.param(Decision(verdict=Verdict.ALLOW), 0, id="allowed"),
    pytest.param(Decision(verdict=Verdict.ALLOW, warnings=reasons(5)), 9, id="allowed-with-warnings"),
    pytest.param(Decision(verdict=Verdict.DENY, reasons=reasons(4), warnings=reasons(3)), 40, id="denied-for-much"),
    pytest.param(Decision(verdict=Verdict.UNDECIDED, errors=("a\nb", "c", "d")), 12, id="undecided"),
]


@pytest.mark.parametrize(("decision", "findings"), CASES)
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal-of-80-columns"])
def test_a_scan_is_said_in_ten_lines(
    decision: Decision, findings: int, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    say_poisoning(outcome(decision, findings))
    lines = out.getvalue().splitlines()
    assert len(lines) <= 10
    assert decision.verdict.value in lines[0]
    assert "60,000 rows, 10 classes, 784 features" in lines[2]
    assert "30 rows flagged (0.05%); strongest evidence 0.97" in lines[3]
    assert lines[-1] == "receipt receipt-1"


def test_the_gravest_findings_are_said_first_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    say_poisoning(outcome(Decision(verdict=Verdict.DENY, reasons=reasons(1)), 9))
    said = capsys.readouterr().out
    assert said.index("error rule-2 (a.parquet, row 2)") < said.index("error rule-5")
    assert "... and 7 more findings: add --out report.html" in said
    assert "note" not in said


def test_a_scan_that_could_not_look_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    say_poisoning(outcome(Decision(verdict=Verdict.UNDECIDED, errors=("no label column",)), looked=False))
    assert "could not tell: no label column" in capsys.readouterr().out


def test_the_first_reading_shows_a_rate_and_the_next_ones_what_is_left() -> None:
    now = [0.0]
    pace = Pace("looks", clock=lambda: now[0])
    said = [pace.heard(Progress(rows=0))]
    for seconds, rows, ended in ((2, 1000, False), (4, 2000, True)):
        now[0] = seconds
        said.append(pace.heard(Progress(rows=rows, ended=ended)))
    now[0] = 10.0
    pace.heard(Progress(rows=0))
    now[0] = 11.0
    said.append(pace.heard(Progress(rows=20)))
    assert said == [
        "looks: reading 1 begins",
        "looks: reading 1, 1,000 rows, 500 rows/s",
        "looks: 2,000 rows in reading 1, 500 rows/s, comparing",
        "looks: reading 2, 20 of 2,000 rows, 20 rows/s, 1 min 39 s left",
    ]


def test_readings_are_reported_from_beginning_to_end_to_whoever_listens() -> None:
    heard: list[Progress] = []
    with listening(heard.append):
        assert list(counted([2, 3], lambda rows: rows)) == [2, 3]
    list(counted([4], lambda rows: rows))
    assert [(one.rows, one.ended) for one in heard] == [(0, False), (2, False), (5, False), (5, True)]


@pytest.mark.parametrize(("quiet", "terminal"), [(True, True), (False, False)], ids=["json", "no-terminal"])
def test_no_progress_is_shown_to_programs(quiet: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(err, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", err)
    with show.working("looks", quiet=quiet):
        list(counted([1], lambda rows: rows))
    assert not err.getvalue()


def test_the_command_the_operator_and_the_gate_have_the_same_options() -> None:
    gate = set(inspect.signature(PoisoningGate).parameters)
    operator = ScanPoisoningOperator(task_id="scan", subject="s")
    command = {option.name.rstrip("_") for option in gates.data_poisoning.params if option.name}
    assert set(operator.gate_options()) == gate
    assert gate <= command


def test_what_the_operator_is_given_reaches_the_gate() -> None:
    given: dict[str, Any] = {
        "label": "y",
        "image": "picture",
        "image_shape": (8, 8),
        "text": ["prompt"],
        "source": "who",
        "id": "row",
    }
    options: dict[str, Any] = dict(ScanPoisoningOperator(task_id="scan", subject="s", **given).gate_options())
    assert {name: options[name] for name in given} == given
    assert PoisoningGate(**options).configuration()["image"] == "picture"
