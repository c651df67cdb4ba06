"""Checkpoints that are safe to resume from: no pickle, signed, whole or not there, verified before they are opened.

`SafeCheckpointer` is for training code, in the sandbox and outside of it. Names are loaded when they are first asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.checkpoints.checkpointer import SafeCheckpointer
    from interlock.training.checkpoints.keys import LineageKey, lineage_key
    from interlock.training.checkpoints.safeguard import CheckpointSafeguard
    from interlock.training.checkpoints.store import Checkpoint

_PLACES = {
    "Checkpoint": "store",
    "CheckpointSafeguard": "safeguard",
    "LineageKey": "keys",
    "SafeCheckpointer": "checkpointer",
    "lineage_key": "keys",
}

__all__ = ["Checkpoint", "CheckpointSafeguard", "LineageKey", "SafeCheckpointer", "lineage_key"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
