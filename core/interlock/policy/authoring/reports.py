"""What authoring commands found, for machines: JSON documents, JUnit and SARIF."""

from __future__ import annotations

from importlib.metadata import version
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

from interlock.gate.values import Json
from interlock.policy.authoring.coverage import Coverage, FileCoverage, ranges
from interlock.policy.authoring.lint import Checked
from interlock.policy.authoring.sources import Sources
from interlock.policy.authoring.testing import Outcome, TestResult, TestRun


def run_document(run: TestRun, sources: Sources, *, threshold: float) -> dict[str, Json]:
    """A test run as one JSON object; a test is told as ``opa test --format json`` does, its duration in nanoseconds."""
    return {
        "summary": {
            "tests": len(run.results),
            "passed": run.count(Outcome.PASS),
            "failed": run.count(Outcome.FAIL),
            "errors": run.count(Outcome.ERROR),
            "skipped": run.count(Outcome.SKIPPED),
            "coverage": _rounded(run.coverage.percent),
            "threshold": threshold,
        },
        "tests": [_test(result, sources) for result in run.results],
        "coverage": coverage_document(run.coverage, sources),
    }


def coverage_document(coverage: Coverage, sources: Sources) -> dict[str, Json]:
    """Coverage as one JSON object, by file and rule."""
    return {
        "coverage": _rounded(coverage.percent),
        "files": {sources.place(file.path): _file(file) for file in coverage.files},
    }


def run_junit(run: TestRun, sources: Sources) -> str:
    """A test run as JUnit XML, a suite for each package."""
    root = Element("testsuites", {"name": "interlock policy test", **_counts(run.results)})
    for package in dict.fromkeys(result.package for result in run.results):
        results = tuple(result for result in run.results if result.package == package)
        suite = SubElement(root, "testsuite", {"name": package, **_counts(results)})
        for result in results:
            case = SubElement(
                suite,
                "testcase",
                classname=package,
                name=result.name,
                time=f"{result.seconds:.6f}",
                file=sources.place(result.path),
                line=str(result.row),
            )
            _outcome(case, result)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def check_document(checked: Checked, sources: Sources) -> dict[str, Json]:
    """What a check found, as one JSON object."""
    return {
        "clean": checked.clean,
        "files": checked.files,
        "findings": [
            {
                "file": sources.place(one.path),
                "row": one.row,
                "column": one.column,
                "level": one.level.value,
                "rule": one.rule_id,
                "message": one.message,
                "fix": one.fix,
            }
            for one in checked.findings
        ],
    }


def check_sarif(checked: Checked, sources: Sources) -> dict[str, Json]:
    """What a check found, as SARIF 2.1.0."""
    results: list[Json] = [
        {
            "ruleId": one.rule_id,
            "level": one.level.value,
            "message": {"text": f"{one.message}\n\n{one.fix}".strip()},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote(sources.place(one.path))},
                        "region": {"startLine": one.row, "startColumn": one.column},
                    }
                }
            ],
        }
        for one in checked.findings
    ]
    rules: list[Json] = [{"id": rule_id} for rule_id in sorted({one.rule_id for one in checked.findings})]
    driver: Json = {"name": "interlock policy check", "version": version("interlock"), "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _outcome(case: Element, result: TestResult) -> None:
    if result.outcome is Outcome.FAIL:
        SubElement(case, "failure", message="the rule is undefined or not true")
    elif result.outcome is Outcome.ERROR:
        SubElement(case, "error", message=_printable(result.message))
    elif result.outcome is Outcome.SKIPPED:
        SubElement(case, "skipped")
    if result.prints:
        SubElement(case, "system-out").text = _printable("\n".join(f"{p.place}: {p.text}" for p in result.prints))


def _counts(results: tuple[TestResult, ...]) -> dict[str, str]:
    def count(outcome: Outcome) -> str:
        return str(sum(result.outcome is outcome for result in results))

    return {
        "tests": str(len(results)),
        "failures": count(Outcome.FAIL),
        "errors": count(Outcome.ERROR),
        "skipped": count(Outcome.SKIPPED),
        "time": f"{sum(result.seconds for result in results):.6f}",
    }


def _test(result: TestResult, sources: Sources) -> dict[str, Json]:
    document: dict[str, Json] = {
        "package": f"data.{result.package}",
        "name": result.name,
        "location": {"file": sources.place(result.path), "row": result.row},
        "outcome": result.outcome.value.lower(),
        "duration": round(result.seconds * 1e9),
    }
    if result.message:
        document["message"] = result.message
    if result.prints:
        document["prints"] = [{"place": one.place, "text": one.text} for one in result.prints]
    return document


def _file(file: FileCoverage) -> dict[str, Json]:
    return {
        "coverage": _rounded(file.lines.percent),
        "covered_lines": len(file.lines.covered),
        "not_covered_lines": len(file.lines.missed),
        "not_covered": [*file.lines.missed],
        "rules": [
            {
                "name": rule.name,
                "row": rule.row,
                "coverage": _rounded(rule.lines.percent),
                "not_covered": ranges(rule.lines.missed),
            }
            for rule in file.rules
        ],
    }


def _rounded(percent: float) -> float:
    """Two decimals, and never 100 for less: a rounded number must not pass a threshold."""
    return min(round(percent, 2), 99.99) if percent < 100 else 100.0


def _printable(text: str) -> str:
    """XML 1.0 cannot say control characters at all; they are shown as Python writes them."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
