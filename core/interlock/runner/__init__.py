"""Puts the rooms together: from settings to the run of a gate, a guard, a training or a promotion.

`Runner` is the seam between a pipeline step and the place where gates run. `LocalRunner` runs them here, in the
task's own process ("dev" and "team" of the design); a gate service would be another implementation, and no DAG
would change.
"""

from interlock.runner.catalogue import build_gate
from interlock.runner.local import LocalRunner
from interlock.runner.requests import (
    ApprovalQuestion,
    ApprovalRequest,
    DeployOutcome,
    DeployRequest,
    GateRequest,
    GuardRequest,
    Runner,
    SnapshotOutcome,
    TrainOutcome,
    TrainRequest,
)
from interlock.runner.trainings import train_request

__all__ = [
    "ApprovalQuestion",
    "ApprovalRequest",
    "DeployOutcome",
    "DeployRequest",
    "GateRequest",
    "GuardRequest",
    "LocalRunner",
    "Runner",
    "SnapshotOutcome",
    "TrainOutcome",
    "TrainRequest",
    "build_gate",
    "train_request",
]
