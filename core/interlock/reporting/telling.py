"""The outcome of a gate as lines of a task's log, the way a tired engineer reads it at night."""

from __future__ import annotations

from typing import Protocol

from interlock.gate import GateOutcome

MAX_FINDINGS = 20


class Log(Protocol):
    """What lines go to; `logging.Logger` and Airflow's own are such."""

    def info(self, msg: str, /, *args: object) -> None:
        """Write a line."""
        ...

    def warning(self, msg: str, /, *args: object) -> None:
        """Write a line that deserves a look."""
        ...

    def error(self, msg: str, /, *args: object) -> None:
        """Write a line that says why the step stops."""
        ...


def tell(log: Log, outcome: GateOutcome) -> None:
    """Write what was seen, what policy says of it, and which receipt holds both."""
    report, decision = outcome.report, outcome.decision
    log.info("%s of %s (sha256:%s)", report.gate, report.subject.uri, report.subject.digest)
    findings = report.observation.findings
    for finding in findings[:MAX_FINDINGS]:
        log.info("%s %s: %s %s", finding.level.value, finding.rule_id, finding.message, finding.location)
    if len(findings) > MAX_FINDINGS:
        log.info("... and %d more findings", len(findings) - MAX_FINDINGS)
    for warning in decision.warnings:
        log.warning("%s: %s", warning.id, warning.message)
    for reason in decision.reasons:
        log.error("%s: %s. %s", reason.id, reason.message, reason.remediation)
    for error in decision.errors:
        log.error("%s", error)
    for written in outcome.written:
        log.info("%s", written)
    log.info("%s, receipt %s", decision.verdict.value, outcome.recorded.receipt_id)
