"""Hard mode on a real Airflow: gates marked as success by hand start no training, and nothing else is disturbed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.airflow.homes import migrated

from interlock.airflow.stack import AirflowStack
from interlock.evidence import EnforcementEvent, EventKind, Ledger

pytestmark = [pytest.mark.slow, pytest.mark.stack]

GATES = ("validate", "poisoning")

MARKED = """
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context
from interlock.airflow import ScanPoisoningOperator, SecureTrainOperator, ValidateDataOperator

FOLDER = Path({folder!r})
if get_parsing_context().task_id == "train":  # an author's first byte on the worker
    (FOLDER / "imported").touch()

with DAG("marked", schedule=None):
    data = str(FOLDER / "missing.csv")
    [
        ValidateDataOperator(task_id="validate", subject=data, suite="suite.json"),
        ScanPoisoningOperator(task_id="poisoning", subject=data, label="label"),
    ] >> SecureTrainOperator(
        task_id="train", data=data, out=str(FOLDER / "model"), command=["touch", str(FOLDER / "trained")]
    )
"""
ORDINARY = """
from airflow.sdk import dag, task

@dag(schedule=None)
def ordinary():
    @task
    def greet():
        print("still here")

    greet()

ordinary()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    root = tmp_path_factory.mktemp("hard")
    (root / "dags").mkdir()
    (root / "dags" / "marked.py").write_text(MARKED.format(folder=str(root)))
    (root / "dags" / "ordinary.py").write_text(ORDINARY)
    environment = {
        "INTERLOCK_HOME": str(root / "interlock"),
        "INTERLOCK_PROFILE": "dev",
        "INTERLOCK_AIRFLOW_HARD_MODE": "yes",
    }
    with AirflowStack(migrated(root / "home"), root / "dags", environment=environment, parallelism=2) as running:
        yield running


@contextmanager
def logged_in(stack: AirflowStack) -> Iterator[httpx.Client]:
    login = {"username": stack.user, "password": stack.password}
    with httpx.Client(base_url=f"{stack.address}/api/v2/dags/marked", timeout=60, trust_env=False) as client:
        token = client.post(f"{stack.address}/auth/token", json=login).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def mark(stack: AirflowStack, run_id: str) -> None:
    """Set both gates to success in one request, as a person in a hurry does."""
    with logged_in(stack) as client:
        entities = [{"task_id": task_id, "new_state": "success"} for task_id in GATES]
        update = {"actions": [{"action": "update", "entities": entities}]}
        answer = client.patch(f"/dagRuns/{run_id}/taskInstances", json=update).raise_for_status().json()
        assert answer["update"]["errors"] == []


def clear(stack: AirflowStack, run_id: str) -> None:
    """Start the training again."""
    with logged_in(stack) as client:
        again = {"dag_run_id": run_id, "task_ids": ["train"], "dry_run": False, "only_failed": False}
        client.post("/clearTaskInstances", json=again).raise_for_status()


def states(stack: AirflowStack, run_id: str) -> dict[str, str]:
    return {task.task_id: task.state for task in stack.client.tasks("marked", run_id)}


def wait_for(stack: AirflowStack, reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 180
    while not reached():
        stack.check()
        if time.monotonic() > until:
            raise AssertionError("it did not come to that in time")
        time.sleep(0.5)


def came(reached: Callable[[], bool], *, patience: float = 10) -> bool:
    """Whether it came to that; what is told behind an answer comes a little later than the answer."""
    until = time.monotonic() + patience
    while not reached() and time.monotonic() < until:
        time.sleep(0.5)
    return reached()


def test_marked_gates_start_no_training_and_airflow_goes_on(stack: AirflowStack) -> None:
    root = stack.dags.parent
    client = stack.client
    client.wait_for_dag("marked", parsed_after=stack.started)
    client.unpause("marked")
    client.trigger("marked", run_id="r1")
    ended = dict.fromkeys(GATES, "failed") | {"train": "upstream_failed"}
    wait_for(stack, lambda: states(stack, "r1") == ended)

    mark(stack, "r1")
    for _ in range(5):  # a busy server may not find out in time whose start it refuses, and then has nothing to record
        clear(stack, "r1")
        wait_for(stack, lambda: states(stack, "r1")["train"] == "failed")
        if came(lambda: bool(refusals(root))):
            break
    assert states(stack, "r1") == {"validate": "success", "poisoning": "success", "train": "failed"}
    assert not (root / "trained").exists()
    assert not (root / "imported").exists()

    client.wait_for_dag("ordinary", parsed_after=stack.started)
    client.unpause("ordinary")
    client.trigger("ordinary", run_id="r2")
    assert client.wait_for_run("ordinary", "r2", patience=120).state == "success"
    stack.check()  # the scheduler and all others still run

    events = recorded(root)
    by_hand = {(event.kind, event.task_id) for event in events if event.actor == "admin"}
    marked = {(EventKind.MARKED_SUCCESS, "validate"), (EventKind.MARKED_SUCCESS, "poisoning")}
    assert by_hand == marked | {(EventKind.CLEARED, "train"), (EventKind.UNPAUSED, "")}
    told = {(event.level, event.pipeline, event.run_id, event.task_id) for event in refusals(root)}
    assert told == {("L4", "marked", "r1", "train")}
    refused = refusals(root)[0]
    wait_for(stack, lambda: refused.reason in client.log("marked", "r1", "train", attempt=refused.attempt))


def refusals(root: Path) -> list[EnforcementEvent]:
    """Those of a server that had the time to ask for receipts."""
    told = [event for event in recorded(root) if event.kind is EventKind.START_REFUSED]
    return [event for event in told if "Setting a gate's state by hand makes no receipt" in event.reason]


def recorded(root: Path) -> list[EnforcementEvent]:
    ledger = Ledger.open(f"sqlite:///{root / 'interlock' / 'ledger.db'}")
    ledger.verify()
    return [one.enforcement_event() for one in ledger.events()]
