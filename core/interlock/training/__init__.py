"""Training in a sandbox: what may run, on which bytes, with how much of the machine, and what came out.

Names are loaded when they are first asked for, so that a DAG file which only describes a training pays for nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.bwrap import BwrapSandbox
    from interlock.training.checkpoints import SafeCheckpointer
    from interlock.training.determinism import make_deterministic
    from interlock.training.events import Event, secret, tell
    from interlock.training.gate import TrainingGate, training_observation
    from interlock.training.landlock_sandbox import LandlockSandbox
    from interlock.training.output import publish, staging_for
    from interlock.training.privacy import private
    from interlock.training.refusals import Kind, Refusal
    from interlock.training.rlimits import RlimitsSandbox
    from interlock.training.run import FAILED_RUN, OutputFile, TrainingRun, run_training
    from interlock.training.safeguards import IdleSafeguard, Part, Provision, Safeguard, Safeguards
    from interlock.training.sandbox import (
        Availability,
        Ended,
        Folders,
        Isolation,
        Job,
        LimitHit,
        Moment,
        Sandbox,
        Stop,
        best_sandbox,
        sandboxes,
    )
    from interlock.training.spec import Limits, TrainingSpec, training_spec
    from interlock.training.watching import TrainingWatch

_PLACES = {
    "FAILED_RUN": "run",
    "Availability": "sandbox",
    "BwrapSandbox": "bwrap",
    "Ended": "sandbox",
    "Event": "events",
    "Folders": "sandbox",
    "IdleSafeguard": "safeguards",
    "Isolation": "sandbox",
    "Job": "sandbox",
    "Kind": "refusals",
    "LandlockSandbox": "landlock_sandbox",
    "LimitHit": "sandbox",
    "Limits": "spec",
    "Moment": "sandbox",
    "OutputFile": "run",
    "Part": "safeguards",
    "Provision": "safeguards",
    "Refusal": "refusals",
    "RlimitsSandbox": "rlimits",
    "SafeCheckpointer": "checkpoints",
    "Safeguard": "safeguards",
    "Safeguards": "safeguards",
    "Sandbox": "sandbox",
    "Stop": "sandbox",
    "TrainingGate": "gate",
    "TrainingRun": "run",
    "TrainingSpec": "spec",
    "TrainingWatch": "watching",
    "best_sandbox": "sandbox",
    "make_deterministic": "determinism",
    "private": "privacy",
    "publish": "output",
    "run_training": "run",
    "sandboxes": "sandbox",
    "secret": "events",
    "staging_for": "output",
    "tell": "events",
    "training_observation": "gate",
    "training_spec": "spec",
}

__all__ = [
    "FAILED_RUN",
    "Availability",
    "BwrapSandbox",
    "Ended",
    "Event",
    "Folders",
    "IdleSafeguard",
    "Isolation",
    "Job",
    "Kind",
    "LandlockSandbox",
    "LimitHit",
    "Limits",
    "Moment",
    "OutputFile",
    "Part",
    "Provision",
    "Refusal",
    "RlimitsSandbox",
    "SafeCheckpointer",
    "Safeguard",
    "Safeguards",
    "Sandbox",
    "Stop",
    "TrainingGate",
    "TrainingRun",
    "TrainingSpec",
    "TrainingWatch",
    "best_sandbox",
    "make_deterministic",
    "private",
    "publish",
    "run_training",
    "sandboxes",
    "secret",
    "staging_for",
    "tell",
    "training_observation",
    "training_spec",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
