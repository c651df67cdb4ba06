"""The shipped rules: their own tests on the engine that decides, their METADATA, and the shapes that fail open."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.policy import Bundle, EmbeddedEngine, Library, Module
from interlock.policy.authoring.sources import load_sources
from interlock.policy.authoring.testing import Outcome, run_tests
from interlock.policy.authoring.workbench import Workbench
from interlock.policy.bundles.bundle import packaged_folder

yaml: Any = pytest.importorskip("yaml")

BUNDLE = Bundle.load()
TEST_NAME = re.compile(r"^(test_\w+)", re.MULTILINE)
PACKAGE = re.compile(r"^package ([\w.]+)$", re.MULTILINE)
FRAMEWORKS = {
    ("EU AI Act", "2024/1689"): r"Art\. \d+(\(\d+\))?|Annex IV( \d\([a-z]\))?",
    ("MITRE ATLAS", "5.6.1"): r"AML\.[TM]\d{4}(\.\d{3})?",
    ("ISO/IEC 42001", "2023"): r"A\.\d+\.\d+(\.\d+)?",
    ("NIST AI 100-2", "e2025"): r"NISTAML\.\d{2,3}",
    ("NIST AI RMF", "1.0"): r"(GOVERN|MAP|MEASURE|MANAGE) \d\.\d+",
    ("OWASP LLM Top 10", "2025"): r"LLM(0\d|10):2025",
    ("OWASP LLM Top 10", "2026"): r"LLM(0\d|10):2026",
    ("OWASP ML Top 10", "2023"): r"ML(0\d|10):2023",
    ("Kubernetes Pod Security Standards", "1.34"): r"restricted",
    ("NSA/CISA Kubernetes Hardening", "1.2"): r"[A-Z][a-z]+( [a-z]+)+",
    ("SLSA", "1.2"): r"Build L[123]",
}


def package_of(module: Module) -> str:
    found = PACKAGE.search(module.source)
    assert found, module.path
    return found.group(1)


REGO_TESTS = [f"{package_of(module)}.{name}" for module in BUNDLE.tests for name in TEST_NAME.findall(module.source)]


def parsed(engine: EmbeddedEngine, module: Module) -> dict[str, Any]:
    question = "parsed := rego.parse_module(input.path, input.source)"
    found = engine.query(question, {"path": module.path, "source": module.source})
    tree: dict[str, Any] = found[0]["bindings"]["parsed"]
    return tree


def every(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree."""
    if isinstance(node, list):
        for item in node:
            yield from every(item)
    elif isinstance(node, dict):
        yield node
        for item in node.values():
            yield from every(item)


def metadata(module: Module) -> Iterator[tuple[dict[str, Any], str]]:
    """Each METADATA block of a file with the line of Rego that it belongs to."""
    lines = module.source.splitlines()
    for number, line in enumerate(lines):
        if line == "# METADATA":
            block: list[str] = []
            for text in lines[number + 1 :]:
                if not text.startswith("#"):
                    yield yaml.safe_load("\n".join(block)), text
                    break
                block.append(text[2:])


@pytest.fixture(scope="module")
def evaluated(library: Library) -> Any:
    """All documents of the bundle and its tests at once: OPA compiles a bundle again for each new question."""
    engine = EmbeddedEngine(BUNDLE.with_tests(), library=library, deadline=120)
    try:
        return engine.evaluate("interlock", {}).value
    finally:
        engine.close()


@pytest.mark.parametrize("name", REGO_TESTS)
def test_rego(evaluated: Any, name: str) -> None:
    value = evaluated
    for step in name.split(".")[1:]:
        value = value.get(step, {})
    assert value is True


def test_every_rule_file_has_its_tests() -> None:
    tested = {module.path.removesuffix("_test.rego") for module in BUNDLE.tests}
    untested = [m.path for m in BUNDLE.modules if m.path.removesuffix(".rego") not in tested]
    assert untested == ["interlock/receipts/receipts.rego"]  # what it reads is tested through the rules of `evidence`


def test_no_two_rego_tests_have_one_name() -> None:
    assert [name for name, count in Counter(REGO_TESTS).items() if count > 1] == []


@pytest.mark.parametrize("module", [*BUNDLE.modules, *BUNDLE.tests], ids=lambda module: module.path)
def test_a_file_lies_where_its_package_says(module: Module) -> None:
    folder, name = module.path.removesuffix(".rego").rsplit("/", 1)
    expected = folder.replace("/", ".") + ("_test" if name.endswith("_test") else "")
    assert package_of(module) == expected
    assert name.removesuffix("_test") == folder.rsplit("/", 1)[1]
    assert max(len(line) for line in module.source.splitlines()) <= 120


@pytest.mark.parametrize("module", BUNDLE.modules, ids=lambda module: module.path)
def test_what_is_negated_has_only_constants_and_bound_variables_as_arguments(
    engine: EmbeddedEngine, module: Module
) -> None:
    """OPA evaluates arguments before the `not`: where they are undefined the rule does not fire at all."""
    tree = parsed(engine, module)
    rules = {
        rule["head"]["ref"][0]["value"] if "ref" in rule["head"] else rule["head"]["name"] for rule in tree["rules"]
    }
    for node in every(tree):
        if node.get("negated") is True:
            terms = node["terms"]
            arguments = terms[1:] if isinstance(terms, list) else [terms["value"][1:] if terms["type"] == "ref" else []]
            inside = list(every(arguments))
            assert {one.get("type") for one in inside} <= {"string", "number", "boolean", "var"}, node
            assert not rules & {one["value"] for one in inside if one.get("type") == "var"}, node


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        pytest.param("not sound", True, id="a helper without arguments"),
        pytest.param('not is_zero("nothing")', True, id="a helper that reads by name"),
        pytest.param("not input.nothing <= 0.2", False, id="a comparison of a missing field"),
        pytest.param("not zero(input.nothing)", False, id="a function of a missing field"),
        pytest.param("not count(input.nothing) == 0", False, id="a comparison of a builtin's result"),
        pytest.param('not input.nothing in {"a"}', False, id="membership of a missing field"),
        pytest.param("not sound_ones[input.nothing]", False, id="an index that is missing"),
    ],
)
def test_which_shapes_of_denial_fire_when_a_field_is_missing(
    make_engine: Callable[[str], EmbeddedEngine], condition: str, fires: bool
) -> None:
    source = f"""package a

deny if {condition}
sound if input.nothing == 0
zero(x) if x == 0
is_zero(name) if input[name] == 0
sound_ones contains 1
"""
    assert make_engine(source).evaluate("a.deny", {}).defined is fires


@pytest.mark.parametrize("module", BUNDLE.modules, ids=lambda module: module.path)
def test_every_package_and_rule_has_metadata(engine: EmbeddedEngine, module: Module) -> None:
    described = list(metadata(module))
    for block, line in described:
        assert set(block) >= {"title", "description"}, line
    heads = [line for _, line in described]
    assert heads[0].startswith("package ")
    for rule in parsed(engine, module)["rules"]:
        name = rule["head"]["ref"][0]["value"] if "ref" in rule["head"] else rule["head"]["name"]
        assert any(re.match(rf"(default )?{re.escape(name)}\b", head) for head in heads), name


@pytest.mark.parametrize("module", BUNDLE.modules, ids=lambda module: module.path)
def test_every_denial_says_what_it_is_and_what_to_do(module: Module) -> None:
    for block, line in metadata(module):
        if "facts.reason(rego.metadata.rule()" not in line:
            continue
        custom = block["custom"]
        pack, _, rest = custom["id"].partition(".")
        assert re.fullmatch(r"[a-z]+", pack)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rest)
        assert module.path.split("/")[1] in {pack, "decision"}
        assert custom["severity"] in {"critical", "high", "medium", "low"}
        assert custom["remediation"]
        assert custom["controls"]
        for control in custom["controls"]:
            assert re.fullmatch(FRAMEWORKS[control["framework"], control["version"]], control["id"]), control


SUCCESSORS = {
    f"LLM{new}:2026": f"LLM{old}:2025"
    for old, new in (
        ("01", "01"),
        ("02", "02"),
        ("03", "04"),
        ("04", "05"),
        ("05", "10"),
        ("06", "03"),
        ("07", "08"),
        ("08", "09"),
        ("09", "07"),
        ("10", "06"),
    )
}
"""What each entry of the OWASP LLM Top 10 of 2026 was called in 2025."""


@pytest.mark.parametrize("module", BUNDLE.modules, ids=lambda module: module.path)
def test_a_control_of_owasp_is_named_in_both_years(module: Module) -> None:
    for block, _ in metadata(module):
        controls = {control["id"] for control in block.get("custom", {}).get("controls", ())}
        older = {SUCCESSORS[control] for control in controls if control in SUCCESSORS}
        assert older == {control for control in controls if control.endswith(":2025")}, block["custom"]["id"]


@pytest.mark.parametrize("rule", ["kubernetes.pod-security", "deployment.pod-security"])
def test_pod_security_claims_the_standard_that_it_is_made_after(rule: str) -> None:
    [controls] = [
        {(control["framework"], control["id"]) for control in block["custom"]["controls"]}
        for module in BUNDLE.modules
        for block, _ in metadata(module)
        if block.get("custom", {}).get("id") == rule
    ]
    assert ("Kubernetes Pod Security Standards", "restricted") in controls
    assert ("NSA/CISA Kubernetes Hardening", "Pod security") in controls


def test_every_id_speaks_of_one_thing() -> None:
    ids = Counter(
        (block["custom"]["id"], line.split()[0])
        for module in BUNDLE.modules
        for block, line in metadata(module)
        if "custom" in block
    )
    assert [key for key, count in ids.items() if count > 1] == []


def parameters(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each parameter of a profile by its path."""
    for key, item in value.items():
        if isinstance(item, dict):
            yield from parameters(item, f"{path}{key}.")
        else:
            yield f"{path}{key}", item


def test_every_profile_has_the_same_parameters(engine: EmbeddedEngine) -> None:
    profiles: Any = engine.evaluate("interlock.profiles", {}).value
    assert set(profiles) == {"dev", "standard", "strict"}
    names = {name: {path for path, _ in parameters(profile)} for name, profile in profiles.items()}
    assert names["dev"] == names["standard"] == names["strict"]


def kind(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_a_parameter_has_one_type_or_is_a_word(engine: EmbeddedEngine) -> None:
    """The words are ``any``, which asks nothing, ``stated``, and those of one parameter alone."""
    profiles: Any = engine.evaluate("interlock.profiles", {}).value
    for path, value in parameters(profiles["standard"]):
        kinds = {kind(value) for profile in profiles.values() for one, value in parameters(profile) if one == path}
        assert len(kinds - {"str"}) <= 1, path
        assert not isinstance(value, str) or value in WORDS.get(path, ("any", "stated")), path


WORDS = {
    "deployment.manifests": ("optional", "required"),
    "deployment.rollout": ("optional", "required"),
    "evaluation.first": ("allow", "deny"),
    "evaluation.unsure": ("allow", "deny"),
    "gpu.attestation": ("any", "when-confidential", "always"),
    "gpu.confidential": ("when-asked", "always"),
    "gpu.unstated": ("none", "some"),
    "images.pinned": ("tag", "digest"),
    "kubernetes.receipts": ("present", "known"),
    "pipeline.credentials": ("audit", "enforce"),
    "pipeline.given": ("audit", "enforce"),
    "pipeline.packages": ("audit", "enforce"),
    "pipeline.images": ("audit", "enforce"),
    "training.budgets": ("any", "where-set", "required"),
}
"""Parameters whose value is one of some words, from the loosest to the strictest."""
WANTED = ("required.", "exemptions.never", "deployment.", "images.mutable_tags", "pipeline.credential_names")
"""Lists that ask for more the longer they are; the others permit more."""
PERMISSIONS = ("evidence.accept_", "coverage.accept_", "exemptions.accept", "gpu.accept_", "gpu.allow_")
"""Booleans that permit; the others ask."""


def no_looser(path: str, loose: Any, tight: Any) -> bool:
    """Whether `tight` lets through at most what `loose` lets through."""
    if path in WORDS:
        return WORDS[path].index(tight) >= WORDS[path].index(loose)
    if "any" in (loose, tight):
        return bool(loose == "any")
    if "stated" in (loose, tight):
        return bool(loose == "stated")
    name = path.rsplit(".", 1)[1]
    if isinstance(loose, bool):
        return bool(tight <= loose if path.startswith(PERMISSIONS) else tight >= loose)
    if isinstance(loose, list):
        if "*" in loose and not path.startswith(WANTED):
            loose = [*loose, *tight]  # a pattern that every name fits
        return set(tight) >= set(loose) if path.startswith(WANTED) else set(tight) <= set(loose)
    most = name.startswith("max_") or name == "clock_skew_seconds"
    return bool(tight <= loose) if most else bool(tight >= loose)


@pytest.mark.parametrize(("loose", "tight"), [("dev", "standard"), ("standard", "strict")])
def test_a_stricter_profile_is_nowhere_looser(engine: EmbeddedEngine, loose: str, tight: str) -> None:
    profiles: Any = engine.evaluate("interlock.profiles", {}).value
    wider = dict(parameters(profiles[loose]))
    looser = [p for p, value in parameters(profiles[tight]) if not no_looser(p, wider[p], value)]
    assert looser == []


def run(opa: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([opa, *arguments], capture_output=True, text=True, check=False, cwd=packaged_folder())


def test_opa_finds_nothing_to_format(opa: str) -> None:
    done = run(opa, "fmt", "--list", ".")
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_opa_check_strict_is_content(opa: str) -> None:
    done = run(opa, "check", "--strict", "--bundle", ".")
    assert done.returncode == 0, done.stderr


def test_opa_check_finds_nothing_misspelt(opa: str) -> None:
    done = run(opa, "check", "--strict", "--schema", "schemas", "--bundle", ".")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("field", "misspelt"),
    [
        pytest.param("input.report.facts.dataset.licences", "input.report.facts.dataset.licenses", id="a-fact"),
        pytest.param("input.report.coverage.looked_at", "input.report.coverage.lookedat", id="coverage"),
        pytest.param("input.requested.image", "input.requested.img", id="requested"),
        pytest.param("input.exemptions", "input.exemption", id="exemptions"),
        pytest.param("input.subject.digest.sha256", "input.subject.digest.sha512", id="digest"),
        pytest.param("input.report.facts.gpu.devices", "input.report.facts.gpus.devices", id="gpu"),
    ],
)
def test_a_misspelt_field_is_found_by_the_schema(opa: str, tmp_path: Path, field: str, misspelt: str) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(packaged_folder(), folder)
    touched = [path for path in folder.rglob("*.rego") if field in path.read_text()]
    assert touched
    for path in touched:
        path.write_text(path.read_text().replace(field, misspelt))
    done = run(opa, "check", "--schema", str(folder / "schemas"), "--bundle", str(folder))
    assert done.returncode == 1
    assert "undefined ref: " + misspelt in done.stderr


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ("admission", "input.request.uid"),
        ("parameters", "input.kind"),
        ("parameters", "input.profile if"),
        ("review", "input.request.object.metadata.generateName"),
        ("review", "input.request.object.metadata.name"),
        ("review", "input.request.operation"),
    ],
)
def test_a_misspelt_field_of_a_review_is_found_too(opa: str, tmp_path: Path, file: str, field: str) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(packaged_folder(), folder)
    path = folder / "interlock" / "kubernetes" / file / f"{file}.rego"
    name, _, rest = field.partition(" ")
    assert field in path.read_text()
    path.write_text(path.read_text().replace(field, f"{name}x {rest}".rstrip()))
    done = run(opa, "check", "--schema", str(folder / "schemas"), "--bundle", str(folder))
    assert done.returncode == 1
    assert f"undefined ref: {name}x" in done.stderr


def test_every_package_that_reads_the_input_says_which_document_it_is() -> None:
    """That of `kubernetes.parameters` reads two, so its rules say it."""
    for module in BUNDLE.modules:
        read = re.sub(r"^#.*$|with input\.", "", module.source, flags=re.MULTILINE)
        if "input." in read:
            assert any(block.get("schemas") for block, _ in metadata(module)), module.path


@pytest.mark.slow
def test_regal_finds_nothing() -> None:
    regal = shutil.which("regal", path=os.pathsep.join((os.environ.get("PATH", ""), str(Path.home() / "go" / "bin"))))
    if regal is None:
        pytest.skip("needs the regal binary: go install github.com/open-policy-agent/regal@v0.42.0")
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [regal, "lint", "--format", "json", "policies"], capture_output=True, text=True, check=False, cwd=root
    )
    assert json.loads(done.stdout)["violations"] == []


@pytest.fixture(scope="module")
def coverage_by_opa(opa: str) -> dict[str, Any]:
    """The report of `opa test --coverage`, which OPA gives only when all tests pass, and which takes it a minute.

    ``INTERLOCK_TEST_OPA_COVERAGE`` names the report of a run that there has been: CI has one of `make policy`.
    """
    kept = os.environ.get("INTERLOCK_TEST_OPA_COVERAGE", "")
    if kept:
        said = Path(kept).read_text(encoding="utf-8")
    else:
        done = run(opa, "test", "--timeout", "120s", "--bundle", "--coverage", ".")
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout
    report: dict[str, Any] = json.loads(said)
    return report


def reached(module: Module, covered: set[int]) -> Iterator[str]:
    """Names of the tests of a file of which some line was evaluated; numbers of lines count from 1."""
    name = ""
    for number, line in enumerate(module.source.splitlines(), start=1):
        if line and line[0] not in " \t}":
            found = TEST_NAME.match(line)
            name = found.group(1) if found else ""
        if name and number in covered:
            yield name
            name = ""


@pytest.mark.slow
def test_opa_runs_the_same_tests_and_they_pass(coverage_by_opa: dict[str, Any]) -> None:
    files = coverage_by_opa["files"]
    run = [
        f"{package_of(module)}.{name}"
        for module in BUNDLE.tests
        for name in reached(module, {one["start"]["row"] for one in files[module.path]["covered"]})
    ]
    assert run == REGO_TESTS
    assert [module.path for module in BUNDLE.modules if TEST_NAME.search(module.source)] == []


@pytest.mark.slow
def test_opa_says_that_every_line_of_every_rule_is_covered(coverage_by_opa: dict[str, Any]) -> None:
    rules = {name: one for name, one in coverage_by_opa["files"].items() if not name.endswith("_test.rego")}
    assert {name: one.get("not_covered") for name, one in rules.items() if one["coverage"] < 100} == {}
    assert set(rules) == {module.path for module in BUNDLE.modules}


@pytest.mark.slow
def test_the_shipped_policies_are_covered_as_opa_test_says(library: Library, coverage_by_opa: dict[str, Any]) -> None:
    with Workbench(library) as workbench:
        ours = run_tests(workbench, load_sources(()))
    assert {file.path: len(file.lines.missed) for file in ours.coverage.files} == {
        name: said.get("not_covered_lines", 0) for name, said in coverage_by_opa["files"].items()
    }
    assert ours.coverage.percent == pytest.approx(coverage_by_opa["coverage"])
    assert ours.count(Outcome.PASS) == len(ours.results)


def test_the_binary_and_the_embedded_engine_decide_alike(opa: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    """One process of the binary decides them all: each would compile the whole policy for itself."""
    documents: Any = engine.evaluate("interlock.examples_test.allowed", {}).value
    asked = [*documents.values(), documents["poisoning"] | {"profile": "relaxed"}, {}]
    path = tmp_path / "asked.json"
    path.write_text(json.dumps(asked))
    done = run(
        opa, "eval", "--bundle", ".", "--strict-builtin-errors", "--format", "json", "--input", str(path),
        "[answer | some one in input; answer := data.interlock.decision.result with input as one]",
    )  # fmt: skip
    theirs = json.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    assert theirs == [engine.evaluate("interlock.decision.result", document).value for document in asked]
