"""The chain rule: a correct-looking edge is not a gate.

For every protected step and every gate kind that it requires there must be at least one path gate -> ... -> step on
which every node after the gate, the step included, runs only if all its upstreams succeeded. One such path is enough:
a failed or skipped gate then fails or skips everything along it. The gate must be the real one with nothing put over
or around it, it must look at what the step uses (`interlock.pipeline.subjects`; of several things each needs a gate of
its own), and no node of the path, gate and
step included, may be a setup or teardown, whose failures do not travel.

How it is found: every sound gate sends a mark along the edges to nodes that pass a failure on. The mark says the kind
of gate and what it looks at; marks are bits of one number (`interlock.pipeline.marks`), so that each edge is looked at
once in a pipeline without circles. Only for a step that is not held, `interlock.pipeline.explanation` finds out what
is in the way. Pure, and total: in a circle marks travel until nothing changes.
"""

from __future__ import annotations

from interlock.pipeline.explanation import Violation, explain
from interlock.pipeline.graph import Graph
from interlock.pipeline.marks import travel
from interlock.pipeline.subjects import Subjects


def check(graph: Graph) -> tuple[Violation, ...]:
    """Apply the chain rule to every protected step.

    Returns:
        What is wrong, in the order of the pipeline's steps and of each step's `requires`; empty when all is gated.
    """
    required = [(step, dict.fromkeys(step.requires)) for step in graph.steps if step.protects and step.requires]
    if not required:
        return ()
    subjects = Subjects(graph)
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(kind for _, own in required for kind in own))}
    width = subjects.width
    sent = {
        step.id: subjects.looks_at(step) << kinds[step.gate] * width
        for step in graph.steps
        if step.gate in kinds and step.stops
    }
    passing = {step.id for step in graph.steps if step.passes_failure_on}
    arrived = travel([step.id for step in graph.steps], [edge for edge in graph.edges if edge[1] in passing], sent)
    missing = []
    for step, own in required:
        for kind in own:
            seen = arrived[step.id] >> kinds[kind] * width
            lacking = next((fitting for fitting in subjects.accepted(step, kind) if not seen & fitting), None)
            if lacking is not None:
                missing.append((step, kind, lacking))
    return explain(graph, subjects, passing, missing) if missing else ()
