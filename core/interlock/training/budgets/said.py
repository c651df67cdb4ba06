"""Budgets in words: what a step took before and what its team has left, for people and before the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from interlock.gate import Json
from interlock.training.budgets.values import RESOURCES, Amounts

if TYPE_CHECKING:
    from interlock.training.budgets.account import Estimate, Standing

_NAMES = {"gpu_hours": "GPU-hours", "energy_kwh": "kWh", "money": ""}


def teams_of(data: Mapping[str, Json]) -> tuple[str, ...]:
    """The teams that have a budget in policy data."""
    interlock = data.get("interlock")
    budgets = interlock.get("budgets") if isinstance(interlock, Mapping) else None
    return tuple(sorted(budgets)) if isinstance(budgets, Mapping) else ()


def team_limits(data: Mapping[str, Json], team: str) -> Mapping[str, Json]:
    """A team's budget in policy data, to be shown; policy reads it by itself. Empty where there is none.

    Args:
        data: The policy bundle's data document.
        team: Its name.
    """
    interlock = data.get("interlock")
    budgets = interlock.get("budgets") if isinstance(interlock, Mapping) else None
    own = budgets.get(team) if isinstance(budgets, Mapping) else None
    return own if isinstance(own, Mapping) else {}


def left_of(standing: Standing, limits: Mapping[str, Json]) -> Mapping[str, float | None]:
    """What is left of each resource that has a limit; None where it is not known what was used.

    Args:
        standing: What was used and reserved.
        limits: The team's budget.
    """
    left: dict[str, float | None] = {}
    for name in RESOURCES:
        bound, taken = limits.get(name), getattr(standing.taken, name)
        if isinstance(bound, int | float) and not isinstance(bound, bool):
            left[name] = None if taken is None else bound - taken
    return left


def beforehand_lines(
    estimate: Estimate, asked: Amounts, standing: Standing | None, limits: Mapping[str, Json], currency: str
) -> Iterator[str]:
    """What is shown before the run.

    Args:
        estimate: Of the step.
        asked: What the step asks for.
        standing: Of its team; None when it names none.
        limits: The team's budget.
        currency: Of the price table; empty where there is none.
    """
    if estimate.seconds is None:
        yield "budget: no history of this step, so no estimate"
    else:
        typical = ", ".join([f"{estimate.seconds[0]:.1f} s", *_words(estimate.median, currency)])
        worst = ", ".join([f"{estimate.seconds[1]:.1f} s", *_words(estimate.worst, currency)])
        runs = "run" if estimate.runs == 1 else f"{estimate.runs} runs"
        yield f"budget: the last {runs} of this step took {typical} (median), {worst} (worst)"
    words = ", ".join(_words(asked, currency))
    if words:
        yield f"budget: this run may take {words}"
    if standing is not None:
        yield f"budget: team {standing.team} in {standing.month}: {_left(standing, limits, currency)}"


def _left(standing: Standing, limits: Mapping[str, Json], currency: str) -> str:
    left = left_of(standing, limits)
    if not left:
        return "no limit in policy"
    shown = [
        f"{amount(name, value, currency)} left of {amount(name, _number(limits[name]), currency)}"
        for name, value in left.items()
    ]
    return ", ".join(shown)


def _words(amounts: Amounts, currency: str) -> list[str]:
    return [amount(name, value, currency) for name, value in amounts.items()]


def amount(resource: str, value: float | None, currency: str) -> str:
    """One amount with its unit; says when it is not known."""
    unit = _NAMES[resource] or currency
    return f"{'unknown' if value is None else format(value, '.4g')} {unit}".rstrip()


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
