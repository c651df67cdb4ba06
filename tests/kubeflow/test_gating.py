"""`gated()`: what it puts onto a task, what the pipeline compiles to, and what it refuses.

kfp reads annotations when it runs, so there is no ``from __future__ import annotations`` here.
"""

from collections.abc import Callable
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from interlock.gate import UsageError
from interlock.kubeflow.artifacts import Receipt
from interlock.kubeflow.gates import scan_poisoning, validate_data
from interlock.kubeflow.gating import gated
from interlock.kubeflow.guard import COMMAND, Guarded
from interlock.kubeflow.identity import PLACEHOLDERS
from interlock.kubeflow.pipelines import compiled as compiled_text

SUITE: dict[str, Any] = {"name": "s", "expectations": []}

_component = dsl.component(base_image="python:3.11", install_kfp_package=False)


@_component
def collect(data: Output[Dataset]) -> None:
    print(data.path)


@_component
def my_train(data: Input[Dataset], model: Output[Model], epochs: int = 2) -> None:
    print(model.path)


@_component
def notify() -> None:
    print("over")


@_component
def evaluate(model: Input[Model], data: Input[Dataset]) -> None:
    print(model.path, data.path)


@_component
def compare(data: Input[Dataset], held_out: Input[Dataset], model: Output[Model]) -> None:
    print(data.path, held_out.path, model.path)


@_component
def many(parts: Input[list[Dataset]]) -> None:
    print(parts)


@_component
def nothing_to_hold(epochs: int = 1) -> None:
    print(epochs)


@_component
def reserved(data: Input[Dataset], interlock_receipt_1: Input[Artifact]) -> None:
    print(data.path)


@dsl.container_component
def container_train(data: Input[Dataset], model: Output[Model]) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="trainer", command=["train"], args=["--data", data.path, "--out", model.path])


@dsl.container_component
def whatever_the_image_runs(data: Input[Dataset]) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="trainer", args=["--data", data.path])


def gates(data: Any) -> list[Any]:
    return [validate_data(subject=data, suite=SUITE), scan_poisoning(subject=data, label="label")]


def compiled(function: Callable[..., Any]) -> dict[str, Any]:
    document, *_ = yaml.safe_load_all(compiled_text(dsl.pipeline(function, name="p")))
    return dict(document)


def dags(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks of every DAG, by the name of the component; the root's is empty."""
    found = {name: one["dag"]["tasks"] for name, one in spec["components"].items() if "dag" in one}
    return {"": spec["root"]["dag"]["tasks"], **found}


def command_of(spec: dict[str, Any], name: str = "my-train") -> list[str]:
    command: list[str] = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]["command"]
    return command


def plainly() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), gates(data))


def test_the_guard_stands_before_the_command_and_everything_else_stays() -> None:
    def without() -> None:
        data = collect().outputs["data"]
        my_train(data=data)

    before, after = compiled(without), compiled(plainly)
    command = command_of(after)
    asked = Guarded.parse(command[len(COMMAND) :])
    assert tuple(command[: len(COMMAND)]) == COMMAND
    assert list(asked.command) == command_of(before)
    assert (asked.step, asked.subject, asked.executor_input) == ("training", "data", "{{$}}")
    assert asked.receipts == ("interlock_receipt_1", "interlock_receipt_2")
    assert asked.requires == ("data-validation", "data-poisoning")
    container = dict(after["deploymentSpec"]["executors"]["exec-my-train"]["container"])
    plain = before["deploymentSpec"]["executors"]["exec-my-train"]["container"]
    assert {**container, "command": plain["command"]} == plain


def test_the_receipts_are_required_inputs_and_the_task_knows_its_run() -> None:
    spec = compiled(plainly)
    inputs = spec["components"]["comp-my-train"]["inputDefinitions"]
    receipt = {"artifactType": {"schemaTitle": "system.InterlockReceipt", "schemaVersion": "0.0.1"}}
    assert [inputs["artifacts"][f"interlock_receipt_{number}"] for number in (1, 2)] == [receipt, receipt]
    task = spec["root"]["dag"]["tasks"]["my-train"]
    assert set(task["dependentTasks"]) == {"collect", "validate-data", "scan-poisoning"}
    source = task["inputs"]["artifacts"]["interlock_receipt_2"]["taskOutputArtifact"]
    assert source == {"outputArtifactKey": "receipt", "producerTask": "scan-poisoning"}
    constants = {name: task["inputs"]["parameters"][name]["runtimeValue"]["constant"] for name in PLACEHOLDERS}
    assert constants == PLACEHOLDERS


def test_a_protected_step_is_never_taken_from_the_cache() -> None:
    assert compiled(plainly)["root"]["dag"]["tasks"]["my-train"]["cachingOptions"] == {}


def test_settings_of_the_task_stay_and_may_come_afterwards() -> None:
    def configured() -> None:
        data = collect().outputs["data"]
        task = my_train(data=data, epochs=5).set_env_variable("A", "b").set_retry(2)
        gated(task, gates(data)).set_accelerator_type("nvidia.com/gpu").set_display_name("the training")

    spec = compiled(configured)
    container = spec["deploymentSpec"]["executors"]["exec-my-train"]["container"]
    assert container["env"] == [{"name": "A", "value": "b"}]
    assert container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    task = spec["root"]["dag"]["tasks"]["my-train"]
    assert task["taskInfo"]["name"] == "the training"
    assert task["retryPolicy"]["maxRetryCount"] == 2
    assert task["inputs"]["parameters"]["epochs"]["runtimeValue"]["constant"] == 5


def test_another_task_of_the_same_component_is_not_gated_by_it() -> None:
    def two() -> None:
        data = collect().outputs["data"]
        gated(my_train(data=data), gates(data))
        my_train(data=data)

    spec = compiled(two)
    assert command_of(spec)[:3] == list(COMMAND)
    assert command_of(spec, "my-train-2")[0] == "sh"
    assert set(spec["components"]["comp-my-train-2"]["inputDefinitions"]["artifacts"]) == {"data"}


def test_a_container_component_keeps_its_arguments() -> None:
    def containers() -> None:
        data = collect().outputs["data"]
        gated(container_train(data=data), gates(data), protects="deployment")

    spec = compiled(containers)
    container = spec["deploymentSpec"]["executors"]["exec-container-train"]["container"]
    assert container["command"][-2:] == ["--", "train"]
    assert container["command"][3:5] == ["--step", "deployment"]
    assert container["args"][:2] == ["--data", "{{$.inputs.artifacts['data'].path}}"]


def of_two_datasets() -> None:
    data, held_out = collect().outputs["data"], collect().outputs["data"]
    task = gated(compare(data=data, held_out=held_out), gates(data), subject="data")
    gated(task, gates(held_out), subject="held_out")


def test_a_task_that_uses_two_datasets_is_gated_for_each() -> None:
    spec = compiled(of_two_datasets)
    outer = Guarded.parse(command_of(spec, "compare")[len(COMMAND) :])
    inner = outer.behind
    assert inner is not None
    assert (outer.subject, outer.receipts) == ("held_out", ("interlock_receipt_3", "interlock_receipt_4"))
    assert (inner.subject, inner.receipts) == ("data", ("interlock_receipt_1", "interlock_receipt_2"))
    assert inner.command[0] == "sh"
    assert inner.behind is None
    sources = spec["root"]["dag"]["tasks"]["compare"]["inputs"]["artifacts"]
    assert sources["interlock_receipt_3"]["taskOutputArtifact"]["producerTask"] == "validate-data-2"


def in_a_condition() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    with dsl.If(checks[0].outputs["Output"] == "ALLOW"):
        gated(my_train(data=data), checks)


def in_a_loop() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    with dsl.ParallelFor([1, 2]) as epochs:
        gated(my_train(data=data, epochs=epochs), checks)


def in_an_exit_handler() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    with dsl.ExitHandler(notify()):
        gated(my_train(data=data), checks)


@pytest.mark.parametrize("function", [in_a_condition, in_a_loop, in_an_exit_handler])
def test_receipts_flow_into_a_group_from_outside(function: Callable[..., Any]) -> None:
    spec = compiled(function)
    ((group, tasks),) = [(name, tasks) for name, tasks in dags(spec).items() if "my-train" in tasks]
    assert group
    wired = tasks["my-train"]["inputs"]["artifacts"]["interlock_receipt_1"]
    assert wired == {"componentInputArtifact": "pipelinechannel--validate-data-receipt"}
    outer = spec["root"]["dag"]["tasks"][group.removeprefix("comp-")]
    source = outer["inputs"]["artifacts"]["pipelinechannel--validate-data-receipt"]["taskOutputArtifact"]
    assert source == {"outputArtifactKey": "receipt", "producerTask": "validate-data"}
    assert {"validate-data", "scan-poisoning"} <= set(outer["dependentTasks"])


def test_receipts_flow_into_a_pipeline_that_is_a_component() -> None:
    @dsl.pipeline(name="inner")
    def inner(data: Input[Dataset], validated: Input[Receipt], scanned: Input[Receipt]) -> None:
        gated(my_train(data=data), {"data-validation": validated, "data-poisoning": scanned})

    def outer() -> None:
        data = collect().outputs["data"]
        validated, scanned = (check.outputs["receipt"] for check in gates(data))
        inner(data=data, validated=validated, scanned=scanned)

    spec = compiled(outer)
    wired = spec["components"]["comp-inner"]["dag"]["tasks"]["my-train"]["inputs"]["artifacts"]
    assert wired["interlock_receipt_2"] == {"componentInputArtifact": "scanned"}
    asked = Guarded.parse(command_of(spec)[len(COMMAND) :])
    assert asked.requires == ("data-validation", "data-poisoning")


def refused(function: Callable[[], Any]) -> UsageError:
    with pytest.raises(UsageError) as error:
        compiled(function)
    assert error.value.next_step
    return error.value


def importer() -> None:
    imported = dsl.importer(artifact_uri="s3://b/d", artifact_class=Dataset)
    gated(imported, gates(imported.output))


@dsl.pipeline(name="inner")
def train_inside(data: Input[Dataset]) -> None:
    my_train(data=data)


def graph() -> None:
    data = collect().outputs["data"]
    gated(train_inside(data=data), gates(data))


def own_step() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    gated(validate_data(subject=data, suite=SUITE), checks)


def twice() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    gated(gated(my_train(data=data), checks), checks)


def no_command() -> None:
    data = collect().outputs["data"]
    gated(whatever_the_image_runs(data=data), gates(data))


def whatever_happened_before() -> None:
    data = collect().outputs["data"]
    task = container_train(data=data)
    task._ignore_upstream_failure_tag = True
    gated(task, gates(data))


def exit_task() -> None:
    data = collect().outputs["data"]
    checks = gates(data)
    last = my_train(data=data)
    with dsl.ExitHandler(last):
        notify()
    gated(last, checks)


def no_task() -> None:
    gated(my_train, [])


def two_artifacts() -> None:
    data = collect().outputs["data"]
    model = my_train(data=data).outputs["model"]
    gated(evaluate(model=model, data=data), gates(data))


def no_artifact() -> None:
    data = collect().outputs["data"]
    gated(nothing_to_hold(), gates(data))


def another_input() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), gates(data), subject="dataset")


def several_in_one() -> None:
    data = collect().outputs["data"]
    with dsl.ParallelFor([1, 2]):
        part = collect()
    gated(many(parts=dsl.Collected(part.outputs["data"])), gates(data))


def reserved_names() -> None:
    data = collect().outputs["data"]
    gated(reserved(data=data, interlock_receipt_1=data), gates(data))


def another_step() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), gates(data), protects="evaluation")


def no_gate() -> None:
    data = collect()
    gated(my_train(data=data.outputs["data"]), [data])


def imported_receipt() -> None:
    data = collect().outputs["data"]
    receipt = dsl.importer(artifact_uri="s3://b/receipt", artifact_class=Receipt)
    gated(my_train(data=data), [receipt])


def an_output() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), [gates(data)[0].outputs["receipt"]])


def nothing_required() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), [])


def one_gate_twice() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), [gates(data)[0], gates(data)[0]])


def unknown_kind() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), {"data-quality": gates(data)[0].outputs["receipt"]})


def no_receipt() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), {"data-validation": gates(data)[0].outputs["report"]})


def imported_by_kind() -> None:
    data = collect().outputs["data"]
    receipt = dsl.importer(artifact_uri="s3://b/receipt", artifact_class=Receipt).output
    gated(my_train(data=data), {"data-validation": receipt})


def another_gates() -> None:
    data = collect().outputs["data"]
    gated(my_train(data=data), {"data-validation": gates(data)[1].outputs["receipt"]})


@pytest.mark.parametrize(
    ("function", "what"),
    [
        pytest.param(importer, "an importer runs no command", id="importer"),
        pytest.param(graph, "a pipeline of its own", id="graph component"),
        pytest.param(own_step, "Interlock's own", id="a step of Interlock"),
        pytest.param(reserved_names, "inputs that begin with interlock_", id="reserved names"),
        pytest.param(twice, "'data' of my-train is gated already", id="gated twice"),
        pytest.param(no_command, "names no command", id="the image's command"),
        pytest.param(whatever_happened_before, "although a gate before it failed", id="ignores failures"),
        pytest.param(exit_task, "although a gate before it failed", id="exit handler"),
        pytest.param(no_task, "takes a task", id="a component in place of a task"),
        pytest.param(two_artifacts, "2 artifact inputs (model, data)", id="two artifacts"),
        pytest.param(no_artifact, "0 artifact inputs (none)", id="no artifact"),
        pytest.param(another_input, "given no artifact 'dataset'", id="another input"),
        pytest.param(several_in_one, "a list of artifacts", id="a list"),
        pytest.param(another_step, "protects 'evaluation'", id="another kind of step"),
        pytest.param(no_gate, "collect makes no receipt", id="no gate"),
        pytest.param(imported_receipt, "makes no receipt", id="a gate replaced by an importer"),
        pytest.param(imported_by_kind, "importer makes no receipt of data-validation", id="an importer by its kind"),
        pytest.param(another_gates, "scan-poisoning makes no receipt of data-validation", id="another gate's receipt"),
        pytest.param(an_output, "takes tasks", id="an output in place of a task"),
        pytest.param(nothing_required, "needs the receipt of a gate", id="nothing required"),
        pytest.param(one_gate_twice, "two receipts of data-validation", id="one gate twice"),
        pytest.param(unknown_kind, "unknown kind of gate 'data-quality'", id="unknown kind"),
        pytest.param(no_receipt, "receipt of data-validation is none", id="a report in place of a receipt"),
    ],
)
def test_what_cannot_be_guarded_is_refused_with_what_to_do(function: Callable[[], Any], what: str) -> None:
    assert what in refused(function).what


def test_a_gated_task_is_no_exit_handler_afterwards() -> None:
    def afterwards() -> None:
        data = collect().outputs["data"]
        last = gated(my_train(data=data), gates(data))
        with dsl.ExitHandler(last):
            notify()

    with pytest.raises(ValueError, match="my-train"):
        compiled(afterwards)


def test_upstream_failures_cannot_be_ignored_afterwards() -> None:
    def afterwards() -> None:
        data = collect().outputs["data"]
        gated(my_train(data=data), gates(data)).ignore_upstream_failure()

    with pytest.raises(ValueError, match="ignore_upstream_failure"):
        compiled(afterwards)
