"""The demo whole, on a real Airflow: it ends as it should, survives kill -9, and its check can fail."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.airflow.demo.scenarios import SCENARIOS, Row, problems_of
from interlock.evidence import Ledger

DAGS = Path(__file__).parents[2] / "dags_examples" / "airflow"
STEPS = ("collect", "validate", "poisoning", "train", "scan", "others", "promote")
CLEAN, POISONED, TAMPERED = SCENARIOS


def rows(scenario: str, refused_at: str = "") -> list[Row]:
    """How a run looks that ended as it should."""
    found = []
    stopped = False
    for step in STEPS:
        outcome = "ran" if step in ("collect", "others") else "ALLOW"
        outcome = "not started" if stopped else "DENY" if step == refused_at else outcome
        stopped = stopped or step == refused_at
        found.append(Row(scenario=scenario, step=step, outcome=outcome, reason="", seconds=1.0))
    return found


def with_outcome(given: list[Row], step: str, outcome: str) -> list[Row]:
    return [replace(row, outcome=outcome) if row.step == step else row for row in given]


def test_runs_that_ended_as_they_should_have_no_problems() -> None:
    assert problems_of(CLEAN, rows("clean"), promoted=True, has_model=True) == []
    assert problems_of(POISONED, rows("poisoned", "poisoning"), promoted=False, has_model=False) == []
    assert problems_of(TAMPERED, rows("tampered", "promote"), promoted=False, has_model=True) == []


@pytest.mark.parametrize(
    ("scenario", "given", "promoted", "has_model", "says"),
    [
        pytest.param(CLEAN, [], True, True, "no task", id="nothing-ran"),
        pytest.param(CLEAN, rows("clean"), False, True, "did not become", id="clean-not-promoted"),
        pytest.param(CLEAN, rows("clean", "scan"), False, True, "scan should have gone", id="clean-refused"),
        pytest.param(
            POISONED, rows("poisoned"), False, False, "poisoning should have been refused", id="poison-not-seen"
        ),
        pytest.param(
            POISONED,
            with_outcome(rows("poisoned", "poisoning"), "train", "ALLOW"),
            False,
            False,
            "train should not have started",
            id="trained-on-poison",
        ),
        pytest.param(
            POISONED, rows("poisoned", "poisoning"), False, True, "a model was published", id="model-from-poison"
        ),
        pytest.param(
            POISONED,
            with_outcome(rows("poisoned", "poisoning"), "poisoning", "UNDECIDED"),
            False,
            False,
            "poisoning should have been refused",
            id="undecided-is-not-a-refusal",
        ),
        pytest.param(TAMPERED, rows("tampered", "promote"), True, True, "became the champion", id="swapped-champion"),
    ],
)
def test_a_run_that_ended_otherwise_is_told(
    *, scenario: object, given: list[Row], promoted: bool, has_model: bool, says: str
) -> None:
    found = problems_of(scenario, given, promoted=promoted, has_model=has_model)  # type: ignore[arg-type]  # a Scenario
    assert any(says in problem for problem in found)


@contextmanager
def demo(home: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo as a person starts it, in a process group of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "INTERLOCK_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "interlock.cli.app", "demo", "--home", str(home), "--dags", str(DAGS)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
@pytest.mark.stack
def test_the_demo_ends_as_it_should_and_again_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    ledger = tmp_path / "interlock" / "ledger.db"
    moment = random.Random(os.environ.get("INTERLOCK_TEST_SEED", "7"))
    for marker in ("three runs", "poisoning"):
        with demo(tmp_path) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if marker in line:
                    break
            time.sleep(moment.uniform(0.0, 3.0))
            victims = _processes_below(process.pid)
            for victim in moment.sample(victims, k=min(len(victims), 3)):
                _kill(victim)
            os.killpg(process.pid, signal.SIGKILL)
        if ledger.exists():
            Ledger.open(f"sqlite:///{ledger}").verify()
    with demo(tmp_path) as process:
        said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "all three ended as they should" in said
    Ledger.open(f"sqlite:///{ledger}").verify()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Repeated pattern" in page
    assert "data:image/png;base64," in page
    champion = json.loads((tmp_path / "interlock/registry/digits/aliases/champion.json").read_text(encoding="utf-8"))
    assert champion


def _processes_below(pid: int) -> list[int]:
    """All descendants of `pid`, from /proc."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
    found, frontier = [], {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        found += sorted(frontier)
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
