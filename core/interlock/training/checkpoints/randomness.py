"""The states of the random generators that a training draws from: Python's, numpy's, torch's and CUDA's.

Only libraries that are loaded have a state worth keeping; none is loaded here.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any


def states() -> dict[str, Any]:
    """The states now, as values that `state.encode` takes."""
    found: dict[str, Any] = {"python": random.getstate()}
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        found["numpy"] = numpy.random.get_state(legacy=False)
    if torch is not None:
        found["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def set_states(found: Mapping[str, Any]) -> None:
    """Go on from the states that `states` found; the libraries they are of are loaded for that."""
    random.setstate(found["python"])
    if "numpy" in found:
        import numpy as np

        np.random.set_state(found["numpy"])
    if "torch" in found:
        import torch

        torch.set_rng_state(found["torch"])
        if "cuda" in found and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(found["cuda"])


def generator_state(value: Any) -> Any:
    """The state of one generator object; None when `value` is none."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if isinstance(value, random.Random):
        return value.getstate()
    if numpy is not None and isinstance(value, numpy.random.Generator):
        return value.bit_generator.state
    if torch is not None and isinstance(value, torch.Generator):
        return value.get_state()
    return None


def set_generator(value: Any, state: Any) -> None:
    """Let a generator object go on from `state`."""
    if isinstance(value, random.Random):
        value.setstate(state)
    elif hasattr(value, "bit_generator"):
        value.bit_generator.state = state
    else:
        value.set_state(state)
