"""Pack pipeline: the chain rule in Rego against the one in Python, the graph's document, and what is never in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.gate import SubjectError, UsageError
from interlock.gate.values import Json
from interlock.pipeline import Graph, Setting, Step, check, graph_document, graph_from, shape_of
from interlock.pipeline.subjects import TRACED, UNBOUND
from interlock.policy import Bundle, EmbeddedEngine, required_gates
from interlock.policy.schemas import graph_problems, input_problems, schema

KINDS = ("data-validation", "data-poisoning", "artifact-scan", "training", "model-probe", "inference-probe")
NAMES = ("a", "a", "b", "c", "")
ASKED_OFTEN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@pytest.fixture(scope="module")
def example(engine: EmbeddedEngine) -> dict[str, Any]:
    value: Any = engine.evaluate("data.interlock.pipeline.examples_test.pipeline", {}).value
    assert isinstance(value, dict)
    return value


def about(example: Mapping[str, Any], graph: Json) -> dict[str, Any]:
    """The input document of a `pipeline` gate that saw this graph."""
    report = example["report"] | {"facts": {"pipeline": graph}}
    return {**example, "report": report}


def ids(engine: EmbeddedEngine, document: Mapping[str, Any]) -> set[str]:
    value: Any = engine.evaluate("data.interlock.decision.result", document).value
    return {reason["id"] for reason in value["reasons"]}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 7))
    steps = tuple(
        Step(
            id=f"s{number}",
            gate=draw(st.sampled_from(["", *KINDS])),
            genuine=draw(st.sampled_from([True, True, True, False])),
            overrides=draw(st.sampled_from([(), (), (), ("execute",)])),
            subject=draw(st.sampled_from(NAMES)),
            inputs=draw(st.lists(st.sampled_from(NAMES), max_size=2).map(tuple)),
            outputs=draw(st.lists(st.sampled_from(NAMES), max_size=2).map(tuple)),
            starts=draw(st.sampled_from([(), ("other",)])),
            because=draw(st.sampled_from(["", "rule gpu-queues: queue 'gpu'"])),
            protects=draw(st.sampled_from(["", "training", "deployment"])),
            requires=draw(st.lists(st.sampled_from(KINDS), max_size=2).map(tuple)),
            needs_all_upstreams=draw(st.sampled_from([True, True, True, False])),
            setup=draw(st.sampled_from([False, False, False, True])),
            teardown=draw(st.sampled_from([False, False, False, True])),
        )
        for number in range(size)
    )
    pairs = [(f"s{a}", f"s{b}") for a in range(size) for b in range(size)]
    return Graph(steps=steps, edges=tuple(draw(st.lists(st.sampled_from(pairs), unique=True, max_size=16))))


def as_policy_requires(graph: Graph, bundle: Bundle) -> Graph:
    """What each step requires by itself, and what the profile requires before a step of its kind."""

    def required(step: Step) -> tuple[str, ...]:
        return (*step.requires, *(required_gates(bundle, "standard", step.protects) if step.protects else ()))

    return replace(graph, steps=tuple(replace(step, requires=required(step)) for step in graph.steps))


@pytest.mark.slow
@ASKED_OFTEN
@given(graph=graphs())
def test_the_chain_rule_in_rego_is_the_one_in_python(
    engine: EmbeddedEngine, bundle: Bundle, example: Mapping[str, Any], graph: Graph
) -> None:
    found: Any = engine.evaluate("data.interlock.pipeline.chain.unheld", about(example, graph_document(graph))).value
    theirs = {(violation.step_id, violation.missing) for violation in check(as_policy_requires(graph, bundle))}
    assert {(step, kind) for step, kind in found} == theirs


@pytest.mark.slow
@ASKED_OFTEN
@given(graph=graphs())
def test_a_pipeline_is_allowed_only_when_python_finds_no_violation(
    engine: EmbeddedEngine, bundle: Bundle, example: Mapping[str, Any], graph: Graph
) -> None:
    refused = ids(engine, about(example, graph_document(graph)))
    assert ("pipeline.chain" in refused) == bool(check(as_policy_requires(graph, bundle)))


def test_the_example_is_a_pipeline_that_python_allows_too(
    engine: EmbeddedEngine, bundle: Bundle, example: dict[str, Any]
) -> None:
    graph = graph_from(example["report"]["facts"]["pipeline"])
    assert check(as_policy_requires(graph, bundle)) == ()
    assert ids(engine, example) == set()
    assert input_problems(example) == ()


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param({"steps": None}, {"pipeline.graph"}, id="steps-null"),
        pytest.param({"edges": {}}, {"pipeline.graph"}, id="edges-mistyped"),
        pytest.param({"steps": []}, {"pipeline.graph"}, id="a-pipeline-without-steps"),
    ],
)
def test_a_graph_that_cannot_be_read_is_refused_once(
    engine: EmbeddedEngine, example: dict[str, Any], change: dict[str, Any], refused: set[str]
) -> None:
    graph = example["report"]["facts"]["pipeline"] | change
    assert ids(engine, about(example, graph)) == refused


def test_a_report_without_a_graph_is_refused(engine: EmbeddedEngine, example: dict[str, Any]) -> None:
    without = {**example, "report": {key: value for key, value in example["report"].items() if key != "facts"}}
    assert ids(engine, without) == {"pipeline.graph"}


@given(graph=graphs())
def test_a_graph_survives_its_document(graph: Graph) -> None:
    document = graph_document(graph)
    assert graph_problems(document) == ()
    assert graph_from(json.loads(json.dumps(document))) == graph


def test_both_rules_name_the_same_kinds(engine: EmbeddedEngine) -> None:
    """Those whose subject is no input of a step, and those that may look at what an input was made from."""
    for name, kinds in {"unbound": UNBOUND, "traced": TRACED}.items():
        assert frozenset(cast("list[str]", engine.evaluate(f"data.interlock.pipeline.chain.{name}", {}).value)) == kinds


def test_every_field_of_a_step_is_in_the_schema_and_must_be_there() -> None:
    published: Any = schema("pipeline_graph.json")["$defs"]
    document: Any = graph_document(Graph(steps=(Step(id="a", settings=(Setting.of("A", "env", "b"),)),)))
    assert set(published["step"]["required"]) == set(published["step"]["properties"]) == set(document["steps"][0])
    assert set(published["setting"]["required"]) == set(document["steps"][0]["settings"][0])


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(None, id="nothing"),
        pytest.param({}, id="empty"),
        pytest.param({"steps": [], "edges": []}, id="no-steps"),
        pytest.param({"steps": [{"id": "a"}], "edges": []}, id="a-step-with-nothing-but-an-id"),
        pytest.param({"steps": graph_document(Graph(steps=(Step(id="a"),)))["steps"], "edges": [["a"]]}, id="one-end"),
    ],
)
def test_another_document_is_no_graph(document: Json) -> None:
    with pytest.raises(SubjectError, match="no pipeline graph"):
        graph_from(document)


def test_a_graph_with_an_edge_to_nowhere_is_refused_when_read() -> None:
    document = graph_document(Graph(steps=(Step(id="a"),))) | {"edges": [["a", "b"]]}
    with pytest.raises(UsageError, match="not in the pipeline"):
        graph_from(document)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("train", "plain", id="a-word"),
        pytest.param("{{ conn.lake.password }}", "reference", id="airflow-template"),
        pytest.param("${DB_PASSWORD}", "reference", id="shell-variable"),
        pytest.param("$(DB_PASSWORD)", "reference", id="kubernetes-variable"),
        pytest.param("hunter2{{ ds }}", "plain", id="a-literal-beside-a-template"),
        pytest.param("{{ ds }}{{ ts }}", "plain", id="two-templates-are-no-single-reference"),
        pytest.param("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "private-key", id="private-key"),
        pytest.param("-----BEGIN PRIVATE KEY-----", "private-key", id="pkcs8"),
        pytest.param("AKIA" + "IOSFODNN7EXAMPLE", "aws-access-key", id="aws"),
        pytest.param("ghp_" + "a" * 36, "github-token", id="github"),
        pytest.param("github_pat_" + "a" * 22, "github-token", id="github-fine-grained"),
        pytest.param("glpat-" + "a" * 20, "gitlab-token", id="gitlab"),
        pytest.param("hf_" + "a" * 34, "huggingface-token", id="hugging-face"),
        pytest.param("sk-" + "a" * 40, "openai-key", id="openai"),
        pytest.param("xoxb-" + "1" * 12, "slack-token", id="slack"),
        pytest.param("AIza" + "a" * 35, "google-api-key", id="google"),
        pytest.param("AccountName=a;AccountKey=" + "a" * 44, "azure-connection", id="azure"),
        pytest.param("eyJhbGciOi.eyJzdWIiOi.sig", "jwt", id="jwt"),
        pytest.param("postgresql://me:hunter2@db/x", "url-with-password", id="password-in-a-url"),
        pytest.param("postgresql://db/x", "plain", id="url-without-a-password"),
        pytest.param("Authorization: Bearer " + "a" * 20, "authorization-header", id="bearer"),
        pytest.param("{{ 'AKIA" + "IOSFODNN7EXAMPLE' }}", "aws-access-key", id="a-key-inside-a-template"),
        pytest.param("a" * 65_537, "too-long", id="too-long"),
    ],
)
def test_the_shape_of_a_value_is_told(value: str, shape: str) -> None:
    assert shape_of(value) == shape


@given(value=st.text(min_size=5))
def test_no_value_is_in_the_document(value: str) -> None:
    secret = f"pw-{value}-pw"
    step = Step(id="a", settings=(Setting.of("PASSWORD", "env", secret),))
    assert secret not in json.dumps(graph_document(Graph(steps=(step,))), ensure_ascii=False)


def test_a_password_in_clear_is_refused_and_a_reference_is_not(engine: EmbeddedEngine, example: dict[str, Any]) -> None:
    def refused(value: str) -> set[str]:
        step = Step(id="load", settings=(Setting.of("DB_PASSWORD", "env", value),))
        return ids(engine, about(example, graph_document(Graph(steps=(step,)))))

    assert refused("hunter2") == {"pipeline.credentials"}
    assert refused("{{ conn.lake.password }}") == set()


@pytest.mark.parametrize(
    "graph",
    [None, 7, "x", [], {}, {"steps": [None], "edges": [[None]]}, {"steps": {"a": 1}, "edges": "x"}],
    ids=json.dumps,
)
def test_no_graph_makes_the_engine_err(engine: EmbeddedEngine, example: dict[str, Any], graph: Json) -> None:
    assert "pipeline.graph" in ids(engine, about(example, graph))
