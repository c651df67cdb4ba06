"""The tab "Security gates" on Airflow's real API server: who may read it, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from tests.airflow.api_server import bearing, stored, token_of
from tests.airflow.layers import lay
from tests.airflow.runs import QUIET
from tests.airflow.versions import as_the_scheduler_has_it

from interlock.airflow import ScanPoisoningOperator, SecureTrainOperator, ValidateDataOperator
from interlock.airflow_plugin import quarantine
from interlock.airflow_plugin.setup import pool_line
from interlock.airflow_plugin.ui.ledger_view import EventView, Evidence, ReceiptView
from interlock.airflow_plugin.ui.page import render
from interlock.airflow_plugin.ui.view import View, WaitingView, steps_of

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytestmark = QUIET

PATHS = ("/dags/{dag_id}", "/dags/{dag_id}/runs/{run_id}", "/dags/{dag_id}/tasks/{task_id}")
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(autouse=True)
def scheduler(deployment: Path) -> Iterator[None]:
    quarantine.judge.cache_clear()
    yield
    quarantine.judge.cache_clear()


@pytest.fixture
def ungated(airflow_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DAG:
    """A DAG in Airflow's database that got past L1, by a mode that is then taken back."""
    rule = {"mode": "audit", "pipelines": ["page_ungated"]}
    lay(tmp_path / "passing", monkeypatch, {"interlock/enforcement/airflow/passing": rule})
    with DAG("page_ungated", schedule=None) as dag:
        ValidateDataOperator(task_id="validate", subject="d", suite="s") >> train()
        BashOperator(task_id="ordinary", bash_command="true")
    stored(dag)
    monkeypatch.delenv("INTERLOCK_POLICY_LAYERS")
    return dag


def train(**other: Any) -> SecureTrainOperator:
    return SecureTrainOperator(**{"task_id": "train", "data": "d", "out": "o", "command": ["x"], **other})


def view_of(dag: DAG, **other: Any) -> View:
    read = as_the_scheduler_has_it(dag)
    judgement = quarantine.judge().judge(read)
    return replace(
        View(
            dag_id=dag.dag_id,
            run_id="",
            task_id="",
            problem=judgement.problem,
            mode=judgement.mode,
            profile=judgement.profile,
            steps=tuple(steps_of(read, judgement, "")),
            waiting=(),
            more_waiting=0,
            pool=pool_line(None),
            evidence=Evidence(),
        ),
        **other,
    )


def test_the_app_has_no_other_route(airflow_api: TestClient) -> None:
    from interlock.airflow_plugin.ui.app import app

    assert tuple(getattr(route, "path", "?") for route in app.routes) == PATHS


@pytest.mark.parametrize("path", PATHS)
def test_nobody_reads_without_a_login(airflow_api: TestClient, path: str) -> None:
    url = "/interlock" + path.format(dag_id="page_ungated", run_id="r", task_id="train")
    assert airflow_api.get(url).status_code == 401
    assert airflow_api.get(url, headers=bearing("forged")).status_code == 403
    assert airflow_api.get(url, headers={"Cookie": "_token=forged"}).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_nobody_reads_a_dag_that_is_not_theirs(airflow_api: TestClient, path: str) -> None:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    stranger = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="eve", role=None))
    url = "/interlock" + path.format(dag_id="page_ungated", run_id="r", task_id="train")
    answer = airflow_api.get(url, headers=bearing(stranger), params={"dag_id": "another"})
    assert answer.status_code == 403
    assert "train" not in answer.text


@pytest.mark.parametrize("dag_id", ["nowhere", "~", "%2e%2e", "a" * 251])
def test_what_is_not_there_is_not_found(airflow_api: TestClient, dag_id: str) -> None:
    answer = airflow_api.get(f"/interlock/dags/{dag_id}", headers=bearing(token_of(airflow_api, "ada")))
    assert answer.status_code in {404, 422}


def test_the_page_says_what_is_wrong_and_how_to_mend_it(airflow_api: TestClient, ungated: DAG) -> None:
    answer = airflow_api.get("/interlock/dags/page_ungated", headers=bearing(token_of(airflow_api, "ada")))
    assert answer.status_code == 200
    assert "1 of 1 protected step is not gated, so Airflow does not start it." in answer.text
    assert "<strong>data-poisoning</strong>: there is none in front of it" in answer.text
    assert "ScanPoisoningOperator(task_id=&#34;data-poisoning&#34;" in answer.text
    assert "no pool interlock_quarantine" in answer.text
    assert "script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_of_a_task_is_about_that_task(airflow_api: TestClient, ungated: DAG) -> None:
    login = bearing(token_of(airflow_api, "ada"))
    assert (
        "1 of 1 protected step is not gated"
        in airflow_api.get("/interlock/dags/page_ungated/tasks/train", headers=login).text
    )
    said = airflow_api.get("/interlock/dags/page_ungated/tasks/ordinary", headers=login).text
    assert "Task ordinary is not protected" in said
    assert airflow_api.get("/interlock/dags/page_ungated/tasks/nowhere", headers=login).status_code == 404


def test_a_gated_dag_is_good() -> None:
    with DAG("gated") as dag:
        [
            ValidateDataOperator(task_id="validate", subject="d", suite="s"),
            ScanPoisoningOperator(task_id="poisoning", subject="d", label="label"),
        ] >> train()
    assert "1 protected step is held by every gate that is required." in render(view_of(dag))


def test_what_waits_although_its_dag_is_mended_is_told_how_to_go_on() -> None:
    with DAG("mended") as dag:
        BashOperator(task_id="ordinary", bash_command="true")
    waiting = WaitingView(run_id="r", task="train", state="scheduled", since="")
    said = render(view_of(dag, waiting=(waiting,), more_waiting=7))
    assert "tasks of an earlier one still wait" in said
    assert "interlock airflow recheck" in said
    assert "and 7 more" in said


def test_a_policy_that_cannot_be_read_is_nobodys_fault_but_its_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_POLICY", "/nowhere/at/all")
    with DAG("ordinary") as dag:
        BashOperator(task_id="ordinary", bash_command="true")
    said = render(view_of(dag))
    assert "It is not the DAG&#39;s fault." in said
    assert "/nowhere/at/all" in said


def test_mode_warn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = {"mode": "warn", "pipelines": ["legacy"]}
    lay(tmp_path / "layer", monkeypatch, {"interlock/enforcement/airflow/legacy": rule})
    with DAG("legacy") as dag:
        train()
    assert "Mode warn lets this DAG run all the same" in render(view_of(dag))


def test_what_an_author_writes_is_shown_and_never_run() -> None:
    with DAG("hostile") as dag:
        train(data=HOSTILE)
    evidence = Evidence(
        receipts=(ReceiptView(recorded=HOSTILE, receipt_id=HOSTILE, state=HOSTILE, subject=HOSTILE, task_id=HOSTILE),),
        events=(
            EventView(
                at=HOSTILE, kind=HOSTILE, level="", actor=HOSTILE, run_id=HOSTILE, task_id=HOSTILE, reason=HOSTILE
            ),
        ),
    )
    waiting = WaitingView(run_id=HOSTILE, task=HOSTILE, state=HOSTILE, since=HOSTILE)
    for run_id in ("", HOSTILE):
        said = render(view_of(dag, evidence=evidence, waiting=(waiting,), run_id=run_id, dag_id=HOSTILE))
        assert "<script" not in said
        assert "&lt;script&gt;" in said


def test_a_ledger_that_cannot_be_read_is_told(
    airflow_api: TestClient, ungated: DAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_LEDGER_URL", "postgresql+pg8000://nobody:x@127.0.0.1:1/none")
    answer = airflow_api.get("/interlock/dags/page_ungated", headers=bearing(token_of(airflow_api, "ada")))
    assert answer.status_code == 200
    assert "The ledger cannot be read here" in answer.text
    assert "nobody:x" not in answer.text
