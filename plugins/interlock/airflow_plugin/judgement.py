"""What policy says of one serialized DAG: the judgement of the scheduler (L2) and of the page that explains it.

The scheduler lives long and asks often, so both answers are kept: policy is read again after `policy_poll` seconds
(from this machine: no server is asked), and a DAG is judged once for as long as neither it nor policy changes. A DAG is
known by the object that Airflow read from its database, not by its version: Airflow makes a task instance before it
tells it its version, may hand it the task of another version when it is cleared, and rewrites a version in place as
long as nothing ran of it. A new object is made each time; Airflow keeps it as long as it is current.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.own_steps import OWN_STEPS
from interlock.airflow_plugin.rules import Rules, rules_of
from interlock.airflow_plugin.serialized_graph import class_name, graph_of_serialized
from interlock.gate.errors import InterlockError
from interlock.pipeline import Mode, Step, Violation, Why, check, describe

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

_RETRY = 5.0
"""Seconds until a policy that could not be read is tried again."""
_KEPT = 2_000
"""DAGs whose judgement is kept at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One DAG by the policy of now.

    Args:
        problem: Why nobody can say what is protected or whether it is gated; empty when somebody can.
        profile: The policy profile in force; empty with a problem.
        mode: How strictly the DAG is treated.
        steps: Its steps, by task id; none with a problem.
        violations: What the chain rule found, by the id of each task that is held for it.
    """

    problem: str = ""
    profile: str = ""
    mode: Mode = Mode.ENFORCE
    steps: Mapping[str, Step] = field(default_factory=dict)
    violations: Mapping[str, tuple[Violation, ...]] = field(default_factory=dict)

    def hold(self, task: Any) -> str:
        """Why `task` must not run, in one or more sentences; empty when it may.

        With a problem everything but Interlock's gates is held. The rules that Interlock ships would not do here, as
        they do in the author's process (L1): an organisation adds to them by its own policy, and this is where its
        steps are held whatever happened before. Gates may run: they only make evidence.

        Args:
            task: A serialized task of this DAG.
        """
        if self.problem:
            own = OWN_STEPS.get(class_name(task))
            return "" if own is not None and own.gate and not own.protects else self.problem
        if self.mode.lets_pass:
            return ""
        if task.task_id not in self.steps:
            return f"task {task.task_id!r} is not in the DAG that it says it is in"
        return ". ".join(describe(violation) for violation in self.violations.get(task.task_id, ()))


class Judge:
    """Judges serialized DAGs, and remembers. Nothing here waits: no network, no database, no lock.

    Args:
        clock: Seconds that only grow; replaced in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = -1.0
        self._good_until = -1.0
        self._rules: Rules | None = None
        self._problem = ""
        self._kept: dict[int, tuple[weakref.ref[Any], Rules, Judgement]] = {}

    def judge(self, dag: SerializedDAG) -> Judgement:
        """The judgement of `dag` (made from what its author wrote, so untrusted); what goes wrong is in it."""
        rules = self._current()
        if rules is None:
            return Judgement(problem=self._problem)
        kept = self._kept.get(id(dag))
        if kept is not None and kept[0]() is dag and kept[1] is rules:
            return kept[2]
        judgement = _judged(dag, rules)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        key = id(dag)
        self._kept[key] = (weakref.ref(dag, lambda _dead: self._forget(key)), rules, judgement)
        return judgement

    def _forget(self, key: int) -> None:
        kept = self._kept.get(key)
        if kept is not None and kept[0]() is None:
            self._kept.pop(key, None)

    def _current(self) -> Rules | None:
        now = self._clock()
        if not self._read_at <= now < self._good_until:
            self._read(now)
        return self._rules

    def _read(self, now: float) -> None:
        from interlock.gate import Settings
        from interlock.policy import load_policy

        try:
            settings = Settings.load()
            rules = rules_of(settings, load_policy(settings, online=False))
        except Exception as error:  # noqa: BLE001 (the edge to Airflow: its scheduler ends by what is raised here)
            said = error if isinstance(error, InterlockError) else type(error).__name__
            self._problem = f"what policy protects and requires cannot be read: {said}"
            self._rules, seconds = None, _RETRY
        else:
            self._problem, seconds = "", settings.policy_poll
            old = self._rules
            if old is None or (old.profile, old.bundle.digest) != (rules.profile, rules.bundle.digest):
                self._rules = rules
        self._read_at, self._good_until = now, now + seconds


def _judged(dag: SerializedDAG, rules: Rules) -> Judgement:
    tags = tuple(sorted(map(str, dag.tags or ())))
    mode = rules.enforcement.mode(str(dag.dag_id), tags)
    try:
        graph = graph_of_serialized(dag, rules.protection, rules.required)
        violations: dict[str, tuple[Violation, ...]] = {}
        for violation in check(graph):
            for held in _held_by(violation):
                violations[held] = (*violations.get(held, ()), violation)
    except Exception as error:  # noqa: BLE001 (as above: whatever a DAG holds, somebody must be told)
        if mode.lets_pass:
            return Judgement(profile=rules.profile, mode=mode)
        said = error if isinstance(error, InterlockError) else type(error).__name__
        return Judgement(mode=mode, problem=f"whether DAG {dag.dag_id!r} is gated cannot be told: {said}")
    return Judgement(
        profile=rules.profile, mode=mode, steps={step.id: step for step in graph.steps}, violations=violations
    )


def _held_by(violation: Violation) -> Iterator[str]:
    """The ungated step, and a gate in front of it with code around it: that code may be what the step does."""
    yield violation.step_id
    yield from (obstacle.step_id for obstacle in violation.obstacles if obstacle.why is Why.OVERRIDDEN)
