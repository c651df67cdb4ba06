"""Which set it has to be, and whether the training saw it: under `standard`, with policy data of an organisation."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.layers import lay
from tests.probes.evaluating import Bench, bench_in, evaluation_rows, reasons

from interlock.evidence import take_snapshot
from interlock.gate import (
    Coverage,
    Decision,
    GateContext,
    GateOutcome,
    Observation,
    Report,
    RunIdentity,
    Settings,
    Subject,
    Tool,
    Verdict,
)
from interlock.training import BwrapSandbox

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def bench(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    found = BwrapSandbox().probe()
    if not found.available:
        pytest.skip(f"bubblewrap does not work here: {found.reason}. To get it: {found.how_to_get}")
    monkeypatch.setenv("INTERLOCK_PROFILE", "standard")
    made = bench_in(tmp_path, Settings.load())
    sealed = hashlib.sha256((tmp_path / "sealed" / "pets.csv").read_bytes()).hexdigest()
    entry = {
        "pipelines": ["retrain"], "digest": sealed, "label": "label", "task": "classification",
        "slices": ["scanner"], "until": "any",
    }  # fmt: skip
    lay(tmp_path / "layer", monkeypatch, {"interlock/evaluations/pets": entry})
    made = replace(made, runner=type(made.runner)(Settings.load()))
    with made.runner:
        yield made


def facts(outcome: GateOutcome) -> Any:
    return json.loads(dict(outcome.report.observation.facts)["evaluation"])


def trained(bench: Bench, model: Path, *materials: Subject) -> None:
    """A receipt that says what `model` was made from."""
    subject = take_snapshot(str(model)).subject
    report = Report(
        gate="training", subject=subject, observation=Observation(coverage=Coverage(looked_at=("m",))),
        tools=(Tool(name="t", version="1"),), configuration="{}", started=NOW, finished=NOW,
    )  # fmt: skip
    run = RunIdentity(orchestrator="cli", pipeline="retrain", run_id="r1", task_id="train")
    context = GateContext(run=run, profile="standard")
    bench.runner.recorder.record(report, Decision(verdict=Verdict.ALLOW), context, materials=materials)


def test_the_sealed_set_passes(bench: Bench) -> None:
    outcome = bench.evaluate(bench.model("one"))
    assert outcome.decision.verdict is Verdict.ALLOW, outcome.decision.reasons


@pytest.mark.parametrize(
    ("options", "denied"),
    [
        pytest.param({"name": "cats"}, True, id="an-evaluation-that-nobody-sealed"),
        pytest.param({"label": "hint", "features": ["row", "label"]}, True, id="another-label"),
        pytest.param({"slices": []}, True, id="a-slice-left-out"),
        pytest.param({"slices": ["scanner", "row"]}, False, id="a-slice-more"),
    ],
)
def test_what_a_pipeline_says_must_be_what_is_sealed(bench: Bench, options: dict[str, Any], denied: bool) -> None:
    (bench.folder / "code" / "pets_predict.py").write_text("def predict(model, rows):\n    return ['cat'] * 400\n")
    outcome = bench.evaluate(bench.model("one"), **options)
    assert ("model.evaluation-set" in reasons(outcome.decision)) == denied


def test_another_set_of_the_same_form_is_denied(bench: Bench) -> None:
    frame = evaluation_rows()
    frame[frame["label"] == "cat"].to_csv(bench.folder / "easy.csv", index=False)
    outcome = bench.evaluate(bench.model("one"), evaluation=str(bench.folder / "easy.csv"))
    assert reasons(outcome.decision) == {"model.evaluation-set"}


def test_a_model_that_was_trained_on_the_set_is_denied(bench: Bench) -> None:
    model = bench.model("one")
    trained(bench, model, take_snapshot(str(bench.folder / "sealed" / "pets.csv")).subject)
    outcome = bench.evaluate(model)
    assert facts(outcome)["seen_in_training"] is True
    assert reasons(outcome.decision) == {"model.evaluation-seen"}


@pytest.mark.slow
def test_a_model_whose_base_was_trained_on_a_folder_that_holds_the_set_is_denied(bench: Bench) -> None:
    lake = bench.folder / "lake"
    lake.mkdir()
    shutil.copy(bench.folder / "sealed" / "pets.csv", lake / "part-1.csv")
    # As a gate leaves it: a receipt of the folder names each of its files.
    with bench.runner.store.open(str(lake)) as held:
        report = Report(
            gate="data-validation", subject=held.subject, observation=Observation(), tools=(),
            configuration="{}", started=NOW, finished=NOW,
        )  # fmt: skip
        run = RunIdentity(orchestrator="cli", pipeline="retrain", run_id="r0", task_id="validate")
        context = GateContext(run=run, profile="standard")
        bench.runner.recorder.record(report, Decision(verdict=Verdict.ALLOW), context)
        data = held.subject
    base, model = bench.model("base"), bench.model("one")
    trained(bench, base, data)
    trained(bench, model, take_snapshot(str(base)).subject)
    outcome = bench.evaluate(model)
    assert reasons(outcome.decision) == {"model.evaluation-seen"}


def test_rows_that_stand_in_the_training_data_are_counted(bench: Bench) -> None:
    frame = evaluation_rows(500).iloc[300:]  # 100 rows of the set, 100 others
    frame.to_parquet(bench.folder / "train.parquet")
    model = bench.model("one")
    trained(bench, model, take_snapshot(str(bench.folder / "train.parquet")).subject)
    outcome = bench.evaluate(model)
    measures = {measure.name: measure.value for measure in outcome.report.observation.measures}
    assert measures["overlap_rows"] == 100
    assert measures["overlap_fraction"] == 0.25
    assert facts(outcome)["seen_in_training"] is False
    assert outcome.decision.verdict is Verdict.ALLOW


def test_training_data_that_is_gone_is_told_and_not_taken_for_clean(bench: Bench) -> None:
    model = bench.model("one")
    trained(bench, model, Subject(name="gone", uri=(bench.folder / "gone.csv").as_uri(), digest="e" * 64))
    outcome = bench.evaluate(model)
    assert "overlap_rows" not in {measure.name for measure in outcome.report.observation.measures}
    assert "model-probe.overlap-unknown" in {f.rule_id for f in outcome.report.observation.findings}


@pytest.mark.slow
def test_what_a_weaker_profile_accepted_sets_no_mark(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.evaluate(bench.model("one"))
    monkeypatch.setenv("INTERLOCK_PROFILE", "strict")
    with type(bench.runner)(Settings.load()) as runner:
        outcome = replace(bench, runner=runner).evaluate(bench.model("two"))
    assert facts(outcome)["accepted"] is None
    assert "model.evaluation-not-compared" in reasons(outcome.decision)
