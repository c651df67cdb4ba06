"""Budgets of trainings: estimated before, reserved, watched, ended when passed, and accounted by team and month.

Names are loaded when they are first asked for; what a DAG file describes costs nothing here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.budgets.account import Estimate, Standing, estimate, standing
    from interlock.training.budgets.meters import EnergyMeter, energy_meter
    from interlock.training.budgets.prices import PriceList, price_list
    from interlock.training.budgets.safeguard import Allowance, Books, BudgetSafeguard, Gpu
    from interlock.training.budgets.values import RESOURCES, Amounts

_PLACES = {
    "RESOURCES": "values",
    "Allowance": "safeguard",
    "Amounts": "values",
    "Books": "safeguard",
    "BudgetSafeguard": "safeguard",
    "EnergyMeter": "meters",
    "Estimate": "account",
    "Gpu": "safeguard",
    "PriceList": "prices",
    "Standing": "account",
    "energy_meter": "meters",
    "estimate": "account",
    "price_list": "prices",
    "standing": "account",
}

__all__ = [
    "RESOURCES",
    "Allowance",
    "Amounts",
    "Books",
    "BudgetSafeguard",
    "EnergyMeter",
    "Estimate",
    "Gpu",
    "PriceList",
    "Standing",
    "energy_meter",
    "estimate",
    "price_list",
    "standing",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
