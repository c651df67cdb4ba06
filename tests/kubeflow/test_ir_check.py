"""What the check of compiled pipelines says: nothing of a gated one, and of each bad one what is wrong, and the fix."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output
from tests.kubeflow.sample_pipelines import (
    GATES,
    IMAGE,
    changed,
    checks,
    clean,
    collect,
    compiled,
    component_of,
    container_of,
    fit,
    push,
    scanned,
    tell,
    trained,
    validated,
)

from interlock.gate import PolicyError, Settings
from interlock.kubeflow import deploy_gate, gated, scan_model, verify
from interlock.kubeflow.artifacts import Receipt
from interlock.kubeflow_plugin.ir_check import IrCheck, check_ir
from interlock.pipeline import Mode, graph_document
from interlock.pipeline.rules import Rules, rules_of
from interlock.policy import Bundle

Change = Callable[[dict[str, Any]], None]


def rules_for(bundle: Bundle) -> Rules:
    return rules_of(replace(Settings.load(), profile="standard"), bundle, "kubeflow")


@pytest.fixture(scope="module")
def rules() -> Rules:
    return rules_for(Bundle.load())


@cache
def clean_text() -> str:
    return compiled(clean)


@cache
def guarded_text() -> str:
    return compiled(guarded)


def guarded() -> None:
    data = collect().outputs["data"]
    gated(fit(data=data), requires=checks(data))


# Written with dsl: what an author may do.


def nothing_in_front() -> None:
    fit(data=collect().outputs["data"])


def only_edges() -> None:
    data = collect().outputs["data"]
    fit(data=data).after(*checks(data))


def gates_on_other_data() -> None:
    data, other = collect().outputs["data"], collect().outputs["data"]
    gated(fit(data=data), requires=checks(other))


def a_gate_in_a_condition() -> None:
    data = collect().outputs["data"]
    word = scanned(data)
    with dsl.If(word.outputs["Output"] == "ALLOW"):
        validated(data)
    gated(fit(data=data), requires=[word])


def a_gate_in_a_loop_and_the_training_outside() -> None:
    data = collect().outputs["data"]
    poison = scanned(data)
    with dsl.ParallelFor([1, 2]):
        check = validated(data)
    gated(fit(data=data), requires=[poison]).after(check)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def between(text: str):  # type: ignore[no-untyped-def]
    print(text)


def a_step_in_between_ignores_failures() -> None:
    data = collect().outputs["data"]
    poison, check = scanned(data), validated(data)
    join = between(text="on").after(check).ignore_upstream_failure()
    gated(fit(data=data), requires=[poison]).after(join)


def a_deployment_without_a_scan() -> None:
    data = collect().outputs["data"]
    train = trained(data, checks(data))
    deploy_gate(model=train.outputs["model"], to="registry://a/b", requires=[train], image=GATES)


def a_push_of_a_model_by_hand() -> None:
    data = collect().outputs["data"]
    train = trained(data, checks(data))
    scan = scan_model(subject=train.outputs["model"], image=GATES)
    push(model=train.outputs["model"]).after(scan)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def crunch(where: str):  # type: ignore[no-untyped-def]
    print(where)


def a_gpu_without_data() -> None:
    crunch(where="s3://lake/train").set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fit_two(data: Input[Dataset], more: Input[Dataset], model: Output[Model]):  # type: ignore[no-untyped-def]
    Path(model.path).write_text(data.path + more.path)


def a_second_input_that_nobody_looked_at() -> None:
    data, more = collect().outputs["data"], collect().outputs["data"]
    gated(fit_two(data=data, more=more), requires=checks(data), subject="data")


UNGATED: dict[str, tuple[Callable[[], None], str, str]] = {
    "no-gate": (
        nothing_in_front,
        "no data-validation gate holds training step 'fit' (protected: rule model-outlets:",
        'gated(fit, requires=[validate_data(subject=collect.outputs["data"], suite=SUITE)])',
    ),
    "edges-and-no-guard": (
        only_edges,
        "nothing asks for evidence as training step 'fit' starts: its command does not begin with Interlock's guard",
        'gated(fit, requires=[validate_data(subject=collect.outputs["data"], suite=SUITE), scan_poisoning(',
    ),
    "gates-on-other-data": (
        gates_on_other_data,
        "'validate-data' looks at something else than the step uses (collect-2.outputs[\"data\"])",
        'validate_data: write subject=collect.outputs["data"] in place of collect_2.outputs["data"]',
    ),
    "gate-in-a-loop": (
        a_gate_in_a_loop_and_the_training_outside,
        "'for-loop-2 (end)' runs although an upstream failed or was skipped (its list may be empty)",
        "for_loop_2: put validate_data outside, or fit inside",
    ),
    "ignored-failure-in-between": (
        a_step_in_between_ignores_failures,
        "on validate-data -> between -> fit, 'between' runs although an upstream failed",
        "between: leave out .ignore_upstream_failure()",
    ),
    "deployment-without-a-scan": (
        a_deployment_without_a_scan,
        "no artifact-scan gate holds deployment step 'deploy-gate': there is none in front of it",
        'gated(deploy_gate, requires=[scan_model(subject=secure_train.outputs["model"])])',
    ),
    "model-handed-on-by-hand": (
        a_push_of_a_model_by_hand,
        "nothing asks for evidence as deployment step 'push' starts",
        "gated(push, requires=[scan_model(",
    ),
    "gpu-without-data": (
        a_gpu_without_data,
        "there is none in front of it",
        "gated(crunch, requires=[validate_data(subject=..., suite=SUITE)])",
    ),
    "second-input": (
        a_second_input_that_nobody_looked_at,
        "no data-validation gate holds training step 'fit-two'",
        'fit_two: a validate_data(subject=collect_2.outputs["data"], suite=SUITE) as well',
    ),
}


def test_a_gate_in_a_condition_holds_nothing_outside_of_it(rules: Rules) -> None:
    def wait(document: dict[str, Any]) -> None:  # kfp refuses to write this, so somebody wrote it by hand
        document["root"]["dag"]["tasks"]["fit"]["dependentTasks"].append("condition-1")

    refusal = check_ir(changed(compiled(a_gate_in_a_condition), wait), rules).refusal
    assert "'condition-1 (end)' runs although an upstream failed or was skipped (its condition may be false)" in refusal
    assert "condition_1: put validate_data outside, or fit inside" in refusal


@pytest.mark.parametrize("case", UNGATED)
def test_an_ungated_pipeline_is_refused_with_the_fix(case: str, rules: Rules) -> None:
    body, said, fix = UNGATED[case]
    refusal = check_ir(compiled(body), rules).refusal
    assert said in refusal
    assert fix in refusal
    assert refusal.startswith("Interlock refuses pipeline 'retrain': 1 protected step is not gated (policy profile")


# Edited by hand: what somebody may do to the file that kfp wrote.


def in_container(task: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    return lambda document: change(container_of(document, task))


def in_task(task: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    return lambda document: change(document["root"]["dag"]["tasks"][task])


def from_a_run_parameter(document: dict[str, Any]) -> None:
    document["root"]["inputDefinitions"] = {"parameters": {"options": {"parameterType": "STRUCT"}}}
    task = document["root"]["dag"]["tasks"]["validate-data"]
    task["inputs"]["parameters"]["options"] = {"componentInputParameter": "options"}


def from_a_placeholder(document: dict[str, Any]) -> None:
    task = document["root"]["dag"]["tasks"]["validate-data"]
    task["inputs"]["parameters"]["options"]["runtimeValue"]["constant"]["min_rows"] = "{{$.inputs.parameters['a']}}"


def importer_in_place_of_a_gate(document: dict[str, Any]) -> None:
    component = component_of(document, "validate-data")
    component["inputDefinitions"] = {"parameters": {"uri": {"parameterType": "STRING"}}}
    uri = {"runtimeParameter": "uri"}
    kind = {"schemaTitle": "system.InterlockReceipt", "schemaVersion": "0.0.1"}
    document["deploymentSpec"]["executors"][component["executorLabel"]] = {
        "importer": {"artifactUri": uri, "typeSchema": kind}
    }
    task = document["root"]["dag"]["tasks"]["validate-data"]
    task["inputs"] = {"parameters": {"uri": {"runtimeValue": {"constant": "s3://mine/receipt.json"}}}}


def without_a_gate(document: dict[str, Any]) -> None:
    tasks = document["root"]["dag"]["tasks"]
    del tasks["validate-data"]
    train = tasks["secure-train"]
    train["dependentTasks"].remove("validate-data")
    name = next(k for k, v in train["inputs"]["artifacts"].items() if "validate-data" in str(v))
    del train["inputs"]["artifacts"][name]
    del component_of(document, "secure-train")["inputDefinitions"]["artifacts"][name]


def another_port(document: dict[str, Any]) -> None:
    ports = component_of(document, "validate-data")["inputDefinitions"]["parameters"]
    ports["more"] = {"parameterType": "STRING", "defaultValue": "x"}


def reports_as_receipts(document: dict[str, Any]) -> None:
    wired = document["root"]["dag"]["tasks"]["secure-train"]["inputs"]["artifacts"]
    wired["interlock_receipt_1"]["taskOutputArtifact"]["outputArtifactKey"] = "report"


EDITED: dict[str, tuple[Change, str, str]] = {
    "cached-gate": (
        in_task("validate-data", lambda task: task.update(cachingOptions={"enableCache": True})),
        "'validate-data' has code put over or around it (the cache)",
        "validate_data: .set_caching_options(False)",
    ),
    "training-whatever-failed": (
        in_task("secure-train", lambda task: task.update(triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"})),
        "'secure-train' runs although an upstream failed or was skipped (ALL_UPSTREAM_TASKS_COMPLETED)",
        "secure_train: leave out .ignore_upstream_failure()",
    ),
    "gate-with-a-condition-of-its-own": (
        in_task("validate-data", lambda task: task.update(triggerPolicy={"condition": "1 == 2"})),
        "(a condition of its own)",
        "leave out a condition of its own",
    ),
    "gate-that-is-repeated": (
        in_task(
            "scan-poisoning", lambda task: task.update(parameterIterator={"itemInput": "x", "items": {"raw": "[]"}})
        ),
        "(a loop over what may be empty)",
        "leave out a loop over what may be empty",
    ),
    "options-from-a-run-parameter": (
        from_a_run_parameter,
        "(options from run parameter 'options')",
        "write its options into the pipeline's text",
    ),
    "options-from-a-placeholder": (from_a_placeholder, "(options from a placeholder)", "write its options"),
    "variable-on-a-gate": (
        in_container("validate-data", lambda one: one.update(env=[{"name": "INTERLOCK_PROFILE", "value": "dev"}])),
        "(variable INTERLOCK_PROFILE)",
        "leave out variable INTERLOCK_PROFILE",
    ),
    "image-by-tag": (
        in_container("validate-data", lambda one: one.update(image="registry.example/interlock-python:1")),
        "(its image 'registry.example/interlock-python:1' without a digest)",
        'image="registry/name@sha256:..."',
    ),
    "another-command": (
        in_container("validate-data", lambda one: one.update(args=["--executor_input", "{{$}}"])),
        "'validate-data' is not the gate itself but something made to look like it",
        "validate_data: use validate_data of interlock.kubeflow itself",
    ),
    "changed-source": (
        in_container("scan-poisoning", lambda one: one.update(command=[*one["command"][:-1], "print('ALLOW')"])),
        "'scan-poisoning' is not the gate itself",
        "use scan_poisoning of interlock.kubeflow itself",
    ),
    "packages-installed-first": (
        in_container(
            "validate-data", lambda one: one.update(command=["sh", "-c", "pip install evil", *one["command"]])
        ),
        "'validate-data' is not the gate itself",
        "use validate_data of interlock.kubeflow itself",
    ),
    "another-port": (another_port, "'validate-data' is not the gate itself", "use validate_data"),
    "command-before-the-cache": (
        in_container("validate-data", lambda one: one.update(lifecycle={"preCacheCheck": {"command": ["true"]}})),
        "(a command that runs before the cache is asked)",
        "leave out a command that runs before",
    ),
    "importer-in-place-of-a-gate": (
        importer_in_place_of_a_gate,
        "'validate-data' is not the gate itself",
        "use validate_data of interlock.kubeflow itself",
    ),
    "importer-as-evidence": (
        importer_in_place_of_a_gate,
        "what training step 'secure-train' gets as evidence is no receipt of a gate: interlock_receipt_1",
        "gated(secure_train, requires=[validate_data(",
    ),
    "report-in-place-of-a-receipt": (
        reports_as_receipts,
        'interlock_receipt_1 (validate-data.outputs["report"])',
        "requires=[validate_data(",
    ),
    "gate-taken-out": (without_a_gate, "no data-validation gate holds training step 'secure-train'", "validate_data("),
    "changed-training": (
        in_container("secure-train", lambda one: one.update(command=["python3", "train.py"])),
        "it is called secure-train and does not run what is shipped under that name",
        "gated(secure_train",
    ),
}


@pytest.mark.parametrize("case", EDITED)
def test_a_file_that_was_edited_by_hand_is_refused_with_the_fix(case: str, rules: Rules) -> None:
    change, said, fix = EDITED[case]
    refusal = check_ir(changed(clean_text(), change), rules).refusal
    assert said in refusal
    assert fix in refusal


def word(position: int, text: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        container_of(document, "fit")["command"][position] = text

    return change


GUARDS: dict[str, tuple[Change, str]] = {
    "another-module": (word(2, "interlock.kubeflow.gard"), "its command does not begin with Interlock's guard"),
    "a-shell-around-it": (
        in_container("fit", lambda one: one.update(command=["sh", "-c", *one["command"]])),
        "its command does not begin with Interlock's guard",
    ),
    "another-subject": (word(6, "model"), "the guard looks at 'model', which is no artifact that the step is given"),
    "a-receipt-that-is-not-there": (word(8, "interlock_receipt_9"), "asks for the receipt 'interlock_receipt_9'"),
    "an-unknown-argument": (word(3, "--stepp"), "the guard is used wrongly"),
    "a-fixed-executor-input": (word(16, "{}"), "the guard does not get KFP's executor input"),
    "a-path-of-python": (
        in_container("fit", lambda one: one.update(env=[{"name": "PYTHONPATH", "value": "/data"}])),
        "a variable says where the guard's code or settings come from",
    ),
}


@pytest.mark.parametrize("case", GUARDS)
def test_a_guard_that_does_not_look_is_no_guard(case: str, rules: Rules) -> None:
    change, said = GUARDS[case]
    checked = check_ir(changed(guarded_text(), change), rules)
    assert said in checked.refusal


def test_a_kind_that_its_receipt_does_not_speak_for_is_found(rules: Rules) -> None:
    def swap(document: dict[str, Any]) -> None:
        wired = document["root"]["dag"]["tasks"]["fit"]["inputs"]["artifacts"]
        one, two = "interlock_receipt_1", "interlock_receipt_2"
        wired[one], wired[two] = wired[two], wired[one]

    refusal = check_ir(changed(guarded_text(), swap), rules).refusal
    assert "not of data-validation" in refusal


def test_a_gated_pipeline_is_clean(rules: Rules) -> None:
    for text in (clean_text(), guarded_text()):
        checked = check_ir(text, rules)
        assert checked.is_gated, checked.said
        assert checked.refusal == ""


@dsl.pipeline
def with_gates(data: Input[Dataset]) -> Model:
    return gated(fit(data=data), requires=checks(data)).outputs["model"]


@dsl.pipeline
def with_receipts(data: Input[Dataset], valid: Input[Receipt], poison: Input[Receipt]):  # type: ignore[no-untyped-def]
    gated(fit(data=data), requires={"data-validation": valid, "data-poisoning": poison})


def gates_of_a_nested_pipeline() -> None:
    part: Any = with_gates
    part(data=collect().outputs["data"])


def receipts_handed_into_a_nested_pipeline() -> None:
    part: Any = with_receipts
    data = collect().outputs["data"]
    valid, poison = checks(data)
    part(data=data, valid=valid.outputs["receipt"], poison=poison.outputs["receipt"])


def everything_in_one_condition() -> None:
    data = collect().outputs["data"]
    with dsl.If(scanned(data).outputs["Output"] == "ALLOW"):
        gated(fit(data=data), requires=checks(data))


def everything_in_an_exit_handler() -> None:
    with dsl.ExitHandler(tell(text="bye")):
        clean()


def training_in_a_loop_behind_gates() -> None:
    data = collect().outputs["data"]
    gates = checks(data)
    with dsl.ParallelFor([1, 2]) as epochs:
        gated(fit(data=data, epochs=epochs), requires=gates)


def one_of_two_trainings_is_deployed() -> None:
    data = collect().outputs["data"]
    gates = checks(data)
    with dsl.If(gates[0].outputs["Output"] == "ALLOW"):
        one = trained(data, gates)
    with dsl.Else():
        two = trained(data, gates)
    model = dsl.OneOf(one.outputs["model"], two.outputs["model"])
    scan = scan_model(subject=model, image=GATES)
    found = verify(subject=model, requires=["training"], image=GATES)
    deploy_gate(model=model, to="registry://a/b", requires=[scan, found], image=GATES)


def receipts_that_are_already_there() -> None:
    data = dsl.importer(artifact_uri="s3://lake/train", artifact_class=Dataset).output
    gates = [
        verify(subject=data, requires=["data-validation"], image=GATES),
        verify(subject=data, requires=["data-poisoning"], image=GATES),
    ]
    gated(fit(data=data), requires=gates)


GATED = [
    gates_of_a_nested_pipeline,
    receipts_handed_into_a_nested_pipeline,
    everything_in_one_condition,
    everything_in_an_exit_handler,
    training_in_a_loop_behind_gates,
    one_of_two_trainings_is_deployed,
    receipts_that_are_already_there,
]


@pytest.mark.parametrize("body", GATED, ids=lambda body: body.__name__)
def test_gates_count_wherever_kfp_puts_them(body: Callable[[], None], rules: Rules) -> None:
    checked = check_ir(compiled(body), rules)
    assert checked.is_gated, checked.said
    assert any(step.protects for step in checked.graph.steps)


def platform(name: str, value: Any, executor: str) -> dict[str, Any]:
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {executor: {name: value}}}}}}


def with_platform(name: str, value: Any, task: str = "tell") -> str:
    def body() -> None:
        tell(text="hello")

    text = compiled(body)
    label = component_of(yaml.safe_load(text), task)["executorLabel"]
    return changed(text, lambda _: None, platform(name, value, label))


PLACES = {
    "toleration": ("tolerations", [{"key": "nvidia.com/gpu", "operator": "Exists"}]),
    "node-selector": ("nodeSelector", {"labels": {"cloud.google.com/gke-accelerator": "a100"}}),
    "node-selector-of-the-run": ("nodeSelector", {"nodeSelectorJson": {"componentInputParameter": "where"}}),
    "node-affinity": (
        "nodeAffinity",
        [{"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "Exists"}]}],
    ),
    "queue": ("podMetadata", {"labels": {"kueue.x-k8s.io/queue-name": "gpu-a100"}}),
    "secret": ("secretAsVolume", [{"secretName": "model-registry-writer", "mountPath": "/s"}]),
}


@pytest.mark.parametrize("case", PLACES)
def test_where_a_pod_is_placed_and_what_it_is_given_makes_it_a_protected_step(case: str, rules: Rules) -> None:
    checked = check_ir(with_platform(*PLACES[case]), rules)
    (step,) = (step for step in checked.graph.steps if step.id == "tell")
    assert step.protects, case
    assert checked.refusal


def test_what_the_cluster_gives_a_step_stands_in_the_graph(rules: Rules) -> None:
    given = [{"secretName": "hub", "keyToEnv": [{"secretKey": "k", "envVar": "HF_TOKEN"}]}]
    (step,) = check_ir(with_platform("secretAsEnv", given), rules).graph.steps
    assert step.secrets == ("hub",)
    claims = [{"constant": "lake", "mountPath": "/lake"}]
    (step,) = check_ir(with_platform("pvcMount", claims), rules).graph.steps
    assert step.mounts == ("claim lake at /lake",)


def test_a_second_name_beside_a_harmless_one_stands_there_as_well(rules: Rules) -> None:
    one = {"secretName": "interlock", "secretNameParameter": {"runtimeValue": {"constant": "prod"}}, "mountPath": "/s"}
    two = {"secretName": "interlock", "secretNameParameter": {"componentInputParameter": "which"}, "mountPath": "/s"}
    (step,) = check_ir(with_platform("secretAsVolume", [one, two]), rules).graph.steps
    assert step.secrets == ("interlock", "prod", "that the run names")


def test_what_is_installed_at_the_start_stands_in_the_graph(rules: Rules) -> None:
    @dsl.component(base_image="python:3.11", packages_to_install=["torch==2.9", "evil"])
    def fetch(text: str):  # type: ignore[no-untyped-def]
        print(text)

    def body() -> None:
        fetch(text="a")

    (step,) = check_ir(compiled(body), rules).graph.steps
    assert {"torch==2.9", "evil"} < set(step.installs)


@pytest.mark.parametrize("listed", [["other.example/*"], []])
def test_a_gate_in_an_image_that_policy_does_not_take_is_none(listed: list[str]) -> None:
    narrow = with_gate_images(listed)
    refusal = check_ir(clean_text(), narrow).refusal
    assert "that policy does not take for gates" in refusal
    assert check_ir(clean_text(), with_gate_images(["registry.example/*"])).is_gated


def test_a_profile_that_says_nothing_of_gate_images_is_an_error() -> None:
    with pytest.raises(PolicyError, match="no list of patterns"):
        check_ir(clean_text(), with_gate_images(None))


def with_gate_images(listed: Any) -> Rules:
    bundle = replace(Bundle.load(), data=deepcopy(Bundle.load().data))
    data: Any = bundle.data
    data["interlock"]["profiles"]["standard"]["pipeline"]["gate_images"] = listed
    return rules_for(bundle)


def test_a_mode_that_watches_only_lets_pass_and_says_what_is_wrong() -> None:
    bundle = replace(Bundle.load(), data=deepcopy(Bundle.load().data))
    data: Any = bundle.data
    data["interlock"]["enforcement"]["kubeflow"] = {"old": {"mode": "warn", "pipelines": ["retrain"]}}
    watched = rules_for(bundle)
    checked = check_ir(compiled(nothing_in_front), watched)
    assert checked.mode is Mode.WARN
    assert checked.refusal == ""
    assert "no data-validation gate" in checked.said
    assert not checked.is_gated


GOLDEN = Path(__file__).parent / "compiled"
SAID = {
    "ungated": "no data-validation gate holds training step 'fit'",
    "groups": "no data-validation gate holds training step 'exit-handler-1/for-loop-3/fit'",
}


@pytest.mark.parametrize("name", SAID)
def test_what_kfp_2_16_wrote_is_still_read_as_it_was(name: str, rules: Rules) -> None:
    """No component of Interlock's is in these files: whose source changes is no longer the shipped one."""
    checked = check_ir((GOLDEN / f"{name}.yaml").read_bytes(), rules)
    assert SAID[name] in checked.refusal
    document = json.dumps(graph_document(checked.graph), indent=1) + "\n"
    assert document == (GOLDEN / f"{name}.graph.json").read_text()


def lines_of(checked: IrCheck, text: str) -> Iterator[tuple[str, str]]:
    rows = text.splitlines()
    yield from ((step, rows[line - 1].strip()) for step, line in checked.lines.items())


def test_every_step_has_the_line_of_its_task(rules: Rules) -> None:
    text = compiled(everything_in_an_exit_handler)
    for step, row in lines_of(check_ir(text, rules), text):
        assert row == f"{step.removesuffix(' (end)').rpartition('/')[2]}:"


def test_the_check_imports_neither_kfp_nor_airflow() -> None:
    import subprocess
    import sys

    program = (
        "import sys\nfrom interlock.kubeflow_plugin.ir_check import check_ir\n"
        f"check_ir({clean_text()!r})\n"
        "print(*sorted({'kfp', 'airflow', 'torch', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
