"""Pack deployment on documents as the real guard makes them, and on what an attacker would rather have there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.evidence.bench import RUN, Bench, decision, report

from interlock.gate import GateContext, Json, Subject, Verdict
from interlock.policy import EmbeddedEngine
from interlock.policy.schemas import input_problems

EXAMPLES = "data.interlock.deployment.examples_test"
IMAGE_DIGEST = "c" * 64
IMAGE = f"registry.example/serve@sha256:{IMAGE_DIGEST}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.at(tmp_path)


@pytest.fixture(scope="module")
def full(engine: EmbeddedEngine) -> dict[str, Any]:
    """A deployment that declares everything."""
    value: Any = engine.evaluate(f"{EXAMPLES}.full", {}).value
    assert isinstance(value, dict)
    return value


def reasons(engine: EmbeddedEngine, document: Json, rule: str = "decision.reasons") -> dict[str, list[str]]:
    """What the shipped rules say under a profile that asks for everything."""
    asked = f"said := data.interlock.{rule} with data.interlock.profiles as {EXAMPLES}.demanding"
    found: dict[str, list[str]] = {}
    for reason in engine.query(asked, document)[0]["bindings"]["said"]:
        found.setdefault(reason["id"], []).append(reason["message"])
    return found


def test_the_full_example_is_an_input_document_and_is_allowed(engine: EmbeddedEngine, full: dict[str, Any]) -> None:
    assert input_problems(full) == ()
    assert reasons(engine, full) == {}


def test_the_shipped_strict_profile_asks_for_all_of_it(engine: EmbeddedEngine, full: dict[str, Any]) -> None:
    bare = {key: value for key, value in full.items() if key not in {"lineage", "approvals"}}
    value: Any = engine.evaluate(
        "data.interlock.decision.result", bare | {"profile": "strict", "requested": {"to": "x"}}
    ).value
    asked = {reason["id"] for reason in value["reasons"] if reason["id"].startswith("deployment.")}
    assert asked == {
        "deployment.lineage-incomplete", "deployment.approval", "deployment.rollout", "deployment.manifests",
    }  # fmt: skip


ATTACKS = {
    "the-author-approves": (("approvals", 0, "by"), "alice", "deployment.approval"),
    "an-approval-of-another-model": (("approvals", 0, "digest", "sha256"), "0" * 64, "deployment.approval"),
    "an-approval-of-another-step": (("approvals", 0, "step"), "training", "deployment.approval"),
    "an-approval-that-has-expired": (("approvals", 0, "expires"), "2026-11-23T11:00:00Z", "deployment.approval"),
    "the-author-is-not-named": (("requested", "author"), "", "deployment.approval"),
    "all-traffic-at-once": (("requested", "rollout", "canary_percent"), 100, "deployment.rollout"),
    "no-traffic-at-all": (("requested", "rollout", "canary_percent"), 0, "deployment.rollout"),
    "back-to-nothing": (("requested", "rollout", "rollback_to"), " ", "deployment.rollout"),
    "the-data-was-denied": (("lineage", 0, "receipts", 1, "verdict"), "DENY", "deployment.lineage-receipts"),
    "the-data-receipt-is-of-another-run": (
        ("lineage", 0, "receipts", 0, "same_run"), False, "deployment.lineage-receipts",
    ),
    "the-image-receipt-is-signed-by-a-dev-key": (
        ("lineage", 2, "receipts", 0, "dev"), True, "deployment.lineage-receipts",
    ),
    "data-called-code": (("lineage", 0, "role"), "code", "deployment.lineage-incomplete"),
    "a-pod-on-the-host-network": (
        ("requested", "manifests", 0, "spec", "hostNetwork"), True, "deployment.pod-security",
    ),
    "a-pod-with-a-token": (
        ("requested", "manifests", 0, "spec", "automountServiceAccountToken"), True, "deployment.pod-security",
    ),
    "a-network-policy-for-another-pod": (
        ("requested", "manifests", 1, "spec", "podSelector", "matchLabels", "app"), "x", "deployment.network-policy",
    ),
    "a-network-policy-that-opens-all": (
        ("requested", "manifests", 1, "spec", "egress"), [{}], "deployment.network-policy",
    ),
    "another-image-than-the-one-with-receipts": (
        ("requested", "manifests", 0, "spec", "containers", 0, "image"),
        f"ghcr.io/acme/train@sha256:{'a' * 64}",
        "deployment.manifest-image",
    ),
    "another-model-in-the-annotations": (
        ("requested", "manifests", 0, "metadata", "annotations", "interlock.dev/subject-sha256"),
        "a" * 64,
        "deployment.manifest-subject",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_one_wrong_thing_is_refused_for_what_it_is(engine: EmbeddedEngine, full: dict[str, Any], attack: str) -> None:
    path, value, refused = ATTACKS[attack]
    document: Any = copy.deepcopy(full)
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    assert set(reasons(engine, document)) == {refused}


def paths_of(node: Any, here: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield here
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from paths_of(value, (*here, key))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["lineage", "approvals", "requested"])
def test_no_spoiled_field_makes_the_engine_err(engine: EmbeddedEngine, full: dict[str, Any], part: str) -> None:
    """But for times: a text that is no time is an error, and with it the decision is UNDECIDED."""
    wrongs: tuple[Any, ...] = (None, 7, [], {}, [None])
    for path in paths_of(full[part], (part,)):
        for wrong in wrongs:
            document: Any = copy.deepcopy(full)
            parent = document
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = wrong
            assert engine.evaluate("data.interlock.decision.result", document).defined, (path, wrong)


def guarded(bench: Bench, data: Subject) -> dict[str, Any]:
    """The document that a real deployment guard made, for a model that was trained on `data`."""
    model = bench.data("model", "weights")
    configured = replace(
        report(bench.subject(model), "training"), configuration=json.dumps({"data": {"digest": data.digest}})
    )
    trained = GateContext(run=replace(RUN, task_id="train"), profile="standard")
    bench.recorder().record(configured, decision(), trained, materials=(data,))
    context = GateContext(run=RUN, profile="standard")
    requested: dict[str, Json] = {"image": IMAGE}
    with bench.guard().open(
        str(Path(model)), kind="deployment", requires=["training"], context=context, requested=requested
    ):
        pass
    document: Any = bench.decider.asked[-1]
    return dict(document)


def image_receipt(bench: Bench) -> None:
    bench.receipt(Subject(name="registry.example/serve", uri=IMAGE, digest=IMAGE_DIGEST), "artifact-scan")


def lineage_of(engine: EmbeddedEngine, document: dict[str, Any]) -> dict[str, list[str]]:
    assert input_problems(document) == ()
    return reasons(engine, document, "deployment.lineage.deny")


def accepted_here(document: dict[str, Any]) -> dict[str, Any]:
    """The bench signs with development keys by a bundle of its own; neither is what these tests are about."""
    for material in document["lineage"]:
        for receipt in material["receipts"]:
            receipt |= {"dev": False, "bundle_known": True}
    return document


def test_what_the_guard_gathers_satisfies_the_rule(bench: Bench, engine: EmbeddedEngine) -> None:
    data = bench.subject(bench.data())
    bench.receipt(data, "data-validation")
    bench.receipt(data, "data-poisoning")
    image_receipt(bench)
    assert lineage_of(engine, accepted_here(guarded(bench, data))) == {}


def test_data_that_was_denied_after_the_training_stops_the_deployment(bench: Bench, engine: EmbeddedEngine) -> None:
    data = bench.subject(bench.data())
    bench.receipt(data, "data-validation")
    bench.receipt(data, "data-poisoning", Verdict.DENY)
    image_receipt(bench)
    refused = lineage_of(engine, accepted_here(guarded(bench, data)))
    assert list(refused) == ["deployment.lineage-receipts"]
    assert "the newest receipt of data-poisoning says DENY" in refused["deployment.lineage-receipts"][0]


def test_data_that_nobody_looked_at_stops_the_deployment(bench: Bench, engine: EmbeddedEngine) -> None:
    refused = lineage_of(engine, accepted_here(guarded(bench, bench.subject(bench.data()))))
    assert len(refused["deployment.lineage-receipts"]) == 3
