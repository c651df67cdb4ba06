"""The checks that look into an object's arguments or state, by the name that a rule gives to them.

A module of checks is loaded when a pickle first needs one of it: those of torch need none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

from interlock.artifacts.pickles.kinds import Instance
from interlock.artifacts.record import Record

PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "booster_checks": ("lightgbm-booster", "xgboost-booster"),
    "estimator_checks": (
        "checked-partial", "distance-metric", "sklearn-neighbours", "sklearn-object", "sklearn-predictor",
        "sklearn-tree",
    ),
    "frame_checks": (
        "arrow-array", "arrow-buffer", "arrow-type", "pandas-array", "pandas-backed", "pandas-block", "pandas-dtype",
        "pandas-frame", "pandas-index", "pandas-intervals", "pandas-manager", "pandas-masked", "pandas-single-manager",
        "slice",
    ),
    "matrix_checks": ("masked-array", "sparse-matrix"),
    "random_checks": ("bit-generator", "random-generator", "random-state", "seed-sequence"),
}  # fmt: skip
"""Modules beside this one, and all names that stand in their tables ``BUILDS``, ``CALLS`` and ``MODELS``."""

_MODULE_OF: Final = {name: module for module, names in PLACES.items() for name in names}


def build_check(name: str) -> Callable[[Instance, object], None] | None:
    """The check of what BUILD may set, for a `GlobalRule.build`; it is given the object and the state."""
    return _check("BUILDS", name) if name in _MODULE_OF else None


def model_check(name: str) -> Callable[[Instance, object, Record, str], None] | None:
    """The check of a state that holds a whole model, for a `GlobalRule.build`; it judges it into the record."""
    return _check("MODELS", name) if name in _MODULE_OF else None


def call_check(name: str) -> Callable[[Instance, tuple[object, ...]], None] | None:
    """The check of a call's arguments, for a `GlobalRule.result`; it may note a fact on what the call gives."""
    return _check("CALLS", name) if name in _MODULE_OF else None


@cache
def _check(table: str, name: str) -> Any:
    module = import_module(f"interlock.artifacts.pickles.{_MODULE_OF[name]}")
    return getattr(module, table, {}).get(name)
