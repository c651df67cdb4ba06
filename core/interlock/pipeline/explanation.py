"""Why a protected step is not held: the path from a gate on which the fewest things are in the way.

One walk for each gate kind and set of names: each thing in the way (an *obstacle*) costs 1 and everything else costs
0, so the path that is found is the one with the shortest fix. Buckets by price (Dial 1969) make the walk linear in
the edges. Only steps that are not held cost anything here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from interlock.pipeline.graph import Step
from interlock.pipeline.subjects import fits


class Why(Enum):
    """What can be in the way."""

    NOT_THE_GATE = "is not the gate itself but something made to look like it"
    OVERRIDDEN = "has code put over or around it"
    RUNS_ANYWAY = "runs although an upstream failed or was skipped"
    SETUP_OR_TEARDOWN = "is a setup or teardown, whose failure does not stop what follows"
    OTHER_SUBJECT = "looks at something else than the step uses"
    UNSAID = "does not say what it uses, so no gate can have looked at it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One thing in the way on a path.

    Args:
        step_id: The node.
        why: What is wrong with it.
        detail: The trigger rule, the names that were overridden, or what the gate looks at.
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
        because: Why it counts as protected; empty when it is one of Interlock's own steps.
        missing: The gate kind that does not hold it.
        path: Step ids from the gate that comes nearest to the step; empty when no such gate is upstream.
        obstacles: What is in the way on `path`, from the gate on; empty only when `path` is.
        elsewhere: Id of a sound gate of this kind, on what the step uses, that is in the pipeline but not upstream.
    """

    step_id: str
    protects: str
    missing: str
    because: str = ""
    path: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class _Reach:
    """How the walk entered each step: the price, and the node it came from; what its gates cost; one sound gate."""

    cost: dict[str, int]
    origin: dict[str, str]
    gates: dict[str, int]
    sound_gate: str


class Explainer:
    """Finds what is in the way, for one graph; remembers its walks."""

    def __init__(self, steps: Mapping[str, Step], downstream: Mapping[str, list[str]]) -> None:
        self._steps = steps
        self._downstream = downstream
        self._walks: dict[tuple[str, frozenset[str]], _Reach] = {}

    def explain(self, step: Step, kind: str, names: frozenset[str]) -> Violation:
        """The violation of a step that no gate of `kind` holds.

        Args:
            step: The protected step.
            kind: The gate kind.
            names: What a gate on its behalf may look at (`interlock.pipeline.subjects.accepted`).
        """
        if (kind, names) not in self._walks:
            self._walks[kind, names] = self._walk(kind, names)
        reach = self._walks[kind, names]
        path = _path_to(step.id, reach)
        obstacles = tuple(self._obstacles(path, kind, names)) if path else ()
        return Violation(
            step_id=step.id,
            protects=step.protects,
            because=step.because,
            missing=kind,
            path=path,
            obstacles=obstacles,
            elsewhere="" if path else reach.sound_gate,
        )

    def _obstacles(self, path: tuple[str, ...], kind: str, names: frozenset[str]) -> Iterator[Obstacle]:
        yield from obstacles_of_gate(self._steps[path[0]])
        if names and not fits(self._steps[path[0]], kind, names):
            yield Obstacle(step_id=path[0], why=Why.OTHER_SUBJECT, detail=self._steps[path[0]].subject)
        for node in path[1:]:
            yield from obstacles_on_the_way(self._steps[node])
        if not names and not fits(self._steps[path[0]], kind, names):
            yield Obstacle(step_id=path[-1], why=Why.UNSAID)

    def _walk(self, kind: str, names: frozenset[str]) -> _Reach:
        gates = {step.id: _price(step, kind, names) for step in self._steps.values() if step.gate == kind}
        sound = next((step_id for step_id, price in gates.items() if price == 0), "")
        reach = _Reach(cost={}, origin={}, gates=gates, sound_gate=sound)
        leaving = dict(gates)
        buckets: list[list[str]] = [[], [], []]
        for step_id, price in gates.items():
            buckets[price].append(step_id)
        for price, bucket in enumerate(buckets):  # both grow while they are read
            for here in bucket:
                if leaving[here] != price:
                    continue  # a cheaper way to this node was found after this entry was queued
                for lower in self._downstream[here]:
                    cost = price + (0 if self._steps[lower].passes_failure_on else 1)
                    if cost >= reach.cost.get(lower, cost + 1):
                        continue
                    reach.cost[lower], reach.origin[lower] = cost, here
                    if cost < leaving.get(lower, cost + 1):
                        leaving[lower] = cost
                        if cost == len(buckets):
                            buckets.append([])
                        buckets[cost].append(lower)
        return reach


def obstacles_of_gate(step: Step) -> Iterator[Obstacle]:
    """What keeps `step` from being relied on as a gate, whatever it looks at."""
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


def describe(violation: Violation) -> str:
    """One sentence for people: step, missing gate, and the path that failed and why. The fix is the adapter's."""
    why = f" (protected: {violation.because})" if violation.because else ""
    start = f"no {violation.missing} gate holds {violation.protects} step {violation.step_id!r}{why}"
    if not violation.path:
        if violation.elsewhere:
            return f"{start}: {violation.elsewhere!r} is one, but no path leads from it to the step"
        return f"{start}: there is none in front of it"
    reasons = "; ".join(
        f"{obstacle.step_id!r} {obstacle.why.value}{f' ({obstacle.detail})' if obstacle.detail else ''}"
        for obstacle in violation.obstacles
    )
    return f"{start}: on {' -> '.join(violation.path)}, {reasons}"


def _price(gate: Step, kind: str, names: frozenset[str]) -> int:
    return (0 if gate.stops else 1) + (0 if fits(gate, kind, names) else 1)


def _path_to(step_id: str, reach: _Reach) -> tuple[str, ...]:
    """Follow the walk back to its gate: the first node that costs no more to leave as the gate it is."""
    if step_id not in reach.cost:
        return ()
    path = [step_id]
    while True:
        here = reach.origin[path[-1]]
        path.append(here)
        if here in reach.gates and reach.gates[here] <= reach.cost.get(here, reach.gates[here]):
            return tuple(reversed(path))
