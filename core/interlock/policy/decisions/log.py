"""The decision log: each decision as an event in the form that OPA's own decision logs have.

The form is that of ``EventV1`` in OPA's ``plugins/logs``, so what reads OPA's logs reads these. What OPA has no field
for is in ``custom``. Values of the data and secrets are taken out before anything is written
(`interlock.policy.decisions.masking`); the digest in ``custom.input_digest`` is of the input as the rules read it.

The ledger's copy is what `interlock ledger verify` checks and what `interlock policy diff` replays. A decision that
cannot be logged does not count: the decider makes it UNDECIDED.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from typing import Any
from uuid import uuid4

from interlock.gate.documents import canonical_json, timestamp
from interlock.gate.errors import PolicyError
from interlock.gate.values import Decision, Json, utc_now
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.decisions.log_file import LineFile
from interlock.policy.decisions.masking import DEFAULTS, MaskRule, mask, mask_rules
from interlock.policy.engine import Answer, PolicyEngine

EVENT_PATH = "interlock/decision/result"
"""The decision path, as OPA's events write it."""

MASK_DATA = "data.interlock.decision_log.mask"
"""Where a bundle's data says what else must not be kept."""

MASK_RULE = "system.log.mask"
"""Where OPA looks for such rules in Rego; asked with the unmasked event as input."""

TIMER = "timer_interlock_decision_ns"
"""Nanoseconds from the question to the answer, as Interlock saw it."""

_NOT_AS_SCHEMA = re.compile(r"(as its schema says: \S+):.*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A decision and what it was made from.

    Args:
        decision: What policy says.
        answer: What the engine said.
        input_valid: Whether the input has the shape of its schema.
        answer_valid: Whether the answer has.
        nanoseconds: How long it took.
    """

    decision: Decision
    answer: Answer
    input_valid: bool
    answer_valid: bool
    nanoseconds: int


class DecisionLog:
    """Writes events to the ledger, to a file, or both.

    Args:
        engine: Answers what Rego says of masking, when the bundle has such rules.
        bundle: Says what to mask.
        ledger: Appends one event (`interlock.evidence.Ledger.append_decision`).
        lines: Appends it to a file as well.
        clock: UTC now; replaced in tests.

    Raises:
        PolicyError: The bundle's data says what to mask in a way that cannot be read.
    """

    def __init__(
        self,
        *,
        engine: PolicyEngine,
        bundle: Bundle,
        ledger: Callable[[str], object] | None = None,
        lines: LineFile | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine = engine
        self._bundle = bundle
        self._ledger = ledger
        self._lines = lines
        self._clock = clock
        self._rules = (*DEFAULTS, *_rules_of(bundle))
        self._asks_rego = any(MASK_RULE.startswith(f"{module.package}.") for module in bundle.modules)
        self._instance = str(uuid4())
        self._numbers = count(1)

    def over(self, engine: PolicyEngine, bundle: Bundle) -> DecisionLog:
        """The same log, with its numbers going on, for decisions by another bundle.

        Raises:
            PolicyError: As for the first one.
        """
        other = DecisionLog(engine=engine, bundle=bundle, ledger=self._ledger, lines=self._lines, clock=self._clock)
        other._instance, other._numbers = self._instance, self._numbers
        return other

    def write(self, judged: Judged, document: Mapping[str, Json], *, refused: tuple[str, ...] = ()) -> str:
        """Log one decision; durable when this returns.

        Args:
            judged: The decision.
            document: The input as the rules read it, unmasked.
            refused: Exemptions and approvals that did not count.

        Returns:
            sha256 of the event in the ledger; empty when this log does not write to one.

        Raises:
            PolicyError: The event cannot be masked or written down.
            LedgerError, UnavailableError: It cannot be stored.
        """
        try:
            event = canonical_json(self._event(judged, document, refused)).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise PolicyError(f"the event cannot be written down: {error}") from error
        if self._lines is not None:
            self._lines.write(event)
        if self._ledger is None:
            return ""
        self._ledger(event)
        return hashlib.sha256(event.encode()).hexdigest()

    def _event(self, judged: Judged, document: Mapping[str, Json], refused: tuple[str, ...]) -> dict[str, Any]:
        decision = judged.decision
        digest = _digest(document)
        frame: dict[str, Any] = {
            "labels": {"id": self._instance, "version": self._engine.version, "interlock": _own_version()},
            "decision_id": decision.decision_id,
            "bundles": {"interlock": {"revision": self._revision(decision)}},
            "path": EVENT_PATH,
            "timestamp": timestamp(self._clock()),
            "metrics": {**judged.answer.metrics, TIMER: judged.nanoseconds},
            "req_id": next(self._numbers),
            "custom": _custom(decision, digest, refused),
        }
        # Of a document of another shape nobody can say where its values are, so it is left out whole.
        spoken: dict[str, Any] = {"input": document} if judged.input_valid and digest else {}
        erased = [] if spoken else ["/input"]
        if judged.answer.defined and judged.answer_valid:
            spoken["result"] = judged.answer.value
        elif judged.answer.defined:
            erased.append("/result")
        if decision.errors:
            spoken["error"] = {"code": "undecided", "message": "; ".join(_quotable(text) for text in decision.errors)}
        masked = mask(spoken, self._all_rules({**frame, **spoken}))
        lists = {"erased": [*erased, *masked.erased], "masked": list(masked.masked)}
        return frame | masked.event | {name: pointers for name, pointers in lists.items() if pointers}

    def _all_rules(self, event: Mapping[str, Json]) -> tuple[MaskRule, ...]:
        if not self._asks_rego:
            return self._rules
        said = self._engine.evaluate(MASK_RULE, event)
        return (*self._rules, *mask_rules(said.value, where=f"data.{MASK_RULE}")) if said.defined else self._rules

    def _revision(self, decision: Decision) -> str:
        same = decision.bundle_digest == self._bundle.digest
        return (self._bundle.revision if same else "") or decision.bundle_digest


def _rules_of(bundle: Bundle) -> tuple[MaskRule, ...]:
    value: Json = bundle.data
    for step in MASK_DATA.split(".")[1:]:
        if not isinstance(value, Mapping) or step not in value:
            return ()
        value = value[step]
    return mask_rules(value, where=MASK_DATA)


def _custom(decision: Decision, digest: str, refused: tuple[str, ...]) -> dict[str, Json]:
    return {
        "verdict": decision.verdict.value,
        "reasons": [reason.id for reason in decision.reasons],
        "exemptions": list(decision.exemptions),
        "exemptions_refused": list(refused),
        "input_digest": {"sha256": digest},
        "bundle_digest": {"sha256": decision.bundle_digest},
        "engine": {"name": decision.engine, "version": decision.engine_version},
    }


def _quotable(error: str) -> str:
    """An error without the value that broke the schema: only where it is."""
    return _NOT_AS_SCHEMA.sub(r"\1", error)


def _digest(document: Mapping[str, Json]) -> str:
    """Of the input as it was asked; empty for one that has no JSON form."""
    try:
        return hashlib.sha256(canonical_json(document)).hexdigest()
    except (TypeError, ValueError, RecursionError):
        return ""


def _own_version() -> str:
    try:
        return version("interlock")
    except PackageNotFoundError:
        return "unknown"
