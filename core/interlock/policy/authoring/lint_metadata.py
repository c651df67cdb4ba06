"""What METADATA must say, so that a denial tells its reader what it is, how bad, and what to do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock.gate.values import Severity
from interlock.policy.authoring.controls import Framework, catalogue, controls_in
from interlock.policy.authoring.lint_finding import LintFinding
from interlock.policy.authoring.lint_shapes import DENIALS
from interlock.policy.authoring.syntax import Annotation, Parsed, Rule, nodes

_REASONS = DENIALS | {"warn"}
_ID = re.compile(r"[a-z]+(-[a-z]+)*\.[a-z0-9]+(-[a-z0-9]+)*")
_SEVERITIES = tuple(severity.value for severity in Severity)
_TEMPLATE = """# METADATA
# title: What is wrong, in a few words
# description: When this fires, in one sentence.
# custom:
#   id: pack.rule-name
#   severity: high
#   remediation: What to do about it
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}"""


def metadata_findings(file: Parsed) -> Iterator[LintFinding]:
    """What is missing or malformed in the METADATA of one file of rules."""
    for annotation in file.annotations:
        if annotation.broken:
            yield _finding(file, annotation.row, "metadata", f"METADATA is no YAML: {annotation.broken}")
    yield from _described(file, file.annotation, f"package {file.package}", 1)
    said: dict[str, Annotation] = {}
    for rule in file.rules:
        if rule.annotation is not None:
            said[rule.name] = rule.annotation
        needs_custom = _reports(rule)
        if rule.annotation is None and (needs_custom or rule.name not in said):
            yield _finding(file, rule.row, "metadata", f"{rule.name} has no METADATA", _TEMPLATE)
            continue
        if rule.annotation is not None:
            yield from _described(file, rule.annotation, rule.name, rule.row)
            if needs_custom:
                yield from _custom(file, rule, rule.annotation)


def twin_ids(files: Sequence[Parsed]) -> Iterator[LintFinding]:
    """One id for two rules: a reader could not tell which of them said no, and an exemption would take both."""
    seen: dict[str, list[tuple[Parsed, Rule]]] = defaultdict(list)
    for file in files:
        for rule in () if file.is_test else file.rules:
            name = rule.annotation.custom.get("id") if rule.annotation and _reports(rule) else None
            if isinstance(name, str):
                seen[f"{name} {rule.name}"].append((file, rule))
    for both in seen.values():
        for file, rule in both[1:]:
            first, other = both[0]
            yield _finding(
                file,
                rule.row,
                "twin-id",
                f"the id is that of {first.module.path}:{other.row} too",
                "give it its own id",
            )


def _reports(rule: Rule) -> bool:
    """Whether a rule makes reasons: it reads its own METADATA, or denies and hands on no other rule's denials."""
    named = [[part.get("value") for part in node["value"]] for node in nodes(rule.node) if node.get("type") == "ref"]
    if any(parts[:3] == ["rego", "metadata", "rule"] for parts in named):
        return True
    hands_on = any(part in parts[1:] for parts in named for part in _REASONS)
    return rule.name.split("[")[0] in _REASONS and not hands_on


def _described(file: Parsed, annotation: Annotation | None, what: str, row: int) -> Iterator[LintFinding]:
    fields: Mapping[str, Any] = annotation.fields if annotation else {}
    missing = [name for name in ("title", "description") if not isinstance(fields.get(name), str)]
    if missing:
        yield _finding(
            file, row, "metadata", f"{what} has no {' and no '.join(missing)} in METADATA",
            "# METADATA\n# title: What it is\n# description: What it means, in one sentence.",
        )  # fmt: skip


def _custom(file: Parsed, rule: Rule, annotation: Annotation) -> Iterator[LintFinding]:
    custom, row = annotation.custom, annotation.row
    name = custom.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        yield _finding(file, row, "metadata", f"{rule.name} has no custom.id like pack.rule-name", _TEMPLATE)
    if custom.get("severity") not in _SEVERITIES:
        yield _finding(
            file, row, "metadata", f"{rule.name} has no custom.severity", f"#   severity: {' | '.join(_SEVERITIES)}"
        )
    if not isinstance(custom.get("remediation"), str) or not custom["remediation"].strip():
        yield _finding(
            file, row, "metadata", f"{rule.name} has no custom.remediation", "#   remediation: What to do about it"
        )
    named = custom.get("controls")
    if not isinstance(named, list):
        yield _finding(
            file, row, "metadata", f"{rule.name} has no list custom.controls", "#   controls: []    # if there is none"
        )
        return
    found = list(controls_in(custom))
    if len(found) < len(named):
        yield _finding(
            file,
            row,
            "metadata",
            f"a control of {rule.name} lacks framework, version or id",
            _TEMPLATE.splitlines()[-1],
        )
    for framework, control in found:
        yield from _control(file, row, framework, control)


def _control(file: Parsed, row: int, framework: Framework, control: str) -> Iterator[LintFinding]:
    known = catalogue()
    if framework not in known:
        versions = [f"{one.name} {one.version}" for one in known if one.name == framework.name]
        message = f"{framework.name} {framework.version} is not in the catalogue of controls"
        fix = " or ".join(versions or [f"{one.name} {one.version}" for one in known])
        yield _finding(file, row, "unknown-control", message, fix)
    elif control not in known[framework]:
        message = f"{framework.name} {framework.version} has no control {control} in the catalogue"
        yield _finding(
            file, row, "unknown-control", message, "interlock policy controls --framework " + repr(framework.name)
        )


def _finding(file: Parsed, row: int, rule_id: str, message: str, fix: str = "") -> LintFinding:
    return LintFinding(path=file.module.path, row=row, column=1, rule_id=rule_id, message=message, fix=fix)
