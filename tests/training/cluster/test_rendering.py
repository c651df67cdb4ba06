"""What is rendered is what Kubernetes and Kubeflow Trainer take, field by field, and stays what it is."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.training.cluster.objects import opening, problems, training

from interlock.gate import UsageError
from interlock.training.cluster import (
    ClusterData,
    Resources,
    deny_all,
    hardened_pod,
    train_job,
    training_runtime,
)
from interlock.training.cluster.pod import words
from interlock.training.cluster.trainjob import release_patch

GOLDEN = Path(__file__).with_name("golden")
PLAIN = {"resources": Resources(), "user_namespace": True, "out_path": "fraud", "environment": (("EPOCHS", "3"),)}
RENDERED: dict[str, Any] = {
    "pod": hardened_pod(training(), opening()),
    "pod-without-gpu": hardened_pod(training(**PLAIN), opening()),
    "networkpolicy": deny_all("training"),
    "trainjob": train_job(training()),
    "trainjob-opened": train_job(training(), opening()),
    "trainingruntime": training_runtime(training()),
}


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_object_is_one_of_the_published_schema(name: str) -> None:
    assert problems(RENDERED[name]) == []


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_object_is_the_golden_one(name: str) -> None:
    text = json.dumps(RENDERED[name], indent=2, sort_keys=True) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("INTERLOCK_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("pod", ("spec", "automountServiceAccountTokens")),
        ("pod", ("spec", "securityContext", "runAsNonroot")),
        ("networkpolicy", ("spec", "denyAll")),
        ("trainjob", ("spec", "podTemplateOverrides")),
        ("trainjob", ("spec", "trainer", "securityContext")),
        ("trainingruntime", ("spec", "template", "spec", "suspended")),
    ],
    ids=lambda part: part if isinstance(part, str) else part[-1],
)
def test_the_schemas_do_notice_a_field_that_no_server_knows(name: str, field: tuple[str, ...]) -> None:
    document = copy.deepcopy(RENDERED[name])
    place = document
    for step in field[:-1]:
        place = place[step]
    place[field[-1]] = True
    assert problems(document)


def test_the_patch_of_a_trainjob_cannot_say_what_the_runtime_has_to() -> None:
    """Why there is a runtime: Trainer 2.3's patches know no token, no service links and no deadline of a pod."""
    document = copy.deepcopy(RENDERED["trainjob"])
    (patch,) = document["spec"]["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    for name in ("automountServiceAccountToken", "enableServiceLinks", "activeDeadlineSeconds"):
        job["template"]["spec"]["template"]["spec"][name] = False
        assert problems(document)
        del job["template"]["spec"]["template"]["spec"][name]
    assert not problems(document)


def test_a_released_trainjob_is_one_of_the_published_schema() -> None:
    document = copy.deepcopy(RENDERED["trainjob"])
    patch: Any = release_patch(training(), opening(), "7")
    document["metadata"] |= patch["metadata"]
    document["spec"] |= patch["spec"]
    assert problems(document) == []
    assert document["spec"]["suspend"] is False
    (only,) = document["spec"]["runtimePatches"]
    assert only["manager"] == "interlock.dev/guard"
    assert opening().receipt_id in json.dumps(only)


def test_a_dollar_sign_reaches_the_program_as_it_was_written() -> None:
    """Kubernetes takes ``$$`` for one dollar sign, so nothing of the command is expanded from the pod's variables."""
    said = words(training(command=("sh", "-c", "echo $(HOME) $$ $HOME {data}")))
    assert said[2] == "echo $$(HOME) $$$$ $$HOME /interlock/data/train.csv"


def test_runtimes_are_named_by_what_is_in_them() -> None:
    names = {training_runtime(training(user=user))["metadata"]["name"] for user in (1000, 1000, 2000)}  # type: ignore[index, call-overload]
    assert len(names) == 2


WRONG: dict[str, dict[str, Any]] = {
    "an image by tag": {"image": "registry.example/train:1"},
    "an image without a registry": {"image": f"train@sha256:{'1' * 64}"},
    "a digest of another form": {"interlock_image": f"registry.example/interlock@sha256:{'G' * 64}"},
    "no command": {"command": ()},
    "a name that is no label": {"name": "Fraud_7"},
    "a namespace with a slash": {"namespace": "training/kube-system"},
    "the output on the data's claim": {"out_claim": "lake"},
    "an output outside of its claim": {"out_path": "../other"},
    "root": {"user": 0},
    "no deadline": {"wall_seconds": 0},
    "scratch without a limit": {"scratch": "0"},
    "a variable of Interlock": {"environment": (("INTERLOCK_DATA", "/etc"),)},
    "a variable that hands out GPUs": {"environment": (("NVIDIA_VISIBLE_DEVICES", "all"),)},
    "a secret": {"environment": (("HF_TOKEN", "x"),)},
    "a variable set twice": {"environment": (("A", "1"), ("A", "2"))},
    "a variable that is no name": {"environment": (("A=B", "1"),)},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_hardened_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(UsageError):
        training(**WRONG[name])


@pytest.mark.parametrize("path", ["", "/etc", "../other", "a/../../b"])
def test_data_outside_of_its_claim_cannot_be_asked_for(path: str) -> None:
    with pytest.raises(UsageError):
        ClusterData(claim="lake", path=path, digest="3" * 64)


@pytest.mark.parametrize(
    "wrong", [{"gpus": -1}, {"gpu_resource": "gpu"}, {"memory": ""}, {"cpu": "0"}, {"disk": "lots"}], ids=str
)
def test_resources_without_a_limit_cannot_be_asked_for(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Resources(**wrong)
