"""From one input document to one decision, failing closed.

ALLOW needs all of this: the input is what the schema says, the engine answered in time, and the answer is a complete
document whose `allow` is true and which gives no reason. DENY needs a complete document that says so. Everything else
is UNDECIDED, with what was wrong in `errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from interlock.gate.documents import reason_from
from interlock.gate.errors import InterlockError, PolicyError, SettingsError
from interlock.gate.settings import Settings
from interlock.gate.values import Decision, Json, Reason, Verdict
from interlock.policy.bundle import Bundle
from interlock.policy.embedded import EmbeddedEngine
from interlock.policy.engine import Answer, PolicyEngine
from interlock.policy.install import locate
from interlock.policy.schemas import decision_problems, input_problems

DECISION_PATH = "data.interlock.decision.result"
"""The document that is asked for."""

NO_ANSWER = Answer(defined=False, value=None)
"""What a decision rests on when the engine gave none."""


class PolicyDecider:
    """Implements `interlock.gate.Decider` over any engine.

    Args:
        engine: Answers; closed with this decider.
        bundle: The policy as this process reads it, for `required_gates`; what decides is the engine's.
    """

    def __init__(self, engine: PolicyEngine, bundle: Bundle) -> None:
        self._engine = engine
        self._bundle = bundle

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
        """Decide one input document (``policies/schemas/decision_input.json``).

        Never raises for an input or an answer that cannot be used; that is UNDECIDED.
        """
        try:
            problems = input_problems(document)
            if problems:
                return self._undecided(*(f"the input document is not as its schema says: {p}" for p in problems))
            answer = self._engine.evaluate(DECISION_PATH, document)
        except InterlockError as error:
            return self._undecided(str(error))
        except RecursionError:
            return self._undecided("the input document is nested too deeply")
        if not answer.defined:
            return self._undecided(f"{DECISION_PATH} is undefined for this input", answer=answer)
        if not answer.bundle_digest:
            return self._undecided("the policy engine does not say by which bundle it decides", answer=answer)
        return self._from_answer(answer)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _from_answer(self, answer: Answer) -> Decision:
        value = answer.value
        problems = decision_problems(value)
        if problems or not isinstance(value, Mapping):
            return self._undecided(
                *(f"the policy's answer is not as its schema says: {p}" for p in problems), answer=answer
            )
        try:
            reasons, warnings = _reasons(value["reasons"]), _reasons(value["warnings"])
        except PolicyError as error:
            return self._undecided(str(error), answer=answer)
        exemptions = value["exemptions"]
        return self._decision(
            Verdict.ALLOW if value["allow"] is True and not reasons else Verdict.DENY,
            answer,
            reasons=reasons,
            warnings=warnings,
            exemptions=tuple(str(e) for e in exemptions) if isinstance(exemptions, list) else (),
        )

    def _undecided(self, *errors: str, answer: Answer = NO_ANSWER) -> Decision:
        return self._decision(Verdict.UNDECIDED, answer, errors=errors or ("the policy gave no answer",))

    def _decision(
        self,
        verdict: Verdict,
        answer: Answer,
        *,
        reasons: tuple[Reason, ...] = (),
        warnings: tuple[Reason, ...] = (),
        exemptions: tuple[str, ...] = (),
        errors: tuple[str, ...] = (),
    ) -> Decision:
        return Decision(
            verdict=verdict,
            reasons=reasons,
            warnings=warnings,
            exemptions=exemptions,
            engine=self._engine.name,
            engine_version=self._engine.version,
            bundle_digest=answer.bundle_digest or self._engine.bundle_digest,
            decision_id=answer.decision_id or str(uuid4()),
            errors=errors,
        )


def open_decider(settings: Settings) -> PolicyDecider:
    """The decider that the settings name. Nothing is started before the first decision.

    Raises:
        SettingsError: The engine or the bundle that the settings name is not there.
        EngineMissingError: The embedded engine is not installed.
        PolicyError: The bundle cannot be used.
    """
    return PolicyDecider(open_engine(settings, bundle := Bundle.load(settings.policy)), bundle)


def open_engine(settings: Settings, bundle: Bundle) -> EmbeddedEngine:
    """The engine that the settings name, over `bundle`.

    Raises:
        SettingsError: The settings name an engine that this release does not have.
        EngineMissingError: The embedded engine is not installed.
    """
    wanted = "server" if settings.engine == "auto" and settings.opa_url else settings.engine
    if wanted not in {"auto", "embedded"}:
        raise SettingsError(
            f"this release cannot ask the policy engine {wanted!r}",
            where="opa_url" if settings.engine == "auto" else "engine",
            next_step="set engine to 'embedded', which is the real OPA too",
        )
    return EmbeddedEngine(bundle, deadline=settings.engine_deadline, library=locate(settings))


def _reasons(value: Json) -> tuple[Reason, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(reason_from(reason) for reason in value if isinstance(reason, Mapping))
