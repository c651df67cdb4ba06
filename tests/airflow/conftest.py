"""A real Airflow for these tests: its home in a temporary folder, SQLite, and the policies of the entry points.

Airflow reads its configuration when it is first imported, so the environment is set when this file is loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from atexit import register
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from starlette.testclient import TestClient

HOME = Path(tempfile.mkdtemp(prefix="interlock-airflow-"))
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


register(shutil.rmtree, HOME, ignore_errors=True)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a deployment of its own: home in a temporary folder, profile ``standard``."""
    home = tmp_path / "interlock"
    for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INTERLOCK_HOME", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))  # no settings of whoever runs the tests
    return home


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Tables in the temporary home."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    (HOME / "dags").mkdir(exist_ok=True)
    initdb()
    DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]  # Airflow's own


@pytest.fixture(scope="session")
def airflow_api(airflow_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Airflow's real API server in this process, with Interlock's plugin."""
    from tests.airflow.api_server import served

    with served(tmp_path_factory.mktemp("api")) as client:
        yield client


@pytest.fixture
def load(airflow_database: None, deployment: Path) -> Callable[[DAG], None]:
    """Bags a DAG as the DAG processor does, which runs the policies of the entry points."""
    from tests.airflow.versions import dag_bag

    def bag(dag: DAG) -> None:
        dag_bag().bag_dag(dag)

    return bag


@pytest.fixture
def run_dag(airflow_database: None, home: Path) -> Callable[[DAG], dict[str, str | None]]:
    """Bags a DAG as the DAG processor does (policies included) and runs it in this process."""
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from tests.airflow.versions import dag_bag

    def run(dag: DAG) -> dict[str, str | None]:
        bag = dag_bag()
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
        done = dag.test()
        return {instance.task_id: instance.state for instance in done.get_task_instances()}

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small dataset that the gates of `tests.airflow.runs.gates_of` let pass."""
    path = tmp_path / "train.csv"
    path.write_text("a,b,label\n" + "".join(f"{n % 17},{(n * 7) % 23},{n % 2}\n" for n in range(400)))
    return path
