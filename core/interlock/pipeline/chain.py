"""The chain rule: a correct-looking edge is not a gate.

For every protected step and every gate kind that it requires there must be at least one path gate -> ... -> step on
which every node after the gate, the step included, runs only if all its upstreams succeeded. One such path is enough:
a failed or skipped gate then fails or skips everything along it. The gate must be the real one with nothing put over
or around it, and no node of the path, gate and step included, may be a setup or teardown, whose failures do not
travel.

How it is found: per gate kind one breadth-first walk from all steps that claim the kind, where each thing in the way
(an *obstacle*) costs 1 and everything else costs 0. A step that is reached at cost 0 is gated; one that is reached at
a higher cost has, on the walk's own path, the fewest obstacles, and removing those is the shortest fix. The walk
visits every edge a constant number of times (Dial's bucket queue with two buckets), so the whole is linear in the
edges for a fixed number of kinds. Pure, and total: a cycle is walked around at most once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from interlock.pipeline.graph import Graph, Step


class Why(Enum):
    """What can be in the way."""

    NOT_THE_GATE = "is not the gate itself but something made to look like it"
    OVERRIDDEN = "has code put over or around it"
    RUNS_ANYWAY = "runs although an upstream failed or was skipped"
    SETUP_OR_TEARDOWN = "is a setup or teardown, whose failure does not stop what follows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One thing in the way on a path.

    Args:
        step_id: The node.
        why: What is wrong with it.
        detail: The trigger rule, or the names that were overridden.
    """

    step_id: str
    why: Why
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A protected step that is not gated.

    Args:
        step_id: The protected step.
        protects: ``training`` or ``deployment``.
        missing: The gate kind that does not hold it.
        path: Step ids from the gate that comes nearest to the step; empty when no such gate is upstream.
        obstacles: What is in the way on `path`, from the gate on; empty only when `path` is.
        elsewhere: Id of a sound gate of this kind that is in the pipeline but not upstream, else empty.
    """

    step_id: str
    protects: str
    missing: str
    path: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class _Reach:
    """How the walk for one kind entered each step: the price, and the node it came from; and one sound gate."""

    cost: dict[str, int]
    origin: dict[str, str]
    sound_gate: str


def check(graph: Graph) -> tuple[Violation, ...]:
    """Apply the chain rule to every protected step.

    Returns:
        What is wrong, in the order of the pipeline's steps and of each step's `requires`; empty when all is gated.
    """
    protected = [step for step in graph.steps if step.protects]
    kinds = {kind for step in protected for kind in step.requires}
    if not kinds:
        return ()
    steps = {step.id: step for step in graph.steps}
    downstream: dict[str, list[str]] = {step.id: [] for step in graph.steps}
    for upper, lower in graph.edges:
        downstream[upper].append(lower)
    reached = {kind: _walk(kind, steps, downstream) for kind in sorted(kinds)}
    return tuple(
        _violation(step, kind, reached[kind], steps)
        for step in protected
        for kind in dict.fromkeys(step.requires)
        if reached[kind].cost.get(step.id) != 0
    )


def obstacles_of_gate(step: Step) -> Iterator[Obstacle]:
    """What keeps `step` from being relied on as a gate."""
    if not step.genuine:
        yield Obstacle(step_id=step.id, why=Why.NOT_THE_GATE)
    if step.overrides:
        yield Obstacle(step_id=step.id, why=Why.OVERRIDDEN, detail=", ".join(step.overrides))
    if step.setup or step.teardown:
        yield Obstacle(step_id=step.id, why=Why.SETUP_OR_TEARDOWN, detail="setup" if step.setup else "teardown")


def obstacles_on_the_way(step: Step) -> Iterator[Obstacle]:
    """What keeps `step`, as a node after the gate, from passing a failure on."""
    if step.setup or step.teardown:
        yield Obstacle(step_id=step.id, why=Why.SETUP_OR_TEARDOWN, detail="setup" if step.setup else "teardown")
    elif not step.needs_all_upstreams:
        yield Obstacle(step_id=step.id, why=Why.RUNS_ANYWAY, detail=step.rule)


def _walk(kind: str, steps: dict[str, Step], downstream: dict[str, list[str]]) -> _Reach:
    leaving: dict[str, int] = {}
    sound = next((step.id for step in steps.values() if step.gate == kind and step.stops), "")
    reach = _Reach(cost={}, origin={}, sound_gate=sound)
    queue: deque[tuple[int, str]] = deque()
    for price in (0, 1):
        for step in steps.values():
            if step.gate == kind and (0 if step.stops else 1) == price:
                leaving[step.id] = price
                queue.append((price, step.id))
    while queue:
        price, here = queue.popleft()
        if price > leaving[here]:
            continue  # a cheaper way to this node was found after this entry was queued
        for lower in downstream[here]:
            cost = price + (0 if steps[lower].passes_failure_on else 1)
            if cost >= reach.cost.get(lower, cost + 1):
                continue
            reach.cost[lower], reach.origin[lower] = cost, here
            if cost < leaving.get(lower, cost + 1):
                leaving[lower] = cost
                if cost == price:
                    queue.appendleft((cost, lower))
                else:
                    queue.append((cost, lower))
    return reach


def _violation(step: Step, kind: str, reach: _Reach, steps: dict[str, Step]) -> Violation:
    path = _path_to(step.id, kind, reach, steps)
    if not path:
        return Violation(step_id=step.id, protects=step.protects, missing=kind, elsewhere=reach.sound_gate)
    found = [*obstacles_of_gate(steps[path[0]])]
    for node in path[1:]:
        found += obstacles_on_the_way(steps[node])
    return Violation(step_id=step.id, protects=step.protects, missing=kind, path=path, obstacles=tuple(found))


def _path_to(step_id: str, kind: str, reach: _Reach, steps: dict[str, Step]) -> tuple[str, ...]:
    """Follow the walk back to its gate: the first node that costs no less to leave as the gate it is."""
    if step_id not in reach.cost:
        return ()
    path = [step_id]
    while True:
        here = reach.origin[path[-1]]
        path.append(here)
        at_the_gate = steps[here].gate == kind and (0 if steps[here].stops else 1) <= reach.cost.get(here, 2)
        if at_the_gate:
            return tuple(reversed(path))


def describe(violation: Violation) -> str:
    """One sentence for people: step, missing gate, and the path that failed and why. The fix is the adapter's."""
    start = f"no {violation.missing} gate holds {violation.protects} step {violation.step_id!r}"
    if not violation.path:
        if violation.elsewhere:
            return f"{start}: {violation.elsewhere!r} is one, but no path leads from it to the step"
        return f"{start}: there is none in front of it"
    reasons = "; ".join(
        f"{obstacle.step_id!r} {obstacle.why.value}{f' ({obstacle.detail})' if obstacle.detail else ''}"
        for obstacle in violation.obstacles
    )
    return f"{start}: on {' -> '.join(violation.path)}, {reasons}"
