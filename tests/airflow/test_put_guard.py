"""The guard that the cluster policy puts on protected steps of other people's operators, in real task runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.layers import lay
from tests.airflow.runs import QUIET, RunDag, gates_of, verdicts

pytestmark = QUIET


def protected(task: Any, subject: Path | str) -> Any:
    from interlock.airflow import protect

    return protect(task, subject=str(subject), protects="training")


def test_a_shell_command_trains_on_the_held_copy(run_dag: RunDag, data: Path, tmp_path: Path) -> None:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG

    seen = tmp_path / "seen"
    with DAG("shell", schedule=None) as dag:
        command = f"echo {data} $INTERLOCK_DATA > {seen}; cat {data} >> {seen}"
        gates_of(data) >> protected(BashOperator(task_id="fit", bash_command=command), data)
    assert run_dag(dag) == {"validate": "success", "poisoning": "success", "fit": "success"}
    first, content = seen.read_text().split("\n", 1)
    argument, named = first.split()
    assert content == data.read_text()
    assert argument == named != str(data)
    assert verdicts() == {"validate": "ALLOW", "poisoning": "ALLOW", "fit": "ALLOW"}


def test_a_python_function_gets_the_held_copy_and_its_own_hook_still_runs(
    run_dag: RunDag, data: Path, tmp_path: Path
) -> None:
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG

    order: list[str] = []

    def fit(path: str) -> None:
        order.append(Path(path).read_text()[:9])
        assert path == os.environ["INTERLOCK_DATA"] != str(data)

    with DAG("function", schedule=None) as dag:
        task = PythonOperator(
            task_id="fit",
            python_callable=fit,
            op_kwargs={"path": str(data)},
            pre_execute=lambda _context: order.append("theirs"),
        )
        gates_of(data) >> protected(task, data)
    assert run_dag(dag)["fit"] == "success"
    assert order == ["theirs", "a,b,label"]


def test_nothing_of_the_author_runs_where_the_guard_stays_shut(
    run_dag: RunDag, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that no gate saw: the DAG's edges and names look right, and the file was changed after the scan."""
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG

    ran = tmp_path / "ran"

    def change() -> None:
        data.write_text(data.read_text() + "1,1,1\n")

    with DAG("changed", schedule=None) as dag:
        task = PythonOperator(
            task_id="fit", python_callable=ran.touch, pre_execute=lambda _context: ran.touch(), retries=2
        )
        tamper = PythonOperator(task_id="tamper", python_callable=change)
        gates_of(data) >> tamper >> protected(task, data)
    assert run_dag(dag)["fit"] == "failed"
    assert not ran.exists()
    assert verdicts()["fit"] == "DENY"


def test_a_protected_step_that_does_not_say_what_it_uses_never_starts(
    run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain rule refuses such a DAG; an insider who took that refusal out of the way still meets the guard."""
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG

    from interlock.airflow_plugin.guarding import put_guard

    lay(tmp_path / "l", monkeypatch, {"interlock/enforcement/airflow/all": {"mode": "audit", "pipelines": ["*"]}})
    ran = tmp_path / "ran"
    with DAG("unsaid", schedule=None) as dag:
        task = PythonOperator(task_id="fit", python_callable=ran.touch, queue="gpu")
    put_guard(task)
    assert run_dag(dag) == {"fit": "failed"}
    assert not ran.exists()


def test_putting_the_guard_twice_changes_nothing(home: Path) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator

    from interlock.airflow_plugin.guarding import open_guard_first, put_guard

    plain, hooked = EmptyOperator(task_id="a"), EmptyOperator(task_id="b", pre_execute=print)
    for task in (plain, hooked):
        put_guard(task)
        first = task._pre_execute_hook
        put_guard(task)
        assert task._pre_execute_hook is first
    assert plain._pre_execute_hook is open_guard_first
    assert hooked._pre_execute_hook.keywords == {"then": print}  # type: ignore[union-attr]  # a functools.partial


def test_the_guard_changes_no_version_of_a_serialized_dag(home: Path, tmp_path: Path) -> None:
    """Its text is the same at each parse, so no new version of the DAG is made."""
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    from interlock.airflow_plugin.guarding import put_guard

    texts = []
    for _ in range(2):
        with DAG("same", schedule=None) as dag:
            put_guard(BashOperator(task_id="a", bash_command="true", pre_execute=print))
        texts.append(DagSerialization.to_json(dag))
    assert texts[0] == texts[1]
