"""The watch on a running training: what its code tells from within, and who listens from without.

Inside, `TrainingWatch` (or a callback for Lightning or Hugging Face) takes what each batch cost. Outside,
`WatchSafeguard` looks for what went wrong and `ProgressSafeguard` tells people how far it is. Names are loaded when
they are first asked for: a training that only reports its batches pays for nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.watching.inside import TrainingWatch
    from interlock.training.watching.progress import ProgressSafeguard, Seldom
    from interlock.training.watching.safeguard import Reaction, WatchOptions, WatchSafeguard

_PLACES = {
    "ProgressSafeguard": "progress",
    "Reaction": "safeguard",
    "Seldom": "progress",
    "TrainingWatch": "inside",
    "WatchOptions": "safeguard",
    "WatchSafeguard": "safeguard",
}

__all__ = ["ProgressSafeguard", "Reaction", "Seldom", "TrainingWatch", "WatchOptions", "WatchSafeguard"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
