"""The privacy of one training: what it may spend, what it says it spent, what that comes to for its dataset.

What comes out of the sandbox is the code's own word: a noise multiplier, a sample rate, a number of steps. Epsilon is
recomputed from them here, and the larger of both counts. Whether it is too much is policy's to say
(``policies/interlock/training/privacy``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Finding, Json, Level, Measure, Observation, Subject, UsageError, utc_now
from interlock.gate.documents import canonical_json, timestamp
from interlock.training.budgets.turns import StartTurn
from interlock.training.events import Event
from interlock.training.privacy.account import (
    FACT,
    Spent,
    checked_target,
    dataset_account,
    mechanism_of,
    parents_of,
    spent_on,
)
from interlock.training.privacy.accountant import Mechanism, epsilon_of
from interlock.training.privacy.inside import CLIP, DELTA, EPSILON, EVENT
from interlock.training.safeguards import IdleSafeguard, Part, Provision
from interlock.training.sandbox import Ended, Moment, Stop

if TYPE_CHECKING:
    from interlock.evidence import KeyRing, Ledger

_GRACE = timedelta(minutes=10)
_MOST_MECHANISMS = 100
_DUTY = 100
_ROUNDING = 1.001
"""Two programs round differently, and Opacus looks for the noise in steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyTarget:
    """What a private training may spend.

    Args:
        epsilon: Above 0.
        delta: Between 0 and 1; below 1 / rows to mean anything.
        max_grad_norm: Clipping norm for the code; None leaves it to the code.
    """

    epsilon: float
    delta: float
    max_grad_norm: float | None = None

    def __post_init__(self) -> None:
        checked_target(self.epsilon, self.delta)
        if self.max_grad_norm is not None and not 0 < self.max_grad_norm < math.inf:
            raise UsageError("a clipping norm is a positive number", where=f"max_grad_norm = {self.max_grad_norm!r}")


def privacy_target(epsilon: float | None, delta: float | None, max_grad_norm: float | None) -> PrivacyTarget | None:
    """What a person asks for, with options that are each given or not.

    Raises:
        UsageError: One of epsilon and delta comes without the other, or is no target.
    """
    if epsilon is None and delta is None and max_grad_norm is None:
        return None
    if epsilon is None or delta is None:
        raise UsageError("a private training has an epsilon and a delta", next_step="give both, or neither")
    return PrivacyTarget(epsilon=epsilon, delta=delta, max_grad_norm=max_grad_norm)


class PrivacySafeguard(IdleSafeguard):
    """Implements `interlock.training.safeguards.Safeguard`.

    Args:
        target: What the training may spend; None for one that is not private, which spends without bound.
        ledger: Where what was spent before is written.
        keyring: Whose receipts count.
        wall_seconds: The run's wall-clock limit.
        turn: Shared with the other safeguards that account for something.
        clock: UTC now; replaced in tests.
    """

    def __init__(
        self,
        target: PrivacyTarget | None,
        ledger: Ledger,
        keyring: KeyRing,
        *,
        wall_seconds: float,
        turn: StartTurn,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._target = target
        self._ledger = ledger
        self._keyring = keyring
        self._wall_seconds = wall_seconds
        self._turn = turn
        self._clock = clock
        self._fact: dict[str, Json] = {}
        self._before: Spent | None = None
        self._mechanisms: dict[tuple[str | float, ...], Mechanism] = {}
        self._told = 0.0
        self._problem = ""
        self._news = False
        self._next_look = 0.0

    @property
    def name(self) -> str:
        """``privacy``."""
        return FACT

    def requested(self) -> Mapping[str, Json]:
        """Epsilon and delta, for policy to judge."""
        return {} if self._target is None else {"epsilon": self._target.epsilon, "delta": self._target.delta}

    def beforehand(self, data: Subject) -> Observation:
        """Read what was spent of the dataset, and reserve what this training asks for."""
        now, target = self._clock(), self._target
        digests = (data.digest, *parents_of(self._ledger, self._keyring, data.digest))
        self._fact = {"accounts": [dataset_account(digest) for digest in digests], "dataset": data.digest}
        if target is None:
            return Observation(facts=((FACT, canonical_json(self._fact).decode()),))
        from interlock.evidence.receipt import new_receipt_id

        self._turn.take()
        self._before = _most([spent_on(self._ledger, self._keyring, digest, now=now) for digest in digests])
        until = now + timedelta(seconds=self._wall_seconds) + _GRACE
        self._fact |= {
            "asked": {"epsilon": target.epsilon, "delta": target.delta},
            "reservation": new_receipt_id(now),
            "until": timestamp(until),
        }
        return Observation(
            findings=_doubts(self._before),
            measures=self._dataset(target.epsilon),
            facts=((FACT, canonical_json(self._fact).decode()),),
        )

    def _dataset(self, epsilon: float) -> tuple[Measure, ...]:
        """What the dataset has given away with this training, where it is known."""
        before = self._before
        if before is None or before.epsilon is None:
            return ()
        return (Measure(name="dataset_epsilon", value=before.epsilon + epsilon),)

    def provision(self) -> Provision:
        """The targets, by the variables that `interlock.training.privacy.private` reads."""
        self._turn.leave()
        target = self._target
        if target is None:
            return Provision()
        clip = () if target.max_grad_norm is None else ((CLIP, repr(target.max_grad_norm)),)
        return Provision(environment=((EPSILON, repr(target.epsilon)), (DELTA, repr(target.delta)), *clip))

    def hear(self, event: Event) -> Stop | None:
        """Take what the code says that it spent; nothing is computed for each word, because it may say many."""
        if event.kind == EVENT and not self._problem:
            try:
                self._take(event)
            except UsageError as error:
                self._problem = str(error)
        return None

    def tick(self, moment: Moment) -> Stop | None:
        """End a run that spent more than it asked for."""
        if not self._news or moment.seconds < self._next_look:
            return None
        started = time.thread_time()
        self._news = False
        stop = self._over()
        self._next_look = moment.seconds + _DUTY * (time.thread_time() - started)
        return stop

    def _over(self) -> Stop | None:
        target = self._target
        if target is None or self._spent(target) <= target.epsilon * _ROUNDING:
            return None
        message = f"the training spent epsilon {self._spent(target):.4g} and asked for {target.epsilon:.4g}"
        return Stop(rule="over-epsilon", message=message)

    def _spent(self, target: PrivacyTarget) -> float:
        return max(self._told, epsilon_of(self._mechanisms.values(), target.delta))

    def _take(self, event: Event) -> None:
        """Keep the most steps that each stretch said.

        Raises:
            UsageError: It is not what a private training says.
        """
        told, delta = event.number("spent"), event.number("delta")
        if told is None or not 0 <= told < math.inf or delta is None or not 0 < delta < 1:
            raise UsageError("the training told an epsilon or delta that is none", where=f"{told}, {delta}")
        if self._target is not None and delta > self._target.delta:
            raise UsageError("the training counts by a larger delta than was asked for", where=f"{delta}")
        mechanism = mechanism_of(event.fields)
        names = tuple(str(event.fields.get(name))[:40] for name in ("process", "engine", "segment"))
        key: tuple[str | float, ...] = (*names, mechanism.noise_multiplier, mechanism.sample_rate)
        known = self._mechanisms.get(key)
        if known is None and len(self._mechanisms) >= _MOST_MECHANISMS:
            raise UsageError(f"the training told more than {_MOST_MECHANISMS} mechanisms")
        if known is None or mechanism.steps > known.steps:
            self._mechanisms[key] = mechanism
        self._told = max(self._told, told)
        self._news = True

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002 (what was spent was told while it ran)
        """What this training spent, and what that comes to for its dataset."""
        target = self._target
        if target is None:
            return Part(facts={FACT: self._fact})
        doubt = self._doubt(target)
        over = self._over() if doubt is None and ended.stop is None else None
        if over is not None:  # since the last look
            finding: Finding | None = _error(over.rule, over.message)
        else:
            finding = doubt
        fact = dict(self._fact)
        measures: tuple[Measure, ...] = ()
        if doubt is None:
            spent = self._spent(target)
            mechanisms = tuple(self._mechanisms.values())
            fact |= {"epsilon": spent, "delta": target.delta, "mechanisms": [_document(one) for one in mechanisms]}
            measures = (
                Measure(name="epsilon", value=spent),
                Measure(name="delta", value=target.delta),
                *self._dataset(spent),
                *self._together(mechanisms, target.delta),
            )
        return Part(
            findings=() if finding is None else (finding,),
            measures=measures,
            facts={FACT: fact},
            configuration={"epsilon": target.epsilon, "delta": target.delta, "max_grad_norm": target.max_grad_norm},
        )

    def _doubt(self, target: PrivacyTarget) -> Finding | None:
        """Why what was told does not count."""
        recomputed = epsilon_of(self._mechanisms.values(), target.delta)
        if self._problem:
            rule, message = "epsilon-unusable", self._problem
        elif not any(one.steps for one in self._mechanisms.values()):
            rule, message = "epsilon-unheard", "the training was to be private, and told nothing of what it spent"
        elif not math.isfinite(recomputed):
            rule, message = "epsilon-unusable", "no finite epsilon follows from what the training told"
        elif self._told > recomputed * _ROUNDING:
            rule = "epsilon-inconsistent"
            message = f"the training told epsilon {self._told:.4g}, and its noise and steps come to {recomputed:.4g}"
        else:
            return None
        return _error(rule, message)

    def _together(self, mechanisms: tuple[Mechanism, ...], delta: float) -> tuple[Measure, ...]:
        """The Rényi bound over all runs on the dataset, at the sum of their deltas."""
        before = self._before
        if before is None or before.mechanisms is None or before.delta + delta >= 1:
            return ()
        value = epsilon_of((*before.mechanisms, *mechanisms), before.delta + delta)
        return (Measure(name="dataset_epsilon_rdp", value=value),) if math.isfinite(value) else ()

    def close(self) -> None:
        """Let the next one have its turn."""
        self._turn.leave()


def _error(rule: str, message: str) -> Finding:
    return Finding(rule_id=f"training.{rule}", level=Level.ERROR, message=message)


def _most(accounts: list[Spent]) -> Spent:
    """Of the dataset and all that it was made from, the one of which the most is spent."""
    return max(accounts, key=lambda one: math.inf if one.epsilon is None else one.epsilon)


def _doubts(before: Spent) -> tuple[Finding, ...]:
    found = [f"a receipt on the account of this dataset does not count: {text}" for text in before.refused]
    if before.unbounded:
        shown = ", ".join(before.unbounded[:5])
        found.append(f"what trainings on this dataset spent has no bound, or is not known: {shown}")
    return tuple(Finding(rule_id="training.dataset-epsilon", level=Level.WARNING, message=text) for text in found)


def _document(mechanism: Mechanism) -> dict[str, Json]:
    return {
        "noise_multiplier": mechanism.noise_multiplier,
        "sample_rate": mechanism.sample_rate,
        "steps": mechanism.steps,
    }
