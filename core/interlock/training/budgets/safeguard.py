"""The budget of one training: shown before it starts, reserved by its guard, watched while it runs, told afterwards.

Whether a team may spend is policy's to say (``policies/interlock/training/budget``). Here stand the numbers that policy
reads, and the end of a run that takes more than it asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Finding, Json, Level, Measure, Observation, RunIdentity, Subject, UsageError, utc_now
from interlock.gate.documents import canonical_json, timestamp
from interlock.training.budgets.account import FACT, Standing, estimate, standing, step_account, team_account
from interlock.training.budgets.meters import EnergyMeter, energy_meter, processor_seconds, restarts
from interlock.training.budgets.prices import PriceList, price_list
from interlock.training.budgets.said import beforehand_lines, team_limits
from interlock.training.budgets.turns import StartTurn
from interlock.training.budgets.values import RESOURCES, UNITS, UNKNOWN, Amounts, month_of
from interlock.training.safeguards import IdleSafeguard, Part, Provision
from interlock.training.sandbox import Ended, Moment, Stop

if TYPE_CHECKING:
    from interlock.evidence import KeyRing, Ledger

_GRACE = timedelta(minutes=10)
"""From the guard's opening to the start of the run, and from its end to the receipt, besides its wall clock."""

_DUTY = 100
"""A look that takes t seconds is repeated after 100 t at the earliest: most often at each tick, and never over 1 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """An assigned device.

    Args:
        uuid: As NVML names it.
        model: As NVML names it; the price table's key.
    """

    uuid: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one training may use up, and who pays.

    Args:
        run: Which step of which run.
        team: Whose budget; empty when nobody's.
        asked: At most so much; a resource that is not asked for is not watched.
        restarts: Most restarts of its workers; None is no limit.
        wall_seconds: Its wall-clock limit, which the sandbox holds it to.
        gpus: How many devices it gets.
    """

    run: RunIdentity
    team: str = ""
    asked: Amounts = UNKNOWN
    restarts: int | None = None
    wall_seconds: float
    gpus: int = 0

    def __post_init__(self) -> None:
        if self.restarts is not None and self.restarts < 0:
            raise UsageError("a number of restarts is 0 or more", where=f"restarts = {self.restarts}")

    @property
    def bounds(self) -> Amounts:
        """What is asked for; GPU-hours follow from the wall clock when nobody said less."""
        hours = self.asked.gpu_hours
        if hours is None:
            hours = self.wall_seconds * self.gpus / 3600
        return Amounts(gpu_hours=hours, energy_kwh=self.asked.energy_kwh, money=self.asked.money)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Where it is written what was used up, and what things cost.

    Args:
        ledger: Of the deployment.
        keyring: Whose receipts count.
        data: The policy bundle's data document: budgets and prices.
    """

    ledger: Ledger
    keyring: KeyRing
    data: Mapping[str, Json] = field(repr=False)


class BudgetSafeguard(IdleSafeguard):
    """Implements `interlock.training.safeguards.Safeguard`.

    Args:
        allowance: What the training may use up.
        books: Where it is accounted.
        turn: Shared with the other safeguards that account for something; its own when not given.
        devices: The assigned GPUs, asked once the data is held; those it does not name have no price and no counter.
        say: Gets the lines that are shown before the run.
        meter: Makes the energy meter; replaced in tests.
        clock: UTC now; replaced in tests.
    """

    def __init__(
        self,
        allowance: Allowance,
        books: Books,
        *,
        turn: StartTurn | None = None,
        devices: Callable[[], tuple[Gpu, ...]] = tuple,
        say: Callable[[str], None] | None = None,
        meter: Callable[[tuple[str, ...]], EnergyMeter | None] = energy_meter,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._allowance = allowance
        self._books = books
        self._devices_now = devices
        self._devices: tuple[Gpu, ...] = ()
        self._say = say
        self._meter_for = meter
        self._clock = clock
        self._turn = turn or StartTurn(books.ledger)
        self._prices: PriceList | None = None
        self._meter: EnergyMeter | None = None
        self._fact: dict[str, Json] = {}
        self._processors: dict[int, float] = {}  # by the job's root, as a job that died may be started again
        self._restarts = 0
        self._next_look = 0.0

    @property
    def name(self) -> str:
        """``budget``."""
        return FACT

    def requested(self) -> Mapping[str, Json]:
        """Team and amounts, for policy to judge."""
        team: dict[str, Json] = {"team": self._allowance.team} if self._allowance.team else {}
        return team | {"budget": self._allowance.bounds.document()}

    def beforehand(self, data: Subject) -> Observation:  # noqa: ARG002 (whose data it is does not matter here)
        """Read the account and reserve; nobody else reads it until this guard's receipt is written."""
        allowance, books, now = self._allowance, self._books, self._clock()
        self._prices = price_list(books.data, now)
        self._devices = self._devices_now()
        self._meter = self._counters()
        before = estimate(books.ledger, books.keyring, allowance.run, currency=self._currency)
        team = self._standing(now) if allowance.team else None
        limits = team_limits(books.data, allowance.team)
        for line in beforehand_lines(before, allowance.bounds, team, limits, self._currency):
            if self._say is not None:
                self._say(line)
        self._fact = self._reservation(now)
        told = self._fact | {"estimate": before.document()}
        return Observation(
            findings=(*self._unmeasurable(), *(_doubts(team) if team else ())),
            measures=_month(team) if team else (),
            facts=((FACT, canonical_json(told).decode()),),
        )

    @property
    def _currency(self) -> str:
        return self._prices.currency if self._prices is not None else ""

    def _standing(self, now: datetime) -> Standing:
        self._turn.take()
        return standing(
            self._books.ledger,
            self._books.keyring,
            team=self._allowance.team,
            month=month_of(now),
            now=now,
            currency=self._currency,
        )

    def _reservation(self, now: datetime) -> dict[str, Json]:
        """The fact by which the guard's receipt and the training's are found, and belong together."""
        from interlock.evidence.receipt import new_receipt_id

        allowance = self._allowance
        accounts = [step_account(allowance.run)]
        if allowance.team:
            accounts.append(team_account(allowance.team, month_of(now)))
        until = now + timedelta(seconds=allowance.wall_seconds) + _GRACE
        return {
            "accounts": accounts,
            "team": allowance.team,
            "month": month_of(now),
            "reservation": new_receipt_id(now),
            "asked": allowance.bounds.document(),
            "until": timestamp(until),
            "currency": self._currency,
            "prices": self._prices.version if self._prices is not None else "",
            "energy_source": self._meter.source if self._meter is not None else "",
        }

    def _unmeasurable(self) -> Iterator[Finding]:
        """What was asked for and could not be held to: a bound that nobody watches is none."""
        reasons = {
            "energy_kwh": "" if self._meter is not None else "no energy counter can be read here",
            "money": "" if self._cost(0.0) is not None else "policy has no price for what this run uses",
        }
        for name, reason in reasons.items():
            if reason and getattr(self._allowance.asked, name) is not None:
                message = f"{name} is asked for, and nobody could watch it: {reason}"
                yield Finding(rule_id="training.budget-unmeasurable", level=Level.ERROR, message=message)

    def provision(self) -> Provision:
        """The guard's receipt is written, so the next one may read the account; the counters begin here."""
        self._turn.leave()
        if self._meter is not None:
            self._meter.close()
            self._meter = self._counters()
        return Provision()

    def _counters(self) -> EnergyMeter | None:
        """The energy counters of all that it got; none when one of its devices is not known."""
        if len(self._devices) != self._allowance.gpus:
            return None
        return self._meter_for(tuple(gpu.uuid for gpu in self._devices))

    def tick(self, moment: Moment) -> Stop | None:
        """End the run at the first resource of which it took more than it asked for."""
        if moment.seconds < self._next_look:
            return None
        started = time.thread_time()
        stop = self._looked(moment)
        self._next_look = moment.seconds + _DUTY * (time.thread_time() - started)
        return stop

    @property
    def _processor_seconds(self) -> float:
        return sum(self._processors.values())

    def _looked(self, moment: Moment) -> Stop | None:
        self._processors[moment.root] = max(self._processors.get(moment.root, 0.0), processor_seconds(moment.root))
        self._restarts = max(self._restarts, restarts(moment.root))
        most = self._allowance.restarts
        if most is not None and self._restarts > most:
            return Stop(rule="over-budget", message=f"{self._restarts} restarts, and it may have {most}")
        bounds = dict(self._allowance.bounds.items())
        for name, value in self.spent(moment.seconds).items():
            if name in bounds and value > bounds[name]:
                return Stop(
                    rule="over-budget", message=f"the training used {value:.4g} {name} and asked for {bounds[name]:.4g}"
                )
        return None

    def spent(self, seconds: float) -> Amounts:
        """What a run of so many seconds used up by now."""
        hours = seconds * self._allowance.gpus / 3600
        energy = self._meter.kwh() if self._meter is not None else None
        return Amounts(gpu_hours=hours, energy_kwh=energy, money=self._cost(seconds, energy))

    def _cost(self, seconds: float, energy: float | None = None) -> float | None:
        if self._prices is None or len(self._devices) != self._allowance.gpus:
            return None
        if energy is None and self._meter is not None:
            energy = self._meter.kwh()
        return self._prices.cost(
            models=tuple(gpu.model for gpu in self._devices),
            hours=seconds / 3600,
            cpu_hours=self._processor_seconds / 3600,
            energy_kwh=energy,
        )

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002 (the output is no matter of this)
        """What the run really used up; the receipt of it takes the reservation's place."""
        spent = self.spent(ended.seconds)
        measures = [Measure(name=name, value=value, unit=UNITS[name]) for name, value in spent.items()]
        measures.append(Measure(name="cpu_hours", value=self._processor_seconds / 3600, unit="hours"))
        measures.append(Measure(name="restarts", value=self._restarts))
        unknown = [name for name in RESOURCES if getattr(spent, name) is None]
        findings: tuple[Finding, ...] = ()
        if unknown and self._allowance.team:
            message = f"not measured, so not known in the account of team {self._allowance.team}: {', '.join(unknown)}"
            findings = (Finding(rule_id="training.budget-unknown", level=Level.NOTE, message=message),)
        return Part(
            findings=findings,
            measures=tuple(measures),
            facts={FACT: self._fact},
            configuration={"asked": self._allowance.bounds.document(), "restarts": self._allowance.restarts},
            tools=self._meter.tools if self._meter is not None else (),
        )

    def close(self) -> None:
        """Let the next one have its turn, and let go of the counters."""
        self._turn.leave()
        if self._meter is not None:
            self._meter.close()
            self._meter = None


def _month(team: Standing) -> tuple[Measure, ...]:
    return tuple(Measure(name=f"month_{name}", value=value, unit=UNITS[name]) for name, value in team.taken.items())


def _doubts(team: Standing) -> Iterator[Finding]:
    for text in team.refused:
        message = f"a receipt on the account of team {team.team} does not count: {text}"
        yield Finding(rule_id="training.budget-receipt", level=Level.WARNING, message=message)
    if team.unknown:
        message = f"not everything that team {team.team} used in {team.month} is known: {'; '.join(team.unknown[:5])}"
        yield Finding(rule_id="training.budget-unknown", level=Level.WARNING, message=message)
