"""Why a protected step is not held: the path from a gate on which the fewest things are in the way.

Each thing in the way is an *obstacle*; the path that is found is one with the fewest, so it has the shortest fix. A
gate that looks at something else than the step uses counts as one obstacle more. Only steps that are not held cost
anything here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from enum import Enum

from interlock.pipeline.graph import Graph, Step
from interlock.pipeline.nearest import Nearest, Start
from interlock.pipeline.subjects import ANYTHING, UNBOUND, Subjects


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


def explain(
    graph: Graph, subjects: Subjects, passing: Set[str], missing: Sequence[tuple[Step, str, int]]
) -> tuple[Violation, ...]:
    """The violations of steps that are not held.

    Args:
        graph: The pipeline.
        subjects: What its gates look at.
        passing: Ids of the steps that pass a failure on.
        missing: Each protected step with a gate kind that does not hold it, and the bits of what such a gate might look
            at: those of the first input that none looked at.
    """
    explainer = _Explainer(graph, subjects, passing, tuple(dict.fromkeys(kind for _, kind, _ in missing)))
    return tuple(explainer.violation(step, kind, lacking) for step, kind, lacking in missing)


class _Explainer:
    def __init__(self, graph: Graph, subjects: Subjects, passing: Set[str], kinds: Sequence[str]) -> None:
        self._steps = {step.id: step for step in graph.steps}
        self._subjects = subjects
        self._shift = {kind: number * subjects.width for number, kind in enumerate(kinds)}
        self._gates = [step for step in graph.steps if step.gate in self._shift]
        starts = {
            gate.id: Start(
                price=sum(1 for _ in obstacles_of_gate(gate)),
                marks=(subjects.looks_at(gate) | ANYTHING) << self._shift[gate.gate],
            )
            for gate in self._gates
        }
        self._nearest = Nearest(graph, passing, starts)

    def violation(self, step: Step, kind: str, lacking: int) -> Violation:
        path, other_subject = self._path(step, kind, lacking)
        return Violation(
            step_id=step.id,
            protects=step.protects,
            because=step.because,
            missing=kind,
            path=path,
            obstacles=tuple(self._obstacles(path, kind, other_subject=other_subject)) if path else (),
            elsewhere="" if path else self._elsewhere(kind, lacking),
        )

    def _path(self, step: Step, kind: str, lacking: int) -> tuple[tuple[str, ...], bool]:
        """The path with the fewest obstacles, and whether its gate looks at something else than the step uses."""
        fitting = lacking << self._shift[kind]
        anything = ANYTHING << self._shift[kind]
        other_price = self._nearest.price(step.id, anything)
        if other_price is None:
            return (), False
        if self._nearest.price(step.id, fitting, limit=other_price + 1) is None:
            return self._nearest.path(step.id, anything), True
        return self._nearest.path(step.id, fitting), False

    def _obstacles(self, path: tuple[str, ...], kind: str, *, other_subject: bool) -> Iterator[Obstacle]:
        gate, step = self._steps[path[0]], self._steps[path[-1]]
        said = kind in UNBOUND or any(step.inputs)
        yield from obstacles_of_gate(gate)
        if other_subject and said:
            yield Obstacle(step_id=gate.id, why=Why.OTHER_SUBJECT, detail=gate.subject)
        for node in path[1:]:
            yield from obstacles_on_the_way(self._steps[node])
        if not said:
            yield Obstacle(step_id=step.id, why=Why.UNSAID)

    def _elsewhere(self, kind: str, lacking: int) -> str:
        sound = (gate for gate in self._gates if gate.gate == kind and gate.stops)
        return next((gate.id for gate in sound if self._subjects.looks_at(gate) & lacking), "")


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
