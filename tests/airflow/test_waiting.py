"""Waiting for policy: a real OPA server, a real trigger in an event loop, a real task."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from tests.policy.engines.opa_servers import Authority, free_port, needs_opa, running_opa

from interlock.airflow.triggers import PolicyTrigger
from interlock.airflow.waiting import WaitForPolicyOperator

pytestmark = [
    needs_opa,
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RULES = """package acme.window

default open := false

open if input.day == "monday"

text := "true"
"""
PATH = "acme.window.open"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules" / "window.rego"
    path.parent.mkdir()
    path.write_text(RULES)
    return path


@pytest.fixture
def opa(rules: Path, deployment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An OPA server with the rules; the id of the connection to it."""
    with running_opa(str(rules)) as port:
        connect(monkeypatch, host=f"http://127.0.0.1:{port}", extra=json.dumps({"retries": 0}))
        yield "tried"


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TRIED", json.dumps({"conn_type": "opa", **fields}))


def trigger(path: str = PATH, day: str = "monday") -> PolicyTrigger:
    return PolicyTrigger(opa_conn_id="tried", path=path, document={"day": day}, seconds=0.05)


async def first_event(trigger: PolicyTrigger, seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        async for event in trigger.run():
            return event.payload
    raise AssertionError("a trigger fires or goes on")


def test_the_trigger_fires_when_the_rule_is_true(opa: str) -> None:
    assert asyncio.run(first_event(trigger(), 20)) == {"path": PATH}


@pytest.mark.parametrize(
    ("path", "day"),
    [
        pytest.param(PATH, "sunday", id="false"),
        pytest.param("acme.window.nothing", "monday", id="undefined"),
        pytest.param("acme.window.text", "monday", id="the text true"),
    ],
)
def test_the_trigger_does_not_fire_for(opa: str, path: str, day: str) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(first_event(trigger(path, day), 0.5))


def test_the_trigger_outlives_a_server_that_is_down(
    rules: Path, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    connect(monkeypatch, host=f"http://127.0.0.1:{port}", extra=json.dumps({"retries": 0, "timeout": 1}))

    async def down_then_up() -> Any:
        waiting = asyncio.create_task(first_event(trigger(), 30))
        await asyncio.sleep(0.3)
        with running_opa(str(rules), port=port):
            return await waiting

    assert asyncio.run(down_then_up()) == {"path": PATH}


def test_the_trigger_knows_a_private_authority(
    rules: Path, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    with running_opa(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", str(rules)) as port:
        connect(monkeypatch, host=f"https://127.0.0.1:{port}", extra=json.dumps({"ca_file": str(authority.file)}))
        assert asyncio.run(first_event(trigger(), 20)) == {"path": PATH}


def test_a_trigger_survives_the_way_to_the_triggerer() -> None:
    path, arguments = trigger().serialize()
    assert path == "interlock.airflow.triggers.PolicyTrigger"
    again = PolicyTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def waiting(day: str, **more: Any) -> WaitForPolicyOperator:
    return WaitForPolicyOperator(task_id="wait", path=PATH, document={"day": day}, opa_conn_id="tried", **more)


def test_a_task_goes_on_when_policy_allows(opa: str, airflow_database: None) -> None:
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.sdk import DAG

    with DAG("waits", schedule=None) as dag:
        waiting("monday")
    bag = DagBag(dag_folder=os.devnull, collect_dags=False)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    assert {one.state for one in dag.test().get_task_instances()} == {"success"}


def test_a_task_leaves_its_worker_while_policy_does_not_allow(opa: str) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        waiting("sunday", every=timedelta(seconds=7), at_most=timedelta(hours=1)).execute({})
    assert deferred.value.trigger.serialize()[1]["seconds"] == 7
    assert deferred.value.timeout == timedelta(hours=1)


def test_an_event_is_not_taken_for_permission(opa: str) -> None:
    with pytest.raises(TaskDeferred):
        waiting("sunday").execute({}, event={"path": PATH})


def test_a_server_that_cannot_be_asked_is_trouble_and_not_an_answer(
    deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, host=f"http://127.0.0.1:{free_port()}", extra=json.dumps({"retries": 0}))
    with pytest.raises(AirflowException, match="OPA cannot be asked"):
        waiting("monday").execute({})
