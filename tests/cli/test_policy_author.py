"""`interlock policy test`, `check`, `coverage`, `eval`, `new`, `schema` and `controls` as a person types them."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from tests.cli.conftest import Interlock


@pytest.fixture
def interlock(interlock: Interlock) -> Interlock:
    """`interlock policy`."""
    return partial(interlock, "policy")


@pytest.fixture
def layer(interlock: Interlock, tmp_path: Path) -> Path:
    assert interlock("new", "dataset/first", "--folder", tmp_path / "layer").status == 0
    return tmp_path / "layer"


def test_a_new_rule_passes_test_and_check(interlock: Interlock, layer: Path) -> None:
    tested = interlock("test", layer, "--threshold", "100")
    assert (tested.status, "5 passed" in tested.out, "coverage 100.00 %" in tested.out) == (0, True, True)
    checked = interlock("check", layer)
    assert (checked.status, checked.out) == (0, "2 files, no findings\n")


def test_a_rule_and_its_tests_may_be_named_one_by_one(interlock: Interlock, layer: Path) -> None:
    files = sorted(layer.rglob("*.rego"))
    assert [path.name for path in files] == ["first.rego", "first_test.rego"]
    for named in (files, files[::-1]):
        tested = interlock("test", *named, "--threshold", "100")
        assert (tested.status, "5 passed" in tested.out) == (0, True), tested.err
        checked = interlock("check", *named)
        assert (checked.status, checked.out) == (0, "2 files, no findings\n"), checked.err


def test_a_failing_test_is_status_1_with_its_place(interlock: Interlock, layer: Path) -> None:
    test = layer / "interlock" / "dataset" / "first" / "first_test.rego"
    test.write_text(test.read_text() + '\ntest_wrong if {\n\tprint("seen", 1)\n\tfalse\n}\n')
    said = interlock("test", layer)
    assert said.status == 1
    assert "FAIL  data.interlock.dataset.first_test.test_wrong" in said.out
    assert f"{test}:" in said.out
    assert "seen 1" in said.out


def test_coverage_below_the_threshold_is_status_1(interlock: Interlock, layer: Path) -> None:
    rule = layer / "interlock" / "dataset" / "first" / "first.rego"
    rule.write_text(rule.read_text() + "\nnever if input.x == 1\n")
    assert interlock("test", layer, "--threshold", "100").status == 1
    assert interlock("test", layer).status == 0
    said = interlock("coverage", layer, "--format", "json")
    assert said.status == 0
    rules = said.json["files"][str(rule)]["rules"]
    assert [one["name"] for one in rules if one["coverage"] < 100] == ["never"]


def test_a_test_that_cannot_be_told_is_status_3(interlock: Interlock, layer: Path) -> None:
    test = layer / "interlock" / "dataset" / "first" / "first_test.rego"
    test.write_text(test.read_text() + '\ntest_error if to_number("x") == 1\n')
    said = interlock("test", layer, "--format", "json")
    assert said.status == 3
    assert said.json["summary"]["errors"] == 1


def test_a_policy_without_tests_is_said_and_not_passed(interlock: Interlock, layer: Path) -> None:
    (layer / "interlock" / "dataset" / "first" / "first_test.rego").unlink()
    said = interlock("test", layer)
    assert (said.status, "no tests" in said.err) == (2, True)
    assert "without tests nothing is said" in interlock("check", layer).out


def test_a_name_that_no_test_has_is_said_and_not_passed(interlock: Interlock, layer: Path) -> None:
    assert interlock("test", layer, "--run", "nothing_like_this").status == 2


def test_reports_go_to_files_by_their_suffix(interlock: Interlock, layer: Path, tmp_path: Path) -> None:
    interlock("test", layer, "--out", tmp_path / "run.xml")
    assert (tmp_path / "run.xml").read_text().startswith("<?xml")
    interlock("test", layer, "--out", tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["summary"]["passed"] == 5
    interlock("check", layer, "--out", tmp_path / "check.sarif")
    assert json.loads((tmp_path / "check.sarif").read_text())["version"] == "2.1.0"


def test_check_shows_place_meaning_and_fix(interlock: Interlock, layer: Path) -> None:
    rule = layer / "interlock" / "dataset" / "first" / "first.rego"
    rule.write_text(rule.read_text().replace("\tnot sound\n", "\tnot input.rows >= 5\n"))
    said = interlock("check", layer)
    assert said.status == 1
    assert "fail-open-negation" in said.out
    assert f"{rule}:" in said.out
    found = interlock("check", layer, "--format", "json").json["findings"]
    assert {"file", "row", "column", "level", "rule", "message", "fix"} == set(found[0])
    sarif = interlock("check", layer, "--format", "sarif").json
    assert {one["ruleId"] for one in sarif["runs"][0]["results"]} == {one["rule"] for one in found}


def test_eval_takes_data_and_explains_a_denial(interlock: Interlock, layer: Path, tmp_path: Path) -> None:
    document, more = tmp_path / "input.json", tmp_path / "more.json"
    document.write_text('{"stage": "gate"}')
    more.write_text('{"extra": {"x": 1}}')
    said = interlock(
        "eval", layer, "--query", "data.interlock.dataset.first.deny", "--input", document, "--data", more, "--explain"
    )
    assert said.status == 0
    assert said.json["result"][0]["expressions"][0]["value"][0]["id"] == "dataset.first"
    (told,) = said.json["explanation"]
    assert (told["said"], told["rule"]) == ("denied", "dataset.first")
    assert {"place": "input.report.measures.rows.value", "missing": True} in told["read"]
    table = interlock(
        "eval", layer, "--query", "data.extra.x", "--input", document, "--data", more, "--format", "table"
    )
    assert (table.status, table.out) == (0, "data.extra.x = 1\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [pytest.param("[1]", "no JSON object", id="a-list"), pytest.param("{", "cannot be read", id="broken")],
)
def test_data_that_is_no_object_is_a_usage_error(interlock: Interlock, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "input.json").write_text("{}")
    (tmp_path / "data.json").write_text(text)
    said = interlock("eval", "--query", "1", "--input", tmp_path / "input.json", "--data", tmp_path / "data.json")
    assert (said.status, says in said.err) == (2, True)


@pytest.mark.skipif(
    shutil.which("opa") is None and not (Path.home() / "go" / "bin" / "opa").exists(), reason="needs the opa program"
)
def test_eval_says_the_same_with_the_opa_program(
    interlock: Interlock, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shutil.which("opa") or str(Path.home() / "go" / "bin" / "opa")
    monkeypatch.setenv("INTERLOCK_OPA_BINARY", found)
    (tmp_path / "input.json").write_text('{"stage": "gate"}')
    query = ("eval", layer, "--query", "data.interlock.dataset.first", "--input", tmp_path / "input.json", "--explain")
    assert interlock(*query, "--engine", "binary").json == interlock(*query, "--engine", "embedded").json


def test_schema_lists_and_prints(interlock: Interlock) -> None:
    assert "decision_input" in interlock("schema").out
    assert interlock("schema", "decision_input").json["title"] == "Decision input"
    said = interlock("schema", "nothing")
    assert (said.status, "decision_input" in said.err) == (2, True)


def test_controls_support_and_never_comply(interlock: Interlock) -> None:
    said = interlock("controls", "--framework", "ATLAS", "--format", "json").json
    assert {one["framework"] for one in said["frameworks"]} == {"MITRE ATLAS"}
    assert said["frameworks"][0]["supported"]
    page = interlock("controls", "--format", "markdown").out
    assert "## EU AI Act 2024/1689" in page
    assert "nothing of whether anybody complies" in page
    assert interlock("controls", "--framework", "no such thing").status == 2
