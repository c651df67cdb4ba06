"""Kubeflow Pipelines components, `gated()` and `pipeline`: the same gates as in Airflow, as steps of a KFP pipeline.

Everything is loaded when its name is first used, so that importing this package costs no kfp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.kubeflow.artifacts import Receipt, Report
    from interlock.kubeflow.gates import check_policy, scan_model, scan_poisoning, validate_data
    from interlock.kubeflow.gating import gated
    from interlock.kubeflow.pipelines import pipeline
    from interlock.kubeflow.steps import deploy_gate, secure_train, snapshot, verify

_HOME = {
    "Receipt": "artifacts",
    "Report": "artifacts",
    "check_policy": "gates",
    "deploy_gate": "steps",
    "gated": "gating",
    "pipeline": "pipelines",
    "scan_model": "gates",
    "scan_poisoning": "gates",
    "secure_train": "steps",
    "snapshot": "steps",
    "validate_data": "gates",
    "verify": "steps",
}

__all__ = [
    "Receipt",
    "Report",
    "check_policy",
    "deploy_gate",
    "gated",
    "pipeline",
    "scan_model",
    "scan_poisoning",
    "secure_train",
    "snapshot",
    "validate_data",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
