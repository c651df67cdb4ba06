"""Differential privacy of trainings: `private` for code inside of the sandbox, accounting and recomputation outside.

Names are loaded when they are first asked for. Inside, only `private` is meant to be used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.privacy.account import Spent, parents_of, spent_on
    from interlock.training.privacy.accountant import Mechanism, epsilon_of
    from interlock.training.privacy.inside import private
    from interlock.training.privacy.safeguard import PrivacySafeguard, PrivacyTarget, privacy_target

_PLACES = {
    "Mechanism": "accountant",
    "PrivacySafeguard": "safeguard",
    "PrivacyTarget": "safeguard",
    "Spent": "account",
    "epsilon_of": "accountant",
    "parents_of": "account",
    "privacy_target": "safeguard",
    "private": "inside",
    "spent_on": "account",
}

__all__ = [
    "Mechanism",
    "PrivacySafeguard",
    "PrivacyTarget",
    "Spent",
    "epsilon_of",
    "parents_of",
    "privacy_target",
    "private",
    "spent_on",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
