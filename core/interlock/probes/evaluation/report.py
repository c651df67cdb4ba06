"""What an evaluation came to, as a report says it: facts and measures for policy, findings for people.

The names are in docs/training-promotion.md, because policy is written against them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from interlock.gate import Coverage, Finding, Json, Level, Measure, Observation, OpenSubject, Subject
from interlock.gate.documents import canonical_json
from interlock.probes.evaluation.exposure import Exposure
from interlock.probes.evaluation.history import History
from interlock.probes.evaluation.paired import Difference
from interlock.probes.evaluation.scores import Comparison, Group
from interlock.probes.evaluation.sealed import Plan, SealedSet, Task

_TOLD_P = 0.05
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that one evaluation found out.

    Args:
        set: The evaluation set, under the evaluation's name.
        plan: What its columns are.
        sealed: The set, read.
        isolation: Level of the sandbox in which the code predicted.
        history: What went before.
        problem: Why there is no comparison although a model was accepted; empty when there is.
        exposure: What the training may have seen.
        comparison: What the models came to.
    """

    set: Subject
    plan: Plan
    sealed: SealedSet
    isolation: str
    history: History
    problem: str
    exposure: Exposure
    comparison: Comparison


def observation_of(seen: Seen, opened: OpenSubject) -> Observation:
    """The observation of one evaluation.

    Args:
        seen: What was found out.
        opened: The model.
    """
    return Observation(
        findings=tuple(_findings(seen)),
        measures=tuple(_measures(seen)),
        coverage=Coverage(looked_at=tuple(file or opened.subject.name for file in opened.files)),
        facts=(("evaluation", canonical_json(_facts(seen)).decode()),),
    )


def _facts(seen: Seen) -> dict[str, Json]:
    accepted = seen.history.document()
    if accepted is not None:
        metric = seen.comparison.groups[0].metric
        accepted |= {"compared": bool(seen.comparison.accepted), "reason": seen.problem}
        recorded = seen.history.recorded(seen.set.digest, metric)
        now = seen.comparison.groups[0].accepted
        accepted["lost"] = None if recorded is None or now is None else _lost(recorded, now, seen.plan.task)
    return {
        "name": seen.set.name,
        "digest": {"sha256": seen.set.digest},
        "rows": seen.sealed.rows,
        "label": seen.plan.label,
        "slices": list(seen.plan.slices),
        "shown": list(seen.sealed.shown),
        "task": seen.plan.task.value,
        "isolation": seen.isolation,
        "seen_in_training": seen.exposure.seen,
        "accepted": accepted,
        "groups": [group.document() for group in seen.comparison.groups],
    }


def _lost(recorded: float, now: float, task: Task) -> float:
    """How much worse the accepted model is now than it was on the same rows: its code or its answers changed."""
    return recorded - now if task is Task.CLASSIFICATION else (now - recorded) / max(recorded, 1e-12)


def _measures(seen: Seen) -> Iterator[Measure]:
    one = seen.comparison
    yield Measure(name="rows", value=seen.sealed.rows, unit="rows")
    yield Measure(name="uses", value=seen.history.uses)
    for name, value in one.metrics.items():
        yield Measure(name=name, value=value)
    for name, value in one.accepted.items():
        yield Measure(name=f"accepted_{name}", value=value)
    for kind in ("overall", "class", "slice"):
        drops = [group.difference.drop for group in one.of(kind) if group.difference is not None]
        if drops:
            yield Measure(name="drop" if kind == "overall" else f"worst_{kind}_drop", value=max(drops))
    if seen.exposure.overlap is not None:
        yield Measure(name="overlap_rows", value=seen.exposure.overlap, unit="rows")
        yield Measure(name="overlap_fraction", value=seen.exposure.overlap / seen.sealed.rows, unit="fraction")


def _findings(seen: Seen) -> Iterator[Finding]:
    whole = seen.comparison.groups[0]
    beside = f"; the accepted model has {whole.accepted:.4g}" if whole.accepted is not None else ""
    yield _finding("evaluated", f"{whole.metric} is {whole.value:.4g} on {whole.rows} sealed rows{beside}", Level.NOTE)
    if seen.history.accepted is None:
        yield _finding("first", f"evaluation {seen.set.name!r} accepted no model before", Level.NOTE)
    if seen.problem:
        yield _finding("not-compared", f"not compared with the accepted model: {seen.problem}")
    if seen.exposure.seen:
        yield _finding("seen-in-training", "the training's own receipt says that it was given the evaluation set")
    if seen.exposure.overlap:
        yield _finding("overlap", f"{seen.exposure.overlap} rows of the set stand in the training's data, too")
    if seen.exposure.overlap is None:
        yield _finding("overlap-unknown", f"not compared with training data: {seen.exposure.reason}", Level.NOTE)
    worse = [
        (group, difference)
        for group in seen.comparison.groups
        if (difference := group.difference) is not None and difference.drop > 0 and difference.p <= _TOLD_P
    ]
    for group, difference in sorted(worse, key=lambda one: -one[1].drop)[:_MOST_TOLD]:
        yield _worse(group, difference)
    if len(worse) > _MOST_TOLD:
        yield _finding("worse-elsewhere", f"and {len(worse) - _MOST_TOLD} more groups are worse: see the facts")


def _worse(group: Group, one: Difference) -> Finding:
    return Finding(
        rule_id="model-probe.worse",
        level=Level.WARNING,
        message=(
            f"{group.kind} {group.name}: {group.metric} {group.value:.4g} against {group.accepted:.4g} on {group.rows}"
            f" rows, worse by {one.drop:.4g} (95 % interval {one.low:.4g} to {one.high:.4g}, p {one.p:.2g})"
        ),
        evidence=canonical_json(group.document()).decode(),
    )


def _finding(rule: str, message: str, level: Level = Level.WARNING) -> Finding:
    return Finding(rule_id=f"model-probe.{rule}", level=level, message=message)
