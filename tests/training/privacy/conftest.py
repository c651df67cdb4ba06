"""A deployment whose policy caps what may be spent of a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.gate import (
    Coverage,
    Decision,
    GateContext,
    Observation,
    Report,
    RunIdentity,
    Settings,
    Stage,
    Subject,
    Verdict,
    utc_now,
)
from interlock.runner import LocalRunner


def run(task: str) -> RunIdentity:
    return RunIdentity(orchestrator="cli", pipeline="retrain", run_id="r1", task_id=task)


@pytest.fixture
def runner(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunner]:
    layer = tmp_path / "layer" / "interlock" / "profiles"
    layer.mkdir(parents=True)
    profile = {
        "capped": {
            "extends": "dev",
            "training": {"max_dataset_epsilon": 10},
            "evidence": {"accept_profiles": ["capped"]},
        }
    }
    (layer / "data.json").write_text(json.dumps(profile))
    (tmp_path / "layer" / ".manifest").write_text('{"roots": ["interlock/profiles/capped"]}')
    monkeypatch.setenv("INTERLOCK_POLICY_LAYERS", str(tmp_path / "layer"))
    monkeypatch.setenv("INTERLOCK_PROFILE", "capped")
    with LocalRunner(Settings.load()) as opened:
        yield opened


def vouch(
    runner: LocalRunner,
    path: Path,
    kind: str,
    *,
    verdict: Verdict = Verdict.ALLOW,
    materials: tuple[Subject, ...] = (),
) -> Subject:
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
    errors = ("nobody looked",) if verdict is Verdict.UNDECIDED else ()
    decision = Decision(verdict=verdict, bundle_digest=runner.decider.bundle_digest, decision_id=kind, errors=errors)
    context = GateContext(run=run(kind), profile="capped", stage=Stage.GATE)
    runner.recorder.record(report, decision, context, materials=materials)
    return opened.subject


@pytest.fixture
def data(runner: LocalRunner, tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text("a,label\n" + "".join(f"{n % 17},{n % 2}\n" for n in range(100)))
    for kind in ("data-validation", "data-poisoning"):
        vouch(runner, path, kind)
    return path
