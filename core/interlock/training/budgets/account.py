"""What teams used up, and what a step took before: read from the signed receipts of the ledger, and nowhere else.

A training belongs to the month (UTC) in which its guard opened. The guard's receipt reserves what the step asked for;
the reservation stands until the receipt of that training is there, which says what was really used, or until the run
must have ended by its wall-clock limit. Failed and denied trainings used the machine, so they count as any other.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from interlock.gate import Json, RunIdentity, Stage, UsageError, Verdict
from interlock.gate.documents import canonical_json, moment_of
from interlock.training.budgets.values import RESOURCES, UNKNOWN, Amounts, total

if TYPE_CHECKING:
    from interlock.evidence import KeyRing, Ledger
    from interlock.evidence.accounts import Accounted

GATE = "training"
FACT = "budget"
"""The fact of a guard's and of a training's report that says who pays."""

_HISTORY = 10
_FURTHEST = 50


def team_account(team: str, month: str) -> str:
    """The account of one team in one month."""
    return canonical_json(["team", team, month]).decode()


def step_account(run: RunIdentity) -> str:
    """The account of all runs of one step."""
    return canonical_json(["step", run.orchestrator, run.pipeline, run.task_id]).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a team used up and reserved in one month.

    Args:
        team: Its name.
        month: For example ``2026-11``.
        used: By trainings that ended, whatever came of them.
        reserved: By trainings that were let start and have not ended.
        ended: How many ended.
        running: How many are reserved for.
        unknown: The receipts of trainings in which some resource could not be measured, with its name.
        refused: Why further receipts on this account do not count.
    """

    team: str
    month: str
    used: Amounts
    reserved: Amounts
    ended: int = 0
    running: int = 0
    unknown: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def taken(self) -> Amounts:
        """Used and reserved together: what policy compares with the budget."""
        return self.used.plus(self.reserved)


def standing(ledger: Ledger, keyring: KeyRing, *, team: str, month: str, now: datetime, currency: str) -> Standing:
    """Read what a team used up in a month.

    Args:
        ledger: Where the receipts are.
        keyring: Whose signatures count.
        team: Whose account.
        month: For example ``2026-11``.
        now: UTC; reservations that ran out by then no longer count.
        currency: Of the price table; money in another one is unknown.

    Raises:
        LedgerError: A row of this account was altered.
        UnavailableError: The ledger did not answer; try again.
    """
    from interlock.evidence.accounts import account

    found = account(ledger, keyring, team_account(team, month), gate=GATE)
    ended = [one for one in found.receipts if one.receipt.stage is Stage.GATE]
    over = {str(one.fact(FACT).get("reservation")) for one in ended}
    running = [
        one
        for one in found.receipts
        if one.receipt.stage is Stage.GUARD
        and one.receipt.verdict is Verdict.ALLOW
        and str(one.fact(FACT).get("reservation")) not in over
        and _until(one) > now
    ]
    spent = [(one, _used(one, currency)) for one in ended]
    return Standing(
        team=team,
        month=month,
        used=total(amounts for _, amounts in spent),
        reserved=total(_reserved(one) for one in running),
        ended=len(ended),
        running=len(running),
        unknown=tuple(_unknown(spent)),
        refused=found.refused,
    )


def _unknown(spent: Sequence[tuple[Accounted, Amounts]]) -> Iterator[str]:
    for one, amounts in spent:
        missing = [name for name in RESOURCES if getattr(amounts, name) is None]
        if missing:
            yield f"{one.receipt.receipt_id}: {', '.join(missing)}"


def _used(one: Accounted, currency: str) -> Amounts:
    """What its report measured; money only in the currency that is asked about."""
    known = {name: one.measures[name] for name in RESOURCES if name in one.measures}
    if one.fact(FACT).get("currency") != currency:
        known.pop("money", None)
    return _amounts(known)


def _reserved(one: Accounted) -> Amounts:
    asked = one.fact(FACT).get("asked")
    return _amounts(asked if isinstance(asked, Mapping) else {})


def _amounts(numbers: Mapping[str, Json]) -> Amounts:
    try:
        return Amounts.of(numbers)
    except UsageError:
        return UNKNOWN  # what cannot be read is unknown, so it makes the sum unknown


def _until(one: Accounted) -> datetime:
    try:
        return moment_of(str(one.fact(FACT).get("until")))
    except ValueError:
        return one.receipt.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the last runs of a step took.

    Args:
        runs: How many; none of the numbers is known when there was none.
        seconds: Median and worst wall clock.
        median: Of each resource that all of them measured.
        worst: Likewise.
    """

    runs: int
    seconds: tuple[float, float] | None = None
    median: Amounts = UNKNOWN
    worst: Amounts = UNKNOWN

    def document(self) -> dict[str, Json]:
        """For reports and ``--format json``."""
        seconds: dict[str, Json] = {"median": self.seconds[0], "worst": self.seconds[1]} if self.seconds else {}
        return {
            "runs": self.runs,
            "seconds": seconds,
            "median": self.median.document(),
            "worst": self.worst.document(),
        }


def estimate(ledger: Ledger, keyring: KeyRing, run: RunIdentity, *, currency: str) -> Estimate:
    """What the last runs of this step took, of those that ended well; never a guess.

    Raises:
        LedgerError, UnavailableError: As for `standing`.
    """
    from interlock.evidence.accounts import account

    found = account(ledger, keyring, step_account(run), gate=GATE, newest=_FURTHEST)
    ended = [one for one in found.receipts if one.receipt.stage is Stage.GATE and one.measures.get("exit_status") == 0]
    last = ended[-_HISTORY:]
    seconds = [one.measures["seconds"] for one in last if "seconds" in one.measures]
    if not seconds:
        return Estimate(runs=0)
    spent = [_used(one, currency) for one in last]
    columns = {name: [getattr(one, name) for one in spent] for name in RESOURCES}
    known = {name: values for name, values in columns.items() if None not in values}
    return Estimate(
        runs=len(last),
        seconds=(statistics.median(seconds), max(seconds)),
        median=Amounts(**{name: statistics.median(values) for name, values in known.items()}),
        worst=Amounts(**{name: max(values) for name, values in known.items()}),
    )
