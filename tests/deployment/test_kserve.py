"""What serves a model is what KServe takes, carries its evidence, and every change of it is told."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.deployment.served import DIGEST, IMAGE, evidence, served
from tests.training.cluster.objects import problems

from interlock.deployment.kserve import inference_service, serving_policy, storage_container
from interlock.deployment.kserve_check import served_findings
from interlock.gate import UsageError
from interlock.policy import EmbeddedEngine
from interlock.policy.bundles.bundle import Bundle
from interlock.training.cluster import Resources

GOLDEN = Path(__file__).with_name("golden")
GPU = {
    "resources": Resources(gpus=1),
    "image": f"registry.example/serve@sha256:{'2' * 64}",
    "runtime": "fraud-runtime",
    "format_version": "1",
    "canary_percent": 5,
    "callers": ("gateway",),
    "storage": ("10.1.0.0/16",),
    "max_replicas": 3,
}
RENDERED: dict[str, Any] = {
    "inferenceservice": inference_service(served(), evidence()),
    "inferenceservice-before": inference_service(served()),
    "inferenceservice-gpu": inference_service(served(**GPU), evidence()),
    "inferenceservice-claim": inference_service(
        served(storage_uri=f"pvc://models/fraud/versions/sha256-{DIGEST}/model.onnx", loader=""), evidence()
    ),
    "networkpolicy": serving_policy(served(**GPU)),
    "networkpolicy-closed": serving_policy(served()),
    "clusterstoragecontainer": storage_container(IMAGE),
}


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_object_is_one_of_the_published_schema(name: str) -> None:
    assert problems(RENDERED[name]) == []


@pytest.mark.parametrize("name", ["inferenceservice-gpu", "networkpolicy", "clusterstoragecontainer"])
def test_a_rendered_object_is_the_golden_one(name: str) -> None:
    text = json.dumps(RENDERED[name], indent=2, sort_keys=True) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("INTERLOCK_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_the_schema_does_notice_a_field_that_kserve_does_not_know() -> None:
    document = copy.deepcopy(RENDERED["inferenceservice"])
    document["spec"]["predictor"]["model"]["modelFormatted"] = {"name": "onnx"}
    assert problems(document)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"storage_uri": "s3://models/fraud/champion"}, id="a-place-that-moves"),
        pytest.param({"storage_uri": f"s3://models/sha256-{'9' * 64}"}, id="a-place-of-other-bytes"),
        pytest.param({"storage_uri": f"s3://m/sha256-{DIGEST}/sha256-{'9' * 64}"}, id="a-place-of-two-digests"),
        pytest.param({"storage_uri": f"s3://models/../sha256-{DIGEST}"}, id="a-place-that-climbs"),
        pytest.param({"storage_uri": f"file:///models/sha256-{DIGEST}"}, id="a-disk"),
        pytest.param({"storage_uri": f"oci://models/sha256-{DIGEST}"}, id="an-image"),
        pytest.param({"storage_uri": f"pvc://models/sha256-{DIGEST}"}, id="a-claim-that-nobody-checks"),
        pytest.param({"image": "registry.example/serve:latest"}, id="a-tag"),
        pytest.param({"name": "Fraud"}, id="a-name-of-no-service"),
        pytest.param({"callers": ("*",)}, id="callers-of-everywhere"),
        pytest.param({"storage": ("10.1.0.0/99",)}, id="no-network"),
        pytest.param({"canary_percent": 101}, id="more-than-all"),
        pytest.param({"min_replicas": 2}, id="more-than-at-most"),
        pytest.param({"user": 0}, id="root"),
        pytest.param({"digest": "3" * 63}, id="no-digest"),
    ],
)
def test_what_could_not_be_served_safely_cannot_be_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        served(**wrong)


def test_a_guard_that_opened_on_other_bytes_renders_nothing() -> None:
    with pytest.raises(UsageError, match="opened on sha256:9"):
        inference_service(served(), evidence(subject_digest="9" * 64))


@pytest.mark.parametrize("name", ["inferenceservice", "inferenceservice-gpu"])
def test_what_was_rendered_has_no_findings(name: str) -> None:
    assert served_findings(RENDERED[name]) == ()


def test_a_model_in_a_claim_is_told_unless_somebody_accepts_it() -> None:
    [weakness] = served_findings(RENDERED["inferenceservice-claim"])
    assert weakness.requirement == "loader"
    assert served_findings(RENDERED["inferenceservice-claim"], unchecked_storage=True) == ()


def test_what_the_cluster_adds_is_no_finding() -> None:
    held = copy.deepcopy(RENDERED["inferenceservice"])
    held["metadata"] |= {"uid": "1", "resourceVersion": "7", "generation": 1}
    held["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    held["spec"]["predictor"]["model"] |= {"protocolVersion": "v2", "name": ""}
    held["status"] = {"url": "http://fraud.serving.example"}
    assert served_findings(held) == ()


def at(document: Any, *path: Any) -> Any:
    for step in path:
        document = document[step]
    return document


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        at(document, *path[:-1])[path[-1]] = value

    return change


def drop(*path: Any) -> Callable[[Any], None]:
    return lambda document: at(document, *path[:-1]).pop(path[-1])


PREDICTOR = ("spec", "predictor")
MODEL = (*PREDICTOR, "model")
NOTES = ("metadata", "annotations")
ATTACKS = {
    "other-model": put(*MODEL, "storageUri", value="s3://models/evil"),
    "other-version": put(*MODEL, "storageUri", value=f"s3://models/sha256-{'9' * 64}"),
    "other-digest": put(*NOTES, "interlock.dev/subject-sha256", value="9" * 64),
    "no-receipt": drop(*NOTES, "interlock.dev/receipt"),
    "receipt-of-another-form": put(*NOTES, "interlock.dev/receipt", value="any"),
    "no-bundle": drop(*NOTES, "interlock.dev/bundle-sha256"),
    "pods-with-another-receipt": put(
        *PREDICTOR, "annotations", "interlock.dev/receipt", value="01JDQ3V5T8Z0G6Y4N2M7C9KXWC"
    ),
    "own-loader": drop(*PREDICTOR, "storageContainerName"),
    "token": put(*PREDICTOR, "automountServiceAccountToken", value=True),
    "token-by-default": drop(*PREDICTOR, "automountServiceAccountToken"),
    "root": put(*PREDICTOR, "securityContext", "runAsUser", value=0),
    "root-allowed": put(*PREDICTOR, "securityContext", "runAsNonRoot", value=False),
    "host-network": put(*PREDICTOR, "hostNetwork", value=True),
    "service-account": put(*PREDICTOR, "serviceAccountName", value="admin"),
    "sidecar": put(*PREDICTOR, "containers", value=[{"name": "evil", "image": "evil"}]),
    "transformer": put("spec", "transformer", value={"containers": [{"image": "evil"}]}),
    "canary-of-another-model": put(
        "spec", "canary", value=[{"predictor": {"model": {"storageUri": "s3://evil"}}, "trafficPercent": 90}]
    ),
    "second-model": put(*PREDICTOR, "storageUris", value=[{"uri": "s3://evil"}]),
    "privileged": put(*MODEL, "securityContext", "privileged", value=True),
    "capability": put(*MODEL, "securityContext", "capabilities", value={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "writable-root": put(*MODEL, "securityContext", "readOnlyRootFilesystem", value=False),
    "one-for-true": put(*MODEL, "securityContext", "readOnlyRootFilesystem", value=1),
    "no-limit": drop(*MODEL, "resources", "limits", "memory"),
    "more-than-asked": put(*MODEL, "resources", "requests", "cpu", value="1"),
    "settings": put(*MODEL, "env", value=[{"name": "INTERLOCK_PROFILE", "value": "dev"}]),
    "command": put(*MODEL, "command", value=["sh"]),
    "image-by-tag": put(*MODEL, "image", value="registry.example/serve:latest"),
    "host-path": put(*PREDICTOR, "volumes", value=[{"name": "tmp", "hostPath": {"path": "/"}}]),
    "no-predictor": put("spec", "predictor", value=None),
    "other-kind": put("kind", value="InferenceGraph"),
}


@pytest.mark.parametrize("change", ATTACKS.values(), ids=ATTACKS)
def test_a_changed_service_is_told(change: Callable[[Any], None]) -> None:
    document = copy.deepcopy(RENDERED["inferenceservice"])
    change(document)
    assert served_findings(document)


@pytest.mark.parametrize("wrong", [None, [], "service", {}, {"spec": []}, {"metadata": 7}], ids=json.dumps)
def test_what_is_no_service_is_told(wrong: Any) -> None:
    assert served_findings(wrong)


@pytest.fixture(scope="module")
def engine() -> Any:
    opened = EmbeddedEngine(Bundle.load())
    yield opened
    opened.close()


def review(document: Any) -> dict[str, Any]:
    group, version = document["apiVersion"].split("/")
    kind = {"group": group, "version": version, "kind": document["kind"]}
    request = {"uid": "1", "kind": kind, "operation": "CREATE", "object": document, "oldObject": None}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@pytest.mark.parametrize("name", ["inferenceservice", "inferenceservice-gpu", "inferenceservice-claim"])
def test_what_was_rendered_is_admitted(engine: EmbeddedEngine, name: str) -> None:
    answer: Any = engine.evaluate("interlock.kubernetes.admission.response", review(RENDERED[name])).value
    assert answer["response"]["allowed"] is True


def test_what_was_rendered_before_the_guard_opened_is_not_admitted(engine: EmbeddedEngine) -> None:
    document = review(RENDERED["inferenceservice-before"])
    answer: Any = engine.evaluate("interlock.kubernetes.admission.response", document).value
    assert answer["response"]["allowed"] is False
