"""The small simulator of Airflow's trigger rules against real runs of real Airflow, on random DAGs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from tests.airflow.runs import QUIET, RunDag
from tests.pipeline.airflow_rules import OUTCOMES, RULES, Dag, State, States, Task, ends

pytestmark = QUIET
SAMPLE = 48
RULES_OF_TASKS = [rule for rule in RULES if rule != "all_done_setup_success"]


def succeed() -> None:
    """Do nothing."""


def fail() -> None:
    raise AirflowFailException("as drawn")


def skip() -> None:
    raise AirflowSkipException("as drawn")


ENDS: dict[State, Callable[[], None]] = {State.SUCCESS: succeed, State.FAILED: fail, State.SKIPPED: skip}


def drawn(number: int) -> tuple[Dag, dict[str, tuple[State, ...]]]:
    """A random DAG and how each of its tasks ends once it runs; every rule comes up in the sample."""
    random = Random(number)
    tasks: list[Task] = []
    for position in range(random.randint(3, 6)):
        upstream = frozenset(task.id for task in tasks if random.random() < 0.5)
        part = random.random()
        rule = RULES_OF_TASKS[(number + position) % len(RULES_OF_TASKS)] if random.random() < 0.7 else "all_success"
        setup, teardown = part < 0.15, 0.15 <= part < 0.3
        if any(task.setup for task in tasks if task.id in upstream):
            rule = "all_success"  # Airflow takes no other after a setup
        if teardown:
            rule = "all_done_setup_success"
        tasks.append(Task(id=f"t{position}", rule=rule, upstream=upstream, setup=setup, teardown=teardown))
    return Dag(tuple(tasks)), {task.id: (random.choice(OUTCOMES),) for task in tasks}


def built(number: int, dag: Dag, outcomes: dict[str, tuple[State, ...]]) -> DAG:
    with DAG(f"sample_{number}", schedule=None) as real:
        for task in dag.tasks:
            (end,) = outcomes[task.id]
            operator = PythonOperator(task_id=task.id, python_callable=ENDS[end], trigger_rule=task.rule, retries=0)
            if task.setup:
                operator.as_setup()  # type: ignore[no-untyped-call]  # Airflow's own
            if task.teardown:
                operator.as_teardown()
            operator.set_upstream([real.get_task(upper) for upper in sorted(task.upstream)])
    return real


@pytest.mark.slow
@pytest.mark.parametrize("number", range(SAMPLE))
def test_a_real_run_ends_as_the_simulator_says(number: int, run_dag: RunDag) -> None:
    dag, outcomes = drawn(number)
    found = run_dag(built(number, dag, outcomes))
    assert states_of(dag, found) in ends(dag, outcomes)


def states_of(dag: Dag, found: Mapping[str, str | None]) -> States:
    return tuple(None if found[task.id] is None else State(str(found[task.id])) for task in dag.tasks)


def test_most_dags_of_the_sample_can_end_in_one_way_only() -> None:
    """In the others the order decides, for example whether a task is skipped or counts as failed with its upstream."""
    ways = [len(ends(*drawn(number))) for number in range(SAMPLE)]
    assert sum(count == 1 for count in ways) >= 0.9 * SAMPLE


def test_the_sample_has_every_rule_and_setups_and_teardowns() -> None:
    tasks = [task for number in range(SAMPLE) for task in drawn(number)[0].tasks if task.upstream]
    assert {task.rule for task in tasks} == set(RULES)
    assert any(task.setup for task in tasks)
    assert any(task.teardown for task in tasks)
