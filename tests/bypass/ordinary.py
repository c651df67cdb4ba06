"""Fifty ordinary DAG files, none of which trains: what Interlock must not change in an Airflow that it is put into."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

COUNT = 50
SEED = 7
RULES = ("all_success", "all_done", "none_failed", "always", "one_success")
POOLS = ("default_pool", "etl")
EXTRAS = (
    "last.as_teardown()",
    "last.pre_execute = lambda context: None",
    'EmptyOperator.partial(task_id="mapped").expand_kwargs([{}, {}]) << first',
    'last >> ShortCircuitOperator(task_id="short", python_callable=lambda: True) >> EmptyOperator(task_id="after")',
    'last >> LatestOnlyOperator(task_id="latest")',
    'last >> BashOperator(task_id="shell", bash_command="true", executor_config={"team": "etl"})',
    "",
)
HEAD = """
from datetime import UTC, datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
from airflow.providers.standard.operators.python import PythonOperator, ShortCircuitOperator
from airflow.sdk import DAG

"""


def write_ordinary(folder: Path) -> list[str]:
    """Write the files; return the ids of the DAGs."""
    folder.mkdir(parents=True)
    chance = random.Random(SEED)
    ids = [f"ordinary_{number:02}" for number in range(COUNT)]
    for number, dag_id in enumerate(ids):
        text = HEAD + "\n".join(_body(dag_id, EXTRAS[number % len(EXTRAS)], chance))
        (folder / f"{dag_id}.py").write_text(text + "\n")
    return ids


def _body(dag_id: str, extra: str, chance: random.Random) -> Iterator[str]:
    tags = chance.sample(["etl", "daily", "finance"], 2)
    yield f"with DAG({dag_id!r}, schedule='@once', start_date=datetime(2026, 1, 1, tzinfo=UTC), tags={tags!r}):"
    yield f"    first = PythonOperator(task_id='first', python_callable=print, pool={chance.choice(POOLS)!r})"
    yield "    steps = [first]"
    for number in range(chance.randint(2, 5)):
        rule, pool, weight = chance.choice(RULES), chance.choice(POOLS), chance.randint(1, 9)
        arguments = f"task_id='step_{number}', trigger_rule={rule!r}, pool={pool!r}, priority_weight={weight}"
        yield f"    steps.append(EmptyOperator({arguments}))"
        yield f"    steps[{chance.randint(0, number)}] >> steps[-1]"
    yield "    last = EmptyOperator(task_id='last')"
    yield "    steps >> last"
    yield f"    {extra}" if extra else ""
