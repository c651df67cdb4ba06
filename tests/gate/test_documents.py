"""Values survive the way to JSON and back, and one value has one spelling."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.doubles import SUBJECT

from interlock.gate import (
    Control,
    Coverage,
    Decision,
    Finding,
    Gap,
    Level,
    Location,
    Measure,
    Observation,
    PolicyError,
    Reason,
    Report,
    Severity,
    Tool,
    Verdict,
)
from interlock.gate.documents import (
    canonical_json,
    decision_document,
    decision_from,
    digest_of,
    moment_of,
    reason_from,
    report_document,
    report_from,
    timestamp,
)

text = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
locations = st.builds(
    Location, path=text, row=st.none() | st.integers(0, 9), column=text, offset=st.none() | st.integers(0, 9)
)
findings = st.builds(
    Finding, rule_id=text, level=st.sampled_from(Level), message=text, location=locations, evidence=text
)
gaps = st.lists(st.builds(Gap, path=text, reason=text), max_size=3).map(tuple)
coverages = st.builds(Coverage, looked_at=st.lists(text, max_size=3).map(tuple), skipped=gaps, failed=gaps)
measures = st.dictionaries(text, st.tuples(numbers, text), max_size=4).map(
    lambda d: tuple(Measure(name=name, value=value, unit=unit) for name, (value, unit) in sorted(d.items()))
)
moments = st.datetimes(timezones=st.just(UTC))
reports = st.builds(
    Report,
    gate=st.just("data-validation"),
    subject=st.just(SUBJECT),
    observation=st.builds(
        Observation,
        findings=st.lists(findings, max_size=3).map(tuple),
        measures=measures,
        coverage=coverages,
        attachments=st.dictionaries(text, text, max_size=2).map(lambda d: tuple(sorted(d.items()))),
    ),
    tools=st.lists(st.builds(Tool, name=text, version=text), max_size=2).map(tuple),
    configuration=st.dictionaries(text, text, max_size=3).map(lambda d: canonical_json(d).decode()),
    started=moments,
    finished=moments,
)
controls = st.lists(st.builds(Control, framework=text, version=text, id=text), max_size=2).map(tuple)
reasons = st.builds(
    Reason,
    id=text,
    title=text,
    severity=st.sampled_from(Severity),
    message=text,
    remediation=text,
    controls=controls,
)
decisions = st.builds(
    Decision,
    verdict=st.sampled_from([Verdict.DENY, Verdict.UNDECIDED]),
    reasons=st.lists(reasons, max_size=2).map(tuple),
    warnings=st.lists(reasons, max_size=2).map(tuple),
    exemptions=st.lists(text, max_size=2).map(tuple),
    engine=text,
    engine_version=text,
    bundle_digest=text,
    decision_id=text,
    errors=st.lists(text, max_size=2).map(tuple),
)


@given(reports)
def test_a_report_survives_the_round_trip_through_json(report: Report) -> None:
    wire = json.loads(canonical_json(report_document(report)))
    assert report_from(wire) == report


@given(decisions)
def test_a_decision_survives_the_round_trip_through_json(decision: Decision) -> None:
    assert decision_from(json.loads(canonical_json(decision_document(decision)))) == decision


@given(st.dictionaries(text, numbers))
def test_the_digest_does_not_depend_on_the_order_of_keys(table: dict[str, float]) -> None:
    assert digest_of(table) == digest_of(dict(reversed(list(table.items()))))


def test_nan_has_no_canonical_spelling() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


@given(moments)
def test_a_timestamp_survives_the_round_trip(moment: datetime) -> None:
    assert moment_of(timestamp(moment)) == moment


def test_a_timestamp_is_written_in_utc_whatever_zone_it_came_from() -> None:
    there = datetime(2026, 11, 23, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(there) == "2026-11-23T10:00:00.000000Z"


def test_a_timestamp_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        moment_of("2026-11-23T10:00:00")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_moment_that_no_clock_in_utc_shows_is_refused_like_any_other_bad_one(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        moment_of(text)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"title": "t", "severity": "high", "message": "m"}, id="no-id"),
        pytest.param({"id": None, "title": "t", "severity": "high", "message": "m"}, id="null-id"),
        pytest.param({"id": "i", "title": "t", "severity": "catastrophic", "message": "m"}, id="unknown-severity"),
        pytest.param({"id": "i", "title": "t", "severity": "high", "message": 3}, id="message-is-a-number"),
        pytest.param(
            {"id": "i", "title": "t", "severity": "high", "message": "m", "controls": "AML.T0020"},
            id="controls-is-text",
        ),
    ],
)
def test_a_reason_of_another_shape_is_a_policy_error(broken: dict[str, object]) -> None:
    with pytest.raises(PolicyError, match="another shape"):
        reason_from(broken)  # type: ignore[arg-type]  # the point of the test
