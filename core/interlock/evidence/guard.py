"""The guard: what stands at the start of a protected step and opens only on evidence about the bytes as they are now.

It holds the bytes still first, so that what is checked is what the step reads. It looks for receipts about that
digest, lets `interlock.evidence.examination` say which of them count, asks policy, and records its own decision before
it opens or refuses. Nothing that a pipeline passes around - XCom, parameters, receipt ids - is consulted. Policy may
refuse what Python would accept, never the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from interlock.evidence.examination import Examination, Witness, examine
from interlock.evidence.keyring import KeyRing
from interlock.evidence.ledger_check import LedgerEntry
from interlock.evidence.lineage import Material, lineage
from interlock.evidence.receipt import Receipt, own_tool
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.evidence.recorder import ReceiptRecorder
from interlock.evidence.verification import authentic
from interlock.gate.documents import canonical_json, decision_input
from interlock.gate.errors import EvidenceError, GuardError, LedgerError, UsageError
from interlock.gate.protocols import Decider, GateContext, Opener, OpenSubject, Recorded
from interlock.gate.run import conclude
from interlock.gate.values import (
    GATE_KINDS,
    Coverage,
    Decision,
    Finding,
    Gap,
    Json,
    Level,
    Measure,
    Observation,
    Reason,
    Report,
    Severity,
    Stage,
    Subject,
    Verdict,
    joined,
    utc_now,
)

MISSING = "guard.missing-receipt"
REFUSED = "guard.refused-receipt"
ACCEPTED = "guard.accepted-receipt"
OTHER_BYTES = "guard.other-bytes"
DAMAGED = "guard.damaged-ledger"


class BundledDecider(Decider, Protocol):
    """A decider that says which policy bundle it decides by; `interlock.policy.PolicyDecider` does."""

    @property
    def bundle_digest(self) -> str:
        """sha256 of the bundle in use."""
        ...

    def held(self) -> AbstractContextManager[BundledDecider]:
        """A decider whose bundle stays the same until the end of the block.

        Raises:
            InterlockError: The policy cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A guard that opened.

    Args:
        subject: The held bytes; the step reads these and nothing else.
        receipts: The receipts that opened it, in the order of the requirements.
        recorded: The guard's own receipt.
        bundle: sha256 of the policy bundle that decided.
    """

    subject: OpenSubject
    receipts: tuple[Receipt, ...]
    recorded: Recorded
    bundle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the guard saw: the examination, and what else it found out."""

    examination: Examination
    materials: tuple[Material, ...] = ()
    other: tuple[Receipt, ...] = ()
    damage: LedgerError | None = None


class Guard:
    """Opens protected steps on evidence."""

    def __init__(
        self,
        *,
        receipts: ReceiptSource,
        keyring: KeyRing,
        opener: Opener,
        decider: BundledDecider,
        recorder: ReceiptRecorder,
        known_bundles: Collection[str] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Nothing is opened yet.

        Args:
            receipts: Where receipts are looked for; not trusted.
            keyring: Whose signatures count.
            opener: Holds the bytes still.
            decider: Asks policy.
            recorder: Signs and stores the guard's own receipt.
            known_bundles: Digests of further policy bundles whose receipts count.
            clock: UTC now; replaced in tests.
        """
        self._receipts = receipts
        self._keyring = keyring
        self._opener = opener
        self._decider = decider
        self._recorder = recorder
        self._known_bundles = frozenset(known_bundles)
        self._clock = clock

    @contextmanager
    def open(
        self,
        uri: str,
        *,
        kind: str,
        requires: Sequence[str],
        context: GateContext,
        requested: Mapping[str, Json] | None = None,
        beforehand: Callable[[Subject], Observation] | None = None,
    ) -> Iterator[Opened]:
        """Open the step on the bytes at `uri`, or refuse; the decision is in the ledger either way.

        Args:
            uri: What the step is about to use; path or URL, untrusted.
            kind: ``training`` or ``deployment``.
            requires: Kinds of gate that must have allowed exactly these bytes; at least one.
            context: Run identity and profile; the stage is always the guard's.
            requested: What the step asks for, for policy to judge.
            beforehand: Measures what policy wants to know beside the receipts (the state of GPUs, what is left of a
                budget), once the bytes are held; what could not be measured never opens the guard.

        Raises:
            GuardError: The evidence does not suffice, or policy did not allow; names what, where and what to do.
            SubjectError: The bytes could not be held, so there is nothing to write a receipt about.
            EvidenceError: The guard's receipt could not be written, so the step may not start.
            UnavailableError: Storage, ledger or key service did not answer; try again.
            UsageError: `kind` or `requires` names no kind of gate, or nothing is required; or what the settings say of
                the policy's server cannot be used.
            PolicyError: The policy that would decide cannot be had.
        """
        wanted = _checked(kind, requires)
        context = replace(context, stage=Stage.GUARD)
        started = self._clock()
        with self._opener.open(uri) as held:
            seen, report, decision = self._decide(
                held.subject, kind, wanted, context, requested=requested, beforehand=beforehand, started=started
            )
            recorded = self._recorder.record(
                report, decision, context, inputs=[_recorded(witness) for witness in seen.examination.accepted]
            )
            if decision.verdict is not Verdict.ALLOW:
                raise _refused(report, seen, decision, recorded)
            receipts = tuple(witness.receipt for witness in seen.examination.accepted)
            yield Opened(subject=held, receipts=receipts, recorded=recorded, bundle=decision.bundle_digest)

    def _decide(
        self,
        subject: Subject,
        kind: str,
        requires: tuple[str, ...],
        context: GateContext,
        *,
        requested: Mapping[str, Json] | None,
        beforehand: Callable[[Subject], Observation] | None,
        started: datetime,
    ) -> tuple[_Seen, Report, Decision]:
        """Look and ask by one policy: receipts that count by the old one are nothing to decide on by the new one."""
        with self._decider.held() as decider:
            bundle = decider.bundle_digest
            seen = self._look(subject, requires, context, bundle)
            if kind == "deployment":
                seen = self._trace(seen, context, requested or {}, bundle)
            report = self._report(subject, kind, requires, seen, started=started, bundle=bundle)
            if beforehand is not None:
                report = replace(report, observation=joined((report.observation, beforehand(subject))))
            document = decision_input(
                report,
                context,
                now=self._clock(),
                receipts=[witness.document() for witness in seen.examination.witnesses],
                lineage=[material.document() for material in seen.materials],
                requested=requested,
            )
            return seen, report, _never_weaker(seen, conclude(report, decider.decide(document)))

    def _look(self, subject: Subject, requires: tuple[str, ...], context: GateContext, bundle: str) -> _Seen:
        damage: LedgerError | None = None
        entries: tuple[LedgerEntry, ...] = ()
        try:
            entries = self._receipts.find(subject.digest)
        except LedgerError as error:
            damage = error
        examination = self._examine(entries, subject.digest, requires, context, bundle)
        other = self._other_bytes(subject, examination.missing, context) if examination.missing and not damage else ()
        return _Seen(examination=examination, other=other, damage=damage)

    def _examine(
        self, entries: Sequence[LedgerEntry], digest: str, requires: Sequence[str], context: GateContext, bundle: str
    ) -> Examination:
        return examine(
            entries,
            digest=digest,
            requires=requires,
            run=context.run,
            keyring=self._keyring,
            bundles=(self._known_bundles | {bundle}) - {""},
            now=self._clock(),
        )

    def _trace(self, seen: _Seen, context: GateContext, requested: Mapping[str, Json], bundle: str) -> _Seen:
        """What the model was made from, with the receipts for each part of it; policy says which are needed."""

        def witnesses(digest: str) -> tuple[Witness, ...]:
            return self._examine(self._receipts.find(digest), digest, GATE_KINDS, context, bundle).witnesses

        trainings = [witness for witness in seen.examination.accepted if witness.receipt.gate == "training"]
        try:
            materials = lineage(trainings, requested, receipts=self._receipts, witnesses=witnesses)
        except LedgerError as error:
            return replace(seen, damage=seen.damage or error)
        return replace(seen, materials=materials)

    def _other_bytes(self, subject: Subject, missing: tuple[str, ...], context: GateContext) -> tuple[Receipt, ...]:
        """This run's receipts for something of the same name or place, but with other bytes; only to explain."""
        found = []
        try:
            entries = self._receipts.of_run(context.run)
        except LedgerError:
            return ()  # whatever is damaged there did not concern these bytes; the missing receipt is reported anyway
        for entry in entries:
            try:
                receipt = authentic(entry.envelope, self._keyring).receipt
            except EvidenceError:
                continue
            same = receipt.subject.uri == subject.uri or receipt.subject.name == subject.name
            if same and receipt.gate in missing and receipt.stage is Stage.GATE:
                found.append(receipt)
        return tuple(receipt for receipt in found if receipt.subject.digest != subject.digest)

    def _report(
        self, subject: Subject, kind: str, requires: tuple[str, ...], seen: _Seen, *, started: datetime, bundle: str
    ) -> Report:
        configuration: dict[str, Json] = {
            "requires": list(requires),
            "bundle": bundle,
            "known_bundles": sorted(self._known_bundles),
        }
        return Report(
            gate=kind,
            subject=subject,
            observation=_observation(subject, seen),
            tools=(own_tool(),),
            configuration=canonical_json(configuration).decode(),
            started=started,
            finished=self._clock(),
        )


def _checked(kind: str, requires: Sequence[str]) -> tuple[str, ...]:
    for gate in (kind, *requires):
        if gate not in GATE_KINDS:
            raise UsageError(f"unknown kind of gate {gate!r}", next_step=f"use one of {', '.join(GATE_KINDS)}")
    if not requires:
        raise UsageError(
            "a guard that requires nothing would be an open door", next_step="name the gates in `requires`"
        )
    return tuple(dict.fromkeys(requires))


def _observation(subject: Subject, seen: _Seen) -> Observation:
    examination = seen.examination
    found = {witness.receipt.receipt_id for witness in examination.witnesses}
    found |= {refusal.receipt_id for refusal in examination.refusals}
    numbers = {
        "receipts_found": len(found),
        "receipts_accepted": len(examination.accepted),
        "receipts_missing": len(examination.missing),
    }
    failed = (Gap(path="ledger", reason=str(seen.damage)),) if seen.damage else ()
    return Observation(
        findings=(*_damage_findings(seen), *_other_findings(subject, seen), *_receipt_findings(examination)),
        measures=tuple(Measure(name=name, value=value) for name, value in numbers.items()),
        coverage=Coverage(looked_at=(subject.name, *(["ledger"] if found else [])), failed=failed),
    )


def _damage_findings(seen: _Seen) -> Iterator[Finding]:
    if seen.damage:
        yield Finding(rule_id=DAMAGED, level=Level.ERROR, message=f"the evidence is damaged: {seen.damage}")


def _other_findings(subject: Subject, seen: _Seen) -> Iterator[Finding]:
    for digest in dict.fromkeys(receipt.subject.digest for receipt in seen.other):
        gates = ", ".join(dict.fromkeys(r.gate for r in seen.other if r.subject.digest == digest))
        yield Finding(
            rule_id=OTHER_BYTES,
            level=Level.ERROR,
            message=(
                f"{subject.name}: bytes differ from what was scanned ({gates}): "
                f"scanned sha256:{digest}, now sha256:{subject.digest}"
            ),
        )


def _receipt_findings(examination: Examination) -> Iterator[Finding]:
    for gate in examination.missing:
        why = [refusal.reason for refusal in examination.refusals if refusal.gate in {gate, ""}]
        because = f"; the nearest one {why[-1]}" if why else ""
        yield Finding(rule_id=MISSING, level=Level.ERROR, message=f"no {gate} receipt opens for these bytes{because}")
    for refusal in examination.refusals:
        yield Finding(
            rule_id=REFUSED,
            level=Level.WARNING,
            message=f"{refusal.gate or 'unverified'} receipt {refusal.receipt_id}: {refusal.reason}",
            evidence=canonical_json({"receipt_id": refusal.receipt_id, "next_step": refusal.next_step}).decode(),
        )
    for witness in examination.accepted:
        yield Finding(
            rule_id=ACCEPTED,
            level=Level.NOTE,
            message=f"{witness.receipt.gate} receipt {witness.receipt.receipt_id}",
            evidence=canonical_json(witness.document()).decode(),
        )


def _never_weaker(seen: _Seen, decision: Decision) -> Decision:
    """Without every required receipt nothing opens, whatever policy said; a damaged ledger is `conclude`'s."""
    if decision.verdict is not Verdict.ALLOW or not seen.examination.missing:
        return decision
    reasons = tuple(
        Reason(
            id=MISSING,
            title="A required receipt is missing",
            severity=Severity.CRITICAL,
            message=f"no {gate} receipt opens for these bytes",
            remediation=f"run the {gate} gate on exactly these bytes",
        )
        for gate in seen.examination.missing
    )
    return replace(decision, verdict=Verdict.DENY, reasons=reasons)


def _recorded(witness: Witness) -> Recorded:
    return Recorded(receipt_id=witness.entry.receipt_id, envelope_digest=witness.entry.envelope_digest)


def _refused(report: Report, seen: _Seen, decision: Decision, recorded: Recorded) -> GuardError:
    findings = [finding.message for finding in report.observation.findings if finding.level is Level.ERROR]
    policy = [reason.message for reason in decision.reasons] or list(decision.errors)
    why = findings or policy or ["policy did not allow it"]
    more = f" (and {len(why) - 1} more)" if len(why) > 1 else ""
    return GuardError(
        f"the {report.gate} guard stays shut: {why[0]}{more}",
        where=report.subject.uri,
        next_step=f"{_advice(seen, decision)}; details: interlock ledger show {recorded.receipt_id}",
        receipt_id=recorded.receipt_id,
    )


def _advice(seen: _Seen, decision: Decision) -> str:
    if seen.damage:
        return seen.damage.next_step
    missing = seen.examination.missing
    if seen.other:
        return "find out who changed it, then run its gates on the bytes that are there now"
    if missing:
        hints = [r.next_step for r in seen.examination.refusals if r.next_step and r.gate in {missing[0], ""}]
        return hints[-1] if hints else f"run the {missing[0]} gate on exactly these bytes"
    hints = [reason.remediation for reason in decision.reasons if reason.remediation]
    return hints[0].rstrip(".") if hints else "ask whoever keeps the policy"
