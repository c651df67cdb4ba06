"""Pack kubernetes, asked as the API server's webhook asks: real AdmissionReviews over HTTP to a real OPA."""

from __future__ import annotations

import copy
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.policy.engines.opa_servers import needs_opa, running_opa

from interlock.policy import EmbeddedEngine
from interlock.policy.bundles.bundle import packaged_folder
from interlock.policy.schemas import admission_problems

SAMPLES = Path(__file__).parent / "admission"
ALLOWED = sorted(path.stem for path in (SAMPLES / "allowed").iterdir())
ANSWER = "interlock/kubernetes/admission/response"
REFUSED = {
    "inferenceservice_model_changed": {"kubernetes.same-receipt"},
    "inferenceservice_two_models": {"kubernetes.one-model"},
    "inferenceservice_without_receipt": {"kubernetes.receipt"},
    "pod_debugged": {"kubernetes.same-receipt"},
    "pod_gpu_by_claim": {"kubernetes.receipt"},
    "pod_gpu_in_an_init_container": {"kubernetes.receipt"},
    "pod_gpu_without_receipt": {"kubernetes.receipt"},
    "pod_image_by_tag": {"kubernetes.pod-security"},
    "pod_privileged_with_receipt": {"kubernetes.pod-security"},
    "pod_receipt_removed": {"kubernetes.receipt", "kubernetes.receipt-removed"},
    "review_of_an_old_version": {"kubernetes.review"},
    "trainjob_goes_on_without_receipt": {"kubernetes.receipt"},
    "trainjob_image_changed_while_it_waits": {"kubernetes.same-receipt"},
    "trainjob_not_suspended": {"kubernetes.receipt"},
    "unknown_kind_with_gpu": {"kubernetes.receipt"},
}
Post = Callable[[str, Any], Any]


def sample(name: str) -> dict[str, Any]:
    folder = "allowed" if name in ALLOWED else "refused"
    review: dict[str, Any] = json.loads((SAMPLES / folder / f"{name}.json").read_text())
    return review


def post(port: int, path: str, document: Any, *, method: str = "POST") -> Any:
    """What the API server does: one POST with JSON, one JSON document back."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(document).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        body = answer.read()
    return json.loads(body) if body else None


@pytest.fixture(scope="module")
def webhook() -> Iterator[int]:
    """A stock OPA that serves the shipped bundle, with our answer as its default decision."""
    with running_opa(
        "--bundle", str(packaged_folder()), "--set", f"default_decision=/{ANSWER}", "--ignore", "*_test.rego"
    ) as port:
        yield port


@pytest.fixture(params=[pytest.param(f"/v0/data/{ANSWER}", id="v0-data"), pytest.param("/", id="default-decision")])
def ask(webhook: int, request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    path: str = request.param
    return lambda review: post(webhook, path, review)


def ids(response: dict[str, Any]) -> set[str]:
    return {
        part.split("]")[0] for part in response["status"]["message"].split("[")[1:] if part.startswith("kubernetes.")
    }


@needs_opa
@pytest.mark.parametrize("name", ALLOWED)
def test_the_webhook_admits(ask: Callable[[Any], Any], name: str) -> None:
    review = sample(name)
    answer = ask(review)
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert answer["response"].pop("warnings") is not None
    assert answer["response"] == {"uid": review["request"]["uid"], "allowed": True}


@needs_opa
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_the_webhook_refuses(ask: Callable[[Any], Any], name: str) -> None:
    review = sample(name)
    response = ask(review)["response"]
    assert (response["uid"], response["allowed"]) == (review["request"]["uid"], False)
    assert response["status"]["code"] == 403
    assert ids(response) == REFUSED[name]


def test_every_refused_sample_is_named_here() -> None:
    assert {path.stem for path in (SAMPLES / "refused").iterdir()} == set(REFUSED)


@needs_opa
@pytest.mark.parametrize(
    "wrong",
    [{}, [], None, 7, "review", {"request": None}, {"kind": "AdmissionReview", "request": {"uid": "1"}}],
    ids=json.dumps,
)
def test_what_is_no_review_is_refused(ask: Callable[[Any], Any], wrong: Any) -> None:
    assert ask(wrong)["response"]["allowed"] is False


@needs_opa
def test_a_path_that_is_not_there_is_an_error_and_no_answer(webhook: int) -> None:
    """So that `failurePolicy: Fail` refuses; OPA answers an undefined v0 document with 404."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        post(webhook, "/v0/data/interlock/kubernetes/admission/no_such_answer", sample("pod_without_gpu"))


@needs_opa
def test_system_main_is_another_way_to_the_same_answer(tmp_path: Path) -> None:
    """For an OPA whose webhook posts to ``/`` and whose configuration nobody wants to touch."""
    (tmp_path / ".manifest").write_text('{"roots": ["system"], "rego_version": 1}')
    (tmp_path / "main.rego").write_text("package system\n\nmain := data.interlock.kubernetes.admission.response\n")
    with running_opa("--ignore", "*_test.rego", "--bundle", str(packaged_folder()), str(tmp_path)) as port:
        assert post(port, "/", sample("pod_gpu_with_receipt"))["response"]["allowed"] is True
        assert post(port, "/", sample("pod_gpu_without_receipt"))["response"]["allowed"] is False


@needs_opa
def test_with_known_receipts_only_what_the_data_names_is_admitted(tmp_path: Path) -> None:
    """An organisation's strict profile; somebody who verified the ledger brings the receipts by OPA's data API."""
    bundle = tmp_path / "policies"
    shutil.copytree(packaged_folder(), bundle, ignore=shutil.ignore_patterns("*_test.rego", "__pycache__", "schemas"))
    (bundle / "interlock/kubernetes/settings/data.json").write_text('{"profile": "strict"}')
    profiles = json.loads((bundle / "interlock/profiles/data.json").read_text())
    profiles["strict"].setdefault("images", {})["registries"] = ["ghcr.io/acme"]
    (bundle / "interlock/profiles/data.json").write_text(json.dumps(profiles))
    review = sample("pod_gpu_with_receipt")
    named = review["request"]["object"]["metadata"]["annotations"]
    receipt, subject = named["interlock.dev/receipt"], named["interlock.dev/subject-sha256"]
    known = {
        "verdict": "ALLOW", "stage": "guard", "gate": "training", "subject": subject, "expires": "2099-01-01T00:00:00Z",
    }  # fmt: skip

    with running_opa("--bundle", str(bundle)) as port:

        def admitted() -> bool:
            return bool(post(port, f"/v0/data/{ANSWER}", review)["response"]["allowed"])

        def know(receipts: Any) -> None:
            post(port, "/v1/data/interlock_admission/receipts", receipts, method="PUT")

        assert not admitted()
        know({receipt: known})
        assert admitted()
        know({receipt: known | {"expires": "2020-01-01T00:00:00Z"}})
        assert not admitted()
        know({receipt: known | {"subject": "0" * 64}})
        assert not admitted()
        know({})
        assert not admitted()


def paths_of(node: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if here:
        yield here
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from paths_of(value, (*here, key))


UNREAD = {
    "resource", "requestKind", "requestResource", "name", "namespace", "userInfo", "dryRun", "options", "oldObject",
    "status", "managedFields", "tolerations", "uid", "creationTimestamp",
}  # fmt: skip
MUST_BE_THERE = [
    ("request", "kind", "kind"), ("request", "operation"), ("request", "object", "kind"),
    ("request", "object", "apiVersion"), ("request", "object", "metadata"),
    ("request", "object", "metadata", "annotations"),
    ("request", "object", "metadata", "annotations", "interlock.dev/receipt"),
    ("request", "object", "spec"), ("request", "object", "spec", "containers"),
    ("request", "object", "spec", "automountServiceAccountToken"),
    ("request", "object", "spec", "containers", 0, "image"),
    ("request", "object", "spec", "containers", 0, "securityContext"),
]  # fmt: skip


def allowed(engine: EmbeddedEngine, review: Any) -> bool:
    answer: Any = engine.evaluate("data.interlock.kubernetes.admission.response", review).value
    return answer["response"]["allowed"] is True


@pytest.mark.parametrize("path", MUST_BE_THERE, ids=lambda path: ".".join(map(str, path)))
def test_what_is_missing_null_or_mistyped_is_refused(engine: EmbeddedEngine, path: tuple[Any, ...]) -> None:
    wrongs: tuple[Any, ...] = (None, 7, [], "", {"text": 1}, ...)
    for wrong in wrongs:
        review = sample("pod_gpu_with_receipt")
        parent: Any = review
        for step in path[:-1]:
            parent = parent[step]
        if wrong is ...:
            del parent[path[-1]]
        else:
            parent[path[-1]] = wrong
        assert not allowed(engine, review), wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", ALLOWED)
def test_no_null_anywhere_makes_the_engine_err(engine: EmbeddedEngine, name: str) -> None:
    """Strict errors of builtins are no answer at all; whatever is in a review, there is one."""
    for path in paths_of(sample(name)):
        if UNREAD & set(path):
            continue
        wrongs: tuple[Any, ...] = (None, 7, "x", [], [None], {}, {"x": None})
        for wrong in wrongs:
            review = copy.deepcopy(sample(name))
            parent: Any = review
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = wrong
            assert engine.evaluate("data.interlock.kubernetes.admission.response", review).defined


@pytest.mark.parametrize("name", [*ALLOWED, *REFUSED])
def test_the_samples_are_as_the_schema_says(name: str) -> None:
    assert bool(admission_problems(sample(name))) == (name == "review_of_an_old_version")
