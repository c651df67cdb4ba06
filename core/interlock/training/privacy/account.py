"""How much of a dataset's privacy is spent: over all trainings on it, and on what it was made from, in the ledger.

Rows that went into several private trainings lose what all of them give away together. (epsilon, delta) add up whatever
the mechanisms were and however they were chosen (basic composition: Dwork et al. 2006; with parameters chosen on the
way: Rogers et al. 2016, theorem 3.6). Where every run recorded its mechanism, the Rényi bound over all of them is given
beside that sum; it holds for parameters that were not chosen by what earlier runs showed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from interlock.gate import EvidenceError, Json, Stage, UsageError, Verdict
from interlock.gate.documents import canonical_json, moment_of
from interlock.training.privacy.accountant import Mechanism, checked_delta

if TYPE_CHECKING:
    from interlock.evidence import KeyRing, Ledger
    from interlock.evidence.accounts import Accounted

FACT = "privacy"
"""The fact of a guard's and of a training's report that says what was asked for and spent."""

_DEEPEST = 20
_DERIVED = ("data-validation", "data-poisoning")


def dataset_account(digest: str) -> str:
    """The account of one dataset, by the sha256 of its bytes."""
    return canonical_json(["privacy", digest]).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What is spent of one dataset.

    Args:
        epsilon: Sum; None where a training on it spent without bound, or nobody knows how much.
        delta: Sum.
        runs: How many trainings ended.
        running: How many may still be running, by what they asked for.
        mechanisms: Of all runs that ended; None where one did not record them, or one is still running.
        unbounded: The receipts of trainings without differential privacy.
        refused: Why further receipts on this account do not count.
    """

    epsilon: float | None
    delta: float
    runs: int = 0
    running: int = 0
    mechanisms: tuple[Mechanism, ...] | None = ()
    unbounded: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def spent_on(ledger: Ledger, keyring: KeyRing, digest: str, *, now: datetime) -> Spent:
    """Read what was spent of a dataset, and of those that were made from it.

    Args:
        ledger: Where the receipts are.
        keyring: Whose signatures count.
        digest: sha256 of the dataset.
        now: UTC; what was asked for by runs that must be over by then no longer counts.

    Raises:
        LedgerError: A row of this account was altered.
        UnavailableError: The ledger did not answer; try again.
    """
    from interlock.evidence.accounts import account

    found = account(ledger, keyring, dataset_account(digest), gate="training")
    ended = [one for one in found.receipts if one.receipt.stage is Stage.GATE]
    over = {str(one.fact(FACT).get("reservation")) for one in ended}
    running = [one for one in found.receipts if _is_running(one, over, now)]
    counted = [one for one in ended if one.receipt.verdict is Verdict.ALLOW or "asked" in one.fact(FACT)]
    spent = [_spent(one) for one in counted]
    spent += [_pair(_mapping(one.fact(FACT).get("asked"))) for one in running]
    known = [pair for pair in spent if pair is not None]
    mechanisms = None if running else _joined([one.fact(FACT) for one in counted])
    return Spent(
        epsilon=sum(epsilon for epsilon, _ in known) if len(known) == len(spent) else None,
        delta=sum(delta for _, delta in known),
        runs=len(counted),
        running=len(running),
        mechanisms=mechanisms,
        unbounded=tuple(one.receipt.receipt_id for one in counted if _spent(one) is None),
        refused=found.refused,
    )


def parents_of(ledger: Ledger, keyring: KeyRing, digest: str) -> tuple[str, ...]:
    """The datasets that this one was made from, by signed receipts (``--clean-out``), and what they were made from.

    Raises:
        LedgerError, UnavailableError: As for `spent_on`.
    """
    found: list[str] = []
    asked = [digest]
    while asked and len(found) < _DEEPEST:
        here = asked.pop(0)
        for parent in _made_from(ledger, keyring, here):
            if parent not in found and parent != digest:
                found.append(parent)
                asked.append(parent)
    return tuple(found)


def _made_from(ledger: Ledger, keyring: KeyRing, digest: str) -> Iterator[str]:
    from interlock.evidence import authentic

    for entry in ledger.find(digest):
        try:
            receipt = authentic(entry.envelope, keyring).receipt
        except EvidenceError:
            continue
        if receipt.gate in _DERIVED and receipt.stage is Stage.GATE and receipt.subject.digest == digest:
            yield from (material.digest for material in receipt.materials)


def _is_running(one: Accounted, over: set[str], now: datetime) -> bool:
    fact = one.fact(FACT)
    if one.receipt.stage is not Stage.GUARD or one.receipt.verdict is not Verdict.ALLOW or "asked" not in fact:
        return False
    try:
        until = moment_of(str(fact.get("until")))
    except ValueError:
        until = one.receipt.expires
    return str(fact.get("reservation")) not in over and until > now


def _spent(one: Accounted) -> tuple[float, float] | None:
    """What a training that ended spent; one whose model never left, and that told nothing usable, what it asked for."""
    told = _pair(one.fact(FACT))
    if told is None and one.receipt.verdict is not Verdict.ALLOW:
        return _pair(_mapping(one.fact(FACT).get("asked")))
    return told


def _pair(fact: Mapping[str, Json]) -> tuple[float, float] | None:
    """Epsilon and delta; None where they are not known."""
    epsilon, delta = fact.get("epsilon"), fact.get("delta")
    numbers = [value for value in (epsilon, delta) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != 2 or not (0 <= numbers[0] < float("inf") and 0 < numbers[1] < 1):
        return None
    return float(numbers[0]), float(numbers[1])


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _joined(facts: Sequence[Mapping[str, Json]]) -> tuple[Mechanism, ...] | None:
    joined: list[Mechanism] = []
    for fact in facts:
        recorded = fact.get("mechanisms")
        if not isinstance(recorded, list):
            return None
        try:
            joined += [mechanism_of(_mapping(one)) for one in recorded]
        except UsageError:
            return None
    return tuple(joined)


def mechanism_of(said: Mapping[str, Json]) -> Mechanism:
    """Read a mechanism; untrusted.

    Raises:
        UsageError: It is none.
    """
    noise, rate, steps = (said.get(name) for name in ("noise_multiplier", "sample_rate", "steps"))
    numbers = [value for value in (noise, rate) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != 2 or isinstance(steps, bool) or not isinstance(steps, int):
        raise UsageError("these are no steps of a private training", where=str(dict(said))[:200])
    return Mechanism(noise_multiplier=float(numbers[0]), sample_rate=float(numbers[1]), steps=steps)


def checked_target(epsilon: float, delta: float) -> tuple[float, float]:
    """What is asked for, if it is a target.

    Raises:
        UsageError: Epsilon is no positive number, or delta none between 0 and 1.
    """
    if not 0 < epsilon < float("inf"):
        raise UsageError("epsilon is a positive number", where=f"epsilon = {epsilon!r}")
    return float(epsilon), checked_delta(float(delta))
