"""`interlock policy check`: every fail-open shape is found, the safe ones are not, and OPA itself agrees."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from interlock.policy import Library
from interlock.policy.authoring.lint import Checked, check_policies, read_schemas
from interlock.policy.authoring.lint_finding import LintFinding
from interlock.policy.authoring.sources import load_sources
from interlock.policy.authoring.workbench import Workbench
from interlock.policy.bundles.bundle import packaged_folder

Check = Callable[..., Checked]

HEAD = """# METADATA
# title: A
# description: A.
package a

# METADATA
# title: Too much
# description: Too much.
# custom:
#   id: dataset.too-much
#   severity: high
#   remediation: Less
#   controls: []
"""
HELPER = "\n\n# METADATA\n# title: Sound\n# description: Sound.\n"


@pytest.fixture
def check(library: Library, tmp_path: Path) -> Check:
    def run(files: str | Mapping[str, str], schemas: Mapping[str, Any] | None = None) -> Checked:
        named = {"a.rego": files} if isinstance(files, str) else files
        for name, text in named.items():
            path = tmp_path / "policy" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        with Workbench(library) as workbench:
            return check_policies(workbench, load_sources([tmp_path / "policy"]), schemas or read_schemas(()))

    return run


def ids(checked: Checked) -> set[str]:
    return {finding.rule_id for finding in checked.findings}


def only(checked: Checked, rule_id: str) -> LintFinding:
    found = [finding for finding in checked.findings if finding.rule_id == rule_id]
    assert found, checked.findings
    return found[0]


@pytest.mark.parametrize(
    ("rule", "rule_id", "words"),
    [
        pytest.param(
            'deny contains "no" if input.scan.score > 0.2', "fail-open-read", "input.scan.score", id="a-bare-comparison"
        ),
        pytest.param(
            'deny contains "no" if not input.score <= 0.2', "fail-open-negation", "not", id="not-over-a-comparison"
        ),
        pytest.param(
            'deny contains "no" if not ok(input.score)\n\nok(x) if x == 1',
            "fail-open-negation", "not", id="not-over-a-call-with-a-field",
        ),
        pytest.param(
            'deny contains "no" if not count(input.list) == 0', "fail-open-negation", "not", id="not-over-a-builtin"
        ),
        pytest.param(
            'deny contains "no" if not input.kind in {"a"}', "fail-open-negation", "not", id="not-over-membership"
        ),
        pytest.param(
            'deny contains "no" if not allowed[input.kind]\n\nallowed := {"a"}',
            "fail-open-negation", "not", id="not-over-a-lookup",
        ),
        pytest.param(
            'deny contains "no" if not ok(kind)\n\nkind := input.kind\n\nok(x) if x == "a"',
            "fail-open-negation", "not", id="not-over-a-call-with-a-rule-that-may-be-undefined",
        ),
        pytest.param(
            'deny contains "no" if {\n\tsome item in input.items\n\tnot item.size <= 3\n}',
            "fail-open-negation", "not", id="not-over-a-field-of-a-loop-variable",
        ),
        pytest.param(
            'deny contains "no" if not ok\n\nok if input.scan.score <= 0.2',
            "fail-open-untyped", "input.scan.score", id="a-helper-that-does-not-ask-for-the-type",
        ),
        pytest.param(
            'deny contains "no" if not ok\n\nok if {\n\tevery item in input.items {\n\t\titem.size <= 3\n\t}\n}',
            "fail-open-untyped", "item.size", id="an-every-that-does-not-ask-for-the-type",
        ),
        pytest.param(
            'deny contains message if {\n\tnot ok\n\tmessage := sprintf("%v", [input.score])\n}\n\nok if input.x == 1',
            "fail-open-message", "input.score", id="a-message-with-a-field",
        ),
        pytest.param(
            'deny contains sprintf("%v", [input.score]) if not ok\n\nok if input.x == 1',
            "fail-open-message", "input.score", id="a-message-in-the-head",
        ),
        pytest.param(
            'deny contains message if {\n\tsome item in input.items\n\tnot ok(item)\n\tmessage := item.name\n}\n\n'
            "ok(item) if item.x == 1",
            "fail-open-message", "item.name", id="a-message-with-a-field-of-a-loop-variable",
        ),
        pytest.param(
            'deny contains "no" if {\n\tscore := input.score\n\tnot ok(score)\n}\n\nok(x) if x == 1',
            "fail-open-message", "input.score", id="an-assignment-of-a-field",
        ),
        pytest.param('deny contains "no" if input.bad', "fail-open-read", "input.bad", id="a-field-that-must-be-true"),
        pytest.param(
            'deny contains "no" if startswith(input.name, "x")',
            "fail-open-read", "input.name", id="a-builtin-of-a-field",
        ),
        pytest.param(
            'deny contains "no" if too_high\n\ntoo_high if input.kind == "x"',
            "fail-open-positive", "deny", id="a-positive-helper",
        ),
        pytest.param(
            'deny contains "no" if {\n\tsome item in input.items\n\tnot ok(item)\n}\n\nok(item) if item.x == 1',
            "fail-open-iteration", "input.items", id="a-loop-over-a-field",
        ),
        pytest.param(
            'import input.scan\n\ndeny contains "no" if scan.score > 0.2',
            "fail-open-read", "scan.score", id="an-import",
        ),
        pytest.param("default allow := true", "fail-open-default", "default", id="allowed-by-default"),
        pytest.param(
            'deny contains "no" if not ok with input as {"x": 1}\n\nok if input.x == 1',
            "with-in-rule", "with", id="with",
        ),
    ],
)  # fmt: skip
def test_a_shape_that_fails_open_is_found_at_its_place(check: Check, rule: str, rule_id: str, words: str) -> None:
    imports, _, rest = rule.rpartition("\n\ndeny") if rule.startswith("import") else ("", "", rule)
    source = HEAD.replace("package a\n", f"package a\n\n{imports}\n") + (f"deny{rest}" if imports else rest) + "\n"
    finding = only(check(source), rule_id)
    line = source.splitlines()[finding.row - 1]
    assert line[finding.column - 1 :].startswith(words)
    assert finding.fix or rule_id == "with-in-rule"


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(
            'deny contains "no" if not ok' + HELPER + "ok if {\n\tis_number(input.score)\n\tinput.score <= 0.2\n}",
            id="a-typed-helper",
        ),
        pytest.param(
            'deny contains "no" if not small("score")' + HELPER + "small(name) if {\n\tis_number(input[name])\n"
            "\tinput[name] <= 0.2\n}",
            id="a-helper-that-reads-by-name",
        ),
        pytest.param(
            'deny contains message if {\n\tnot ok\n\tmessage := sprintf("%v", [object.get(input, "x", "(none)")])\n}'
            + HELPER + 'ok if input.kind == "a"',
            id="a-message-that-is-always-defined",
        ),
        pytest.param(
            'deny contains message if {\n\tnot ok\n\tmessage := $"score {input.score}"\n}' + HELPER
            + 'ok if input.kind == "a"',
            id="a-template-text-which-says-undefined",
        ),
        pytest.param(
            'deny contains "no" if {\n\tsome item in items\n\tnot ok(item)\n}' + HELPER + "items := [1]" + HELPER
            + "ok(item) if item == 1",
            id="a-loop-over-a-rule",
        ),
        pytest.param(
            'deny contains message if {\n\tsome item in items\n\titem.name != ""\n\tnot ok(item.name)\n'
            '\tmessage := sprintf("%v", [item.name])\n}' + HELPER + 'items := [{"name": "a"}]' + HELPER
            + 'ok(name) if name == "b"',
            id="fields-of-what-a-rule-made",
        ),
        pytest.param(
            'deny contains message if {\n\tsome item in items\n\tnot ok(item)\n\tmessage := of(item)["name"]\n}'
            + HELPER + 'items := [{"name": "a"}]' + HELPER + "of(item) := item" + HELPER
            + 'ok(item) if item.name == "b"',
            id="a-part-of-what-a-function-made",
        ),
        pytest.param(
            'deny contains "unreadable" if not readable\n\n'
            + HEAD.partition("package a\n\n")[2].replace("too-much", "bad")
            + 'deny contains message if {\n\treadable\n\tsome item in input.items\n\tnot ok(item)\n'
            '\tmessage := sprintf("%v", [item.name])\n}' + HELPER
            + "readable if {\n\tis_array(input.items)\n\tevery item in input.items {\n\t\tis_string(item.name)\n\t}\n}"
            + HELPER + 'ok(item) if item.name == "b"',
            id="fields-that-another-denial-demands",
        ),
        pytest.param(
            'deny contains "no" if not known["a"]' + HELPER + 'known contains name if some name in input.names',
            id="not-over-a-constant-key",
        ),
    ],
)  # fmt: skip
def test_a_safe_shape_is_not_flagged(check: Check, rule: str) -> None:
    assert check(HEAD + rule + "\n").findings == ()


def test_the_shapes_of_the_table_are_what_opa_makes_of_them(library: Library, tmp_path: Path) -> None:
    """The reason for the lint, on the engine: a flagged denial is silent about a missing field, the safe one fires."""
    source = """package a

deny_comparison if input.score > 0.2
deny_not_comparison if not input.score <= 0.2
deny_not_call if not ok(input.score)
deny_not_lookup if not known[input.kind]
deny_message contains sprintf("%v", [input.score]) if not typed
deny_safe if not typed
ok(x) if x <= 0.2
known := {"a"}
typed if {
	is_number(input.score)
	input.score <= 0.2
}
untyped if input.score <= 0.2
"""
    (tmp_path / "a.rego").write_text(source)
    with Workbench(library) as workbench:
        workbench.load(load_sources([tmp_path / "a.rego"]).bundle)
        missing = workbench.ask("x := data.a", {}).rows[0]["bindings"]["x"]
        null = workbench.ask("x := data.a", {"score": None}).rows[0]["bindings"]["x"]
    fired = {name for name, value in missing.items() if name.startswith("deny") and value}
    assert fired == {"deny_safe"}
    assert null["untyped"] is True
    assert "typed" not in null


@pytest.mark.parametrize(
    ("body", "name"),
    [
        pytest.param('http.send({"url": "http://x", "method": "get"})', "http.send", id="the-network"),
        pytest.param("opa.runtime()", "opa.runtime", id="the-environment"),
        pytest.param('net.lookup_ip_addr("x")', "net.lookup_ip_addr", id="name-resolution"),
    ],
)
def test_a_banned_builtin_is_a_finding(check: Check, body: str, name: str) -> None:
    checked = check(f"package a\n\nx := {body}\n")
    finding = only(checked, "banned-builtin")
    assert name in finding.message
    assert (finding.row, finding.column) == (3, 6)
    assert not checked.clean


def test_a_banned_builtin_cannot_be_ignored(check: Check) -> None:
    assert "banned-builtin" in ids(check("package a\n\n# interlock ignore:banned-builtin\nx := opa.runtime()\n"))


def test_a_comment_right_above_takes_a_finding_away(check: Check) -> None:
    rule = "deny contains message if {\n\tnot ok\n\t{}\n\tmessage := input.x\n}" + HELPER + "ok if input.y == 1\n"
    assert "fail-open-message" in ids(check(HEAD + rule.replace("{}", "# because")))
    assert "fail-open-message" not in ids(check(HEAD + rule.replace("{}", "# interlock ignore:fail-open-message")))


STRICT = [
    pytest.param("package a\n\nimport data.b\n\nx := 1\n", id="an-import"),
    pytest.param("package a\n\nimport data.b as c\n\nx := 1\n", id="an-import-by-another-name"),
    pytest.param("package a\n\nf(x, y) := x\n", id="an-argument"),
    pytest.param("package a\n\nx if {\n\ty := 1\n\tinput.z\n}\n", id="a-variable"),
    pytest.param("package a\n\nx := [1 | y := 1]\n", id="a-variable-of-a-comprehension"),
    pytest.param("package a\n\nx if {\n\tevery i in [1] {\n\t\ty := i\n\t\ti == 1\n\t}\n}\n", id="a-variable-of-every"),
    pytest.param("package a\n\nx if {\n\t[y, z] := input.pair\n\ty == 1\n}\n", id="a-part-of-a-pattern"),
    pytest.param("package a\n\nx := 1 if {\n\ty := 1\n\tz := [y | y := 2]\n\tz == [2]\n}\n", id="a-hidden-variable"),
    pytest.param("package a\n\nf(x) := 1 if input.y\n\nelse := 2\n", id="an-argument-with-else"),
]
USED = [
    pytest.param("package a\n\nimport data.b\n\nx := b.y\n", id="an-import-that-is-used"),
    pytest.param("package a\n\nimport data.b\n\nx if y with data.b as 1\n\ny if b\n", id="an-import-in-with"),
    pytest.param("package a\n\nf(x) := 1 if input.y else := x\n", id="an-argument-used-in-else"),
    pytest.param("package a\n\nf([x, _]) := x\n", id="a-wildcard"),
    pytest.param("package a\n\nx contains y if y := 1\n", id="a-variable-in-the-head"),
    pytest.param("package a\n\nx := {y: z | y := 1; z := 2}\n", id="variables-in-an-object"),
    pytest.param("package a\n\nx if {\n\ty := 1\n\tz := [i | i := y]\n\tz == [1]\n}\n", id="a-variable-used-inside"),
    pytest.param('package a\n\nx if {\n\ty := 1\n\tz := $"{y}"\n\tz == "1"\n}\n', id="a-variable-in-a-template-text"),
]


@pytest.mark.parametrize("source", [*STRICT, *USED])
def test_strict_findings_are_those_of_opa_check_strict(check: Check, opa: str, tmp_path: Path, source: str) -> None:
    ours = sorted((f.row, f.message) for f in check(source).findings if f.rule_id in {"strict", "compile-error"})
    done = subprocess.run(
        [opa, "check", "--strict", "--format", "json", str(tmp_path / "policy")],
        capture_output=True,
        text=True,
        check=False,
    )
    errors = json.loads(done.stderr or done.stdout or "{}").get("errors") or []
    assert [message for _, message in ours] == sorted(error["message"] for error in errors)
    rows = {error["location"]["row"] for error in errors}
    assert all(any(abs(row - theirs) <= 1 for theirs in rows) for row, _ in ours)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("package a\n\nx := y\n", id="an-unsafe-variable"),
        pytest.param("package a\n\nx := f(1)\n", id="an-undefined-function"),
        pytest.param("package a\n\nx := x\n", id="recursion"),
        pytest.param("package a\n\nx if count(1, 2, 3)\n", id="too-many-arguments"),
        pytest.param('package a\n\nx if count(1) == "x"\n', id="a-type-error"),
        pytest.param("package a\n\nimport data.b\nimport data.c.b\n\nx := b\n", id="twin-imports"),
        pytest.param("package a\n\ninput := 1\n", id="input-hidden"),
        pytest.param("package a\n\nx := 1\n\nx contains 2\n", id="conflicting-rules"),
        pytest.param("package a\n\nx if {\n\tsome y\n\tinput.z\n}\n", id="a-declared-variable-unused"),
        pytest.param("package a\n\nx := 1 {\n\ttrue\n}\n", id="rego-v0"),
        pytest.param("package a\n\nx := any([true])\n", id="a-builtin-that-is-gone"),
    ],
)
def test_what_opa_check_refuses_is_a_finding_at_the_same_row(
    check: Check, opa: str, tmp_path: Path, source: str
) -> None:
    checked = check(source)
    done = subprocess.run(
        [opa, "check", "--strict", "--format", "json", str(tmp_path / "policy")],
        capture_output=True,
        text=True,
        check=False,
    )
    errors = json.loads(done.stderr)["errors"]
    assert not checked.clean
    theirs = {(error["location"]["row"], error["code"].removeprefix("rego_").replace("_", "-")) for error in errors}
    assert theirs <= {(finding.row, finding.rule_id) for finding in checked.findings}


SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "number"}, "kind": {"$ref": "#/$defs/kind"}},
    "additionalProperties": False,
    "$defs": {"kind": {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": False}},
}


@pytest.mark.parametrize("read", ["input.scoer", "input.kind.nmae", "input.score.value"])
def test_a_misspelt_field_is_what_opa_check_finds_with_the_schemas(
    check: Check, opa: str, tmp_path: Path, read: str
) -> None:
    source = f"# METADATA\n# title: A\n# schemas:\n#   - input: schema.scan\npackage a\n\nx if {{\n\t{read} == 1\n}}\n"
    finding = only(check(source, {"scan": SCHEMA}), "type-error")
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "scan.json").write_text(json.dumps(SCHEMA))
    done = subprocess.run(
        [opa, "check", "--schema", str(tmp_path / "schemas"), "--format", "json", str(tmp_path / "policy")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    error = json.loads(done.stderr)["errors"][0]
    assert finding.message.startswith(error["message"])
    assert (finding.row, finding.column) == (error["location"]["row"], error["location"]["col"])


def test_fields_that_are_there_pass_with_their_schema(check: Check) -> None:
    source = "# METADATA\n# title: A\n# description: A.\n# schemas:\n#   - input: schema.scan\npackage a\n"
    assert check(f"{source}{HELPER}x if input.score == 1\n", {"scan": SCHEMA}).findings == ()


def test_a_schema_that_is_not_there_is_a_finding(check: Check) -> None:
    finding = only(check("# METADATA\n# schemas:\n#   - input: schema.scam\npackage a\n\nx := 1\n"), "unknown-schema")
    assert finding.row == 3
    assert "schema.decision_input" in finding.fix


@pytest.mark.parametrize(
    ("take", "put", "says"),
    [
        pytest.param("# title: Too much\n", "", "no title", id="title"),
        pytest.param("# description: Too much.\n", "", "no description", id="description"),
        pytest.param("#   id: dataset.too-much\n", "", "custom.id", id="id"),
        pytest.param("dataset.too-much", "TooMuch", "custom.id", id="id-of-another-form"),
        pytest.param("severity: high", "severity: bad", "custom.severity", id="severity"),
        pytest.param("#   remediation: Less\n", "", "custom.remediation", id="remediation"),
        pytest.param("#   controls: []\n", "", "custom.controls", id="controls"),
        pytest.param(
            "controls: []", "controls: [{framework: EU AI Act, id: Art. 10}]", "lacks", id="a-control-in-part"
        ),
        pytest.param("custom:", "custom: [", "YAML", id="broken-yaml"),
    ],
)
def test_metadata_of_a_denial_must_be_whole(check: Check, take: str, put: str, says: str) -> None:
    source = HEAD.replace(take, put, 1) + 'deny contains "no" if not ok' + HELPER + "ok if input.x == 1\n"
    assert any(says in finding.message for finding in check(source).findings if finding.rule_id == "metadata")


@pytest.mark.parametrize(
    ("control", "says"),
    [
        pytest.param("{framework: MITRE ATLAS, version: 5.6.1, id: AML.T9999}", "no control AML.T9999", id="id"),
        pytest.param("{framework: MITRE ATLAS, version: 1.0.0, id: AML.T0020}", "MITRE ATLAS 1.0.0", id="version"),
        pytest.param("{framework: MITRE, version: 5.6.1, id: AML.T0020}", "MITRE 5.6.1", id="framework"),
    ],
)
def test_a_typo_in_a_control_is_found(check: Check, control: str, says: str) -> None:
    source = HEAD.replace("controls: []", f"controls: [{control}]") + 'deny contains "no" if not ok'
    assert says in only(check(source + HELPER + "ok if input.x == 1\n"), "unknown-control").message


def test_a_rule_without_metadata_is_a_finding(check: Check) -> None:
    assert "metadata" in ids(check("package a\n\nx := 1\n"))


def test_twin_tests_twin_ids_and_rules_without_tests_are_found(check: Check) -> None:
    rule = HEAD + 'deny contains "no" if not ok' + HELPER + "ok if input.x == 1\n"
    other = rule.replace("package a\n", "package b\n")
    test = "package a_test\n\nimport data.a\n\ntest_x if a.deny\n\ntest_x if not a.deny\n"
    checked = check({"a.rego": rule, "b.rego": other, "a_test.rego": test})
    assert only(checked, "twin-test").row == 7
    assert only(checked, "twin-id").path == "b.rego"
    assert only(checked, "untested").path == "b.rego"
    assert [finding.rule_id for finding in checked.findings].count("untested") == 1


def test_a_package_that_a_tested_one_imports_is_tested(check: Check) -> None:
    files = {
        "a.rego": "package a\n\nimport data.b\n\nx := b.x\n",
        "b.rego": "package b\n\nx := 1\n",
        "a_test.rego": "package a_test\n\nimport data.a\n\ntest_x if a.x == 1\n",
    }
    assert "untested" not in ids(check(files))


def test_a_file_that_cannot_be_parsed_does_not_hide_what_is_wrong_with_others(check: Check) -> None:
    checked = check({"a.rego": "package a\n\nx := {\n", "b.rego": HEAD + 'deny contains "no" if input.x\n'})
    assert only(checked, "parse-error").path == "a.rego"
    assert only(checked, "fail-open-read").path == "b.rego"


@pytest.mark.slow
def test_the_shipped_policies_and_the_example_of_a_layer_are_clean(library: Library) -> None:
    folder = Path(__file__).parents[3] / "policies_examples" / "acme"
    sources = load_sources([packaged_folder(), folder])
    with Workbench(library) as workbench:
        checked = check_policies(workbench, sources, read_schemas([folder]))
    assert [f"{one.path}:{one.row} {one.rule_id} {one.message}" for one in checked.findings] == []
