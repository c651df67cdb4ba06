"""One ledger for both orchestrators: receipts of one open the guard in the other, for the same bytes and no others.

The ledger is a PostgreSQL server of its own. Airflow's side are real task runs of real operators, Kubeflow's side whole
pipelines under `kfp.local`. kfp reads the annotations of pipelines when this is loaded, so there is no
``from __future__ import annotations`` here.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from tests.airflow.conftest import airflow_database, run_dag  # noqa: F401  # pytest finds fixtures by their names
from tests.airflow.layers import lay
from tests.airflow.runs import QUIET, RunDag, gates_of
from tests.evidence.postgres_server import binaries, server
from tests.kubeflow.steps import KINDS, ROWS, SUITE, bring, ir_of, run_ir, train

from interlock.kubeflow import gated, scan_poisoning, validate_data, verify
from interlock.kubeflow.local_run import RunEnd

pytestmark = [*QUIET, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def ledger(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The one ledger of a deployment; its keys are under `home`."""
    where = binaries()
    if where is None:
        pytest.skip("PostgreSQL's server binaries are not installed (apt-get install postgresql)")
    with server(where) as url:
        monkeypatch.setenv("INTERLOCK_LEDGER_URL", url)
        yield url


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A dataset, and one with a row more."""
    data, other = tmp_path / "data.csv", tmp_path / "other.csv"
    data.write_text(ROWS)
    other.write_text(ROWS + "1,2,0\n")
    return data, other


@dsl.pipeline(name="gates-only")
def gates_only(source: str) -> None:
    data = bring(source=source).outputs["data"]
    validate_data(subject=data, suite=SUITE)
    scan_poisoning(subject=data, label="label")


@dsl.pipeline(name="step-only")
def step_only(source: str, used: str, mark: str) -> None:
    data = bring(source=source).outputs["data"]
    checks = [verify(subject=data, requires=[kind]) for kind in KINDS]
    gated(train(mark=mark, data=bring(source=used).outputs["data"]), requires=checks)


def run_in_kubeflow(pipeline: object, folder: Path, **arguments: str) -> RunEnd:
    folder.mkdir()
    return run_ir(ir_of(pipeline, folder), folder, arguments, os.environ)


def run_step_in_airflow(run_dag: RunDag, name: str, data: Path, mark: Path) -> str | None:  # noqa: F811
    from airflow.sdk import DAG, task

    with DAG(name, schedule=None) as dag:

        @task.guarded(subject=str(data), requires=list(KINDS))
        def train(data: Path) -> None:
            mark.write_text(data.read_text())

        guarded: Any = train  # the guard fills `data` in, which no type checker can know
        guarded()
    return run_dag(dag)["train"]


def test_gates_that_ran_in_kubeflow_open_a_step_in_airflow_for_the_same_bytes_only(
    ledger: str,
    files: tuple[Path, Path],
    run_dag: RunDag,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lay(tmp_path / "l", monkeypatch, {"interlock/enforcement/airflow/apart": {"mode": "warn", "pipelines": ["*"]}})
    data, other = files
    mark = tmp_path / "trained"
    end = run_in_kubeflow(gates_only, tmp_path / "gates", source=str(data))
    assert end.succeeded, end.log.read_text()
    assert run_step_in_airflow(run_dag, "otherbytes", other, mark) == "failed"
    assert not mark.exists()
    assert run_step_in_airflow(run_dag, "samebytes", data, mark) == "success"
    assert mark.read_text() == ROWS


def test_gates_that_ran_in_airflow_open_a_step_in_kubeflow_for_the_same_bytes_only(
    ledger: str,
    files: tuple[Path, Path],
    run_dag: RunDag,  # noqa: F811
    tmp_path: Path,
) -> None:
    from airflow.sdk import DAG

    data, other = files
    mark = tmp_path / "trained"
    with DAG("gates", schedule=None) as dag:
        gates_of(data)
    assert run_dag(dag) == {"validate": "success", "poisoning": "success"}
    swapped = run_in_kubeflow(step_only, tmp_path / "swapped", source=str(data), used=str(other), mark=str(mark))
    assert not swapped.succeeded
    assert "speaks for other bytes" in swapped.log.read_text()
    assert not mark.exists()
    same = run_in_kubeflow(step_only, tmp_path / "same", source=str(data), used=str(data), mark=str(mark))
    assert same.succeeded, same.log.read_text()
    assert mark.read_text() == ROWS
