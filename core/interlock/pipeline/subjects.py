"""What a gate looks at and what a step uses, by the names that the pipeline's text gives them.

A gate holds a step only if it looked at what the step uses. At this level that is a question about names: the same
path, URL or template. The guard inside the step asks it again about bytes, which is the answer that counts; here a
gate on other data is found before anything runs.

Three sorts of gate kind answer it differently. What `UNBOUND` ones look at is no input of a step at all. `TRACED` ones
look at data, and a model is made from data: their subject may be an input of the step or of whatever made one of its
inputs, and so on. All others must look at an input itself: a scan of the data is no scan of the model.
"""

from __future__ import annotations

import re
from functools import cached_property
from string import whitespace

from interlock.pipeline.graph import Graph, Step
from interlock.pipeline.marks import travel

UNBOUND = frozenset({"pipeline", "inference-probe", "deployment"})
"""Kinds of gate whose subject is no input of the step: the pipeline itself, an endpoint, what is deployed."""

TRACED = frozenset({"data-validation", "data-poisoning"})
"""Kinds of gate whose subject may also be what an input was made from."""

_TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
ANYTHING = 1
"""A bit that names no subject: what a gate of an unbound kind looks at."""


def named(text: str) -> str:
    """One spelling of a path, URL or template, for comparing; `text` is untrusted.

    ``file:///a/`` is ``/a``, ``s3://b/c/`` is ``s3://b/c``, and ``{{ds}}`` is ``{{ ds }}``.
    """
    spaced = _TEMPLATE.sub(lambda found: "{{ " + " ".join(found[1].split()) + " }}", text.strip())
    local = spaced.removeprefix("file://") if spaced.startswith("file:///") else spaced
    return local.rstrip("/" + whitespace) or local[:1]


class Subjects:
    """What the gates of one graph look at, as bits: a gate fits a step where they have one in common.

    Args:
        graph: Untrusted names in it; an empty one names nothing.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._bits = {"": ANYTHING}
        for step in graph.steps:
            if step.gate:
                self._bits.setdefault(step.subject, 1 << len(self._bits))
        self.width = len(self._bits)

    def looks_at(self, gate: Step) -> int:
        """The bit of what `gate` looks at; 0 when it must say it and does not."""
        if gate.gate in UNBOUND:
            return ANYTHING
        return self._bits[gate.subject] if gate.subject else 0

    def accepted(self, step: Step, kind: str) -> tuple[int, ...]:
        """For each input of `step` the bits of what a gate of `kind` may look at on its behalf.

        A step that names no input has one that no gate fits.
        """
        if kind in UNBOUND:
            return (ANYTHING,)
        known = self._made_from if kind in TRACED else self._bits
        return tuple(known.get(name, 0) for name in step.inputs if name) or (0,)

    @cached_property
    def _made_from(self) -> dict[str, int]:
        """Name to the bits of itself, of all that went into it, of all that went into that, and so on."""
        edges: list[tuple[str | int, str | int]] = []
        for number, step in enumerate(self._graph.steps):  # by way of the step: 100 inputs and outputs are 200 edges
            if step.inputs and step.outputs:
                edges += [(name, number) for name in step.inputs if name]
                edges += [(number, name) for name in step.outputs if name]
        if not edges:
            return self._bits
        nodes = dict.fromkeys([*self._bits, *(end for edge in edges for end in edge)])
        sent: dict[str | int, int] = {name: bit for name, bit in self._bits.items()}  # noqa: C416  # a wider key type
        arrived = travel(nodes, edges, sent)
        return {name: bits | self._bits.get(name, 0) for name, bits in arrived.items() if isinstance(name, str)}
