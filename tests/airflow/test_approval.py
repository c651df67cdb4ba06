"""Approval on a real Airflow: people log in and press the buttons through its REST API, and the record decides."""

from __future__ import annotations

import configparser
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from tests.airflow.homes import migrated

from interlock.airflow.api_client import AirflowClient
from interlock.airflow.records import RecordReader
from interlock.airflow.stack import AirflowStack
from interlock.deployment.approval import Behind
from interlock.evidence import KeyRing, Ledger, Receipt, verify_receipt
from interlock.gate import Settings, utc_now

pytestmark = [pytest.mark.slow, pytest.mark.stack]

PEOPLE = {"admin": "admin", "alice": "user", "bob": "user", "mallory": "user", "reader": "viewer"}
APPROVERS = ["alice", "bob"]
PATIENCE = 180.0

DAGS = """
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task
from interlock.airflow import ApprovalGateOperator, DeployGateOperator, ScanModelOperator

MODEL = "{{ dag_run.conf['model'] }}"

for name, at_most in (("release", timedelta(minutes=10)), ("hasty", timedelta(seconds=45))):
    with DAG(name, schedule=None) as dag:
        scan = ScanModelOperator(task_id="scan", subject=MODEL)
        approve = ApprovalGateOperator(task_id="approve", subject=MODEL, at_most=at_most, retries=2)
        promote = DeployGateOperator(
            task_id="promote", model=MODEL, to="registry://m/{{ run_id }}", declared={"author": "dave"}
        )

        @task(trigger_rule="none_failed")
        def unless_failed():
            pass

        @task(trigger_rule="all_done")
        def in_any_case():
            pass

        scan >> approve >> promote
        approve >> [unless_failed(), in_any_case()]
    globals()[name] = dag


def ask_first(context):
    import hashlib

    from airflow.sdk.execution_time.hitl import upsert_hitl_detail

    digest = hashlib.sha256(Path(context["dag_run"].conf["model"]).read_bytes()).hexdigest()
    options = ["Approve sha256:" + digest, "Reject"]
    upsert_hitl_detail(context["ti"].id, options=options, subject="Test", body="A harmless test.", params={})


with DAG("posed", schedule=None) as posed:
    ScanModelOperator(task_id="scan", subject=MODEL) >> ApprovalGateOperator(
        task_id="approve", subject=MODEL, pre_execute=ask_first
    )
"""
CHAINS = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, task

lake = Asset("lake")

with DAG("maker", schedule=None) as maker:

    @task(outlets=[lake])
    def make():
        pass

    make() >> TriggerDagRunOperator(task_id="call", trigger_dag_id="called", trigger_run_id="by-maker")

with DAG("fed", schedule=[lake]) as fed:
    EmptyOperator(task_id="eat")

with DAG("called", schedule=None) as called:
    EmptyOperator(task_id="answer")
"""
LAYER: dict[str, Any] = {
    "interlock/approvers": {"deployment": APPROVERS},
    "interlock/profiles/dev": {
        "required": {"deployment": ["artifact-scan"]},
        "deployment": {"approvals": 1, "required_of_data": []},
        "model": {"training_receipt": False},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A running Airflow and the people who work with it."""

    stack: AirflowStack
    root: Path

    def as_(self, person: str) -> AirflowClient:
        """The REST API as one person."""
        return AirflowClient(address=self.stack.address, user=person, password=f"{person}-password")

    def ask(self, dag_id: str, run_id: str, *, by: str = "alice") -> Path:
        """Let somebody trigger a run about a model of its own, and wait until the question is there."""
        model = self.root / f"{run_id}.safetensors"
        write_model(model, fill=run_id.encode())
        with self.as_(by) as client:
            client.trigger(dag_id, run_id=run_id, conf={"model": str(model)})
        self.wait_until_asked(dag_id, run_id)
        return model

    def wait_until_asked(self, dag_id: str, run_id: str, *, times: int = 1) -> None:
        """Wait until the question is there, and the scheduler knows that the process which asked has ended.

        An answer before that makes Airflow 3.3.2 take the old process's end for the end of the resumed task.
        """
        until = time.monotonic() + PATIENCE
        key = f"TaskInstanceKey(dag_id={dag_id!r}, task_id='approve', run_id={run_id!r}, try_number={times},"
        while True:
            log = (self.stack.logs / "scheduler.log").read_text(encoding="utf-8", errors="replace")
            left = any("executor event with state success" in line and key in line for line in log.splitlines())
            if left and self.states(dag_id, run_id).get("approve") == "awaiting_input":
                return
            self.stack.check()
            assert time.monotonic() < until, self.states(dag_id, run_id)
            time.sleep(0.3)

    def record(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The record as the reader sees it."""
        with self.as_("reader") as client:
            return client._json("GET", record_path(dag_id, run_id))

    def answer(self, dag_id: str, run_id: str, *, by: str, choice: int = 0) -> None:
        """Press a button as a person does."""
        chosen = self.record(dag_id, run_id)["options"][choice]
        with self.as_(by) as client:
            client._json("PATCH", record_path(dag_id, run_id), body={"chosen_options": [chosen], "params_input": {}})

    def finish(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The states of the tasks once the run has ended."""
        self.stack.client.wait_for_run(dag_id, run_id, patience=PATIENCE, progress=lambda *_: self.stack.check())
        return self.states(dag_id, run_id)

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        return {task.task_id: task.state for task in self.stack.client.tasks(dag_id, run_id)}

    def receipt(self, run_id: str) -> Receipt:
        """The one receipt of the run's approval gate."""
        settings = Settings.load({"INTERLOCK_HOME": str(self.root / "interlock"), "INTERLOCK_PROFILE": "dev"})
        ring = KeyRing.load(settings)
        found = [
            verify_receipt(entry.envelope, ring, now=utc_now())
            for entry in Ledger.open(settings.ledger_url).of_run_id(run_id)
        ]
        [only] = [receipt for receipt in found if receipt.gate == "approval"]
        return only

    def reasons(self, run_id: str) -> set[str]:
        return {reason.id for reason in self.receipt(run_id).decision.reasons}


def record_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def write_model(path: Path, *, fill: bytes) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + fill[:16].ljust(16, b"."))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    root = tmp_path_factory.mktemp("approval")
    home, dags, layer = root / "home", root / "dags", root / "layer"
    for folder in (dags, layer):
        folder.mkdir()
    migrated(home)
    (dags / "release.py").write_text(DAGS)
    (dags / "chains.py").write_text(CHAINS)
    (layer / ".manifest").write_text(json.dumps({"revision": "t", "roots": sorted(LAYER), "rego_version": 1}))
    for path, document in LAYER.items():
        (layer / path).mkdir(parents=True)
        (layer / path / "data.json").write_text(json.dumps(document))
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({name: f"{name}-password" for name in PEOPLE}))
    passwords.chmod(0o600)
    (root / "reader").write_text("reader-password\n")
    stack = AirflowStack(
        home,
        dags,
        environment={
            "INTERLOCK_HOME": str(root / "interlock"),
            "INTERLOCK_PROFILE": "dev",
            "INTERLOCK_POLICY_LAYERS": str(layer),
        },
        settings={
            "core": {"simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in PEOPLE.items())},
            "interlock": {"records_user": "reader", "records_password_file": str(root / "reader")},
            "scheduler": {"trigger_timeout_check_interval": "1", "scheduler_idle_sleep_time": "0.1"},
        },
        parallelism=3,
    )
    with stack:
        for dag_id in ("release", "hasty", "posed", "maker", "fed", "called"):
            stack.client.wait_for_dag(dag_id, parsed_after=stack.started)
            stack.client.unpause(dag_id)
        yield Office(stack=stack, root=root)


def test_a_listed_person_other_than_who_triggered_opens_the_deployment(office: Office) -> None:
    office.ask("release", "approved")
    record = office.record("release", "approved")
    assert "| artifact-scan | ALLOW | dev (dev key) |" in record["body"]
    assert record["defaults"] is None
    office.answer("release", "approved", by="bob")
    states = office.finish("release", "approved")
    assert states == dict.fromkeys(("scan", "approve", "promote", "unless_failed", "in_any_case"), "success")
    receipt = office.receipt("approved")
    assert receipt.verdict.value == "ALLOW"
    assert f"Approve sha256:{receipt.subject.digest}" == record["options"][0]


def test_a_rejection_fails_and_never_skips(office: Office) -> None:
    office.ask("release", "rejected")
    office.answer("release", "rejected", by="bob", choice=1)
    states = office.finish("release", "rejected")
    # `none_failed` runs after a skip, which is why a rejection must not be one; `all_done` runs after anything.
    expected = {"scan": "success", "approve": "failed", "promote": "upstream_failed"}
    assert states == expected | {"unless_failed": "upstream_failed", "in_any_case": "success"}
    assert office.reasons("rejected") == {"deployment.answer-no"}
    assert [task.attempt for task in office.stack.client.tasks("release", "rejected") if task.task_id == "approve"] == [
        1
    ]


@pytest.mark.parametrize(
    ("run_id", "by", "rule"),
    [
        pytest.param("own", "alice", "deployment.answer-own", id="who-triggered-the-run"),
        pytest.param("unlisted", "mallory", "deployment.answer-person", id="whom-policy-does-not-list"),
    ],
)
def test_the_wrong_person_is_refused_though_airflow_lets_them_answer(
    office: Office, run_id: str, by: str, rule: str
) -> None:
    office.ask("release", run_id)
    office.answer("release", run_id, by=by)
    states = office.finish("release", run_id)
    assert (states["approve"], states["promote"]) == ("failed", "upstream_failed")
    assert office.reasons(run_id) == {rule}


def test_bytes_that_changed_after_the_question_are_not_approved(office: Office) -> None:
    model = office.ask("release", "swapped")
    write_model(model, fill=b"other bytes")
    office.answer("release", "swapped", by="bob")
    assert office.finish("release", "swapped")["approve"] == "failed"
    assert office.reasons("swapped") == {"deployment.answer-bytes"}


def test_an_answer_that_the_task_gives_itself_names_nobody_and_silence_is_no_approval(office: Office) -> None:
    office.ask("hasty", "forged")
    forge_answer(office, "forged")
    office.ask("hasty", "silent")
    for run_id, rules in (
        ("forged", {"deployment.answer-person", "deployment.answer-own"}),
        ("silent", {"deployment.answer-no", "deployment.answer-person", "deployment.answer-own"}),
    ):
        states = office.finish("hasty", run_id)
        assert (states["approve"], states["promote"], states["unless_failed"]) == (
            "failed",
            "upstream_failed",
            "upstream_failed",
        )
        assert office.reasons(run_id) == rules


def forge_answer(office: Office, run_id: str) -> None:
    """What code in the task could do: answer over the execution API with the task's own token."""
    record = office.record("hasty", run_id)
    ti_id = record["task_instance"]["id"]
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read(office.stack.home / "airflow.cfg")
    now = int(time.time())
    claims = {"sub": ti_id, "aud": "urn:airflow.apache.org:task", "iat": now, "nbf": now, "exp": now + 60}
    token = jwt.encode(claims | {"jti": os.urandom(8).hex()}, configuration["api_auth"]["jwt_secret"], "HS512")
    answered = httpx.patch(
        f"{office.stack.address}/execution/hitlDetails/{ti_id}",
        json={"ti_id": ti_id, "chosen_options": record["options"][:1], "params_input": {}},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answered.status_code == 200, answered.text
    seen = office.record("hasty", run_id)
    assert (seen["chosen_options"], seen["responded_by_user"]) == (record["options"][:1], None)


def test_a_cleared_gate_does_not_show_people_old_bytes(office: Office) -> None:
    model = office.ask("release", "cleared")
    office.answer("release", "cleared", by="bob", choice=1)
    office.finish("release", "cleared")
    write_model(model, fill=b"new bytes")
    body = {"dry_run": False, "dag_run_id": "cleared", "task_ids": ["approve"], "only_failed": False}
    office.stack.client._json("POST", "/api/v2/dags/release/clearTaskInstances", body=body)
    assert office.finish("release", "cleared")["approve"] == "failed"
    log = office.stack.client.log("release", "cleared", "approve", attempt=2)
    assert "Airflow keeps another question for this task" in log


def test_code_that_asks_before_the_gate_does_cannot_dress_up_the_question(office: Office) -> None:
    model = office.root / "posed.safetensors"
    write_model(model, fill=b"posed")
    with office.as_("alice") as client:
        client.trigger("posed", run_id="posed", conf={"model": str(model)})
    assert office.finish("posed", "posed") == {"scan": "success", "approve": "failed"}
    record = office.record("posed", "posed")
    assert record["body"] == "A harmless test."
    assert "Airflow keeps another question for this task" in office.stack.client.log("posed", "posed", "approve")


def test_a_gate_that_is_cleared_asks_the_same_question_again(office: Office) -> None:
    office.ask("release", "again")
    office.answer("release", "again", by="mallory")
    office.finish("release", "again")
    body = {"dry_run": False, "dag_run_id": "again", "task_ids": ["approve", "promote"], "only_failed": False}
    office.stack.client._json("POST", "/api/v2/dags/release/clearTaskInstances", body=body)
    office.wait_until_asked("release", "again", times=2)
    office.answer("release", "again", by="bob")
    states = office.finish("release", "again")
    assert (states["approve"], states["promote"]) == ("success", "success")


def test_whoever_triggered_the_run_before_is_behind_the_runs_that_follow(office: Office) -> None:
    reader = RecordReader(address=office.stack.address, user="reader", password="reader-password")
    with reader, office.as_("bob") as bob:
        bob.trigger("maker", run_id="by-bob")
        bob.wait_for_run("maker", "by-bob", patience=PATIENCE, progress=lambda *_: office.stack.check())
        [fed] = runs_of(office, "fed", at_least=1)
        assert reader.behind("fed", fed) == Behind(names=("bob",), known=True)
        assert reader.behind("called", "by-maker") == Behind(names=("bob",), known=True)
        [lake] = office.stack.client._json("GET", "/api/v2/assets")["assets"]
        office.stack.client._json("POST", "/api/v2/assets/events", body={"asset_id": lake["id"], "extra": {}})
        [outside] = set(runs_of(office, "fed", at_least=2)) - {fed}
        assert not reader.behind("fed", outside).known


def runs_of(office: Office, dag_id: str, *, at_least: int) -> list[str]:
    """The ids of a DAG's runs, once there are so many."""
    until = time.monotonic() + PATIENCE
    while True:
        found = office.stack.client._json("GET", f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
        if len(found) >= at_least:
            return [run["dag_run_id"] for run in found]
        office.stack.check()
        assert time.monotonic() < until, found
        time.sleep(0.3)
