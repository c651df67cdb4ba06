"""The published schemas say what Interlock writes, and what policy reads of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from interlock.gate import (
    GATE_KINDS,
    Coverage,
    Finding,
    Gap,
    GateContext,
    Level,
    Location,
    Measure,
    Observation,
    Report,
    RunIdentity,
    Severity,
    Stage,
    Subject,
    Tool,
    Verdict,
)
from interlock.gate.documents import decision_input, report_document
from interlock.policy import EmbeddedEngine
from interlock.policy.schemas import decision_problems, input_problems, report_problems, schema

NAMES = ("decision_input.json", "decision.json", "report.json")
MOMENT = datetime(2026, 11, 23, tzinfo=UTC)
REPORT = Report(
    gate="artifact-scan",
    subject=Subject(name="m", uri="s3://models/m", digest="a" * 64),
    observation=Observation(
        findings=(
            Finding(
                rule_id="artifact-scan.format", level=Level.NOTE, message="m", evidence='{"format": "safetensors"}'
            ),
            Finding(
                rule_id="x.y", level=Level.ERROR, message="m", location=Location(path="p", row=0, column="c", offset=7)
            ),
        ),
        measures=(Measure(name="files", value=1), Measure(name="bytes", value=1.5, unit="bytes")),
        coverage=Coverage(looked_at=("a",), skipped=(Gap(path="b", reason="r"),), failed=(Gap(path="c", reason="r"),)),
        attachments=(("pictures", "[]"),),
    ),
    tools=(Tool(name="t", version="1"),),
    configuration='{"profile":"torch-state-dict"}',
    started=MOMENT,
    finished=MOMENT,
)
RUN = RunIdentity(orchestrator="airflow", pipeline="p", run_id="r", task_id="t")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_itself_valid_and_named_without_a_host(name: str) -> None:
    loaded = schema(name)
    Draft202012Validator.check_schema(loaded)
    assert str(loaded["$id"]).startswith("urn:interlock:schema:")


def test_a_report_with_everything_in_it_is_valid() -> None:
    assert report_problems(report_document(REPORT)) == ()


@pytest.mark.parametrize("stage", list(Stage))
def test_a_decision_input_with_everything_in_it_is_valid(stage: Stage) -> None:
    document = decision_input(
        REPORT, GateContext(run=RUN, profile="dev", stage=stage), now=MOMENT, requested={"isolation": "bwrap"}
    )
    assert input_problems(document) == ()


def test_the_examples_of_the_rego_tests_are_valid(examples: Callable[[], Mapping[str, dict[str, Any]]]) -> None:
    for name, document in examples().items():
        assert input_problems(document) == (), name


@pytest.fixture(scope="module")
def complete(engine: EmbeddedEngine) -> Mapping[str, Any]:
    """The input documents with every fact that a gate can establish."""
    value: Any = engine.evaluate("interlock.examples_test.complete", {}).value
    return cast("Mapping[str, Any]", value)


def test_the_complete_examples_are_valid_and_name_every_fact(complete: Mapping[str, Any]) -> None:
    named: set[str] = set()
    for name, document in complete.items():
        assert input_problems(document) == (), name
        for fact, value in document["report"].get("facts", {}).items():
            fields = value["devices"][0] if fact == "gpu" else value
            named |= {f"{fact}.{field}" for field in fields}
    definitions: Any = schema("decision_input.json")["$defs"]
    whole = ("dataset", "model", "training", "evaluation")
    known = {"gpu_device": "gpu", **{f"{fact}_facts": fact for fact in whole}}
    assert named == {
        f"{fact}.{field}" for definition, fact in known.items() for field in definitions[definition]["properties"]
    }


@pytest.mark.parametrize(
    ("name", "fact", "field", "value"),
    [
        pytest.param("validation", "dataset", "licenses", ["MIT"], id="misspelt"),
        pytest.param("validation", "dataset", "licences", "MIT", id="a-text-for-a-list"),
        pytest.param("validation", "dataset", "pii", None, id="null"),
        pytest.param("artifact", "model", "signature", {"verified": True}, id="a-signature-of-nobody"),
        pytest.param("artifact", "model", "signature", {"verified": "yes", "signer": "a"}, id="a-text-for-a-boolean"),
        pytest.param("finished_training", "gpu", "devices", [{"mig": True}], id="a-device-without-an-id"),
        pytest.param("evaluation", "evaluation", "groups", [{"kind": "row"}], id="a-group-of-no-known-kind"),
        pytest.param("evaluation", "evaluation", "accepted", {"compared": True}, id="an-accepted-model-without-digest"),
    ],
)
def test_a_fact_of_ours_in_another_shape_is_refused(
    complete: Mapping[str, Any], name: str, fact: str, field: str, value: Any
) -> None:
    document = copy.deepcopy(complete[name])
    document["report"]["facts"][fact][field] = value
    assert input_problems(document)


def test_facts_of_other_gates_may_have_any_shape(complete: Mapping[str, Any]) -> None:
    document = copy.deepcopy(complete["validation"])
    document["report"]["facts"]["acme_review"] = [{"by": "anyone"}]
    assert input_problems(document) == ()
    document["report"]["facts"]["Acme Review"] = {}
    assert input_problems(document)


def test_both_schemas_of_a_report_say_the_same() -> None:
    report: Any = schema("report.json")
    read: Any = schema("decision_input.json")
    assert {name: read["$defs"][name] for name in report["$defs"]} == report["$defs"]
    properties = {name: value for name, value in report["properties"].items() if name != "attachments"}
    assert read["$defs"]["report"]["properties"] == properties


def test_the_schemas_know_every_value_of_the_enumerations() -> None:
    read: Any = schema("decision_input.json")
    answer: Any = schema("decision.json")
    assert set(read["properties"]["stage"]["enum"]) == {stage.value for stage in Stage}
    assert set(read["$defs"]["finding"]["properties"]["level"]["enum"]) == {level.value for level in Level}
    assert set(read["$defs"]["receipt"]["properties"]["verdict"]["enum"]) == {verdict.value for verdict in Verdict}
    assert set(answer["$defs"]["reason"]["properties"]["severity"]["enum"]) == {s.value for s in Severity}
    kind = Draft202012Validator(read["$defs"]["gate_kind"])
    assert all(kind.is_valid(name) for name in GATE_KINDS)


def test_reasons_may_leave_out_remediation_and_controls() -> None:
    reason = {"id": "a", "title": "t", "severity": "low", "message": "m"}
    assert decision_problems({"allow": False, "reasons": [reason], "warnings": [], "exemptions": []}) == ()
