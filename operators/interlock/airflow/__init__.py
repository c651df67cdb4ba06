"""Airflow operators, hooks and decorators.

Everything is loaded when its name is first used: a DAG file that imports one operator pays for one operator, and the
scan libraries are only imported inside `execute`.

`SecureTrainPodOperator` is here, too, and not in ``__all__``: it needs a provider (extra ``kubernetes``), without which
``from interlock.airflow import *`` has to work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.airflow.approval import ApprovalGateOperator
    from interlock.airflow.cluster import ClusterStep
    from interlock.airflow.cluster_job import SecureTrainJobOperator
    from interlock.airflow.cluster_pod import SecureTrainPodOperator as SecureTrainPodOperator
    from interlock.airflow.declaring import protect
    from interlock.airflow.decorators import guarded_task
    from interlock.airflow.gates import (
        CheckPolicyOperator,
        EvaluateModelOperator,
        ScanModelOperator,
        ScanPoisoningOperator,
        ValidateDataOperator,
    )
    from interlock.airflow.hooks import InterlockHook, OpaHook
    from interlock.airflow.steps import DeployGateOperator, SecureTrainOperator, SnapshotOperator
    from interlock.airflow.triggers import PolicyTrigger
    from interlock.airflow.waiting import WaitForPolicyOperator

_HOME = {
    "ApprovalGateOperator": "approval",
    "CheckPolicyOperator": "gates",
    "ClusterStep": "cluster",
    "DeployGateOperator": "steps",
    "EvaluateModelOperator": "gates",
    "InterlockHook": "hooks",
    "OpaHook": "hooks",
    "PolicyTrigger": "triggers",
    "ScanModelOperator": "gates",
    "ScanPoisoningOperator": "gates",
    "SecureTrainJobOperator": "cluster_job",
    "SecureTrainOperator": "steps",
    "SecureTrainPodOperator": "cluster_pod",
    "SnapshotOperator": "steps",
    "ValidateDataOperator": "gates",
    "WaitForPolicyOperator": "waiting",
    "guarded_task": "decorators",
    "protect": "declaring",
}

__all__ = [
    "ApprovalGateOperator",
    "CheckPolicyOperator",
    "ClusterStep",
    "DeployGateOperator",
    "EvaluateModelOperator",
    "InterlockHook",
    "OpaHook",
    "PolicyTrigger",
    "ScanModelOperator",
    "ScanPoisoningOperator",
    "SecureTrainJobOperator",
    "SecureTrainOperator",
    "SnapshotOperator",
    "ValidateDataOperator",
    "WaitForPolicyOperator",
    "guarded_task",
    "protect",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
