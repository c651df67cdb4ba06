"""Airflow's real API server app in this process, with two users, and Interlock's plugin in it as Airflow loads it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from starlette.testclient import TestClient

    from interlock.evidence import EnforcementEvent

USERS = {"mallory": "m", "ada": "a"}
PATIENCE = 30.0


@contextmanager
def served(folder: Path) -> Iterator[TestClient]:
    """A client of the app, which was started with hard mode on; each request reads the settings again.

    Args:
        folder: For the users' passwords.
    """
    from starlette.testclient import TestClient

    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps(USERS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s" * 64)
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", ",".join(f"{name}:admin" for name in USERS))
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        from airflow.api_fastapi.app import create_app, purge_cached_app

        purge_cached_app()
        with pytest.MonkeyPatch.context() as started:
            started.setenv("INTERLOCK_AIRFLOW_HARD_MODE", "yes")
            client = TestClient(create_app()).__enter__()
        try:
            yield client
        finally:
            client.__exit__(None, None, None)
            purge_cached_app()


def token_of(client: TestClient, user: str) -> str:
    """Log in."""
    answer = client.post("/auth/token", json={"username": user, "password": USERS[user]})
    return str(answer.json()["access_token"])


def bearing(token: str) -> dict[str, str]:
    """The header of a request with that token."""
    return {"Authorization": f"Bearer {token}"}


def stored(dag: DAG) -> None:
    """Put `dag` into Airflow's database, policies and all, as the DAG processor does."""
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from tests.airflow.versions import dag_bag

    bag = dag_bag()
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)


def task_instance(dag_id: str, run_id: str, task_id: str, *, state: str | None = None) -> str:
    """The id of a task instance, after setting its state in the database when one is given."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        wanted = select(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id)
        found = session.scalars(wanted).one()
        if state is not None:
            found.state = state
        return str(found.id)


def events() -> list[EnforcementEvent]:
    """All events in this deployment's ledger, oldest first."""
    from interlock.evidence import Ledger
    from interlock.gate import Settings

    recorded = Ledger.open(Settings.load().ledger_url).events()
    return [one.enforcement_event() for one in reversed(recorded)]


def events_when(enough: Callable[[list[EnforcementEvent]], bool]) -> list[EnforcementEvent]:
    """The events as soon as there are enough: they are written after the answer."""
    until = time.monotonic() + PATIENCE
    while not enough(found := events()):
        if time.monotonic() > until:
            raise AssertionError(f"not enough events: {found}")
        time.sleep(0.05)
    return found


def execution_token(task_instance_id: str) -> str:
    """The token that the scheduler gives a worker for one task instance."""
    from airflow.api_fastapi.execution_api.app import _jwt_generator

    claims: Mapping[str, Any] = {"sub": task_instance_id, "scope": "workload"}
    return str(_jwt_generator().generate(dict(claims)))  # type: ignore[no-untyped-call]  # Airflow's own
