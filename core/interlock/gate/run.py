"""The run of one gate: open the subject, look, report, decide, sign and store, then raise if not ALLOW.

The order is the guarantee. The bytes are held still before anyone looks, so the digest in the receipt names what was
seen. The receipt is durable before an exception leaves, so a refused step is as well documented as an allowed one.
Deciding is pure (`conclude`); everything that does I/O is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeAlias, runtime_checkable

from interlock.gate.documents import canonical_json, decision_input
from interlock.gate.errors import DeniedError, InterlockError, UnavailableError, UndecidedError, UsageError
from interlock.gate.protocols import (
    Decider,
    Derived,
    Gate,
    GateContext,
    Opener,
    OpenSubject,
    Recorded,
    Recorder,
    Using,
    Written,
)
from interlock.gate.values import (
    GATE_KINDS,
    Coverage,
    Decision,
    Finding,
    Gap,
    Json,
    Level,
    Observation,
    Report,
    Subject,
    Verdict,
    utc_now,
)

COULD_NOT_LOOK = "gate.could-not-look"
"""Rule id of the finding that stands for a gate that crashed or could not read its subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """What one run of a gate came to: everything that an operator or a terminal shows.

    Args:
        report: What was seen.
        decision: What policy says of it.
        recorded: The receipt.
        written: What the gate left behind beside its report.
    """

    report: Report
    decision: Decision
    recorded: Recorded
    written: tuple[Written, ...] = ()

    def raise_unless_allowed(self) -> None:
        """Let only ALLOW pass.

        Raises:
            DeniedError: Policy said no.
            UndecidedError: Nobody could tell.
        """
        if self.decision.verdict is Verdict.ALLOW:
            return
        kind = DeniedError if self.decision.verdict is Verdict.DENY else UndecidedError
        raise kind(
            f"{self.decision.verdict.value} at {self.report.gate}: {_why(self.decision)}",
            where=self.report.subject.uri,
            next_step=_next_step(self.decision, self.recorded.receipt_id),
            receipt_id=self.recorded.receipt_id,
        )


Sequel: TypeAlias = Callable[[OpenSubject, GateOutcome], tuple[Written, ...]]
"""What follows the outcome of a gate while the bytes are still held."""


@runtime_checkable
class Leaving(Protocol):
    """A gate that can leave something behind beside its report."""

    def sequel(self, places: Mapping[str, str], derived: Derived) -> Sequel:
        """What writes its outputs, once the outcome is stored.

        Args:
            places: Where each output goes, untrusted.
            derived: Writes the receipt of what was made from the subject.

        Raises:
            UsageError: There is no such output, or a place cannot be written.
        """
        ...


def run_gate(
    gate: Gate,
    uri: str,
    *,
    context: GateContext,
    opener: Opener,
    decider: Decider,
    recorder: Recorder,
    requested: Mapping[str, Json] | None = None,
    materials: Sequence[Subject] = (),
    sequel: Sequel | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> GateOutcome:
    """Run `gate` on the subject at `uri`; the outcome is stored before this returns.

    Args:
        gate: What looks.
        uri: Path or URL of the subject, untrusted.
        context: Run identity, profile and stage.
        opener: Holds the subject's bytes still.
        decider: Asks policy.
        recorder: Signs and stores the receipt.
        requested: What the step asks for, for policy to judge.
        materials: What the subject was made from, for its provenance.
        sequel: What is done with the held bytes once the receipt is durable; an error in it changes no receipt.
        clock: UTC now; replaced in tests.

    Raises:
        SubjectError: The subject could not be opened at all, so there are no bytes to write a receipt about.
        EvidenceError: The receipt could not be written.
        UsageError: The gate was set wrongly.
        UnavailableError: Infrastructure trouble; try again.
    """
    if gate.kind not in GATE_KINDS:
        raise UsageError(f"unknown kind of gate {gate.kind!r}", next_step=f"use one of {', '.join(GATE_KINDS)}")
    with opener.open(uri) as opened:
        report = look(gate, opened, clock=clock)
        document = decision_input(report, context, now=clock(), requested=requested)
        decision = conclude(report, decider.decide(document))
        used = gate.used() if isinstance(gate, Using) else ()
        recorded = recorder.record(report, decision, context, materials=(*materials, *used))
        outcome = GateOutcome(report=report, decision=decision, recorded=recorded)
        return outcome if sequel is None else replace(outcome, written=sequel(opened, outcome))


def look(gate: Gate, opened: OpenSubject, *, clock: Callable[[], datetime] = utc_now) -> Report:
    """Let `gate` look, and turn a failure to look into a report that says so.

    Raises:
        UsageError: The gate was set wrongly; no receipt would help.
        UnavailableError: Infrastructure trouble; try again.
    """
    started = clock()
    try:
        observation = gate.look(opened)
    except (UsageError, UnavailableError):
        raise
    except InterlockError as error:
        observation = _could_not_look(opened, str(error))
    except Exception as error:  # noqa: BLE001
        # The plug-in boundary: a detector that crashes on hostile bytes must leave a receipt, not a stack trace.
        observation = _could_not_look(opened, f"{type(error).__name__}: {error}")
    return Report(
        gate=gate.kind,
        subject=opened.subject,
        observation=observation,
        tools=gate.tools,
        configuration=canonical_json(gate.configuration()).decode(),
        started=started,
        finished=clock(),
    )


def conclude(report: Report, decision: Decision) -> Decision:
    """Apply what no policy may override: without whole coverage nothing is ALLOW.

    A part that could not be examined makes the outcome UNDECIDED, unless policy denies because of something that
    was found. Pure and total.
    """
    seen = report.observation
    if decision.verdict is Verdict.UNDECIDED:
        return decision
    found = any(f.level is Level.ERROR and f.rule_id != COULD_NOT_LOOK for f in seen.findings)
    if decision.verdict is Verdict.DENY and found:
        return decision
    if seen.coverage.failed:
        gaps = tuple(f"{gap.path or report.subject.name}: {gap.reason}" for gap in seen.coverage.failed)
        return replace(decision, verdict=Verdict.UNDECIDED, errors=decision.errors + gaps)
    if decision.verdict is Verdict.ALLOW and seen.coverage.nothing_looked_at:
        return replace(decision, verdict=Verdict.UNDECIDED, errors=(*decision.errors, "nothing was looked at"))
    return decision


def _could_not_look(opened: OpenSubject, reason: str) -> Observation:
    return Observation(
        findings=(Finding(rule_id=COULD_NOT_LOOK, level=Level.ERROR, message=reason),),
        coverage=Coverage(failed=(Gap(path=opened.subject.name, reason=reason),)),
    )


def _why(decision: Decision) -> str:
    reasons = [reason.message for reason in decision.reasons] or list(decision.errors)
    if not reasons:
        return "policy gave no reason"
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return reasons[0] + more


def _next_step(decision: Decision, receipt_id: str) -> str:
    advice = next((reason.remediation for reason in decision.reasons if reason.remediation), "")
    show = f"interlock ledger show {receipt_id}"
    return f"{advice.rstrip('.')}; details: {show}" if advice else show
