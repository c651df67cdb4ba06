"""When Airflow lets a task run: its trigger rules, skips and setups, small enough to try every order of execution.

After ``airflow/ti_deps/deps/trigger_rule_dep.py`` of Airflow 3.3.2, for tasks that are not mapped. It is held against
real runs by ``tests/airflow/test_simulator.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property


class State(Enum):
    """How a task ended."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"


RUN, WAIT = True, False
Answer = State | bool
"""Run now, wait, or end in a state without running."""

OUTCOMES = (State.SUCCESS, State.FAILED, State.SKIPPED)
States = tuple[State | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its id, trigger rule and direct upstreams, and whether it is a setup or teardown."""

    id: str
    rule: str = "all_success"
    upstream: frozenset[str] = frozenset()
    setup: bool = False
    teardown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The direct upstreams of a task, by how they ended."""

    success: int
    failed: int
    skipped: int
    upstream_failed: int
    total: int
    setups: int
    setups_succeeded: int
    setups_skipped: int

    @property
    def bad(self) -> int:
        return self.failed + self.upstream_failed

    @property
    def done(self) -> bool:
        return self.success + self.bad + self.skipped >= self.total


def all_success(seen: Counts) -> Answer:
    if seen.bad:
        return State.UPSTREAM_FAILED
    return State.SKIPPED if seen.skipped else seen.success >= seen.total


def all_failed(seen: Counts) -> Answer:
    return State.SKIPPED if seen.success or seen.skipped else seen.bad >= seen.total


def all_skipped(seen: Counts) -> Answer:
    return State.SKIPPED if seen.success or seen.bad else seen.skipped >= seen.total


def all_done_min_one_success(seen: Counts) -> Answer:
    if seen.skipped:
        return State.SKIPPED
    if seen.done and not seen.success:
        return State.UPSTREAM_FAILED
    return seen.done


def all_done_setup_success(seen: Counts) -> Answer:
    if seen.done and seen.setups and seen.setups_skipped >= seen.setups:
        return State.SKIPPED
    if seen.done and seen.setups and not seen.setups_succeeded:
        return State.UPSTREAM_FAILED
    return seen.done


def one_success(seen: Counts) -> Answer:
    if seen.done and seen.skipped == seen.total:
        return State.SKIPPED
    if seen.done and not seen.success:
        return State.UPSTREAM_FAILED
    return seen.success > 0


def one_failed(seen: Counts) -> Answer:
    return State.SKIPPED if seen.done and not seen.bad else seen.bad > 0


def one_done(seen: Counts) -> Answer:
    ran = seen.success + seen.failed
    return State.SKIPPED if seen.done and not ran else ran > 0


def none_failed(seen: Counts) -> Answer:
    return State.UPSTREAM_FAILED if seen.bad else seen.done


def none_failed_min_one_success(seen: Counts) -> Answer:
    if seen.bad:
        return State.UPSTREAM_FAILED
    if seen.skipped == seen.total:
        return State.SKIPPED
    return seen.done


def none_skipped(seen: Counts) -> Answer:
    return State.SKIPPED if seen.skipped else seen.done


RULES: Mapping[str, Callable[[Counts], Answer]] = {
    "all_success": all_success,
    "all_failed": all_failed,
    "all_done": lambda seen: seen.done,
    "all_done_min_one_success": all_done_min_one_success,
    "all_done_setup_success": all_done_setup_success,
    "all_skipped": all_skipped,
    "one_success": one_success,
    "one_failed": one_failed,
    "one_done": one_done,
    "none_failed": none_failed,
    "none_failed_min_one_success": none_failed_min_one_success,
    "none_skipped": none_skipped,
    "always": lambda seen: RUN,
}


@dataclass(frozen=True)
class Dag:
    """Tasks, every upstream before its downstreams."""

    tasks: tuple[Task, ...]
    number: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", {task.id: number for number, task in enumerate(self.tasks)})

    @cached_property
    def above(self) -> Mapping[str, frozenset[str]]:
        """All that a task comes after, at any distance."""
        found: dict[str, frozenset[str]] = {}
        for task in self.tasks:
            found[task.id] = task.upstream.union(*(found[upper] for upper in task.upstream))
        return found

    @cached_property
    def indirect_setups(self) -> Mapping[str, frozenset[str]]:
        """Setups further up that must have succeeded: those without a teardown, or with one below the task."""
        return {task.id: frozenset(self._relevant_setups(task)) - task.upstream for task in self.tasks}

    @cached_property
    def scope(self) -> Mapping[str, frozenset[str]]:
        """For a teardown, what lies between it and its setups."""
        return {
            task.id: frozenset(
                other
                for other in self.above[task.id] - task.upstream
                if any(self.tasks[self.number[s]].setup and s in self.above[other] for s in task.upstream)
            )
            for task in self.tasks
            if task.teardown
        }

    def judge(self, task: Task, states: States) -> Answer:
        """Whether `task`, which has not ended, may run while the others stand as in `states`."""
        if not task.upstream or task.rule == "always":
            return RUN
        seen = {name: states[self.number[name]] for name in self.indirect_setups[task.id]}
        ready = task.teardown or all(state is State.SUCCESS for state in seen.values())
        if not task.teardown:
            if {State.FAILED, State.UPSTREAM_FAILED} & set(seen.values()):
                return State.UPSTREAM_FAILED
            if State.SKIPPED in seen.values():
                return State.SKIPPED
        answer = RULES[task.rule](self._count(task, states))
        if isinstance(answer, State):
            return answer
        inside = (states[self.number[name]] for name in self.scope.get(task.id, ()))
        return answer and ready and all(state is not None for state in inside)

    def _count(self, task: Task, states: States) -> Counts:
        uppers = [(self.tasks[self.number[name]], states[self.number[name]]) for name in task.upstream]
        ended = [state for _, state in uppers]
        setups = [state for upper, state in uppers if upper.setup]
        return Counts(
            success=ended.count(State.SUCCESS),
            failed=ended.count(State.FAILED),
            skipped=ended.count(State.SKIPPED),
            upstream_failed=ended.count(State.UPSTREAM_FAILED),
            total=len(uppers),
            setups=len(setups),
            setups_succeeded=setups.count(State.SUCCESS),
            setups_skipped=setups.count(State.SKIPPED),
        )

    def _relevant_setups(self, task: Task) -> Iterator[str]:
        for name in self.above[task.id]:
            if self.tasks[self.number[name]].setup:
                teardowns = [lower for lower in self.tasks if lower.teardown and name in lower.upstream]
                if not teardowns or any(task.id in self.above[lower.id] for lower in teardowns):
                    yield name


def executions(dag: Dag, outcomes: Mapping[str, Iterable[State]]) -> Iterator[tuple[States, Task]]:
    """Every order in which `dag` can run: each moment at which a task starts, with how the others stood then.

    Args:
        dag: A small one: there are up to 5 to the power of its tasks such moments.
        outcomes: The ways in which each task may end once it runs.
    """
    for states in reachable(dag, outcomes):
        for number, task in enumerate(dag.tasks):
            if states[number] is None and dag.judge(task, states) is RUN:
                yield states, task


def ends(dag: Dag, outcomes: Mapping[str, Iterable[State]]) -> set[States]:
    """How the whole run may end: no task can run any more, nor be given a state."""
    return {states for states in reachable(dag, outcomes) if not list(_next(dag, states, outcomes))}


def reachable(dag: Dag, outcomes: Mapping[str, Iterable[State]]) -> set[States]:
    """Every way in which the tasks can stand at some moment of some run."""
    start: States = (None,) * len(dag.tasks)
    found: set[States] = {start}
    waiting: list[States] = [start]
    while waiting:
        for states in _next(dag, waiting.pop(), outcomes):
            if states not in found:
                found.add(states)
                waiting.append(states)
    return found


def _next(dag: Dag, states: States, outcomes: Mapping[str, Iterable[State]]) -> Iterator[States]:
    for number, task in enumerate(dag.tasks):
        if states[number] is None:
            answer = dag.judge(task, states)
            ways = [answer] if isinstance(answer, State) else outcomes[task.id] if answer else []
            for state in ways:
                yield (*states[:number], state, *states[number + 1 :])
