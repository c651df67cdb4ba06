"""What machine time costs, by the price table in policy data (``data.interlock.prices``).

A table is a list of versions, each valid from a moment on; the newest one that is valid when a training starts prices
it to its end. What the table has no price for costs nobody knows how much: there is no default but the one it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from interlock.gate import Json, PolicyError
from interlock.gate.documents import moment_of

ANY_MODEL = "any"
"""The key under which a table prices GPUs of every other model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """One version of the price table.

    Args:
        version: Its name, for receipts.
        currency: ISO 4217 code; the same for the whole table.
        valid_from: UTC.
        gpu_hour: Price of an hour by GPU model as NVML names it, or `ANY_MODEL`.
        cpu_hour: Price of an hour of one processor, as used; None charges nothing.
        kwh: Price of a kilowatt-hour; None charges nothing.
    """

    version: str
    currency: str
    valid_from: datetime
    gpu_hour: tuple[tuple[str, float], ...] = ()
    cpu_hour: float | None = None
    kwh: float | None = None

    def cost(
        self, *, models: tuple[str, ...], hours: float, cpu_hours: float, energy_kwh: float | None
    ) -> float | None:
        """What a run costs; None when something that has a price was not measured, or a GPU model has none.

        Args:
            models: Of each assigned GPU.
            hours: Wall clock.
            cpu_hours: Hours of processors used.
            energy_kwh: Kilowatt-hours; None when unknown.
        """
        prices = dict(self.gpu_hour)
        gpus = [prices.get(model, prices.get(ANY_MODEL)) for model in models]
        known = [price for price in gpus if price is not None]
        if len(known) < len(models) or (self.kwh is not None and energy_kwh is None):
            return None
        return sum(known) * hours + (self.cpu_hour or 0.0) * cpu_hours + (self.kwh or 0.0) * (energy_kwh or 0.0)


def price_list(data: Mapping[str, Json], at: datetime) -> PriceList | None:
    """The prices that are valid at a moment; None where policy has no table, or none is valid yet.

    Args:
        data: The policy bundle's data document.
        at: UTC.

    Raises:
        PolicyError: What stands there is no price table (``policies/schemas/prices.json``).
    """
    from interlock.policy.schemas import prices_problems

    interlock = data.get("interlock")
    table = interlock.get("prices") if isinstance(interlock, Mapping) else None
    if not table:
        return None
    problems = prices_problems(table)
    if problems or not isinstance(table, Mapping):
        raise PolicyError(
            f"the price table cannot be read: {'; '.join(problems)}",
            where="data.interlock.prices",
            next_step="write it as policies/schemas/prices.json says",
        )
    versions = table["lists"]
    assert isinstance(versions, list)  # noqa: S101 (the schema says so; for the type checker)
    lists = (_list_of(str(table["currency"]), version) for version in versions if isinstance(version, Mapping))
    valid = [one for one in lists if one.valid_from <= at]
    return max(valid, key=lambda one: one.valid_from, default=None)


def _list_of(currency: str, version: Mapping[str, Json]) -> PriceList:
    def number(name: str) -> float | None:
        value = version.get(name)
        return float(value) if isinstance(value, int | float) else None

    hours = version.get("gpu_hour", {})
    try:
        valid_from = moment_of(str(version["valid_from"]))
    except ValueError as error:
        raise PolicyError(f"a price list is valid from no moment: {error}", where="data.interlock.prices") from error
    return PriceList(
        version=str(version["version"]),
        currency=currency,
        valid_from=valid_from,
        gpu_hour=tuple((model, float(str(price))) for model, price in hours.items())
        if isinstance(hours, Mapping)
        else (),
        cpu_hour=number("cpu_hour"),
        kwh=number("kwh"),
    )
