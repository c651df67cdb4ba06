"""The run of one gate: what is stored, what is raised, and what no policy may override."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.doubles import CONTEXT, SUBJECT, FixedDecider, FixedGate, FixedOpener, ListRecorder

from interlock.gate import (
    Coverage,
    Decision,
    DeniedError,
    Finding,
    Gap,
    GateOutcome,
    Level,
    Observation,
    OpenSubject,
    Reason,
    Severity,
    SubjectError,
    UnavailableError,
    UndecidedError,
    UsageError,
    Verdict,
    conclude,
    look,
    run_gate,
)
from interlock.gate.run import COULD_NOT_LOOK
from interlock.policy.schemas import schema

SEEN = Observation(coverage=Coverage(looked_at=("",)))
REASON = Reason(id="r", title="t", severity=Severity.HIGH, message="too few rows", remediation="Add rows.")
DENY = Decision(verdict=Verdict.DENY, reasons=(REASON,))
ALLOW = Decision(verdict=Verdict.ALLOW)
ERROR = Finding(rule_id="data-validation.x", level=Level.ERROR, message="wrong")
GAP = Gap(path="a.parquet", reason="truncated")


def run(gate: FixedGate, decider: FixedDecider, recorder: ListRecorder) -> GateOutcome:
    return run_gate(gate, SUBJECT.uri, context=CONTEXT, opener=FixedOpener(), decider=decider, recorder=recorder)


def test_an_allowed_run_is_stored_and_raises_nothing() -> None:
    recorder = ListRecorder()
    outcome = run(FixedGate(), FixedDecider(), recorder)
    outcome.raise_unless_allowed()
    assert outcome.decision.verdict is Verdict.ALLOW
    assert len(recorder.kept) == 1


def test_a_denied_run_is_stored_before_it_raises() -> None:
    recorder = ListRecorder()
    outcome = run(FixedGate(), FixedDecider(says=DENY), recorder)
    assert recorder.kept[0][1].verdict is Verdict.DENY
    with pytest.raises(DeniedError, match="too few rows") as caught:
        outcome.raise_unless_allowed()
    assert caught.value.receipt_id == "receipt-1"
    assert "interlock ledger show receipt-1" in str(caught.value)
    assert caught.value.exit_status == 1


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(SubjectError("the Parquet footer is missing"), id="unreadable-subject"),
        pytest.param(ZeroDivisionError("division by zero"), id="crash-in-the-gate"),
        pytest.param(RecursionError("maximum recursion depth"), id="hostile-nesting"),
        pytest.param(MemoryError(), id="out-of-memory"),
    ],
)
def test_a_gate_that_could_not_look_leaves_an_undecided_receipt(trouble: Exception) -> None:
    recorder = ListRecorder()
    outcome = run(FixedGate(sees=trouble), FixedDecider(), recorder)
    assert outcome.decision.verdict is Verdict.UNDECIDED
    assert [f.rule_id for f in recorder.kept[0][0].observation.findings] == [COULD_NOT_LOOK]
    with pytest.raises(UndecidedError) as caught:
        outcome.raise_unless_allowed()
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("trouble", [UsageError("no such column"), UnavailableError("the lake is down")])
def test_a_callers_mistake_and_passing_trouble_are_not_evidence(trouble: Exception) -> None:
    recorder = ListRecorder()
    with pytest.raises(type(trouble)):
        run(FixedGate(sees=trouble), FixedDecider(), recorder)
    assert recorder.kept == []


def test_an_unknown_kind_of_gate_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(UsageError, match="unknown kind"):
        run(FixedGate(kind="vibes"), FixedDecider(), ListRecorder())


def test_policy_reads_the_report_without_its_attachments() -> None:
    decider = FixedDecider()
    seen = Observation(coverage=Coverage(looked_at=("",)), attachments=(("picture", "{}"),))
    run(FixedGate(sees=seen), decider, ListRecorder())
    document = decider.asked[0]
    assert set(document) == set(schema("decision_input.json")["properties"])  # type: ignore[arg-type]  # Json is wide
    assert "attachments" not in document["report"]  # type: ignore[operator]  # Json is wide; this one is a mapping


observations = st.builds(
    Observation,
    findings=st.lists(st.just(ERROR), max_size=2).map(tuple),
    coverage=st.builds(
        Coverage,
        looked_at=st.lists(st.just("a"), max_size=1).map(tuple),
        failed=st.lists(st.just(GAP), max_size=2).map(tuple),
    ),
)
decisions = st.sampled_from([ALLOW, DENY, Decision(verdict=Verdict.UNDECIDED, errors=("timeout",))])


@given(observations, decisions)
def test_conclude_never_makes_a_decision_more_permissive(seen: Observation, decision: Decision) -> None:
    report = look(FixedGate(sees=seen), next_opened())
    concluded = conclude(report, decision)
    if concluded.verdict is Verdict.ALLOW:
        assert decision.verdict is Verdict.ALLOW
        assert seen.coverage.looked_at
        assert not seen.coverage.failed


@given(observations, decisions)
def test_adding_a_finding_never_turns_a_refusal_into_an_allow(seen: Observation, decision: Decision) -> None:
    more = Observation(findings=(*seen.findings, ERROR), coverage=seen.coverage)
    before = conclude(look(FixedGate(sees=seen), next_opened()), decision)
    after = conclude(look(FixedGate(sees=more), next_opened()), decision)
    assert after.verdict is not Verdict.ALLOW or before.verdict is Verdict.ALLOW


def test_what_was_found_denies_even_when_something_else_could_not_be_read() -> None:
    seen = Observation(findings=(ERROR,), coverage=Coverage(looked_at=("b",), failed=(GAP,)))
    assert conclude(look(FixedGate(sees=seen), next_opened()), DENY).verdict is Verdict.DENY


def test_a_verdict_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="three values"):
        bool(Verdict.ALLOW)


def next_opened() -> OpenSubject:
    with FixedOpener().open(SUBJECT.uri) as opened:
        return opened
