"""The table of a lint run: what is wrong, where, and the line of code that mends it; then one line for each file."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.cli import show
from interlock.gate import Level, Verdict
from interlock.lint.values import FileResult, LintFinding, LintResult

_STYLES = {Level.ERROR: "red", Level.WARNING: "yellow", Level.NOTE: "dim"}
_MOST = 200
"""Findings that a terminal gets; the other formats have them all."""


def print_table(result: LintResult) -> None:
    """Print the run; all of it is untrusted text."""
    shown = 0
    for file in result.files:
        told = [finding for finding in file.findings if finding.accepted is None]
        for finding in told[: max(0, _MOST - shown)]:
            _print(finding)
        shown += len(told)
    for finding in result.findings:
        _print(finding)
    if shown > _MOST:
        show.say(f"... and {shown - _MOST} more findings: add --out lint.json")
    if shown or result.findings:
        show.say("")
    show.table(("verdict", "file", "DAGs", "protected", "what"), [_row(file) for file in result.files])
    _say_passed(result)
    show.say_verdict(result.verdict, _summary(result))


def _print(finding: LintFinding) -> None:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    style = _STYLES[finding.level]
    show.say(f"{place}: {finding.level.value}: {finding.message} [{finding.rule_id}]", style=style)
    for line in finding.fixes:
        show.say(f"    fix: {line}")


def _row(file: FileResult) -> tuple[str, ...]:
    protected = sum(len(dag.protected) for dag in file.dags)
    return (file.verdict.value, file.path, str(len(file.dags)), str(protected), ", ".join(_what(file)))


def _what(file: FileResult) -> Iterator[str]:
    errors = sum(1 for finding in file.findings if finding.verdict is not Verdict.ALLOW)
    warnings = sum(1 for one in file.findings if one.level is Level.WARNING and one.accepted is None)
    accepted = sum(1 for finding in file.findings if finding.accepted)
    for count, word in ((errors, "error"), (warnings, "warning")):
        if count:
            yield f"{count} {word}{'s' if count > 1 else ''}"
    if accepted:
        yield f"{accepted} in the baseline"
    if file.receipt:
        yield f"receipt {file.receipt}"
    if file.verdict is Verdict.ALLOW and not (warnings or accepted):
        protected = any(dag.protected for dag in file.dags)
        yield "gated" if protected else "nothing to protect" if file.dags else "no DAG"


def _say_passed(result: LintResult) -> None:
    for passed in result.passed[:10]:
        show.say(f"passed over {passed.path}: {passed.reason}", style="dim")
    if len(result.passed) > 10:
        show.say(f"... and {len(result.passed) - 10} more files passed over: add --out lint.json", style="dim")


def _summary(result: LintResult) -> str:
    dags = sum(len(file.dags) for file in result.files)
    steps = sum(len(dag.protected) for file in result.files for dag in file.dags)
    looked = f"{_count(len(result.files), 'file')}, {_count(dags, 'DAG')}, {_count(steps, 'protected step')}"
    ends = {
        Verdict.ALLOW: "every protected step is gated",
        Verdict.DENY: "not everything is gated",
        Verdict.UNDECIDED: "not everything could be judged",
    }
    accepted = sum(1 for finding in result.every_finding if finding.accepted)
    but = f", but for {accepted} in the baseline" if accepted and result.verdict is Verdict.ALLOW else ""
    return f"{looked}: {ends[result.verdict]}{but} (profile {result.profile})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
