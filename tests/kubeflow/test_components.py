"""The shipped components and the factories: what a compiled pipeline holds, and what is refused when it is compiled."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from kfp import compiler, components, dsl
from kfp.dsl import Dataset, Model, Output

from interlock.cli.app import main
from interlock.gate import UsageError
from interlock.kubeflow import (
    check_policy,
    deploy_gate,
    scan_model,
    scan_poisoning,
    secure_train,
    snapshot,
    validate_data,
    verify,
)
from interlock.kubeflow.images import PLACEHOLDER, gate_image
from interlock.kubeflow.options import arrived
from interlock.kubeflow.published import NAMES, compiled, shipped
from interlock.kubeflow.wiring import MAX_RECEIPTS, kinds_of

PINNED = "registry.example/interlock-python@sha256:" + "a" * 64
SUITE = {"name": "s", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}]}


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def collect(data: Output[Dataset], model: Output[Model], rows: int = 3, label: str = "y") -> str:
    Path(data.path).write_text("")
    return label


def ir(body: Callable[..., None], tmp_path: Path, name: str = "gated-retraining") -> Any:
    """The compiled pipeline whose function is `body`."""
    place = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(dsl.pipeline(name=name)(body), str(place))
    return yaml.safe_load(place.read_text())


def executor(document: Any, name: str) -> Any:
    return document["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_yaml_is_what_its_function_compiles_to(name: str) -> None:
    assert compiled(name) == shipped(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_component_loads_installs_nothing_and_is_cached_by_nobody(name: str, tmp_path: Path) -> None:
    place = tmp_path / "component.yaml"
    place.write_text(shipped(name))
    loaded = components.load_component_from_file(str(place))
    assert loaded.component_spec.implementation.container.image == PLACEHOLDER
    document = yaml.safe_load(shipped(name))
    assert [task["cachingOptions"] for task in document["root"]["dag"]["tasks"].values()] == [{}]
    assert "pip install" not in " ".join(executor(document, name.replace("_", "-"))["command"])


def test_every_step_of_a_pipeline_is_the_shipped_one_and_uncached(tmp_path: Path) -> None:
    code = tmp_path / "train.py"
    code.write_text("print('training')\n")

    def body(where: str = "/lake", alias: str = "registry://m/champion") -> None:
        snapshot(uri=where)
        made = collect()
        data = made.outputs["data"]
        gates = [validate_data(subject=data, suite=SUITE), scan_poisoning(subject=data, label="label")]
        check_policy(subject=data, step="training").after(*gates)
        verify(subject=data, requires=["data-validation"])
        train = secure_train(data=data, command=["python", "train.py"], code=[code], requires=gates)
        scan = scan_model(subject=train.outputs["model"])
        deploy_gate(model=train.outputs["model"], to=alias, requires=[scan, train], declared={"author": where})

    document = ir(body, tmp_path)
    tasks = document["root"]["dag"]["tasks"]
    for name in NAMES:
        step = name.replace("_", "-")
        assert tasks[step]["cachingOptions"] == {}
        assert executor(document, step) == executor(yaml.safe_load(shipped(name)), step)
    wired = tasks["secure-train"]["inputs"]
    assert wired["artifacts"]["interlock_receipt_2"]["taskOutputArtifact"]["producerTask"] == "scan-poisoning"
    assert wired["parameters"]["interlock_run"]["runtimeValue"]["constant"] == "{{$.pipeline_job_uuid}}"
    options = wired["parameters"]["options"]["runtimeValue"]["constant"]
    assert options["requires"] == ["data-validation", "data-poisoning"]
    assert options["code"]["files"]["train.py"]["text"] == "print('training')\n"
    receipts = document["components"]["comp-secure-train"]["inputDefinitions"]["artifacts"]
    assert set(receipts) == {"data", "interlock_receipt_1", "interlock_receipt_2"}
    assert not any(one.get("isOptional") for one in receipts.values())


def test_an_output_is_there_only_when_it_is_asked_for(tmp_path: Path) -> None:
    def body() -> None:
        data = collect().outputs["data"]
        assert set(scan_poisoning(subject=data).outputs) == {"receipt", "report", "Output"}
        assert set(scan_poisoning(subject=data, outputs=["flagged"]).outputs) >= {"flagged"}

    ir(body, tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda d, n, t: validate_data(subject=d, suite=SUITE, min_rows=n), id="a threshold"),
        pytest.param(lambda d, n, t: validate_data(subject=d, suite={"name": t}), id="inside the suite"),
        pytest.param(lambda d, n, t: validate_data(subject=d, suite=SUITE, required=[f"x:{t}"]), id="in an f-string"),
        pytest.param(lambda d, n, t: scan_poisoning(subject=d, label=t), id="a column"),
        pytest.param(lambda d, n, t: scan_poisoning(subject=d, image_shape=(n, 8)), id="in a tuple"),
        pytest.param(lambda d, n, t: scan_model(subject=d, scanner_profile=t), id="a profile"),
        pytest.param(lambda d, n, t: check_policy(subject=d, step=t), id="the step"),
        pytest.param(lambda d, n, t: snapshot(uri=t, digest=t), id="a digest"),
        pytest.param(
            lambda d, n, t: validate_data(subject=d, suite=SUITE, required=[dsl.PIPELINE_JOB_NAME_PLACEHOLDER]),
            id="a placeholder that KFP fills in",
        ),
        pytest.param(
            lambda d, n, t: secure_train(
                data=d, command=["python", "-c", t], requires=[validate_data(subject=d, suite=SUITE)]
            ),
            id="the command",
        ),
    ],
)
@pytest.mark.parametrize("source", ["a run parameter", "the output of a task"])
def test_strictness_from_the_run_is_refused(spoil: Callable[..., object], source: str, tmp_path: Path) -> None:
    def body(number: int = 3, text: str = "y") -> None:
        made = collect()
        given = (number, text) if source == "a run parameter" else (made.outputs["Output"], made.outputs["Output"])
        spoil(made.outputs["data"], *given)

    with pytest.raises(UsageError, match="fixed when the pipeline is compiled"):
        ir(body, tmp_path)


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        pytest.param(lambda d: [], "needs the receipt of a gate", id="none"),
        pytest.param(lambda d: [check_policy(subject=d, step="training")], "opens a guard", id="a guard's"),
        pytest.param(lambda d: [collect()], "opens a guard", id="a user's own step"),
        pytest.param(
            lambda d: [verify(subject=d, requires=["data-validation", "data-poisoning"])],
            "opens a guard",
            id="two in one",
        ),
        pytest.param(
            lambda d: [validate_data(subject=d, suite=SUITE) for _ in range(MAX_RECEIPTS + 1)], "takes 8", id="too many"
        ),
    ],
)
def test_receipts_that_cannot_open_a_guard_are_refused(
    requires: Callable[[Any], Any], said: str, tmp_path: Path
) -> None:
    def body() -> None:
        data = collect().outputs["data"]
        secure_train(data=data, command=["true"], requires=requires(data))

    with pytest.raises(UsageError, match=said):
        ir(body, tmp_path)


def test_receipts_that_are_already_there_stand_in_for_a_gate(tmp_path: Path) -> None:
    def body() -> None:
        data = collect().outputs["data"]
        found = verify(subject=data, requires=["data-validation"])
        assert kinds_of(found) == ("data-validation",)
        secure_train(data=data, command=["true"], requires=[found])

    assert "secure-train" in ir(body, tmp_path)["root"]["dag"]["tasks"]


@pytest.mark.parametrize("requires", [[], ["no-such-gate"]])
def test_verify_wants_kinds_of_gate(requires: list[str], tmp_path: Path) -> None:
    def body() -> None:
        verify(subject=collect().outputs["data"], requires=requires)

    with pytest.raises(UsageError, match="kinds of gate"):
        ir(body, tmp_path)


def test_a_suite_is_read_when_the_pipeline_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text(json.dumps(SUITE))

    def body() -> None:
        task = validate_data(subject=collect().outputs["data"], suite=tmp_path / "suite.json")
        assert json.loads(task.inputs["options"]["suite_json"]) == SUITE

    ir(body, tmp_path)


@pytest.mark.parametrize(("name", "content"), [("missing.json", None), ("broken.json", "{"), ("list.json", "[]")])
def test_a_suite_that_cannot_be_read_is_refused(name: str, content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)

    def body() -> None:
        validate_data(subject=collect().outputs["data"], suite=str(tmp_path / name))

    with pytest.raises(UsageError, match="suite"):
        ir(body, tmp_path)


def test_a_number_that_would_arrive_as_another_is_refused(tmp_path: Path) -> None:
    def body() -> None:
        validate_data(subject=collect().outputs["data"], suite=SUITE, min_rows=2**53 + 1)

    with pytest.raises(UsageError, match="too large"):
        ir(body, tmp_path)


def test_a_suite_arrives_with_its_nulls_and_its_large_numbers(tmp_path: Path) -> None:
    suite = {"name": "s", "meta": {"big": 2**53 + 1, "notes": None, "whole": 1.0}}

    def body() -> None:
        options = validate_data(subject=collect().outputs["data"], suite=suite).inputs["options"]
        assert json.dumps(arrived(options)["suite"]) == json.dumps(suite)

    ir(body, tmp_path)


def test_the_image_comes_from_the_author_the_variable_or_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERLOCK_KUBEFLOW_IMAGE", raising=False)
    assert gate_image() == PLACEHOLDER
    monkeypatch.setenv("INTERLOCK_KUBEFLOW_IMAGE", PINNED)
    assert gate_image() == PINNED
    assert gate_image("other@sha256:" + "b" * 64) == "other@sha256:" + "b" * 64


@pytest.mark.parametrize("image", ["", "python:3.11", "python", "python@sha256:abc", PINNED + " --x"])
def test_an_image_without_a_digest_is_refused(image: str) -> None:
    with pytest.raises(UsageError, match="by its digest"):
        gate_image(image)


def test_the_command_writes_components_with_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["kubeflow", "components", "--image", PINNED, "--out", str(tmp_path / "out")])
    assert left.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) == len(NAMES)
    for name in NAMES:
        text = (tmp_path / "out" / f"{name}.yaml").read_text()
        assert text == shipped(name).replace(PLACEHOLDER, PINNED)


def test_the_command_wants_a_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["kubeflow", "components", "--image", "interlock:latest", "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    assert "by its digest" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_numbers_arrive_whole_through_kfp() -> None:
    assert arrived({"seed": 3.0, "delta": 1e-5, "command": ["a", 1.0]}) == {
        "seed": 3,
        "delta": 1e-5,
        "command": ["a", 1],
    }
