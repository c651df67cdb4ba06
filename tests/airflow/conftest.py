"""A real Airflow for these tests: its home in a temporary folder, SQLite, and the policies of the entry points.

Airflow reads its configuration when it is first imported, so the environment is set when this file is loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG

HOME = Path(tempfile.mkdtemp(prefix="interlock-airflow-"))
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


def pytest_sessionfinish() -> None:
    """Remove the home."""
    shutil.rmtree(HOME, ignore_errors=True)


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


@pytest.fixture
def load(airflow_database: None, deployment: Path) -> Callable[[DAG], None]:
    """Bags a DAG as the DAG processor does, which runs the policies of the entry points."""
    from tests.airflow.versions import dag_bag

    def bag(dag: DAG) -> None:
        dag_bag().bag_dag(dag)

    return bag
