"""A lint run for machines: one JSON object (``policies/schemas/lint.json``), SARIF 2.1.0, and JUnit's XML.

Everything quoted comes from the files and is untrusted: JSON and XML escape it, and characters that XML cannot hold are
written out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from interlock.gate.values import Json, Level
from interlock.lint.values import RULES, DagResult, FileResult, LintFinding, LintResult, worst
from interlock.reporting.machine import SARIF_SCHEMA, file_uri, own_version

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SARIF_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "note"}


def lint_document(result: LintResult) -> dict[str, Json]:
    """The one object that ``--format json`` prints."""
    return {
        "verdict": result.verdict.value,
        "profile": result.profile,
        "bundle_digest": {"sha256": result.bundle_digest},
        "files": [
            {
                "path": file.path,
                "digest": {"sha256": file.digest} if file.digest else None,
                "verdict": file.verdict.value,
                "receipt_id": file.receipt,
                "dags": [_dag_document(dag, file) for dag in file.dags],
                "findings": [_finding_document(finding) for finding in file.findings],
            }
            for file in result.files
        ],
        "findings": [_finding_document(finding) for finding in result.findings],
        "passed_over": [{"path": passed.path, "reason": passed.reason} for passed in result.passed],
    }


def _dag_document(dag: DagResult, file: FileResult) -> dict[str, Json]:
    own = (finding.verdict for finding in file.findings if finding.dag == dag.dag)
    return {
        "dag": dag.dag,
        "mode": dag.mode,
        "line": dag.line,
        "steps": len(dag.graph.steps) if dag.graph else 0,
        "protected": list(dag.protected),
        "verdict": worst(own).value,
    }


def _finding_document(finding: LintFinding) -> dict[str, Json]:
    accepted = finding.accepted
    return {
        "rule_id": finding.rule_id,
        "level": finding.level.value,
        "path": finding.path,
        "line": finding.line,
        "dag": finding.dag,
        "step": finding.step,
        "gate": finding.gate,
        "message": finding.message,
        "fixes": list(finding.fixes),
        "accepted": None if accepted is None else {"reason": accepted.reason, "expires": accepted.expires.isoformat()},
    }


def sarif(result: LintResult) -> dict[str, Json]:
    """One SARIF log with one run.

    Source: SARIF 2.1.0 sections 3.14 (run), 3.27 (result), 3.35 (suppression), 3.49 (reporting descriptor).
    """
    findings = result.every_finding
    rules = sorted({finding.rule_id for finding in findings})
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "interlock lint",
                        "version": own_version(),
                        "rules": [{"id": rule, "shortDescription": {"text": RULES[rule].title}} for rule in rules],
                    }
                },
                "results": [_result(finding, rules) for finding in findings],
                "artifacts": [{"location": {"uri": file_uri(file.path)}, **_hashes(file)} for file in result.files],
                "invocations": [
                    {
                        "executionSuccessful": not any(_not_told(finding) for finding in findings),
                        "toolExecutionNotifications": [
                            {"level": "note", "message": {"text": f"{passed.path} was passed over: {passed.reason}"}}
                            for passed in result.passed
                        ],
                    }
                ],
            }
        ],
    }


def _hashes(file: FileResult) -> dict[str, Json]:
    return {"hashes": {"sha-256": file.digest}} if file.digest else {}


def _not_told(finding: LintFinding) -> bool:
    return finding.verdict.exit_status == 3


def _result(finding: LintFinding, rules: Sequence[str]) -> dict[str, Json]:
    fixes = "".join(f"\nfix: {line}" for line in finding.fixes)
    physical: dict[str, Json] = {"artifactLocation": {"uri": file_uri(finding.path)}}
    if finding.line:
        physical["region"] = {"startLine": finding.line}
    location: dict[str, Json] = {"physicalLocation": physical}
    if finding.dag:
        name = f"{finding.dag}.{finding.step}" if finding.step else finding.dag
        location["logicalLocations"] = [{"fullyQualifiedName": name}]
    document: dict[str, Json] = {
        "ruleId": finding.rule_id,
        "ruleIndex": rules.index(finding.rule_id),
        "level": _SARIF_LEVELS[finding.level],
        "message": {"text": finding.message + fixes},
        "locations": [location],
        # What a reader of code scanning follows through time: never the line.
        "partialFingerprints": {
            "interlockLint/v1": "/".join((finding.path, finding.dag, finding.step, finding.gate, finding.rule_id))
        },
    }
    if finding.accepted is not None:
        document["suppressions"] = [{"kind": "external", "justification": finding.accepted.reason}]
    return document


def junit(result: LintResult) -> str:
    """JUnit's XML: a suite for each file, a case for each pipeline, and one for what is about the file."""
    root = ET.Element("testsuites", {"name": "interlock lint"})
    for file in result.files:
        _suite(root, file.path, file.dags, file.findings)
    if result.findings:
        _suite(root, "interlock lint", (), result.findings)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, path: str, dags: Sequence[DagResult], findings: Sequence[LintFinding]) -> None:
    suite = ET.SubElement(root, "testsuite", {"name": _xml(path)})
    known = {dag.dag for dag in dags}
    cases = {dag.dag: [finding for finding in findings if finding.dag == dag.dag] for dag in dags}
    of_the_file = [finding for finding in findings if finding.dag not in known]
    if of_the_file or not dags:
        cases[""] = of_the_file
    for dag, own in cases.items():
        case = ET.SubElement(suite, "testcase", {"classname": _xml(path), "name": _xml(dag or "the file")})
        _outcome(case, own)
    counts = {kind: str(len(suite.findall(f"testcase/{kind}"))) for kind in ("failure", "error", "skipped")}
    suite.attrib |= {
        "tests": str(len(cases)),
        "failures": counts["failure"],
        "errors": counts["error"],
        "skipped": counts["skipped"],
    }


def _outcome(case: ET.Element, findings: Sequence[LintFinding]) -> None:
    """A failure for what is denied, an error for what could not be told, else what there is to say."""
    text = _xml("\n".join(_lines(finding) for finding in findings))
    verdict = worst(finding.verdict for finding in findings)
    if verdict.exit_status:
        counting = next(finding for finding in findings if finding.verdict is verdict)
        kind = "failure" if verdict.exit_status == 1 else "error"
        told = ET.SubElement(case, kind, {"type": counting.rule_id, "message": _xml(counting.message)})
        told.text = text
    elif any(finding.accepted for finding in findings):
        reasons = "; ".join(dict.fromkeys(one.accepted.reason for one in findings if one.accepted))
        ET.SubElement(case, "skipped", {"message": _xml(f"in the baseline: {reasons}")})
    elif text:
        ET.SubElement(case, "system-out").text = text


def _lines(finding: LintFinding) -> str:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    fixes = "".join(f"\n  fix: {line}" for line in finding.fixes)
    return f"{place}: {finding.level.value}: {finding.message} [{finding.rule_id}]{fixes}"


def _xml(text: str) -> str:
    """What XML 1.0 (section 2.2) cannot hold, as an escape that people can read."""
    return _NOT_XML.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), text)
