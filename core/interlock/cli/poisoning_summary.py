"""What a terminal says of a poisoning scan: at most ten lines, each cut to the terminal's width.

The report, the receipt and ``--out`` have all of it.
"""

from __future__ import annotations

from interlock.cli import show
from interlock.gate import GateOutcome, Level

MAX_REASONS = 2
MAX_FINDINGS = 3

_LEVELS = (Level.ERROR, Level.WARNING, Level.NOTE)


def say_poisoning(outcome: GateOutcome) -> None:
    """Verdict, digest, what was looked at, what was flagged, why, the gravest findings, receipt."""
    report = outcome.report
    show.say_verdict(outcome.decision.verdict, f"{report.gate} of {report.subject.uri}")
    for line in (f"sha256:{report.subject.digest}", *_counts(outcome), *_reasons(outcome), *_findings(outcome)):
        show.say(line, whole=False)
    show.say(f"receipt {outcome.recorded.receipt_id}")


def _counts(outcome: GateOutcome) -> list[str]:
    measured = {measure.name: measure.value for measure in outcome.report.observation.measures}
    if "rows" not in measured:
        return []
    skipped, looked = measured["detectors_skipped"], measured["detectors_run"]
    return [
        f"  {measured['rows']:,.0f} rows, {measured['classes']:,.0f} classes, {measured['features']:,.0f} features; "
        f"{looked:.0f} detectors looked, {skipped:.0f} could not",
        f"  {measured['flagged_rows']:,.0f} rows flagged ({measured['flagged_fraction']:.2%}); strongest evidence "
        f"{measured['strongest']:.2f} of 1, where 0.50 is the false-alarm budget",
    ]


def _reasons(outcome: GateOutcome) -> list[str]:
    """Why it is not ALLOW, what cannot be told before what is too much."""
    decision = outcome.decision
    said = [f"could not tell: {error}" for error in decision.errors]
    said += [f"{reason.severity.value}: {reason.message}. {reason.remediation}".rstrip() for reason in decision.reasons]
    said += [f"warning: {warning.message}" for warning in decision.warnings]
    return [f"  {line}" for line in _first(said, MAX_REASONS, "reasons")]


def _findings(outcome: GateOutcome) -> list[str]:
    """The gravest first, otherwise as the gate gave them."""
    found = sorted(outcome.report.observation.findings, key=lambda finding: _LEVELS.index(finding.level))
    said = []
    for finding in found:
        where = f" ({finding.location})" if str(finding.location) else ""
        said.append(f"{finding.level.value} {finding.rule_id.partition('.')[2]}{where}: {finding.message}")
    return [f"  {line}" for line in _first(said, MAX_FINDINGS, "findings: add --out report.html")]


def _first(lines: list[str], most: int, what: str) -> list[str]:
    """The first lines; the last of them says how many more there are."""
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"... and {len(lines) - most + 1} more {what}"]
