"""What a training may use up, as numbers: amounts of each budgeted resource, known or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from interlock.gate import Json, UsageError

RESOURCES = ("gpu_hours", "energy_kwh", "money")
"""What is budgeted, by the names of policy's ``training.budget`` rule."""

UNITS = {"gpu_hours": "hours", "energy_kwh": "kWh", "money": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much of each resource. None is not known, and never means zero.

    Args:
        gpu_hours: Hours of wall clock, once for each assigned device.
        energy_kwh: Kilowatt-hours.
        money: In the one currency of the policy's price table.
    """

    gpu_hours: float | None = None
    energy_kwh: float | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        for name in RESOURCES:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError("a budget is a number from 0 on", where=f"{name} = {value!r}")

    @classmethod
    def zero(cls) -> Amounts:
        """Nothing of anything."""
        return cls(gpu_hours=0.0, energy_kwh=0.0, money=0.0)

    @classmethod
    def of(cls, numbers: Mapping[str, Json]) -> Amounts:
        """Read `document` back, or what a person asks for.

        Raises:
            UsageError: A resource that is none, or no number from 0 on.
        """
        unknown = sorted(set(numbers) - set(RESOURCES))
        if unknown:
            raise UsageError(f"nothing called {unknown[0]!r} is budgeted", next_step=f"use {', '.join(RESOURCES)}")
        found: dict[str, float] = {}
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError("a budget is a number from 0 on", where=f"{name} = {value!r}")
            found[name] = float(value)
        return cls(**found)

    def plus(self, other: Amounts) -> Amounts:
        """The sum; unknown where either is."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in RESOURCES}
        return Amounts(
            **{name: one + two if one is not None and two is not None else None for name, (one, two) in pairs.items()}
        )

    def items(self) -> tuple[tuple[str, float], ...]:
        """The known ones, by name."""
        pairs = ((name, getattr(self, name)) for name in RESOURCES)
        return tuple((name, value) for name, value in pairs if value is not None)

    def document(self) -> dict[str, Json]:
        """The known ones, for JSON."""
        return dict(self.items())


UNKNOWN = Amounts()
"""Nothing is known of anything."""


def total(amounts: Iterable[Amounts]) -> Amounts:
    """The sum of all; a resource is unknown when it is in any of them."""
    result = Amounts.zero()
    for one in amounts:
        result = result.plus(one)
    return result


def month_of(moment: datetime) -> str:
    """The calendar month in UTC, for example ``2026-11``."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def checked_month(text: str) -> str:
    """`text`, if it names a month.

    Raises:
        UsageError: It does not.
    """
    try:
        return month_of(datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC))
    except ValueError as error:
        raise UsageError("a month is a year and a month", where=repr(text), next_step="write 2026-11") from error
