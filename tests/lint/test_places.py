"""The lines of DAGs and tasks: a hint, and never an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.airflow_plugin.linting.places import Places

SOURCE = """\
from airflow.sdk import DAG, dag, task, TaskGroup

with DAG("first") as one:
    a = Op(task_id="fit")
    @task
    def load(): ...
    with TaskGroup("group"):
        b = Op(
            task_id="inner",
        )

@dag(dag_id="second")
def anything():
    Op(task_id="fit")
    @task.guarded(requires=[])
    def train(): ...

third = DAG(dag_id="third", schedule=None)
d = Op(task_id="other", dag=third)
"""


@pytest.mark.parametrize(
    ("dag", "task", "line"),
    [
        ("first", "fit", 4),
        ("first", "load", 6),
        ("first", "load__2", 6),
        ("first", "group.inner", 8),
        ("second", "fit", 14),
        ("second", "train", 16),
        ("third", "other", 19),
        ("first", "made-in-a-loop", 3),
        ("unknown", "unknown", 0),
    ],
)
def test_a_task_is_found_at_its_line(dag: str, task: str, line: int, tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text(SOURCE)
    assert Places.of(file).task(dag, task) == line


@pytest.mark.parametrize(
    "content",
    [b"", b"def", b"\xff\xfe", b"x = " + b"(" * 5000, b"\0", b"x=" + b"-" * 100_000 + b"1"],
    ids=["empty", "no-python", "no-utf8", "deep-parentheses", "nul", "deep-tree"],
)
def test_a_file_that_is_no_python_has_no_places(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_bytes(content)
    assert Places.of(file).task("d", "t") == 0
