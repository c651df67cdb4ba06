"""Budgets on the whole way: real policy, real ledger, real sandbox."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.evidence import KeyRing
from interlock.gate import (
    Coverage,
    Decision,
    GateContext,
    GuardError,
    Observation,
    Report,
    RunIdentity,
    Settings,
    Stage,
    Verdict,
    utc_now,
)
from interlock.runner import LocalRunner, TrainOutcome, TrainRequest
from interlock.training import training_spec
from interlock.training.budgets import Amounts, Standing, standing
from interlock.training.budgets.values import month_of

BUDGETS: dict[str, Any] = {"fraud": {"pipelines": ["retrain"], "gpu_hours": 100, "energy_kwh": "any", "money": 1}}
PRICES: dict[str, Any] = {
    "currency": "EUR",
    "lists": [{"version": "v1", "valid_from": "2026-01-01T00:00:00Z", "cpu_hour": 3600}],
}
SCRIPT = """
import os, pathlib, sys, time
end = time.process_time() + float(os.environ.get("BURN", "0"))
while time.process_time() < end:
    pass
if "BURN" in os.environ:
    time.sleep(0.5)  # until somebody looked
(pathlib.Path(os.environ["INTERLOCK_OUT"]) / "model.bin").write_bytes(b"weights")
sys.exit(int(os.environ.get("FAIL", "0")))
"""


def run(task: str) -> RunIdentity:
    return RunIdentity(orchestrator="cli", pipeline="retrain", run_id="r1", task_id=task)


@pytest.fixture
def runner(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunner]:
    layer = tmp_path / "layer" / "interlock"
    for name, data in (("budgets", BUDGETS), ("prices", PRICES)):
        (layer / name).mkdir(parents=True)
        (layer / name / "data.json").write_text(json.dumps(data))
    manifest = {"roots": ["interlock/budgets/fraud", "interlock/prices/currency", "interlock/prices/lists"]}
    (tmp_path / "layer" / ".manifest").write_text(json.dumps(manifest))
    monkeypatch.setenv("INTERLOCK_POLICY_LAYERS", str(tmp_path / "layer"))
    with LocalRunner(Settings.load()) as opened:
        yield opened


def vouch(runner: LocalRunner, path: Path, kind: str) -> None:
    """A receipt of a gate as its run would leave it; what the gates themselves see is no matter of these tests."""
    with runner.store.open(str(path)) as opened:
        report = Report(
            gate=kind,
            subject=opened.subject,
            observation=Observation(coverage=Coverage(looked_at=(path.name,))),
            tools=(),
            configuration="{}",
            started=utc_now(),
            finished=utc_now(),
        )
    decision = Decision(verdict=Verdict.ALLOW, bundle_digest=runner.decider.bundle_digest, decision_id=kind)
    runner.recorder.record(report, decision, GateContext(run=run(kind), profile="dev", stage=Stage.GATE))


@pytest.fixture
def data(runner: LocalRunner, tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    lines = [f"{n % 17},{(n * 7) % 23},{n % 2}" for n in range(400)]
    path.write_text("a,b,label\n" + "\n".join(lines) + "\n")
    for kind in ("data-validation", "data-poisoning"):
        vouch(runner, path, kind)
    return path


def train(
    runner: LocalRunner,
    data: Path,
    lines: list[str],
    *,
    money: float = 0.5,
    energy_kwh: float | None = None,
    out: str = "out",
    **environment: str,
) -> TrainOutcome:
    script = data.with_name("train.py")
    script.write_text(SCRIPT)
    request = TrainRequest(
        data=str(data),
        out=str(data.with_name(out)),
        spec=training_spec(command=["python", str(script)], environment=environment, wall_clock=60),
        team="fraud",
        budget={"money": money} | ({"energy_kwh": energy_kwh} if energy_kwh is not None else {}),
        run=run("train"),
    )
    return runner.train(request, on_line=lines.append)


def of_team(runner: LocalRunner) -> Standing:
    now = utc_now()
    return standing(runner.ledger, runner.keyring, team="fraud", month=month_of(now), now=now, currency="EUR")


def test_a_month_is_summed_from_what_trainings_really_used_the_failed_ones_too(runner: LocalRunner, data: Path) -> None:
    first = train(runner, data, [], money=0.9, BURN="0.5")
    failed = train(runner, data, [], money=0.2, BURN="0.1", FAIL="3")
    assert failed.outcome.decision.verdict is Verdict.DENY
    measured = {measure.name: measure.value for measure in first.outcome.report.observation.measures}
    now = of_team(runner)
    assert (now.ended, now.running) == (2, 0)
    assert now.used.gpu_hours == 0
    # 3600 EUR an hour is one for each processor second, of which the last look may have missed some.
    assert measured["money"] > 0.2
    assert now.used.money is not None
    assert now.used.money > measured["money"]
    assert now.reserved.money == 0
    runner.ledger.verify()


def test_before_the_run_it_is_shown_what_the_step_took_and_what_is_left(runner: LocalRunner, data: Path) -> None:
    lines: list[str] = []
    train(runner, data, lines)
    assert lines[0] == "budget: no history of this step, so no estimate"
    assert "1 EUR left of 1 EUR" in lines[2]
    lines.clear()
    train(runner, data, lines)
    assert lines[0].startswith("budget: the last run of this step took ")
    assert lines[1] == "budget: this run may take 0 GPU-hours, 0.5 EUR"


def test_a_team_that_spent_its_month_starts_nothing_more(runner: LocalRunner, data: Path) -> None:
    train(runner, data, [], money=0.99, BURN="0.6")
    with pytest.raises(GuardError, match=r"money of team fraud: 0.* used this month and 0.5 asked for, of 1"):
        train(runner, data, [])
    # A refused start reserves nothing.
    assert of_team(runner).running == 0
    train(runner, data, [], money=0.001)


def test_a_run_that_takes_more_than_it_asked_for_is_ended(runner: LocalRunner, data: Path) -> None:
    ended = train(runner, data, [], money=0.9, BURN="50").outcome
    assert ended.decision.verdict is Verdict.DENY
    (found,) = [one for one in ended.report.observation.findings if one.rule_id == "training.over-budget"]
    assert re.match(r"the training used [\d.]+ money and asked for 0.9$", found.message)
    assert not data.with_name("out").exists()
    used = of_team(runner).used.money
    assert used is not None
    assert used > 0.9


def test_two_that_start_at_once_do_not_both_spend_the_rest(runner: LocalRunner, data: Path) -> None:
    meet = threading.Barrier(2)
    came: list[str] = []

    def start(number: int) -> None:
        with LocalRunner(Settings.load()) as own:
            assert own.decider.bundle_digest == runner.decider.bundle_digest
            meet.wait()
            try:
                train(own, data, [], money=0.6, out=f"out{number}", BURN="0.55")
                came.append("trained")
            except GuardError as error:
                came.append("refused" if "0.6 asked for, of 1" in str(error) else str(error))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == ["refused", "trained"]


def test_what_nobody_can_measure_is_not_promised(runner: LocalRunner, data: Path) -> None:
    with pytest.raises(GuardError, match="energy_kwh is asked for, and nobody could watch it"):
        train(runner, data, [], energy_kwh=1)


def test_a_receipt_that_no_trusted_key_signed_does_not_count(runner: LocalRunner, data: Path) -> None:
    train(runner, data, [])
    stranger = KeyRing([])
    now = utc_now()
    found = standing(runner.ledger, stranger, team="fraud", month=month_of(now), now=now, currency="EUR")
    assert (found.ended, found.used) == (0, Amounts.zero())
    assert len(found.refused) == 2  # the guard's and the training's
    assert "no trusted key" in found.refused[0]
