"""Training on a cluster: hardened pods, the network policy around them, and TrainJobs that wait for the guard.

Renders and judges objects of Kubernetes as values; nothing here talks to a cluster, and nothing here needs its client.
Names are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.cluster.check import REQUIREMENTS, Weakness, hardened_findings
    from interlock.training.cluster.job import ClusterData, ClusterTraining, Resources
    from interlock.training.cluster.pod import Opening, deny_all, hardened_pod
    from interlock.training.cluster.releasing import (
        Judged,
        StaleError,
        TakenError,
        TrainJobs,
        judge,
        release,
        train_when_open,
    )
    from interlock.training.cluster.trainjob import train_job, training_runtime

_PLACES = {
    "REQUIREMENTS": "check",
    "ClusterData": "job",
    "ClusterTraining": "job",
    "Judged": "releasing",
    "Opening": "pod",
    "Resources": "job",
    "StaleError": "releasing",
    "TakenError": "releasing",
    "TrainJobs": "releasing",
    "Weakness": "check",
    "deny_all": "pod",
    "hardened_findings": "check",
    "hardened_pod": "pod",
    "judge": "releasing",
    "release": "releasing",
    "train_job": "trainjob",
    "train_when_open": "releasing",
    "training_runtime": "trainjob",
}

__all__ = [
    "REQUIREMENTS",
    "ClusterData",
    "ClusterTraining",
    "Judged",
    "Opening",
    "Resources",
    "StaleError",
    "TakenError",
    "TrainJobs",
    "Weakness",
    "deny_all",
    "hardened_findings",
    "hardened_pod",
    "judge",
    "release",
    "train_job",
    "train_when_open",
    "training_runtime",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
