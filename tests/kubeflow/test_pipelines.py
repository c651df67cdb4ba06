"""`@pipeline`: `dsl.pipeline` that refuses what is not gated, as policy's mode says.

kfp reads annotations when it runs, so there is no ``from __future__ import annotations`` here.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, components, dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output
from tests.airflow.layers import lay

from interlock.gate import DeniedError, InterlockError, PolicyError
from interlock.kubeflow.gates import scan_poisoning, validate_data
from interlock.kubeflow.gating import gated
from interlock.kubeflow.pipelines import pipeline

UNGATED = "no data-validation gate holds training step 'my-train'"
SUITE: dict[str, Any] = {"name": "s", "expectations": []}

_component = dsl.component(base_image="python:3.11", install_kfp_package=False)


@pytest.fixture(autouse=True)
def _deployment(home: Path) -> None:
    """The settings of the profile `dev`, whoever runs the tests."""


@_component
def collect(data: Output[Dataset]) -> None:
    print(data.path)


@_component
def my_train(data: Input[Dataset], model: Output[Model]) -> None:
    print(model.path)


@_component
def compare(data: Input[Dataset], held_out: Input[Dataset], model: Output[Model]) -> None:
    print(data.path, held_out.path, model.path)


@_component
def evaluate(data: Input[Dataset]) -> None:
    print(data.path)


def gates(data: Any) -> list[Any]:
    return [validate_data(subject=data, suite=SUITE), scan_poisoning(subject=data, label="label")]


def whole() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), gates(data))


def forgotten() -> None:
    data = collect().outputs["data"]
    my_train(data=data)


def only_in_front() -> None:
    data = collect().outputs["data"]
    my_train(data=data).after(*gates(data))


def half() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), gates(data)[:1])


def of_other_data() -> None:
    checks = gates(collect().outputs["data"])
    gated(my_train(data=collect().outputs["data"]), checks)


def of_two_datasets() -> None:
    data, held_out = collect().outputs["data"], collect().outputs["data"]
    task = gated(compare(data=data, held_out=held_out), gates(data), subject="data")
    gated(task, gates(held_out), subject="held_out")


def one_of_two() -> None:
    data, held_out = collect().outputs["data"], collect().outputs["data"]
    gated(compare(data=data, held_out=held_out), gates(data), subject="data")


def with_a_receipt_that_no_guard_reads() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    task = gated(my_train(data=data), checks)
    task.container_spec.command = [word for word in task.container_spec.command if word != "data-poisoning"]


def imported_past_gated() -> None:
    data = collect().outputs["data"]
    task = gated(my_train(data=data), gates(data))
    receipt = dsl.importer(artifact_uri="s3://b/receipt", artifact_class=Artifact).output
    task.inputs["interlock_receipt_1"] = receipt
    task.register_pipeline_channels([receipt])


def cached_gate() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    checks[0].set_caching_options(True)
    gated(my_train(data=data), checks)


def test_a_gated_pipeline_is_what_dsl_pipeline_makes(tmp_path: Path) -> None:
    made, plain = pipeline(whole, name="p"), dsl.pipeline(whole, name="p")
    assert made.pipeline_spec == plain.pipeline_spec
    compiler.Compiler().compile(made, str(tmp_path / "p.yaml"))
    assert components.load_component_from_file(str(tmp_path / "p.yaml")).name == "p"


def test_a_step_of_two_datasets_is_gated_for_each_of_them() -> None:
    assert pipeline(of_two_datasets, name="p").name == "p"


def test_it_takes_the_arguments_of_dsl_pipeline() -> None:
    @pipeline(name="gated-retraining", description="Gated.", display_name="Retraining", pipeline_root="s3://b/root")
    def retrain() -> None:
        whole()

    spec = retrain.pipeline_spec
    assert (spec.pipeline_info.name, spec.pipeline_info.display_name) == ("gated-retraining", "Retraining")
    assert (spec.pipeline_info.description, spec.default_pipeline_root) == ("Gated.", "s3://b/root")


def test_it_is_a_component_of_other_pipelines() -> None:
    part = pipeline(whole, name="part")

    def around() -> None:
        evaluate(data=collect().outputs["data"]).after(part())

    assert "comp-part" in pipeline(around, name="around").pipeline_spec.components


def test_a_pipeline_without_protected_steps_is_let_be() -> None:
    def harmless() -> None:
        evaluate(data=collect().outputs["data"])

    assert pipeline(harmless).name == "harmless"


@pytest.mark.parametrize(
    ("function", "told"),
    [
        pytest.param(forgotten, (UNGATED, "fix: gated("), id="no gate"),
        pytest.param(only_in_front, ("nothing asks for evidence as training step 'my-train' starts",), id="no guard"),
        pytest.param(half, ("no data-poisoning gate holds training step 'my-train'",), id="half the gates"),
        pytest.param(one_of_two, ("no data-validation gate holds training step 'compare'",), id="one of two datasets"),
        pytest.param(with_a_receipt_that_no_guard_reads, ("nothing asks for evidence",), id="guard's words tampered"),
        pytest.param(of_other_data, (UNGATED,), id="other data"),
        pytest.param(imported_past_gated, ("gets as evidence is no receipt of a gate",), id="an importer as evidence"),
        pytest.param(cached_gate, (UNGATED, "cache"), id="cached gate"),
    ],
)
def test_what_is_not_gated_is_refused_with_all_that_is_missing(
    function: Callable[[], None], told: tuple[str, ...]
) -> None:
    with pytest.raises(DeniedError) as refused:
        pipeline(function, name="retrain")
    assert str(refused.value).startswith("Interlock refuses pipeline 'retrain': 1 protected step is not gated")
    assert [part for part in told if part not in str(refused.value)] == []


@pytest.mark.parametrize("mode", ["warn", "audit"])
def test_a_mode_that_only_watches_lets_pass_and_says_so(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rule = {"mode": mode, "pipelines": ["legacy-*"]}
    lay(tmp_path / "layer", monkeypatch, {"interlock/enforcement/kubeflow/old": rule})
    with caplog.at_level(logging.WARNING, logger="interlock.enforcement"):
        assert pipeline(forgotten, name="legacy-scores").name == "legacy-scores"
    assert f"mode {mode} lets an ungated pipeline pass. Interlock refuses pipeline 'legacy-scores'" in caplog.text
    with pytest.raises(DeniedError):
        pipeline(forgotten, name="new-scores")


def test_without_policy_nothing_is_let_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = {"mode": "whatever", "pipelines": ["*"]}
    lay(tmp_path / "layer", monkeypatch, {"interlock/enforcement/kubeflow/odd": rule})
    with pytest.raises(PolicyError, match="mode 'whatever' is unknown"):
        pipeline(whole)
    monkeypatch.setenv("INTERLOCK_POLICY_LAYERS", str(tmp_path / "nowhere"))
    with pytest.raises(InterlockError):
        pipeline(whole)
