"""The checks that look into an object's arguments or state, by the name that a rule gives to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interlock.artifacts.pickles import booster_checks, estimator_checks, frame_checks, matrix_checks, random_checks
from interlock.artifacts.pickles.kinds import Instance
from interlock.artifacts.record import Record

BUILDS: Final[Mapping[str, Callable[[Instance, object], None]]] = {
    **estimator_checks.BUILDS,
    **random_checks.BUILDS,
    **matrix_checks.BUILDS,
    **frame_checks.BUILDS,
}
"""`GlobalRule.build` to the check of what BUILD may set; it is given the object and the state."""

MODELS: Final[Mapping[str, Callable[[Instance, object, Record, str], None]]] = booster_checks.MODELS
"""`GlobalRule.build` to the check of a state that holds a whole model, which is judged into the record."""

CALLS: Final[Mapping[str, Callable[[Instance, tuple[object, ...]], None]]] = {
    **estimator_checks.CALLS,
    **frame_checks.CALLS,
}
"""`GlobalRule.result` to the check of a call's arguments, which may note a fact on what the call gives."""
