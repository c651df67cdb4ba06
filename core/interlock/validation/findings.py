"""From outcomes to findings, measures and coverage. Pure, and the place where the data's values are kept out.

A finding goes into a receipt and onto web pages, so by default it says how many values and which rows, never which
values. Names of columns, counts and numeric aggregates are shown; text, dates and lists taken from a column are not.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.gate import Coverage, Finding, Gap, Json, Level, Location, Measure, Observation
from interlock.validation.engine import EXAMPLES, Outcome
from interlock.validation.suite import RequiredExpectation

RULE_PREFIX = "data-validation."
_MAX_TEXT = 200
_MAX_ITEMS = 50
_MAX_LISTED = 1000
_COUNTS = ("element_count", "missing_count", "unexpected_count", "unexpected_percent")
_SOFT_LEVELS = {"warning": Level.WARNING, "info": Level.NOTE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What the gate asks on top of the suite.

    Args:
        min_rows: Least number of rows.
        required: Expectations that must be there and be met.
        show_values: Quote offending values in findings.
        allow_severity_warnings: Failed expectations of severity ``warning`` and ``info`` do not count as failed.
    """

    min_rows: int
    required: tuple[RequiredExpectation, ...]
    show_values: bool
    allow_severity_warnings: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was looked at.

    Args:
        subject: Name of the subject.
        rows: Row count.
        columns: Column names.
        files: Files that were read, relative to the subject.
        skipped: What was left out on purpose.
        place: From a row of the table to its place in the subject.
    """

    subject: str
    rows: int
    columns: tuple[str, ...]
    files: tuple[str, ...]
    skipped: tuple[Gap, ...]
    place: Callable[[int], Location]


def observe(outcomes: Sequence[Outcome], seen: Seen, demands: Demands) -> Observation:
    """Put together what the gate reports.

    Args:
        outcomes: One for each expectation of the suite.
        seen: What they were evaluated over.
        demands: What must hold besides.
    """
    errored = [outcome for outcome in outcomes if outcome.error]
    vacuous = [outcome for outcome in outcomes if outcome.is_vacuous]
    failed = [outcome for outcome in outcomes if not outcome.error and not outcome.success]
    missing = [demand for demand in demands.required if not _is_met(demand, outcomes)]
    evaluated = len(outcomes) - len(errored) - len(vacuous)
    levels = Counter(_level(outcome, demands) for outcome in failed)
    findings = [
        *_table_findings(evaluated, seen, demands),
        *(_missing_finding(demand) for demand in missing),
        *(_failed_finding(outcome, seen, demands) for outcome in failed),
        *(_errored_finding(outcome) for outcome in errored),
        *(_vacuous_finding(outcome) for outcome in vacuous),
    ]
    examined = {column for outcome in outcomes if not outcome.error for column in outcome.spec.columns}
    measures = {
        "rows": (seen.rows, "rows"),
        "columns": (len(seen.columns), ""),
        "columns_unexamined": (len(set(seen.columns) - examined), ""),
        "expectations": (len(outcomes), ""),
        "expectations_evaluated": (evaluated, ""),
        "expectations_failed": (levels[Level.ERROR], ""),
        "expectations_warned": (levels[Level.WARNING] + levels[Level.NOTE], ""),
        "expectations_errored": (len(errored), ""),
        "expectations_vacuous": (len(vacuous), ""),
        "required_missing": (len(missing), ""),
    }
    return Observation(
        findings=tuple(findings),
        measures=tuple(Measure(name=name, value=value, unit=unit) for name, (value, unit) in measures.items()),
        coverage=Coverage(
            looked_at=seen.files if evaluated else (),
            skipped=seen.skipped,
            failed=tuple(Gap(path=seen.subject, reason=_errored_text(outcome)) for outcome in errored),
        ),
        attachments=(("expectations", _listing(outcomes)),),
    )


def _is_met(demand: RequiredExpectation, outcomes: Sequence[Outcome]) -> bool:
    """An expectation that could not be evaluated counts as there: its gap in the coverage already stops the gate."""
    return any(demand.is_met_by(outcome.spec) and not outcome.is_vacuous for outcome in outcomes)


def _level(outcome: Outcome, demands: Demands) -> Level:
    if demands.allow_severity_warnings:
        return _SOFT_LEVELS.get(outcome.spec.severity, Level.ERROR)
    return Level.ERROR


def _table_findings(evaluated: int, seen: Seen, demands: Demands) -> list[Finding]:
    findings = []
    if not evaluated:
        findings.append(_error("empty-suite", "no expectation of the suite was evaluated, so nothing was demanded"))
    if not seen.rows:
        findings.append(_error("empty-table", "the table has no row, so every expectation about values holds"))
    elif seen.rows < demands.min_rows:
        findings.append(_error("too-few-rows", f"{seen.rows} rows, at least {demands.min_rows} are demanded"))
    return findings


def _error(rule: str, message: str) -> Finding:
    return Finding(rule_id=RULE_PREFIX + rule, level=Level.ERROR, message=message)


def _missing_finding(demand: RequiredExpectation) -> Finding:
    return Finding(
        rule_id=RULE_PREFIX + "required-missing",
        level=Level.ERROR,
        message=f"the suite does not demand {demand} of the whole table",
        location=Location(column=demand.column),
    )


def _errored_text(outcome: Outcome) -> str:
    return f"{_name(outcome)} could not be evaluated: {outcome.error}"


def _errored_finding(outcome: Outcome) -> Finding:
    return Finding(
        rule_id=RULE_PREFIX + "expectation-errored",
        level=Level.WARNING,  # not an error of the data: the gap in the coverage keeps the gate shut
        message=_errored_text(outcome),
        location=Location(column=", ".join(outcome.spec.columns)),
    )


def _vacuous_finding(outcome: Outcome) -> Finding:
    why = outcome.spec.cannot_fail or "there was no value to look at"
    return Finding(
        rule_id=RULE_PREFIX + "expectation-vacuous",
        level=Level.WARNING,
        message=f"{_name(outcome)} holds without saying anything: {why}",
        location=Location(column=", ".join(outcome.spec.columns)),
    )


def _failed_finding(outcome: Outcome, seen: Seen, demands: Demands) -> Finding:
    places = [seen.place(row) for row in _rows(outcome)]
    first = places[0] if places else Location()
    return Finding(
        rule_id=RULE_PREFIX + outcome.spec.type,
        level=_level(outcome, demands),
        message=_failed_text(outcome, demands, places),
        location=Location(path=first.path, row=first.row, column=", ".join(outcome.spec.columns)),
        evidence=_evidence(outcome, demands, places),
    )


def _failed_text(outcome: Outcome, demands: Demands, places: Sequence[Location]) -> str:
    result = outcome.result
    count, total = result.get("unexpected_count"), result.get("element_count")
    if count is not None and total:
        rows = f", for example {'; '.join(str(place) for place in places)}" if places else ""
        return f"{_name(outcome)} failed: {count} of {total} values are unexpected{rows}"
    observed = _observed(outcome, show_values=demands.show_values)
    seen = f": observed {json.dumps(observed, ensure_ascii=False)}" if observed is not None else ""
    return f"{_name(outcome)} failed{seen}"


def _name(outcome: Outcome) -> str:
    columns = outcome.spec.columns
    if not columns:
        return outcome.spec.type
    return f"{outcome.spec.type} on column{'s' * (len(columns) > 1)} {', '.join(map(repr, columns))}"


def _rows(outcome: Outcome) -> list[int]:
    """Positions of offending rows; the gate reads tables under a plain index, so labels are positions."""
    listed = outcome.result.get("partial_unexpected_index_list") or []
    return [int(row) for row in listed[:EXAMPLES] if isinstance(row, int) or hasattr(row, "__index__")]


def _evidence(outcome: Outcome, demands: Demands, places: Sequence[Location]) -> str:
    result = outcome.result
    document: dict[str, Json] = {
        "type": outcome.spec.type,
        "kwargs": _plain(outcome.spec.kwargs),
        "severity": outcome.spec.severity,
    }
    document |= {name: _plain(result[name]) for name in _COUNTS if result.get(name) is not None}
    if (observed := _observed(outcome, show_values=demands.show_values)) is not None:
        document["observed_value"] = observed
    if places:
        document["rows"] = [_row(place) for place in places]
    if demands.show_values and result.get("partial_unexpected_list"):
        document["values"] = _plain(result["partial_unexpected_list"][:EXAMPLES])
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _row(place: Location) -> Json:
    return {"path": place.path, "row": place.row} if place.path else place.row


def _observed(outcome: Outcome, *, show_values: bool) -> Json:
    """Great Expectations' observed value, or a stand-in where it would quote the column."""
    value = outcome.result.get("observed_value")
    if value is None:
        return None
    about_table = not outcome.spec.columns or outcome.spec.type.endswith(("_of_type", "_in_type_list", "_type_to_be"))
    if show_values or about_table or _is_number(value):
        return _plain(value)
    size = f" of {len(value)}" if hasattr(value, "__len__") and not isinstance(value, str) else ""
    return f"hidden ({type(value).__name__}{size}; show_values=True shows it)"


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (hasattr(value, "item") and isinstance(value.item(), int | float))


def _plain(value: Any) -> Json:
    """Anything that Great Expectations returns as small, finite JSON."""
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in list(value.items())[:_MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        items: list[Json] = [_plain(item) for item in list(value)[:_MAX_ITEMS]]
        return [*items, f"and {len(value) - _MAX_ITEMS} more"] if len(value) > _MAX_ITEMS else items
    text = str(value)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."


def _listing(outcomes: Sequence[Outcome]) -> str:
    """Every expectation with what became of it, for the report page."""
    rows: list[Json] = [
        {"type": outcome.spec.type, "columns": list(outcome.spec.columns), "outcome": _word(outcome)}
        for outcome in outcomes[:_MAX_LISTED]
    ]
    return json.dumps(rows, ensure_ascii=False)


def _word(outcome: Outcome) -> str:
    if outcome.error:
        return "errored"
    if not outcome.success:
        return "failed"
    return "vacuous" if outcome.is_vacuous else "met"
