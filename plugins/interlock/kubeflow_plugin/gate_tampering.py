"""What is put over or around a gate of a compiled pipeline, so that its success says nothing of this run's bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from interlock.kubeflow_plugin.flattening import Leaf
from interlock.kubeflow_plugin.ir import Executor
from interlock.kubeflow_plugin.own_components import OPTIONS
from interlock.kubeflow_plugin.step_traits import variables_of

_PINNED = re.compile(r"[^\s@{}]+@sha256:[0-9a-f]{64}")
_STEERING = re.compile(r"PYTHON\w*|LD_\w+|PATH|INTERLOCK_\w+")
CACHED = "the cache"
IMAGE = "its image"


def overrides_of(leaf: Leaf, executor: Executor, gate_images: Callable[[str], bool]) -> Iterator[str]:
    """Name each of them, in words.

    Args:
        leaf: The gate; untrusted.
        executor: What it runs.
        gate_images: Whether policy takes an image for a gate.
    """
    if leaf.task.cached:
        yield CACHED
    if leaf.task.condition:
        yield "a condition of its own"
    if leaf.task.iterates:
        yield "a loop over what may be empty"
    if executor.lifecycle:
        yield "a command that runs before the cache is asked"
    if not _PINNED.fullmatch(executor.image):
        yield f"{IMAGE} {executor.image!r} without a digest"
    elif not gate_images(executor.image):
        yield f"{IMAGE} {executor.image!r} that policy does not take for gates"
    options = leaf.parameters.get(OPTIONS)
    if options is None or not options.constant:
        yield f"options from {options.said_by if options is not None else 'nobody'}"
    yield from (f"variable {name}" for name in dict.fromkeys(variables_of(executor)))


def steers_python(variable: str) -> bool:
    """Whether a variable decides which code Interlock's part of a step runs, or by which settings."""
    return bool(_STEERING.fullmatch(variable))
