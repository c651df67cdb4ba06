"""What a worker says of one file, read back strictly: whatever is of another shape makes the file undecided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.gate.errors import InterlockError
from interlock.gate.values import Json, Level
from interlock.lint.forked import FailedError, TooLongError
from interlock.lint.values import RULES, DagResult, LintFinding
from interlock.pipeline import Mode, Violation, Why, graph_document, graph_from

_LONGEST = 4_000
"""Characters of one text that are kept."""


def dag_answer(dag: DagResult) -> Json:
    """Write one pipeline down; `read_answer` reads it back."""
    graph = graph_document(dag.graph) if dag.graph is not None else None
    return {"dag": dag.dag, "mode": dag.mode, "line": dag.line, "graph": graph}


def finding_answer(
    rule_id: str,
    message: str,
    *,
    level: Level = Level.ERROR,
    line: int = 0,
    dag: str = "",
    step: str = "",
    gate: str = "",
    fixes: tuple[str, ...] = (),
) -> dict[str, Json]:
    """Write one finding down, as a worker sends it; see `LintFinding`."""
    return {
        "rule_id": rule_id,
        "message": message,
        "level": level.value,
        "line": line,
        "dag": dag,
        "step": step,
        "gate": gate,
        "fixes": list(fixes),
    }


def failed_answer(error: InterlockError) -> dict[str, Json]:
    """Write down that a file could not be judged, as the fork that loaded it says."""
    hints = (error.next_step,) if error.next_step else ()
    return finding_answer(failed_rule(error), f"the file cannot be judged: {error.what}", fixes=hints)


def failed_rule(error: InterlockError) -> str:
    """The id of the rule for a fork that took too long, failed, or gave no answer."""
    if isinstance(error, TooLongError):
        return "lint.timeout"
    return "lint.import-error" if isinstance(error, FailedError) else "lint.no-answer"


def rule_of(violation: Violation) -> str:
    """The id of the rule that a violation is reported under."""
    reasons = {obstacle.why for obstacle in violation.obstacles}
    if reasons == {Why.OTHER_SUBJECT}:
        return "lint.other-subject"
    if reasons == {Why.UNSAID}:
        return "lint.unsaid-subject"
    return f"lint.ungated-{violation.protects}"


def read_answer(answer: Mapping[str, Any], path: str) -> tuple[tuple[DagResult, ...], tuple[LintFinding, ...]]:
    """The pipelines and the findings of one file.

    Args:
        answer: Of a worker; what it quotes is untrusted.
        path: The file, as the user named it.

    Raises:
        InterlockError: The answer is of another shape.
    """
    try:
        dags = tuple(_dag(dag) for dag in answer["dags"])
        findings = tuple(_finding(finding, path) for finding in answer["findings"])
    except (KeyError, TypeError, ValueError) as error:
        raise InterlockError(f"the worker's answer is of another shape: {error!r}", where=path) from error
    return (
        tuple(sorted(dags, key=lambda dag: dag.dag)),
        tuple(sorted(findings, key=lambda one: (one.line, one.dag, one.step, one.rule_id, one.gate))),
    )


def _dag(dag: Mapping[str, Any]) -> DagResult:
    graph = graph_from(dag["graph"]) if dag["graph"] is not None else None
    return DagResult(dag=_text(dag["dag"]), mode=Mode(dag["mode"]).value, line=_line(dag["line"]), graph=graph)


def _finding(finding: Mapping[str, Any], path: str) -> LintFinding:
    if finding["rule_id"] not in RULES:
        raise ValueError(finding["rule_id"])
    return LintFinding(
        rule_id=finding["rule_id"],
        level=Level(finding["level"]),
        message=_text(finding["message"]),
        path=path,
        line=_line(finding["line"]),
        dag=_text(finding["dag"]),
        step=_text(finding["step"]),
        gate=_text(finding["gate"]),
        fixes=tuple(_text(line) for line in finding["fixes"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    whole = value.encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}…"


def _line(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(value)
    return value
