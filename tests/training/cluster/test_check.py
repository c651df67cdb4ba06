"""The checker: each weakened field is named, nothing of the rendered pod is, and the Rego pack never refuses more."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.cluster.attacks import ATTACKS, STANDARD, Pod, put, weakened
from tests.training.cluster.objects import opening, training

from interlock.policy import Bundle, EmbeddedEngine
from interlock.training.cluster import REQUIREMENTS, hardened_findings, hardened_pod, train_job, training_runtime

ANSWER = "data.interlock.kubernetes.admission.response"


def pod(**changes: Any) -> Pod:
    return hardened_pod(training(**changes), opening())


def as_held(given: Pod) -> Pod:
    """As the API server gives a pod back: with its defaults, and what the scheduler and admission add."""
    held = copy.deepcopy(given)
    held["spec"] |= {
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
        "nodeName": "gpu-1",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
    }
    for container in (*held["spec"]["containers"], *held["spec"]["initContainers"]):
        container |= {
            "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    held["status"] = {"phase": "Running"}
    return held


@pytest.mark.parametrize("options", [{}, {"user_namespace": True}, {"out_path": "a"}], ids=str)
def test_a_rendered_pod_breaks_nothing(options: dict[str, Any]) -> None:
    for held in (pod(**options), as_held(pod(**options))):
        assert hardened_findings(held, training(**options)) == ()
        assert hardened_findings(held) == ()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_weakened_pod_is_found_out(name: str) -> None:
    requirement, attack = ATTACKS[name]
    for whole in (pod(), as_held(pod())):
        broken = {weakness.requirement for weakness in hardened_findings(weakened(whole, attack), training())}
        assert requirement in broken


@pytest.mark.parametrize("name", [n for n, (requirement, _) in ATTACKS.items() if requirement != "as-rendered"])
def test_it_is_found_out_by_who_does_not_know_what_was_asked_for(name: str) -> None:
    requirement, attack = ATTACKS[name]
    assert requirement in {weakness.requirement for weakness in hardened_findings(weakened(pod(), attack))}


def test_each_requirement_has_an_attack() -> None:
    assert {requirement for requirement, _ in ATTACKS.values()} | {"shape"} == set(REQUIREMENTS)


def test_a_pod_for_another_training_is_found_out() -> None:
    other = training(image=f"registry.example/fraud/train:2@sha256:{'7' * 64}", user_namespace=True)
    found = {(weakness.requirement, weakness.where) for weakness in hardened_findings(pod(), other)}
    assert found == {("as-rendered", "spec.containers[0].image"), ("host", "spec.hostUsers")}


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(Bundle.load())
    yield engine
    engine.close()


def review(document: dict[str, Any]) -> dict[str, Any]:
    """As the API server asks its webhooks about a new object."""
    group, _, version = document["apiVersion"].rpartition("/")
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": group, "version": version, "kind": document["kind"]},
            "namespace": document["metadata"]["namespace"],
            "operation": "CREATE",
            "userInfo": {"username": "u"},
            "object": document,
            "oldObject": None,
        },
    }


def refused_by_policy(engine: EmbeddedEngine, document: dict[str, Any]) -> bool:
    answer: Any = engine.evaluate(ANSWER, review(document)).value
    return answer["response"]["allowed"] is not True


def test_policy_admits_what_is_rendered(engine: EmbeddedEngine) -> None:
    job, runtime = train_job(training()), training_runtime(training())
    for document in (pod(), as_held(pod()), pod(user_namespace=True), job, train_job(training(), opening()), runtime):
        answer: Any = engine.evaluate(ANSWER, review(document)).value
        assert answer["response"]["allowed"] is True, answer


@pytest.mark.parametrize("name", ATTACKS)
def test_what_policy_refuses_the_checker_refuses_too(engine: EmbeddedEngine, name: str) -> None:
    """The restricted standard is refused by both; beyond it the checker may ask for more, never for less."""
    attacked = weakened(pod(), ATTACKS[name][1])
    refused = refused_by_policy(engine, attacked)
    assert refused or name not in STANDARD
    assert hardened_findings(attacked) or not refused


def paths(node: Any, here: str = "") -> Iterator[str]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        path = f"{here}/{str(key).replace('/', '~1')}" if here else str(key)
        yield path
        yield from paths(value, path)


WRONG = st.sampled_from([None, 7, 0, "", "x", [], [None], {}, {"x": None}, True, False])


@given(path=st.sampled_from(list(paths(pod()))), wrong=WRONG)
def test_a_wrong_value_anywhere_raises_nothing_and_policy_refuses_no_more(
    engine: EmbeddedEngine, path: str, wrong: Any
) -> None:
    changed = weakened(pod(), put(path, wrong))
    found = hardened_findings(changed, training())
    if path.startswith(("metadata", "spec")) and not found:
        assert not refused_by_policy(engine, changed)


@pytest.mark.parametrize("wrong", [None, 7, "pod", [], {}, {"spec": None}, {"metadata": [], "spec": []}], ids=str)
def test_what_is_no_pod_is_no_hardened_pod(wrong: Any) -> None:
    assert len(hardened_findings(wrong)) > 5
