"""The chain rule: a correct-looking edge is not a gate.

For every protected step and every gate kind that it requires there must be at least one path gate -> ... -> step on
which every node after the gate, the step included, runs only if all its upstreams succeeded. One such path is enough:
a failed or skipped gate then fails or skips everything along it. The gate must be the real one with nothing put over
or around it, it must look at what the step uses (`interlock.pipeline.subjects`), and no node of the path, gate and
step included, may be a setup or teardown, whose failures do not travel.

How it is found: for each kind, every sound gate sends a mark that says what it looks at along the edges to nodes that
pass a failure on; marks are bits of one number, so that each edge is looked at once in a pipeline without circles. A
step is held by a kind if a mark arrived that is one of its inputs. Only for a step that is not held,
`interlock.pipeline.explanation` finds out what is in the way. Pure, and total: in a circle marks travel until nothing
changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from interlock.pipeline.explanation import Explainer, Violation
from interlock.pipeline.graph import Graph, Step
from interlock.pipeline.subjects import UNBOUND, accepted


def check(graph: Graph) -> tuple[Violation, ...]:
    """Apply the chain rule to every protected step.

    Returns:
        What is wrong, in the order of the pipeline's steps and of each step's `requires`; empty when all is gated.
    """
    protected = [step for step in graph.steps if step.protects]
    kinds = sorted({kind for step in protected for kind in step.requires})
    if not kinds:
        return ()
    steps = {step.id: step for step in graph.steps}
    downstream: dict[str, list[str]] = {step.id: [] for step in graph.steps}
    for upper, lower in graph.edges:
        downstream[upper].append(lower)
    names = accepted(graph)
    marks = {kind: _Marks(kind, graph.steps) for kind in kinds}
    order = _upstreams_first(downstream)
    arrived = {kind: _spread(marks[kind], steps, downstream, order) for kind in kinds}
    explainer = Explainer(steps, downstream)
    return tuple(
        explainer.explain(step, kind, names[step.id])
        for step in protected
        for kind in dict.fromkeys(step.requires)
        if not arrived[kind][step.id] & marks[kind].of_names(names[step.id])
    )


class _Marks:
    """A bit for each thing that the sound gates of one kind look at."""

    def __init__(self, kind: str, steps: tuple[Step, ...]) -> None:
        self._bits: dict[str, int] = {}
        self._unbound = kind in UNBOUND
        self.sent: dict[str, int] = {}
        for step in steps:
            if step.gate == kind and step.stops and (step.subject or self._unbound):
                self.sent[step.id] = self._bit(step.subject)

    def _bit(self, subject: str) -> int:
        key = "" if self._unbound else subject
        return self._bits.setdefault(key, 1 << len(self._bits))

    def of_names(self, names: frozenset[str]) -> int:
        """The bits of what a step uses."""
        if self._unbound:
            return self._bits.get("", 0)
        found = 0
        for name in names:
            found |= self._bits.get(name, 0)
        return found


def _spread(
    marks: _Marks, steps: Mapping[str, Step], downstream: Mapping[str, list[str]], order: list[str]
) -> dict[str, int]:
    """Which marks surely reach each step: without that gate's success it does not run."""
    arrived = dict.fromkeys(steps, 0)
    waiting, queued = deque(order), set(order)
    while waiting:
        here = waiting.popleft()
        queued.discard(here)
        leaving = arrived[here] | marks.sent.get(here, 0)
        if not leaving:
            continue
        for lower in downstream[here]:
            if steps[lower].passes_failure_on and arrived[lower] | leaving != arrived[lower]:
                arrived[lower] |= leaving
                if lower not in queued:
                    queued.add(lower)
                    waiting.append(lower)
    return arrived


def _upstreams_first(downstream: Mapping[str, list[str]]) -> list[str]:
    """Topological order (Kahn 1962); what stands in or after a circle comes last, in the order it was given."""
    waits_for = dict.fromkeys(downstream, 0)
    for lowers in downstream.values():
        for lower in lowers:
            waits_for[lower] += 1
    order = [step_id for step_id, count in waits_for.items() if count == 0]
    for step_id in order:  # grows while it is read
        for lower in downstream[step_id]:
            waits_for[lower] -= 1
            if waits_for[lower] == 0:
                order.append(lower)
    return order + [step_id for step_id, count in waits_for.items() if count > 0]
