"""`interlock policy test`, `coverage`, `eval --explain`, `new` and `controls` behind their command lines."""

from __future__ import annotations

import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate import PolicyError, UsageError
from interlock.policy import Library
from interlock.policy.authoring.controls import catalogue, supported_controls
from interlock.policy.authoring.coverage import ranges
from interlock.policy.authoring.explain import Explained, explain
from interlock.policy.authoring.lint import check_policies, read_schemas
from interlock.policy.authoring.reads import MISSING
from interlock.policy.authoring.reports import check_document, coverage_document, run_document, run_junit
from interlock.policy.authoring.sources import load_sources
from interlock.policy.authoring.syntax import parse, tokens
from interlock.policy.authoring.templates import PACKS, new_rule
from interlock.policy.authoring.testing import Outcome, TestResult, TestRun, run_tests
from interlock.policy.authoring.workbench import Workbench
from interlock.policy.bundles.bundle import packaged_folder

Run = Callable[..., TestRun]


@pytest.fixture
def run(library: Library, tmp_path: Path) -> Run:
    def tested(files: Mapping[str, str], *, pattern: str = "", deadline: float = 60.0) -> TestRun:
        for name, text in files.items():
            (tmp_path / "policy" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "policy" / name).write_text(text)
        with Workbench(library, deadline=deadline) as workbench:
            return run_tests(workbench, load_sources([tmp_path / "policy"]), pattern=pattern)

    return tested


def one(run: TestRun, name: str) -> TestResult:
    return next(result for result in run.results if result.name == name)


RULE = """package a

deny contains "no" if {
	not ok
}

ok if input.x == 1

never if input.y == 2
"""
TESTS = """package a_test

import data.a

test_pass if a.ok with input as {"x": 1}

test_fail if {
	print("x is", 2)
	a.ok with input as {"x": 2}
}

test_false := false

test_not_a_boolean := 1

test_without_input if not input

todo_test_later if a.ok

helper if true
"""


def test_outcomes_are_those_of_opa_test(run: Run, opa: str, tmp_path: Path) -> None:
    ours = run({"a.rego": RULE, "a_test.rego": TESTS})
    done = subprocess.run(
        [opa, "test", "--bundle", "--format", "json", str(tmp_path / "policy")],
        capture_output=True,
        text=True,
        check=False,
    )
    theirs = {
        (result["package"], result["name"], result["location"]["row"]): "SKIPPED"
        if result.get("skip")
        else "FAIL"
        if result.get("fail")
        else "PASS"
        for result in json.loads(done.stdout)
    }
    assert {(f"data.{r.package}", r.name, r.row): r.outcome.value for r in ours.results} == theirs
    assert one(ours, "test_fail").prints[0].text == "x is 2"
    assert one(ours, "test_without_input").outcome is Outcome.PASS


def test_coverage_has_the_numbers_of_opa_test(run: Run, opa: str, tmp_path: Path) -> None:
    tests = 'package a_test\n\nimport data.a\n\ntest_pass if a.ok with input as {"x": 1}\n'
    ours = run({"a.rego": RULE, "a_test.rego": tests}).coverage
    done = subprocess.run(
        [opa, "test", "--bundle", "--coverage", "."],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path / "policy",
    )
    theirs = json.loads(done.stdout)
    assert ours.percent == pytest.approx(theirs["coverage"])
    for file in ours.files:
        said = theirs["files"][file.path]
        assert file.lines.percent == pytest.approx(said.get("coverage", 0.0))
        assert len(file.lines.covered) == said.get("covered_lines", 0)
        assert len(file.lines.missed) == said.get("not_covered_lines", 0)
    by_rule = {rule.name: rule.lines for rule in ours.files[0].rules}
    assert by_rule["ok"].percent == 100
    assert by_rule["never"].missed == (9,)
    assert by_rule["deny"].missed == (3, 4)


@pytest.mark.parametrize(
    ("tests", "name", "says"),
    [
        pytest.param(
            "test_x if false\n\ntest_x if true\n", "test_x", "has this name", id="a-twin-would-hide-the-failure"
        ),
        pytest.param('test_x[c] if { some c in ["a", "b"]; c == "a" }\n', "test_x", "cases", id="cases-in-the-head"),
        pytest.param("test_x(y) if y == 1\n", "test_x", "arguments", id="arguments"),
        pytest.param('test_x if not to_number("y") == 1\n', "test_x", "to_number", id="an-error-of-a-builtin"),
    ],
)
def test_what_cannot_be_told_is_an_error_and_never_a_pass(run: Run, tests: str, name: str, says: str) -> None:
    result = one(run({"a.rego": RULE, "a_test.rego": f"package a_test\n\n{tests}"}), name)
    assert result.outcome is Outcome.ERROR
    assert says in result.message


def test_a_test_that_never_ends_is_an_error_and_the_others_still_run(run: Run) -> None:
    slow = "count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, i)]) == 0"
    endless = f"package a_test\n\ntest_a if {slow}\n\ntest_b if true\n"
    found = run({"a.rego": RULE, "a_test.rego": endless}, deadline=1.0)
    assert (one(found, "test_a").outcome, one(found, "test_b").outcome) == (Outcome.ERROR, Outcome.PASS)
    assert "within 1 seconds" in one(found, "test_a").message


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param({"a.rego": "package a\n\nx := y\n"}, "unsafe", id="does-not-compile"),
        pytest.param({"a.rego": "package a\n\nx := {\n"}, "parsed", id="cannot-be-parsed"),
        pytest.param({"a.rego": "package a\n\nx := opa.runtime()\n"}, "may not use opa.runtime", id="banned-in-a-rule"),
        pytest.param(
            {
                "a.rego": RULE,
                "b_test.rego": 'package b_test\n\ntest_x if http.send({"url": "http://x", "method": "get"})\n',
            },
            "may not use http.send",
            id="banned-in-a-test",
        ),
    ],
)
def test_policies_that_cannot_be_run_are_refused_with_the_cause(run: Run, files: dict[str, str], says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        run({"a_test.rego": "package a_test\n\ntest_x if true\n"} | files)


def test_a_pattern_that_is_none_is_a_usage_error(run: Run) -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        run({"a.rego": RULE, "a_test.rego": TESTS}, pattern="(")


def test_a_pattern_chooses_by_full_name(run: Run) -> None:
    found = run({"a.rego": RULE, "a_test.rego": TESTS}, pattern=r"a_test\.test_pass$")
    assert [result.name for result in found.results] == ["test_pass"]


def test_reports_say_the_same_in_json_and_junit(run: Run, tmp_path: Path) -> None:
    found = run({"a.rego": RULE, "a_test.rego": TESTS})
    sources = load_sources([tmp_path / "policy"])
    document: Any = run_document(found, sources, threshold=100)
    suites = ET.fromstring(run_junit(found, sources))
    assert document["summary"] | {"coverage": 0} == {
        "tests": 6, "passed": 2, "failed": 3, "errors": 0, "skipped": 1, "coverage": 0, "threshold": 100,
    }  # fmt: skip
    assert {key: suites.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "3", "errors": "0", "skipped": "1",
    }  # fmt: skip
    assert suites.find(".//testcase[@name='test_fail']/system-out") is not None
    place = suites.find(".//testcase[@name='test_pass']")
    assert place is not None
    assert place.get("file") == str(tmp_path / "policy" / "a_test.rego")
    assert coverage_document(found.coverage, sources)["coverage"] == document["summary"]["coverage"]


def test_junit_survives_control_characters_and_markup(run: Run, tmp_path: Path) -> None:
    tests = 'package a_test\n\ntest_x if {\n\tprint("\\u0000\\u001b[31m<&]]>")\n\tfalse\n}\n'
    found = run({"a.rego": RULE, "a_test.rego": tests})
    suites = ET.fromstring(run_junit(found, load_sources([tmp_path / "policy"])))
    out = suites.find(".//system-out")
    assert out is not None
    assert out.text is not None
    assert out.text.endswith("\\x00\\x1b[31m<&]]>")


@given(st.sets(st.integers(min_value=1, max_value=60)))
def test_ranges_name_every_row_once(rows: set[int]) -> None:
    named: list[int] = []
    for part in filter(None, ranges(rows).split(", ")):
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(rows)


@given(st.text(alphabet='ab_1 \t\n"`#{}()[]:=.,\\', max_size=80))
def test_any_text_can_be_cut_into_tokens_at_their_places(text: str) -> None:
    lines = text.split("\n")
    for token in tokens(text):
        first = token.text.split("\n")[0]
        assert lines[token.row - 1][token.column - 1 :].startswith(first)


EXPLAINED = """package a

import data.limits

# METADATA
# custom:
#   id: dataset.rows
deny contains message if {
	not enough("rows")
	message := "few"
}

enough(name) if measure(name) >= limits[input.profile].rows

measure(name) := value if {
	value := input.measures[name].value
	is_number(value)
}

default allow := false

allow if {
	input.kind == "a"
	input.sum < 4
}
"""


def explained(library: Library, folder: Path, query: str, document: Any) -> tuple[Explained, ...]:
    (folder / "a.rego").write_text(EXPLAINED)
    (folder / "data.json").write_text('{"limits": {"strict": {"rows": 5}}}')
    with Workbench(library) as workbench:
        return explain(workbench, load_sources([folder]), query, document)


def test_a_denial_is_explained_by_what_its_helpers_read(library: Library, tmp_path: Path) -> None:
    document = {"profile": "strict", "measures": {"rows": {"value": 3}}}
    (told,) = explained(library, tmp_path, "data.a.deny", document)
    assert (told.said, told.rule_id, told.path, told.row) == ("denied", "dataset.rows", "a.rego", 8)
    assert told.variables == {"message": "few"}
    assert {seen.place: seen.value for seen in told.seen} == {
        "input.measures.rows.value": 3,
        "input.profile": "strict",
        "data.limits.strict.rows": 5,
    }


@pytest.mark.parametrize(
    ("document", "missing"),
    [
        pytest.param({"profile": "strict"}, {"input.measures.rows.value"}, id="a-field"),
        pytest.param({"profile": "strict", "measures": {"rows": 1}}, {"input.measures.rows.value"}, id="a-part-of-it"),
        pytest.param({"profile": "x", "measures": {"rows": {"value": 9}}}, {"data.limits.x.rows"}, id="a-parameter"),
        pytest.param({"measures": {"rows": {"value": 9}}}, {"input.profile"}, id="what-names-the-parameter"),
    ],
)
def test_what_is_missing_is_said(library: Library, tmp_path: Path, document: Any, missing: set[str]) -> None:
    (told,) = explained(library, tmp_path, "data.a.deny", document)
    assert {seen.place for seen in told.seen if seen.missing} == missing


@pytest.mark.parametrize(
    ("total", "stopped"),
    [
        pytest.param(4, "a.rego:24", id="at-an-expression"),
        pytest.param("3", "a.rego:24", id="at-a-type"),
        pytest.param(MISSING, "", id="left-out-by-the-index"),
    ],
)
def test_an_allow_that_ended_says_where_and_what_it_read(
    library: Library, tmp_path: Path, total: object, stopped: str
) -> None:
    document: Any = {"kind": "b" if total is MISSING else "a"} | ({} if total is MISSING else {"sum": total})
    (told,) = explained(library, tmp_path, "data.a.allow", document)
    assert (told.said, told.row, told.stopped) == ("did not allow", 22, stopped)
    assert {seen.place: seen.missing for seen in told.seen} == {"input.kind": False, "input.sum": total is MISSING}


def test_where_nothing_denies_there_is_nothing_to_explain(library: Library, tmp_path: Path) -> None:
    document = {"profile": "strict", "measures": {"rows": {"value": 5}}, "kind": "a", "sum": 3}
    assert explained(library, tmp_path, "data.a", document) == ()


def test_a_denial_of_the_shipped_policy_names_the_measure_that_is_missing(
    library: Library, examples: Callable[[], Any]
) -> None:
    document = examples()["poisoning"]
    del document["report"]["measures"]["rows"]
    with Workbench(library) as workbench:
        told = explain(workbench, load_sources(()), "data.interlock.decision.result", document)
    rows = next(one for one in told if one.rule_id == "dataset.rows")
    assert "input.report.measures.rows.value" in {seen.place for seen in rows.seen if seen.missing}


VARIABLES = """package a

parts := {"p": ["x", "y"], "q": ["z"]}

limits contains name if some name in ["low", "high"]

measured(name) := input.measures[sprintf("month_%s", [name])].value

shown(path) := object.get(input, path, "(none)")

deny contains message if {
	some resource in ["hours", "money"]
	own := data.budgets[input.team]
	bound := object.get(own, resource, null)
	asked := object.get(input, ["asked", "most", resource], null)
	measured(resource) + asked > bound
	every limit in limits {
		object.get(input.rates, limit, 0) == 0
	}
	names := [resource | some resource in parts.p; object.get(input.rates, resource, 0) == 0]
	message := sprintf("%v %v %v", [resource, shown(["asked", "by"]), names])
}
"""


def test_every_place_is_one_that_was_read_and_no_name_of_a_variable(library: Library, tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(VARIABLES)
    (tmp_path / "data.json").write_text('{"budgets": {"fraud": {"hours": 5, "money": 90}}}')
    document: Any = {
        "team": "fraud",
        "asked": {"by": "bob", "most": {"hours": 4, "money": 1}},
        "measures": {"month_hours": {"value": 3}, "month_money": {"value": 3}},
        "rates": {"m": 1},
    }
    with Workbench(library) as workbench:
        (told,) = explain(workbench, load_sources([tmp_path]), "data.a.deny", document)
    assert told.variables["resource"] == "hours"
    assert {seen.place: MISSING if seen.missing else seen.value for seen in told.seen} == {
        "input.team": "fraud",
        "data.budgets.fraud.hours": 5,
        "input.asked.most.hours": 4,
        "input.asked.by": "bob",
        "input.measures.month_hours.value": 3,
        "input.rates": {"m": 1},
        "data.a.parts.p": ["x", "y"],
    }


def test_what_cannot_be_told_is_left_out_and_not_called_missing(library: Library, tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(
        'package a\n\nratio := {"of": 10 / input.n}\n\nok if {\n\tinput.n > 0\n\tratio.of > 1\n}\n\n'
        'known := {"limit": 7 | true}\n\ndeny contains "few" if {\n\tnot ok\n\tknown.limit == 7\n}\n'
    )
    with Workbench(library) as workbench:
        (told,) = explain(workbench, load_sources([tmp_path]), "data.a.deny", {"n": 0})
    assert {seen.place: seen.value for seen in told.seen if not seen.missing} == {"input.n": 0, "data.a.known.limit": 7}
    assert not any(seen.missing for seen in told.seen)


def declared(path: str, schema: Mapping[str, Any]) -> bool:
    """Whether a place of the input is one that its schema has."""
    part: Any = schema
    for step in path.split(".")[1:]:
        while "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[-1]]
        if step in part.get("properties", {}):
            part = part["properties"][step]
        elif isinstance(part.get("additionalProperties"), dict):
            part = part["additionalProperties"]
        else:
            return False
    return True


@pytest.mark.slow
def test_every_place_that_a_shipped_rule_is_said_to_read_is_a_real_one(
    library: Library, examples: Callable[[], Any]
) -> None:
    document = examples()["training_guard"] | {"profile": "strict", "requested": {"team": "fraud"}}
    document["receipts"][0] |= {"verdict": "DENY", "bundle_known": False}
    sources = load_sources(())
    with Workbench(library) as workbench:
        told = explain(workbench, sources, "data.interlock.decision.result", document)
    seen = {one.place: one for rule in told for one in rule.seen}
    schema = json.loads((packaged_folder() / "schemas" / "decision_input.json").read_text())
    missing = {place for place, one in seen.items() if one.missing}
    assert "input.requested.image" in missing
    assert {place for place in missing if place.startswith("input.") and not declared(place, schema)} == set()
    assert {place for place in missing if place.startswith("data.")} <= {"data.interlock.profiles.strict.extends"}
    assert len(seen) > 15


@pytest.mark.parametrize(
    ("document", "rule_id"),
    [
        pytest.param({"gate": "nobody-wrote-rules", "stage": "gate", "profile": "dev"}, "gate.no-rules", id="no-rules"),
        pytest.param({"profile": "dev"}, "policy.denial-without-shape", id="a-denial-of-another-shape"),
    ],
)
def test_what_the_decision_itself_denies_is_explained_too(
    library: Library, tmp_path: Path, document: Any, rule_id: str
) -> None:
    shutil.copytree(packaged_folder() / "interlock", tmp_path / "interlock")
    (tmp_path / "interlock" / "dataset" / "mine").mkdir()
    (tmp_path / "interlock" / "dataset" / "mine" / "mine.rego").write_text(
        'package interlock.dataset.mine\n\ndeny := "all" if input.profile == "dev"\n'
    )
    with Workbench(library) as workbench:
        told = explain(workbench, load_sources([tmp_path]), "data.interlock.decision.result", document)
    [one] = [one for one in told if one.rule_id == rule_id]
    assert (one.said, one.path) == ("denied", "interlock/decision/decision.rego")


@pytest.mark.parametrize("pack", PACKS)
def test_a_new_rule_is_green_from_the_start(library: Library, tmp_path: Path, pack: str) -> None:
    new_rule(f"{pack}/acme_rows", tmp_path)
    sources = load_sources([tmp_path])
    with Workbench(library) as workbench:
        found = run_tests(workbench, sources)
        checked = check_policies(workbench, sources, read_schemas([tmp_path]))
    assert (found.count(Outcome.PASS), len(found.results), found.coverage.percent) == (5, 5, 100)
    assert check_document(checked, sources) == {"clean": True, "files": 2, "findings": []}


def test_a_new_rule_pleases_opa_and_regal(opa: str, tmp_path: Path) -> None:
    new_rule("dataset/first", tmp_path)
    new_rule("model/second_one", tmp_path)
    regal = str(Path(opa).with_name("regal"))
    commands = [
        [opa, "fmt", "--fail", "--list", "."],
        [opa, "check", "--strict", "--bundle", "."],
        [opa, "test", "--bundle", "--threshold", "100", "."],
        *([[regal, "lint", "."]] if Path(regal).exists() else []),
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_a_new_rule_keeps_the_manifest_of_the_bundle_it_joins(tmp_path: Path) -> None:
    (tmp_path / ".manifest").write_text('{"revision": "acme-1", "roots": ["acme", "parameters"], "metadata": {"a": 1}}')
    new_rule("dataset/first", tmp_path)
    manifest = json.loads((tmp_path / ".manifest").read_text())
    assert (manifest["revision"], manifest["metadata"]) == ("acme-1", {"a": 1})
    assert manifest["roots"] == ["acme", "parameters", "interlock/dataset/first", "interlock/dataset/first_test"]


@pytest.mark.parametrize(
    "name", ["rows", "dataset/", "dataset/Rows", "dataset/../x", "nobody_asks/rows", "dataset/a/b", "dataset/a\n"]
)
def test_a_rule_that_no_decision_would_ask_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="PACK/RULE"):
        new_rule(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_rule("dataset/first", tmp_path)
    with pytest.raises(UsageError, match="there already"):
        new_rule("dataset/first", tmp_path)


def test_controls_are_listed_with_the_rules_that_support_them(library: Library, tmp_path: Path) -> None:
    new_rule("dataset/first", tmp_path)
    with Workbench(library) as workbench:
        files, _ = parse(workbench, load_sources([tmp_path]).bundle.modules)
    found = supported_controls(files, framework="atlas")
    assert {one.framework.name for one in found} == {"MITRE ATLAS"}
    assert [(one.control, one.rules) for one in found if one.rules] == [("AML.T0059", ("dataset.first",))]
    assert all(one.known for one in found)


def test_the_catalogue_has_the_frameworks_of_the_packs_with_their_versions() -> None:
    assert {(framework.name, framework.version) for framework in catalogue()} >= {
        ("MITRE ATLAS", "5.6.1"), ("OWASP LLM Top 10", "2026"), ("OWASP LLM Top 10", "2025"),
        ("OWASP ML Top 10", "2023"), ("NIST AI 100-2", "e2025"), ("NIST AI RMF", "1.0"),
        ("EU AI Act", "2024/1689"), ("ISO/IEC 42001", "2023"),
    }  # fmt: skip
    assert all(title and control for controls in catalogue().values() for control, title in controls.items())
