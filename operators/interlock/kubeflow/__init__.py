"""Kubeflow Pipelines components, `gated()` and `pipeline`: the same gates as in Airflow, as steps of a KFP pipeline.

Everything is loaded when its name is first used, so that importing this package costs no kfp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.kubeflow.artifacts import Receipt, Report

_HOME = {
    "Receipt": "artifacts",
    "Report": "artifacts",
}

__all__ = [
    "Receipt",
    "Report",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
