"""Runs the demo: an Airflow of its own, three runs at once, a table, one HTML page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

from interlock.airflow.api_client import AirflowClient, TaskState
from interlock.airflow.stack import AirflowStack
from interlock.demo import (
    DemoEvidence,
    DemoResult,
    Ended,
    RunSeen,
    StepEnd,
    Steps,
    conclude,
    isolation_line,
    scenarios_of,
)
from interlock.gate import Settings, UsageError

DAG_ID = "gated_retraining"
STEPS = Steps(
    collect="collect",
    validate="validate",
    poisoning="poisoning",
    train="train",
    scan="scan",
    others="others",
    promote="promote",
)
SCENARIOS = scenarios_of(STEPS)
PATIENCE = 600.0
"""Seconds after which the runs are given up; on 2 cores they take about one minute."""

_ENDED = {"success": Ended.SUCCESS, "upstream_failed": Ended.NOT_STARTED}
"""Whatever else Airflow says of a task is no success."""

Progress = Callable[[str], None]


def run_demo(home: Path, dags: Path, *, say: Progress) -> DemoResult:
    """Run all scenarios and write the report.

    Args:
        home: Folder for everything that the demo makes; used again by the next run.
        dags: Folder with ``gated_retraining.py``.
        say: Gets one line of progress at a time.

    Raises:
        UsageError: The folder of examples is not there.
        UnavailableError: Airflow did not come up or a run did not end.
        MissingExtraError: Airflow is not installed.
    """
    started = time.monotonic()
    home, dags = home.absolute(), dags.absolute()
    if not (dags / f"{DAG_ID}.py").is_file():
        raise UsageError(
            f"{DAG_ID}.py is not there", where=str(dags), next_step="run from a checkout, or give --dags FOLDER"
        )
    environment = _environment(home)
    settings = Settings.load({**os.environ, **environment})
    say(isolation_line())
    runs = {scenario.name: f"{scenario.name}-{uuid4().hex[:8]}" for scenario in SCENARIOS}
    with AirflowStack(home / "airflow", dags, environment=environment, say=say) as stack:
        client = stack.client
        client.wait_for_dag(DAG_ID, parsed_after=stack.started)
        client.unpause(DAG_ID)
        for scenario, run_id in runs.items():
            client.trigger(DAG_ID, run_id=run_id, conf={"scenario": scenario})
        say(f"three runs of {DAG_ID} on {stack.address}")
        tasks = _watch(stack, runs, say)
    seen = {
        scenario: RunSeen(
            run_id=run_id, ends=_ends(tasks[scenario]), has_model=(home / "lake" / run_id / "model").exists()
        )
        for scenario, run_id in runs.items()
    }
    return conclude(
        DemoEvidence(settings),
        SCENARIOS,
        seen,
        title="Interlock demo: three retrainings",
        page=home / "report.html",
        started=started,
    )


def _environment(home: Path) -> dict[str, str]:
    """What the demo's Airflow gets on top of the caller's environment: all of it stays under `home`."""
    return {
        "INTERLOCK_HOME": str(home / "interlock"),
        "INTERLOCK_PROFILE": "dev",
        "INTERLOCK_EXAMPLE_LAKE": str(home / "lake"),
        "OMP_NUM_THREADS": "1",
    }


def _watch(stack: AirflowStack, runs: dict[str, str], say: Progress) -> dict[str, tuple[TaskState, ...]]:
    """Poll until all runs have ended; say each task's end once."""
    until = time.monotonic() + PATIENCE
    told: set[tuple[str, str]] = set()
    while True:
        stack.check()
        states = {scenario: stack.client.tasks(DAG_ID, run_id) for scenario, run_id in runs.items()}
        for scenario, task in _newly_ended(states, told):
            seconds = f"{task.seconds:.1f} s" if task.seconds is not None else "-"
            say(f"{scenario:9} {task.task_id:14} {task.state:16} {seconds}")
        if all(stack.client.run(DAG_ID, run_id).ended for run_id in runs.values()):
            return _final_states(stack.client, runs)
        if time.monotonic() > until:
            raise _gave_up(states)
        time.sleep(0.5)


def _final_states(client: AirflowClient, runs: dict[str, str]) -> dict[str, tuple[TaskState, ...]]:
    return {scenario: client.tasks(DAG_ID, run_id) for scenario, run_id in runs.items()}


def _newly_ended(
    states: dict[str, tuple[TaskState, ...]], told: set[tuple[str, str]]
) -> Iterable[tuple[str, TaskState]]:
    for scenario, tasks in states.items():
        for task in tasks:
            if task.state in ("success", "failed", "upstream_failed") and (scenario, task.task_id) not in told:
                told.add((scenario, task.task_id))
                yield scenario, task


def _gave_up(states: dict[str, tuple[TaskState, ...]]) -> Exception:
    from interlock.gate import UnavailableError

    waiting = [f"{s}: {t.task_id} is {t.state or 'not scheduled'}" for s, tasks in states.items() for t in tasks]
    return UnavailableError(f"the demo did not end within {PATIENCE:.0f} s; {'; '.join(waiting)}")


def _ends(tasks: tuple[TaskState, ...]) -> tuple[StepEnd, ...]:
    """How the tasks ended, in the order of the example; what it does not know comes last."""
    by_id = {task.task_id: task for task in tasks}
    order = (*STEPS.order, *sorted(set(by_id) - set(STEPS.order)))
    return tuple(
        StepEnd(step=step, ended=_ENDED.get(by_id[step].state, Ended.FAILED), seconds=by_id[step].seconds)
        for step in order
        if step in by_id
    )
