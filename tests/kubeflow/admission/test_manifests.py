"""What is installed: of the published schemas, from the policy's data, evaluated by a real CEL and a real OPA."""

from __future__ import annotations

import base64
import copy
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from cel_expr_python import cel  # type: ignore[import-untyped]  # no stubs are published for the package itself
from tests.cli.conftest import call
from tests.kubeflow.admission.deployment import Asking
from tests.policy.engines.opa_servers import Authority, free_port, needs_opa, opa_program
from tests.training.cluster.objects import problems

from interlock.gate import PolicyError, UsageError
from interlock.kubeflow_plugin.admission.cel import CelPolicy, cel_policies
from interlock.kubeflow_plugin.admission.manifests import (
    Installation,
    opa_arguments,
    policy_documents_of,
    server_documents,
    webhook_document,
)
from interlock.policy import Bundle, EmbeddedEngine

SAMPLES = Path(__file__).parents[2] / "policy" / "rules" / "admission"
IMAGE = f"registry.example/interlock@sha256:{'1' * 64}"
BUNDLE = Bundle.load()
PROFILES = ("dev", "standard", "strict")
ENV = cel.NewEnv(variables={"object": cel.Type.DYN, "variables": cel.Type.DYN})
RESOURCES = {
    "Pod": "pods", "Deployment": "deployments", "Job": "jobs", "CronJob": "cronjobs", "TrainJob": "trainjobs",
    "InferenceService": "inferenceservices",
}  # fmt: skip
Review = dict[str, Any]


def reviews(folder: str) -> dict[str, Review]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((SAMPLES / folder).iterdir())}


ALLOWED, REFUSED = reviews("allowed"), reviews("refused")


def policy_for(document: Mapping[str, Any], profile: str = "standard") -> CelPolicy | None:
    resource = RESOURCES.get(document["kind"])
    found = [one for one in cel_policies(BUNDLE.profile(profile)) if resource in one.resources]
    return found[0] if found else None


def broken(policy: CelPolicy, document: Mapping[str, Any]) -> set[str]:
    """As the API server does it: variables in their order, then every validation; an error is a refusal."""
    variables: dict[str, Any] = {}
    for name, expression in policy.variables:
        variables[name] = ENV.compile(expression).eval(data={"object": document, "variables": variables}).plain_value()
    found = set()
    for rule in policy.rules:
        said = ENV.compile(rule.expression).eval(data={"object": document, "variables": variables})
        if said.value() is not True:
            found.add(rule.rule)
    return found


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_pack_admits_the_api_server_admits(name: str) -> None:
    document = ALLOWED[name]["request"]["object"]
    policy = policy_for(document) if document else None
    if policy is not None:
        assert broken(policy, document) == set()


BY_CEL = {
    "inferenceservice_without_receipt": "kubernetes.receipt",
    "pod_gpu_by_claim": "kubernetes.receipt",
    "pod_gpu_in_an_init_container": "kubernetes.receipt",
    "pod_gpu_without_receipt": "kubernetes.receipt",
    "pod_image_by_tag": "kubernetes.pod-security",
    "pod_privileged_with_receipt": "kubernetes.pod-security",
    "pod_receipt_removed": "kubernetes.receipt",
    "trainjob_goes_on_without_receipt": "kubernetes.receipt",
    "trainjob_not_suspended": "kubernetes.receipt",
}


@pytest.mark.parametrize("name", BY_CEL)
def test_the_api_server_refuses_by_itself(name: str) -> None:
    document = REFUSED[name]["request"]["object"]
    policy = policy_for(document)
    assert policy is not None
    assert BY_CEL[name] in broken(policy, document)


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


def drop(*path: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return change


POD = ("spec",)
CONTAINER = ("spec", "containers", 0)
SECURITY = (*CONTAINER, "securityContext")
WEAKENED = {
    "token": drop(*POD, "automountServiceAccountToken"),
    "token-mounted": put(*POD, "automountServiceAccountToken", value=True),
    "host-network": put(*POD, "hostNetwork", value=True),
    "host-pid": put(*POD, "hostPID", value=True),
    "host-path": put(*POD, "volumes", value=[{"name": "a", "hostPath": {"path": "/"}}]),
    "token-by-volume": put(
        *POD, "volumes", value=[{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]
    ),
    "escalation": drop(*SECURITY, "allowPrivilegeEscalation"),
    "no-security": drop(*SECURITY),
    "privileged": put(*SECURITY, "privileged", value=True),
    "proc": put(*SECURITY, "procMount", value="Unmasked"),
    "capabilities-kept": put(*SECURITY, "capabilities", value={"drop": ["NET_RAW"]}),
    "capability-added": put(*SECURITY, "capabilities", value={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "root": put(*SECURITY, "runAsNonRoot", value=False),
    "user-0": put(*SECURITY, "runAsUser", value=0),
    "seccomp": put(*SECURITY, "seccompProfile", value={"type": "Unconfined"}),
    "writable-root": put(*SECURITY, "readOnlyRootFilesystem", value=False),
    "host-port": put(*CONTAINER, "ports", value=[{"containerPort": 80, "hostPort": 80}]),
    "tag": put(*CONTAINER, "image", value="ghcr.io/acme/train:1"),
    "settings": put(*CONTAINER, "env", value=[{"name": "INTERLOCK_PROFILE", "value": "dev"}]),
    "settings-by-map": put(*CONTAINER, "envFrom", value=[{"prefix": "INTERLOCK_", "configMapRef": {"name": "a"}}]),
    "no-receipt": drop("metadata", "annotations", "interlock.dev/receipt"),
    "no-annotations": drop("metadata", "annotations"),
    "receipt-of-another-form": put("metadata", "annotations", "interlock.dev/receipt", value="any"),
    "weak-init-container": put(*POD, "initContainers", value=[{"name": "a", "image": IMAGE}]),
    "weak-debug-container": put(*POD, "ephemeralContainers", value=[{"name": "a", "image": IMAGE}]),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    opened = EmbeddedEngine(BUNDLE)
    yield opened
    opened.close()


@pytest.mark.parametrize("change", WEAKENED.values(), ids=WEAKENED)
def test_what_the_api_server_refuses_the_pack_refuses(engine: EmbeddedEngine, change: Callable[[Any], None]) -> None:
    review = copy.deepcopy(ALLOWED["pod_gpu_with_receipt"])
    change(review["request"]["object"])
    policy = policy_for(review["request"]["object"])
    assert policy is not None
    assert broken(policy, review["request"]["object"])
    answer: Any = engine.evaluate("interlock.kubernetes.admission.response", review).value
    assert answer["response"]["allowed"] is False


@pytest.mark.parametrize(
    "name", ["deployment_gpu_with_receipt", "inferenceservice_with_receipt", "trainjob_with_receipt"]
)
def test_settings_are_refused_in_every_kind(name: str) -> None:
    document = copy.deepcopy(ALLOWED[name]["request"]["object"])
    policy = policy_for(document)
    assert policy is not None
    holder = {
        "Deployment": lambda: document["spec"]["template"]["spec"]["containers"][0],
        "InferenceService": lambda: document["spec"]["predictor"]["model"],
        "TrainJob": lambda: document["spec"]["trainer"],
    }[document["kind"]]()
    holder["env"] = [{"name": "INTERLOCK_CONFIG", "value": "/tmp/mine.toml"}]
    assert broken(policy, document) == {"kubernetes.settings"}


def test_the_expressions_follow_the_profile() -> None:
    document = ALLOWED["pod_gpu_with_receipt"]["request"]["object"]
    for profile, found in (("dev", set()), ("standard", set()), ("strict", {"kubernetes.pod-security"})):
        policy = policy_for(document, profile)
        assert policy is not None
        assert broken(policy, document) == found  # strict allows no registry until somebody names one
    tagged = copy.deepcopy(document)
    for tag, found in (("1.2", set()), ("Latest", {"kubernetes.pod-security"}), ("main", {"kubernetes.pod-security"})):
        tagged["spec"]["containers"][0]["image"] = f"ghcr.io/acme/train:{tag}"
        policy = policy_for(tagged, "dev")
        assert policy is not None
        assert broken(policy, tagged) == found


@pytest.mark.parametrize("path", [("kubernetes", "volumes"), ("images", "registries"), ("kubernetes", "variables")])
def test_a_profile_that_cannot_be_read_renders_nothing(path: tuple[str, str]) -> None:
    profile = json.loads(json.dumps(BUNDLE.profile("strict")))
    profile[path[0]][path[1]] = None
    with pytest.raises(PolicyError):
        cel_policies(profile)


INSTALLATIONS = {
    "own": Installation(image=IMAGE, ca=b"PEM"),
    "opa": Installation(image=IMAGE, opa=True, everywhere=True, namespace="guards"),
}


@pytest.mark.parametrize("installation", INSTALLATIONS.values(), ids=INSTALLATIONS)
def test_what_is_installed_is_of_the_published_schemas(installation: Installation) -> None:
    documents = [
        *server_documents(installation, BUNDLE),
        webhook_document(installation),
        *policy_documents_of(installation, BUNDLE),
    ]
    assert [problem for document in documents for problem in problems(document)] == []


@pytest.mark.parametrize("installation", INSTALLATIONS.values(), ids=INSTALLATIONS)
def test_the_server_itself_would_be_admitted(engine: EmbeddedEngine, installation: Installation) -> None:
    (deployment,) = (one for one in server_documents(installation, BUNDLE) if one["kind"] == "Deployment")
    policy = policy_for(deployment)
    assert policy is not None
    assert broken(policy, deployment) == set()
    kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
    request: Any = {"uid": "1", "kind": kind, "operation": "CREATE", "object": deployment, "oldObject": None}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer: Any = engine.evaluate("interlock.kubernetes.admission.response", review).value
    assert answer["response"]["allowed"] is True, answer


def test_nothing_is_admitted_that_nobody_answered_for() -> None:
    document: Any = webhook_document(INSTALLATIONS["own"])
    (webhook,) = document["webhooks"]
    assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Fail", "None")
    for one in policy_documents_of(INSTALLATIONS["own"], BUNDLE):
        spec: Any = one["spec"]
        assert spec.get("failurePolicy", "Fail") == "Fail"
        assert spec.get("validationActions", ["Deny", "Audit"]) == ["Deny", "Audit"]


def test_an_image_by_tag_is_not_installed() -> None:
    with pytest.raises(UsageError, match="not pinned"):
        Installation(image="openpolicyagent/opa:latest")


@needs_opa
def test_the_opa_that_is_installed_answers_and_lets_nobody_change_it(tmp_path: Path) -> None:
    """With the very arguments and bundles of the manifest."""
    authority, port = Authority(tmp_path), free_port()
    for source, target in zip(authority.issue("opa"), ("tls.crt", "tls.key"), strict=True):
        source.rename(tmp_path / target)
    (policy,) = (one for one in server_documents(INSTALLATIONS["opa"], BUNDLE) if one["kind"] == "ConfigMap")
    files: Any = policy["binaryData"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(base64.b64decode(content))
    arguments = opa_arguments(
        tls=str(tmp_path),
        policy=str(tmp_path),
        address=f"127.0.0.1:{port}",
        health=f"127.0.0.1:{(health := free_port())}",
    )
    with subprocess.Popen([str(opa_program()), *arguments, "--log-level=error"]) as process:
        try:
            wait_for(f"https://127.0.0.1:{health}/health?bundles", authority)
            installed: Any = webhook_document(INSTALLATIONS["opa"])
            path = installed["webhooks"][0]["clientConfig"]["service"]["path"]
            ask = Asking(port, authority)
            for samples, allowed in ((ALLOWED, True), (REFUSED, False)):
                for review in samples.values():
                    _, answer = ask.post(json.dumps(review).encode(), path=str(path))
                    assert answer["response"]["allowed"] is allowed
            for other in ("/v1/data/interlock_admission/receipts", "/v1/policies/mine", "/"):
                with pytest.raises(urllib.error.HTTPError, match="401"):
                    ask.post(b"{}", path=other)
        finally:
            process.terminate()


def wait_for(url: str, authority: Authority) -> None:
    trust = ssl.create_default_context(cafile=str(authority.file))
    for _ in range(400):
        try:
            with urllib.request.urlopen(url, timeout=5, context=trust):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


def test_the_command_writes_all_of_it(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not home.exists()
    said = call(capsys, "kubernetes", "manifests", "--image", IMAGE, "--out", tmp_path / "out")
    assert said.status == 0, said.err
    kinds = {
        path.name: [document["kind"] for document in yaml.safe_load_all(path.read_text())]
        for path in (tmp_path / "out").iterdir()
    }
    assert kinds["webhook.yaml"] == ["ValidatingWebhookConfiguration"]
    assert kinds["server.yaml"] == ["Namespace", "ServiceAccount", "Deployment", "Service", "NetworkPolicy"]
    assert set(kinds["policies.yaml"]) == {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    written = list(yaml.safe_load_all((tmp_path / "out" / "policies.yaml").read_text()))
    assert written == json.loads(json.dumps(policy_documents_of(Installation(image=IMAGE), BUNDLE)))
