"""Which gate serves which kind, loaded only when it is asked for.

A pipeline names a gate by its kind and gives options as JSON; that is all a remote gate service could receive, so it
is all that the local one accepts.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from interlock.gate import Gate, Json, MissingExtraError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Where a gate lives and which extra brings what it needs."""

    module: str
    name: str
    extra: str


_GATES = {
    "data-validation": _Entry(module="interlock.validation", name="ValidationGate", extra="gx"),
    "data-poisoning": _Entry(module="interlock.poisoning", name="PoisoningGate", extra="torch"),
    "artifact-scan": _Entry(module="interlock.artifacts", name="ArtifactGate", extra=""),
    "model-probe": _Entry(module="interlock.probes", name="EvaluationGate", extra="evaluation"),
}


def gate_kinds() -> tuple[str, ...]:
    """The kinds that can be run on a subject today."""
    return tuple(_GATES)


def build_gate(kind: str, options: Mapping[str, Json]) -> Gate:
    """Make the gate of `kind`.

    Args:
        kind: One of `gate_kinds()`.
        options: Keyword arguments of the gate's class, JSON values only.

    Raises:
        UsageError: Unknown kind or option, or an option the gate refuses.
        MissingExtraError: The extra that the gate needs is not installed.
    """
    entry = _GATES.get(kind)
    if entry is None:
        raise UsageError(f"no gate of kind {kind!r}", next_step=f"use one of {', '.join(_GATES)}")
    try:
        factory = getattr(import_module(entry.module), entry.name)
        parameters = inspect.signature(factory).parameters
        unknown = sorted(set(options) - set(parameters))
        if unknown:
            raise UsageError(
                f"{kind} has no option {unknown[0]!r}", next_step=f"its options are {', '.join(sorted(parameters))}"
            )
        gate: Gate = factory(**options)
    except ModuleNotFoundError as error:
        if not entry.extra or (error.name or "").startswith("interlock"):
            raise
        raise MissingExtraError(error.name or entry.name, extra=entry.extra) from error
    except TypeError as error:
        raise UsageError(f"{kind} cannot be set up like this: {error}", where=kind) from error
    return gate
