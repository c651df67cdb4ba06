"""Changes by hand on Airflow's real API: who marked, cleared, paused or deleted a gate stands in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.airflow.api_server import bearing, events, events_when, stored, task_instance, token_of

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = [
    # Airflow is another's code, and Starlette's test client asks for another httpx.
    pytest.mark.filterwarnings("ignore"),
]

RUN = "/api/v2/dags/watched/dagRuns/r1"
SCAN = f"{RUN}/taskInstances/scan"


@pytest.fixture(scope="module")
def dags(airflow_database: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, TaskGroup

    from interlock.airflow import ScanModelOperator

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERLOCK_HOME", str(tmp_path_factory.mktemp("module")))
        with DAG("watched", schedule=None) as watched:
            ScanModelOperator(task_id="scan", subject="model")
            EmptyOperator(task_id="report")
            with TaskGroup("group"):
                ScanModelOperator(task_id="other", subject="model")
        with DAG("unwatched", schedule=None) as unwatched:
            EmptyOperator(task_id="report")
        stored(watched)
        stored(unwatched)


@pytest.fixture
def client(dags: None, airflow_api: TestClient, home: Path) -> Iterator[TestClient]:
    """A client that is `mallory`, with a fresh ledger and a fresh run of each DAG."""
    assert home
    made = airflow_api
    made.headers.update(bearing(token_of(made, "mallory")))
    for dag in ("watched", "unwatched"):
        made.delete(f"/api/v2/dags/{dag}/dagRuns/r1")
        answer = made.post(f"/api/v2/dags/{dag}/dagRuns", json={"dag_run_id": "r1", "logical_date": None})
        assert answer.status_code == 200, answer.text
    # What this fixture itself deletes is told as well: let it pass by before the test looks.
    made.patch("/api/v2/dags/watched", json={"is_paused": False})
    events_when(lambda found: bool(found) and found[-1].kind.value == "unpaused")
    yield made
    made.headers.pop("Authorization", None)
    made.cookies.clear()


def told(count: int) -> list[tuple[str, str, str, str]]:
    """The newest `count` events once there are that many after the fixture's: kind, run, task, actor."""

    def after(found: list[Any]) -> list[Any]:
        start = next(place for place, event in enumerate(found) if event.kind.value == "unpaused")
        return found[start + 1 :]

    found = after(events_when(lambda found: len(after(found)) >= count))
    return [(event.kind.value, event.run_id, event.task_id, event.actor) for event in found]


def bulk(**entity: Any) -> dict[str, Any]:
    return {"actions": [{"action": "update", "entities": [{"task_id": "scan", **entity}]}]}


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        pytest.param("PATCH", SCAN, {"new_state": "success"}, ("marked-success", "r1", "scan"), id="single"),
        pytest.param("PATCH", f"{SCAN}/-1", {"new_state": "success"}, ("marked-success", "r1", "scan"), id="by-index"),
        pytest.param(
            "PATCH", f"{RUN}/taskInstances", bulk(new_state="success"), ("marked-success", "r1", "scan"), id="bulk"
        ),
        pytest.param(
            "PATCH",
            "/api/v2/dags/~/dagRuns/~/taskInstances",
            bulk(dag_id="watched", dag_run_id="r1", new_state="success"),
            ("marked-success", "r1", "scan"),
            id="bulk-over-all-dags",
        ),
        pytest.param(
            "PATCH",
            f"{RUN}/taskGroupInstances/group",
            {"new_state": "success"},
            ("marked-success", "r1", "group.other"),
            id="task-group",
        ),
        pytest.param("PATCH", SCAN, {"new_state": "failed"}, ("marked-failed", "r1", "scan"), id="failed"),
        pytest.param("PATCH", SCAN, {"new_state": "skipped"}, ("marked-skipped", "r1", "scan"), id="skipped"),
        pytest.param("PATCH", RUN, {"state": "success"}, ("marked-success", "r1", ""), id="whole-run"),
        pytest.param(
            "PATCH",
            "/api/v2/dags/watched/dagRuns",
            {"actions": [{"action": "update", "entities": [{"dag_run_id": "r1", "state": "failed"}]}]},
            ("marked-failed", "r1", ""),
            id="whole-run-in-bulk",
        ),
        pytest.param("POST", f"{RUN}/clear", {"dry_run": False}, ("cleared", "r1", ""), id="run-cleared"),
        pytest.param(
            "POST",
            "/api/v2/dags/watched/clearDagRuns",
            {"dag_runs": [{"dag_run_id": "r1"}], "dry_run": False},
            ("cleared", "r1", ""),
            id="runs-cleared",
        ),
        pytest.param("PATCH", "/api/v2/dags/watched", {"is_paused": True}, ("paused", "", ""), id="paused"),
        pytest.param(
            "PATCH", "/api/v2/dags?dag_id_pattern=watched", {"is_paused": True}, ("paused", "", ""), id="paused-by-name"
        ),
        pytest.param("DELETE", SCAN, None, ("deleted", "r1", "scan"), id="task-deleted"),
        pytest.param(
            "PATCH",
            f"{RUN}/taskInstances",
            {"actions": [{"action": "delete", "entities": ["scan"]}]},
            ("deleted", "r1", "scan"),
            id="task-deleted-in-bulk",
        ),
        pytest.param("DELETE", RUN, None, ("deleted", "r1", ""), id="run-deleted"),
    ],
)
def test_a_change_of_a_gate_is_told_with_the_name_of_who_made_it(
    client: TestClient, method: str, path: str, body: Any, expected: tuple[str, str, str]
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.is_success, answer.text
    found = told(1)
    assert found[0] == (*expected, "mallory")
    reason = events()[-1].reason
    assert reason.startswith(f"{method} {path.partition('?')[0]}")


def test_clearing_tells_each_gate_that_was_cleared(client: TestClient) -> None:
    client.patch(SCAN, json={"new_state": "success"})
    body = {"dag_run_id": "r1", "task_ids": ["scan", "report"], "dry_run": True, "only_failed": False}
    assert client.post("/api/v2/dags/watched/clearTaskInstances", json=body).is_success
    cleared = client.post("/api/v2/dags/watched/clearTaskInstances", json={**body, "dry_run": False})
    assert {item["task_id"] for item in cleared.json()["task_instances"]} == {"scan", "report"}
    assert told(2) == [("marked-success", "r1", "scan", "mallory"), ("cleared", "r1", "scan", "mallory")]


def test_what_is_ordinary_or_was_refused_is_not_told(client: TestClient) -> None:
    assert client.patch(f"{RUN}/taskInstances/report", json={"new_state": "success"}).is_success
    assert client.patch("/api/v2/dags/unwatched", json={"is_paused": True}).is_success
    assert client.patch("/api/v2/dags/unwatched/dagRuns/r1", json={"state": "success"}).is_success
    assert client.patch(RUN, json={"note": "only a note"}).is_success
    assert client.patch(f"{SCAN}/dry_run", json={"new_state": "success"}).is_success
    assert client.patch(SCAN, json={"new_state": "nonsense"}).status_code == 422
    stranger = {"Authorization": "Bearer nonsense"}
    assert client.patch(SCAN, json={"new_state": "success"}, headers=stranger).status_code == 403
    assert client.patch(SCAN, json={"new_state": "failed"}).is_success  # the last one: events keep their order
    assert told(1) == [("marked-failed", "r1", "scan", "mallory")]


def test_the_user_of_a_browser_is_known_by_the_cookie(client: TestClient) -> None:
    token = token_of(client, "ada")
    del client.headers["Authorization"]
    client.cookies.set("_token", token)
    assert client.patch(SCAN, json={"new_state": "success"}).is_success
    assert told(1)[0][3] == "ada"


def test_padding_a_request_past_what_is_kept_does_not_hide_it(client: TestClient) -> None:
    padded = b'{"dry_run": false' + b" " * (9 << 20) + b"}"
    headers = {"Content-Type": "application/json"}
    assert client.post(f"{RUN}/clear", content=padded, headers=headers).is_success
    assert told(1) == [("cleared", "r1", "", "mallory")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("INTERLOCK_LEDGER_URL", "postgresql+pg8000://a:b@127.0.0.1:1/none", id="ledger-does-not-answer"),
        pytest.param("INTERLOCK_LEDGER_URL", "sqlite:////dev/null/ledger.db", id="ledger-cannot-be"),
        pytest.param("INTERLOCK_ENGINE", "nonsense", id="settings-cannot-be-read"),
    ],
)
def test_airflow_goes_on_when_the_ledger_cannot_be_written(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    with monkeypatch.context() as broken:
        broken.setenv(name, value)
        assert client.patch(SCAN, json={"new_state": "success"}).is_success
        until_logged(caplog, "could not be written to the ledger")
    assert client.patch(SCAN, json={"new_state": "failed"}).is_success
    assert told(1) == [("marked-failed", "r1", "scan", "mallory")]


def test_where_nobody_knows_what_is_protected_everything_is_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_POLICY", "/nowhere")
    assert client.patch(f"{RUN}/taskInstances/report", json={"new_state": "success"}).is_success
    assert told(1) == [("marked-success", "r1", "report", "mallory")]


def test_a_state_that_the_scheduler_sets_is_not_told(client: TestClient) -> None:
    from airflow.listeners.listener import get_listener_manager
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        from uuid import UUID

        instance = session.get_one(TaskInstance, UUID(task_instance("watched", "r1", "scan")))
        get_listener_manager().hook.on_task_instance_success(previous_state=None, task_instance=instance)
    assert client.patch(SCAN, json={"new_state": "failed"}).is_success
    assert told(1) == [("marked-failed", "r1", "scan", "mallory")]


def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    import time

    until = time.monotonic() + 30
    while text not in caplog.text:
        if time.monotonic() > until:
            raise AssertionError(f"not logged: {text}\n{caplog.text}")
        time.sleep(0.05)
