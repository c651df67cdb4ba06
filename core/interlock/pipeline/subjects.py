"""What a gate looks at and what a step uses, by the names that the pipeline's text gives them.

A gate holds a step only if it looked at what the step uses. At this level that is a question about names: the same
path, URL or template. The guard inside the step asks it again about bytes, which is the answer that counts; here a
gate on other data is found before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from interlock.pipeline.graph import Graph, Step

UNBOUND = frozenset({"pipeline", "inference-probe", "deployment"})
"""Kinds of gate whose subject is no input of the step: the pipeline itself, an endpoint, what is deployed."""

_TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


def named(text: str) -> str:
    """One spelling of a path, URL or template, for comparing; `text` is untrusted.

    ``file:///a/`` is ``/a``, ``s3://b/c/`` is ``s3://b/c``, and ``{{ds}}`` is ``{{ ds }}``.
    """
    spaced = _TEMPLATE.sub(lambda found: "{{ " + " ".join(found[1].split()) + " }}", text.strip())
    local = spaced.removeprefix("file://") if spaced.startswith("file:///") else spaced
    return local.rstrip("/") or local[:1]


def accepted(graph: Graph) -> Mapping[str, frozenset[str]]:
    """For each protected step the names that a gate on its behalf may look at.

    These are its inputs and, since a model is made from data, the inputs of every step that makes one of them, and so
    on. A step that names no input has none.

    Returns:
        Step id to names; protected steps only.
    """
    made_from: dict[str, set[str]] = {}
    for step in graph.steps:
        for output in step.outputs:
            made_from.setdefault(output, set()).update(step.inputs)
    known: dict[tuple[str, ...], frozenset[str]] = {}
    found: dict[str, frozenset[str]] = {}
    for step in graph.steps:
        if step.protects:
            if step.inputs not in known:
                known[step.inputs] = _closure(step.inputs, made_from)
            found[step.id] = known[step.inputs]
    return found


def fits(gate: Step, kind: str, names: frozenset[str]) -> bool:
    """Whether `gate` looks at one of `names`, or is of a kind for which that is not asked."""
    return kind in UNBOUND or (bool(gate.subject) and gate.subject in names)


def _closure(start: tuple[str, ...], made_from: Mapping[str, set[str]]) -> frozenset[str]:
    found = set(start)
    waiting = list(start)
    while waiting:
        for name in made_from.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return frozenset(found)
