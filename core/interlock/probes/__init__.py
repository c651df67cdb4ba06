"""Looks at what a trained model does, rather than at its file: the gate ``model-probe``.

One probe so far, the evaluation on a sealed set (`interlock.probes.evaluation`). It runs the user's code, so nothing
here is imported before somebody asks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.probes.evaluation.gate import EvaluationGate

_PLACES = {"EvaluationGate": "evaluation.gate"}

__all__ = ["EvaluationGate"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
