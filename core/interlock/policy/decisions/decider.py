"""From one input document to one decision, failing closed.

ALLOW needs all of this: the input is what the schema says, the engine answered in time, and the answer is a complete
document whose `allow` is true and which gives no reason. DENY needs a complete document that says so. Everything else
is UNDECIDED, with what was wrong in `errors`.

Every path of a deployment goes through `PolicyDecider.decide`, so it is also where signed exemptions and approvals come
in, and where each decision is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from time import perf_counter_ns
from uuid import uuid4

from interlock.gate.documents import moment_of, reason_from
from interlock.gate.errors import InterlockError, PolicyError
from interlock.gate.protocols import Granted, Grants
from interlock.gate.values import Decision, Json, Reason, Severity, Verdict
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.decisions.log import DecisionLog, Judged
from interlock.policy.engine import Answer, EngineSilentError, PolicyEngine
from interlock.policy.schemas import decision_problems, input_problems

DECISION_PATH = "data.interlock.decision.result"
"""The document that is asked for."""

NO_ANSWER = Answer(defined=False, value=None)
"""What a decision rests on when the engine gave none."""

_SILENCE = Answer(defined=False, value=None)
"""The same, where a whole deadline went by: to ask by which bundle it would have been would cost another."""

GRANT_REFUSED = "exemption.refused"
"""Id of the warning that an exemption or approval was there and did not count."""


class PolicyDecider:
    """Implements `interlock.gate.Decider` over any engine, by one bundle for as long as it lives.

    Args:
        engine: Answers; closed with this decider.
        bundle: The policy as this process reads it, for `required_gates`; what decides is the engine's.
        grants: Knows the signed exemptions and approvals; without it none holds.
        log: Keeps every decision; without it none is kept.
    """

    def __init__(
        self, engine: PolicyEngine, bundle: Bundle, *, grants: Grants | None = None, log: DecisionLog | None = None
    ) -> None:
        self._engine = engine
        self._bundle = bundle
        self._grants = grants
        self._log = log

    @property
    def bundle(self) -> Bundle:
        """The policy."""
        return self._bundle

    @property
    def engine(self) -> PolicyEngine:
        """What answers."""
        return self._engine

    @property
    def bundle_digest(self) -> str:
        """sha256 of the bundle that the engine decides by, as in receipts; empty where it cannot say."""
        return self._engine.bundle_digest

    def decide(self, document: Mapping[str, Json]) -> Decision:
        """Decide one input document (``policies/schemas/decision_input.json``), and log it.

        What the document itself says of exemptions and approvals is thrown away: only what was verified here counts.
        Never raises for an input, an answer or a log that cannot be used; that is UNDECIDED.
        """
        return self._concluded(document, self.judge)

    def refuse(self, document: Mapping[str, Json], error: str) -> Decision:
        """UNDECIDED without a question, by no bundle: the policy that would answer cannot be had. Logged as any other.

        Args:
            document: As for `decide`.
            error: Why.
        """
        decision = Decision(
            verdict=Verdict.UNDECIDED,
            engine=self._engine.name,
            engine_version=self._engine.version,
            decision_id=str(uuid4()),
            errors=(error,),
        )

        def unasked(asked: Mapping[str, Json]) -> Judged:
            valid = not _shape_problems(asked)
            return Judged(decision=decision, answer=NO_ANSWER, input_valid=valid, answer_valid=False, nanoseconds=0)

        return self._concluded(document, unasked)

    def over(self, engine: PolicyEngine, bundle: Bundle) -> PolicyDecider:
        """Another decider with the same grants, and the same log going on.

        Raises:
            PolicyError: What the bundle says of masking cannot be read.
        """
        log = self._log.over(engine, bundle) if self._log is not None else None
        return PolicyDecider(engine, bundle, grants=self._grants, log=log)

    @contextmanager
    def held(self) -> Iterator[PolicyDecider]:
        """Itself: what is asked in the block is decided by one bundle, as always here."""
        yield self

    def _concluded(self, document: Mapping[str, Json], judge: Callable[[Mapping[str, Json]], Judged]) -> Decision:
        granted = self._granted(document)
        asked = {**document, "exemptions": list(granted.exemptions), "approvals": list(granted.approvals)}
        judged = judge(asked)
        decision = replace(judged.decision, not_after=_first_end(granted, judged.decision.exemptions))
        if granted.refused:
            decision = replace(decision, warnings=(*decision.warnings, *map(_refusal, granted.refused)))
        if self._log is None:
            return decision
        try:
            event_digest = self._log.write(judged, asked, refused=granted.refused)
        except InterlockError as error:
            errors = (*decision.errors, f"the decision could not be logged: {error}")
            return replace(decision, verdict=Verdict.UNDECIDED, errors=errors)
        return replace(decision, event_digest=event_digest)

    def judge(self, document: Mapping[str, Json]) -> Judged:
        """Decide a document as it stands: nothing is filled in and nothing is logged. For replay.

        Never raises for an input or an answer that cannot be used; that is UNDECIDED.
        """
        began = perf_counter_ns()
        answer, errors, input_valid = self._ask(document)
        reasons: tuple[Reason, ...] = ()
        warnings: tuple[Reason, ...] = ()
        exemptions: tuple[str, ...] = ()
        verdict = Verdict.UNDECIDED
        answer_valid = False
        if not errors:
            problems = _answer_problems(answer.value, document)
            errors = tuple(f"the policy's answer is not as its schema says: {problem}" for problem in problems)
        if not errors and isinstance(answer.value, Mapping):
            reasons, warnings = _reasons(answer.value["reasons"]), _reasons(answer.value["warnings"])
            exemptions = _texts(answer.value["exemptions"])
            verdict = Verdict.ALLOW if answer.value["allow"] is True and not reasons else Verdict.DENY
            answer_valid = True
        decision = Decision(
            verdict=verdict,
            reasons=reasons,
            warnings=warnings,
            exemptions=exemptions,
            engine=self._engine.name,
            engine_version=self._engine.version,
            bundle_digest=answer.bundle_digest or ("" if answer is _SILENCE else self._engine.bundle_digest),
            decision_id=answer.decision_id or str(uuid4()),
            errors=errors,
        )
        return Judged(
            decision=decision,
            answer=answer,
            input_valid=input_valid,
            answer_valid=answer_valid,
            nanoseconds=perf_counter_ns() - began,
        )

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _granted(self, document: Mapping[str, Json]) -> Granted:
        """What holds for the question; a document of another shape gets nothing, and is refused by its schema."""
        subject = document.get("subject")
        digest = subject.get("digest") if isinstance(subject, Mapping) else None
        if self._grants is None or not isinstance(subject, Mapping) or not isinstance(digest, Mapping):
            return Granted()
        return self._grants.holding(
            gate=str(document.get("gate")),
            name=str(subject.get("name")),
            digest=str(digest.get("sha256")),
            profile=str(document.get("profile")),
        )

    def _ask(self, document: Mapping[str, Json]) -> tuple[Answer, tuple[str, ...], bool]:
        """The engine's answer, what is wrong with it as a whole, and whether the input had its shape."""
        valid = False
        try:
            problems = input_problems(document)
            if problems:
                return NO_ANSWER, tuple(f"the input document is not as its schema says: {p}" for p in problems), False
            valid = True
            answer = self._engine.evaluate(DECISION_PATH, document)
        except InterlockError as error:
            return _SILENCE if isinstance(error, EngineSilentError) else NO_ANSWER, (str(error),), valid
        except RecursionError:
            return NO_ANSWER, ("the input document is nested too deeply",), False
        if not answer.defined:
            return answer, (f"{DECISION_PATH} is undefined for this input",), True
        if not answer.bundle_digest:
            return answer, ("the policy engine does not say by which bundle it decides",), True
        return answer, (), True


def _shape_problems(document: Mapping[str, Json]) -> tuple[str, ...]:
    try:
        return input_problems(document)
    except RecursionError:
        return ("nested too deeply",)


def _answer_problems(value: Json, document: Mapping[str, Json]) -> tuple[str, ...]:
    """What is wrong with a policy's answer; it may name no exemption but those that it was given."""
    problems = decision_problems(value)
    if problems or not isinstance(value, Mapping):
        return problems
    try:
        for name in ("reasons", "warnings"):
            _reasons(value[name])
    except PolicyError as error:
        return (str(error),)
    given = document.get("exemptions", [])
    ids = [one.get("id") for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    strangers = [name for name in _texts(value["exemptions"]) if name not in ids]
    return tuple(f"$.exemptions: {name!r} is no exemption that it was given" for name in strangers)


def _first_end(granted: Granted, used: tuple[str, ...]) -> datetime | None:
    """When the first of the used exemptions runs out."""
    return min((moment_of(str(one["expires"])) for one in granted.exemptions if one["id"] in used), default=None)


def _refusal(text: str) -> Reason:
    return Reason(
        id=GRANT_REFUSED,
        title="An exemption or approval does not count",
        severity=Severity.LOW,
        message=text,
        remediation="See `interlock exempt list`; sign a new one, or take the file away",
    )


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(text) for text in value) if isinstance(value, list) else ()


def _reasons(value: Json) -> tuple[Reason, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(reason_from(reason) for reason in value if isinstance(reason, Mapping))
