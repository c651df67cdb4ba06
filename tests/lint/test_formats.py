"""The machine formats of a lint run, held against goldens, their schemas and hostile text."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from interlock.gate import Level, Verdict
from interlock.lint import RULES, Accepted, DagResult, FileResult, LintFinding, LintResult, Passed
from interlock.lint.formats import junit, lint_document, sarif
from interlock.pipeline import Graph, Step
from interlock.policy.schemas import schema

GOLDENS = Path(__file__).parent / "goldens"


def result(
    text: str = "no data-poisoning gate holds training step 'train'", path: str = "dags/old dag.py"
) -> LintResult:
    """One of everything; every free text is `text`."""
    violation = LintFinding(
        rule_id="lint.ungated-training",
        level=Level.ERROR,
        message=text,
        path=path,
        line=7,
        dag="old",
        step="train",
        gate="data-poisoning",
        fixes=("ScanPoisoningOperator(...)",),
    )
    accepted = replace(
        violation, dag="older", accepted=Accepted(reason="ML-12 will mend it", expires=date(2027, 1, 31))
    )
    graph = Graph(steps=(Step(id="train", protects="training"), Step(id="other")))
    dags = tuple(
        DagResult(dag=name, mode="enforce", line=3, graph=graph if name != "empty" else None)
        for name in ("empty", "old", "older", "warned")
    )
    warned = replace(violation, dag="warned", level=Level.WARNING)
    late = LintFinding(rule_id="lint.timeout", level=Level.ERROR, message=text, path="dags/slow.py")
    stale = LintFinding(rule_id="lint.baseline-stale", level=Level.WARNING, message=text, path="baseline.yaml")
    return LintResult(
        profile="standard",
        bundle_digest="ab" * 32,
        files=(
            FileResult(path="dags/good.py", digest="cd" * 32, dags=dags[:1], receipt="R1"),
            FileResult(path=path, digest="ef" * 32, dags=dags[1:], findings=(violation, accepted, warned)),
            FileResult(path="dags/slow.py", digest="", findings=(late,)),
        ),
        passed=(Passed(path="dags/plain.py", reason="it does not look like a DAG file"),),
        findings=(stale,),
    )


def golden(name: str, text: str) -> None:
    assert text == (GOLDENS / name).read_text(encoding="utf-8")


def as_text(document: object) -> str:
    text = json.dumps(document, indent=2) + "\n"
    return text.replace(json.loads(text)["runs"][0]["tool"]["driver"]["version"], "VERSION") if "runs" in text else text


def test_the_json_object_is_as_it_was_and_as_its_schema_says() -> None:
    document = lint_document(result())
    golden("lint.json", as_text(document))
    Draft202012Validator(schema("lint.json")).validate(document)


def test_the_sarif_log_is_as_it_was() -> None:
    golden("lint.sarif", as_text(sarif(result())))


def test_the_junit_xml_is_as_it_was() -> None:
    golden("lint.xml", junit(result()))


def test_the_schema_knows_every_rule() -> None:
    published: Any = schema("lint.json")
    assert published["$defs"]["finding"]["properties"]["rule_id"]["enum"] == sorted(RULES)


def test_what_could_not_be_told_is_no_success_in_sarif_and_an_error_in_junit() -> None:
    log = json.loads(json.dumps(sarif(result())))
    assert log["runs"][0]["invocations"][0]["executionSuccessful"] is False
    suites = {suite.get("name"): suite for suite in ET.fromstring(junit(result()))}
    assert suites["dags/slow.py"].get("errors") == "1"
    assert (suites["dags/old dag.py"].get("failures"), suites["dags/old dag.py"].get("skipped")) == ("1", "1")


def test_what_the_baseline_accepts_is_suppressed_in_sarif() -> None:
    log = json.loads(json.dumps(sarif(result())))
    suppressed = [one for one in log["runs"][0]["results"] if "suppressions" in one]
    assert [one["suppressions"][0]["justification"] for one in suppressed] == ["ML-12 will mend it"]


def test_a_fingerprint_survives_a_move_to_another_line() -> None:
    def moved(by: int) -> LintResult:
        there = result()
        files = tuple(
            replace(file, findings=tuple(replace(one, line=one.line + by) for one in file.findings))
            for file in there.files
        )
        return replace(there, files=files)

    prints = [
        [one["partialFingerprints"] for one in json.loads(json.dumps(sarif(moved(by))))["runs"][0]["results"]]
        for by in (0, 40)
    ]
    assert prints[0] == prints[1]


@given(st.text())
@pytest.mark.parametrize("hostile", ["]]>&<x/>\"'", "\x00\x1b[31m\ud800\uffff", "a\nb"])
def test_hostile_text_stays_text_in_xml(hostile: str, more: str) -> None:
    root = ET.fromstring(junit(result(hostile + more)))
    assert {node.tag for node in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out",
    }  # fmt: skip


def test_the_worst_of_all_findings_is_the_verdict() -> None:
    assert result().verdict is Verdict.DENY
    assert replace(result(), files=result().files[2:]).verdict is Verdict.UNDECIDED
    assert replace(result(), files=result().files[:1]).verdict is Verdict.ALLOW
