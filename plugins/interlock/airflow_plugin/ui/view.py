"""What the tab "Security gates" shows, as values: gathered from Airflow's database, policy and the ledger.

The page explains, it decides nothing: the judgement is the scheduler's own (`interlock.airflow_plugin.judgement`), and
a receipt counts here as it does in a guard. What cannot be read is said on the page, never left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.quarantine import POOL, judge
from interlock.airflow_plugin.setup import WAITING_STATES, Line, pool_line, quarantine_pool
from interlock.airflow_plugin.ui.ledger_view import Evidence, clock, evidence_of
from interlock.airflow_plugin.wording import fixes
from interlock.pipeline import Mode, Step, Violation, describe

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from interlock.airflow_plugin.judgement import Judgement

MAX_ROWS = 200
"""Rows of each table at most; what is more is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """One gate that a step requires: its kind, and why it does not hold the step; empty when it does."""

    kind: str
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One protected step.

    Args:
        task_id: Its id.
        protects: ``training`` or ``deployment``.
        because: Why it is protected.
        uses: What it says it uses.
        gates: What it requires.
        fix: Lines of code that mend it.
    """

    task_id: str
    protects: str
    because: str
    uses: tuple[str, ...]
    gates: tuple[GateView, ...]
    fix: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether every gate that it requires holds it."""
        return not any(gate.missing for gate in self.gates)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingView:
    """A task instance in the quarantine."""

    run_id: str
    task: str
    state: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One page.

    Args:
        dag_id: The DAG.
        run_id: The run; empty on the page of a DAG.
        task_id: The task that the page is about; empty on the others.
        problem: Why nobody can say what is gated; empty when somebody can.
        mode: How strictly the DAG is treated.
        profile: The policy profile.
        steps: Its protected steps, those that are not held first.
        waiting: What is in the quarantine.
        more_waiting: How much more is, beyond `MAX_ROWS`.
        pool: How the quarantine pool is.
        evidence: What the ledger says.
    """

    dag_id: str
    run_id: str
    task_id: str
    problem: str
    mode: Mode
    profile: str
    steps: tuple[StepView, ...]
    waiting: tuple[WaitingView, ...]
    more_waiting: int
    pool: Line
    evidence: Evidence

    @property
    def ungated(self) -> tuple[StepView, ...]:
        """The protected steps that are not held."""
        return tuple(step for step in self.steps if not step.held)


def view_of(session: Session, dag_id: str, *, run_id: str = "", task_id: str = "") -> View | None:
    """Gather a page; None when there is no such DAG, run or task.

    Args:
        session: Of Airflow's database.
        dag_id: From the request, as are the others: the reader may read this DAG.
        run_id: With it, the DAG is the version that the run has.
        task_id: With it, only this task's part is gathered.
    """
    dag = _dag(session, dag_id, run_id)
    if dag is None or (task_id and not dag.has_task(task_id)):
        return None
    judgement = judge().judge(dag)
    waiting = list(_waiting(session, dag_id, run_id, task_id))
    return View(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        problem=judgement.problem,
        mode=judgement.mode,
        profile=judgement.profile,
        steps=tuple(sorted(steps_of(dag, judgement, task_id), key=lambda step: step.held)),
        waiting=tuple(waiting[:MAX_ROWS]),
        more_waiting=max(0, len(waiting) - MAX_ROWS),
        pool=pool_line(quarantine_pool(session)),
        evidence=_of_task(evidence_of(dag_id, run_id), task_id),
    )


def _dag(session: Session, dag_id: str, run_id: str) -> Any:
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    bag = DBDagBag(load_op_links=False)
    if not run_id:
        return bag.get_latest_version_of_dag(dag_id, session=session)
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return bag.get_dag_for_run(run, session=session) if run is not None else None


def steps_of(dag: Any, judgement: Judgement, task_id: str) -> Iterator[StepView]:
    """The protected steps of a serialized DAG; with `task_id` only that one."""
    for step in judgement.steps.values():
        if step.protects and task_id in {"", step.id}:
            yield _step(dag, step, judgement.violations.get(step.id, ()))


def _step(dag: Any, step: Step, violations: tuple[Violation, ...]) -> StepView:
    missing: Mapping[str, str] = {violation.missing: _why(violation) for violation in violations}
    code = dict.fromkeys(line for violation in violations for line in fixes(dag, violation))
    return StepView(
        task_id=step.id,
        protects=step.protects,
        because=step.because or "one of Interlock's own steps",
        uses=step.inputs,
        gates=tuple(GateView(kind=kind, missing=missing.get(kind, "")) for kind in dict.fromkeys(step.requires)),
        fix=tuple(code),
    )


def _why(violation: Violation) -> str:
    """The last part of the sentence: the page shows the rest in its own way."""
    return describe(replace(violation, because="")).partition(": ")[2]


def _waiting(session: Session, dag_id: str, run_id: str, task_id: str) -> Iterator[WaitingView]:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import or_, select

    states = [state for state in WAITING_STATES if state]
    wanted = select(TaskInstance).where(
        TaskInstance.dag_id == dag_id,
        TaskInstance.pool == POOL,
        or_(TaskInstance.state.is_(None), TaskInstance.state.in_(states)),
    )
    if run_id:
        wanted = wanted.where(TaskInstance.run_id == run_id)
    if task_id:
        wanted = wanted.where(TaskInstance.task_id == task_id)
    for found in session.scalars(
        wanted.order_by(TaskInstance.run_id.desc(), TaskInstance.task_id).limit(10 * MAX_ROWS)
    ):
        yield WaitingView(
            run_id=found.run_id,
            task=found.task_id if found.map_index < 0 else f"{found.task_id}[{found.map_index}]",
            state=str(found.state or "its upstream tasks come first"),
            since=clock(found.scheduled_dttm) if found.scheduled_dttm else "",
        )


def _of_task(evidence: Evidence, task_id: str) -> Evidence:
    if not task_id:
        return evidence
    return replace(
        evidence,
        receipts=tuple(row for row in evidence.receipts if row.task_id == task_id),
        events=tuple(row for row in evidence.events if row.task_id == task_id),
    )
