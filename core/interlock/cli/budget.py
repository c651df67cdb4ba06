"""`interlock budget show`: what teams used, reserved and have left, from the signed receipts of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import Json, Settings, UsageError, utc_now

if TYPE_CHECKING:
    from interlock.training.budgets import Standing


@click.group()
def budget() -> None:
    """What teams may use up in a month, and what they did."""


@budget.command("show")
@click.option("--team", help="Only this team; every team that has a budget when not given.")
@click.option("--month", help="Calendar month in UTC, for example 2026-11; this month when not given.")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
def show_(team: str | None, month: str | None, format_: str) -> int:
    """Used, reserved, limit and left of each resource."""
    from interlock.evidence import KeyRing, Ledger
    from interlock.policy import load_policy
    from interlock.training.budgets import price_list, standing
    from interlock.training.budgets.said import team_limits, teams_of
    from interlock.training.budgets.values import checked_month, month_of

    settings, now = Settings.load(), utc_now()
    data = load_policy(settings).data
    prices = price_list(data, now)
    currency = prices.currency if prices is not None else ""
    teams = (team,) if team else teams_of(data)
    if not teams:
        raise UsageError(
            "no team has a budget", where="data.interlock.budgets", next_step="name one with --team, or add budgets"
        )
    ledger, keyring = Ledger.open(settings.ledger_url), KeyRing.load(settings)
    month = checked_month(month) if month else month_of(now)
    found = [
        (standing(ledger, keyring, team=name, month=month, now=now, currency=currency), team_limits(data, name))
        for name in teams
    ]
    if format_ == "json":
        rows: list[Json] = [_document(one, limits) for one, limits in found]
        show.say_json({"month": month, "currency": currency, "teams": rows})
        return 0
    show.table(
        ("team", "resource", "used", "reserved", "limit", "left"),
        [row for one, limits in found for row in _rows(one, limits, currency)],
    )
    for one, _ in found:
        for text in (*one.unknown, *one.refused):
            show.progress(f"{one.team}: {text}")
    return 0


def _rows(standing: Standing, limits: Mapping[str, Json], currency: str) -> list[tuple[str, ...]]:
    from interlock.training.budgets import RESOURCES
    from interlock.training.budgets.said import amount, left_of

    left = left_of(standing, limits)
    return [
        (
            standing.team,
            name,
            amount(name, getattr(standing.used, name), currency),
            amount(name, getattr(standing.reserved, name), currency),
            str(limits.get(name, "none")),
            amount(name, left[name], currency) if name in left else "any",
        )
        for name in RESOURCES
    ]


def _document(standing: Standing, limits: Mapping[str, Json]) -> dict[str, Json]:
    from interlock.training.budgets.said import left_of

    left = left_of(standing, limits)
    known: dict[str, Json] = {name: value for name, value in left.items() if value is not None}
    bounds: dict[str, Json] = {name: limits[name] for name in left}
    return {
        "team": standing.team,
        "used": standing.used.document(),
        "reserved": standing.reserved.document(),
        "limit": bounds,
        "left": known,
        "ended": standing.ended,
        "running": standing.running,
        "unknown": list(standing.unknown),
        "refused": list(standing.refused),
    }
