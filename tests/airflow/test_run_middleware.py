"""Hard mode on Airflow's real API: which tasks may start, and what a worker hears that may not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest
from tests.airflow.api_server import (
    PATIENCE,
    bearing,
    events,
    events_when,
    execution_token,
    stored,
    task_instance,
    token_of,
)
from tests.evidence.bench import decision, new_signer, report

from interlock.gate import GateContext, RunIdentity, Stage, Subject, Verdict, utc_now

if TYPE_CHECKING:
    from starlette.testclient import TestClient
    from starlette.types import Receive, Scope, Send

    from interlock.evidence import ReceiptSigner

pytestmark = [
    # Airflow is another's code, and Starlette's test client asks for another httpx.
    pytest.mark.filterwarnings("ignore"),
]

THIS = RunIdentity(orchestrator="airflow", pipeline="hard", run_id="r1", task_id="gate")
DATA = Subject(name="data", uri="file:///data", digest="a" * 64)
OTHER = Subject(name="data", uri="file:///data", digest="b" * 64)
GATES = ("data-validation", "data-poisoning")


@pytest.fixture(scope="module")
def dags(airflow_database: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    from interlock.airflow import ScanPoisoningOperator, SecureTrainOperator, ValidateDataOperator

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERLOCK_HOME", str(tmp_path_factory.mktemp("module")))
        with DAG("hard", schedule=None) as dag:
            gates = [
                ValidateDataOperator(task_id="validate", subject="data", suite="suite.json"),
                ScanPoisoningOperator(task_id="poisoning", subject="data", label="label"),
            ]
            train = SecureTrainOperator(task_id="train", data="data", out="model", command=["x"])
            gates >> train >> EmptyOperator(task_id="report")
        stored(dag)


class Answer(Protocol):
    """What Starlette's test client answers with: httpx's, or httpx2's where that is installed."""

    @property
    def status_code(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def json(self) -> Any: ...


@dataclass
class Api:
    """A client of a deployment in hard mode, with a fresh ledger and a fresh run."""

    client: TestClient
    home: Path

    def start(self, task_id: str = "train", *, state: str = "queued") -> Answer:
        """What a worker asks before it runs anything."""
        named = task_instance("hard", "r1", task_id, state=state)
        return self.ask(named)

    def ask(self, named: str) -> Answer:
        body = {"state": "running", "hostname": "h", "unixname": "u", "pid": 1, "start_date": utc_now().isoformat()}
        answer: Answer = self.client.patch(
            f"/execution/task-instances/{named}/run", json=body, headers=bearing(execution_token(named))
        )
        return answer


@pytest.fixture
def api(dags: None, airflow_api: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("INTERLOCK_AIRFLOW_HARD_MODE", "yes")
    token = bearing(token_of(airflow_api, "ada"))
    airflow_api.delete("/api/v2/dags/hard/dagRuns/r1", headers=token)
    body = {"dag_run_id": "r1", "logical_date": None}
    answer = airflow_api.post("/api/v2/dags/hard/dagRuns", json=body, headers=token)
    assert answer.status_code == 200, answer.text
    return Api(client=airflow_api, home=home)


def receipt(
    *gates: str,
    subject: Subject = DATA,
    verdict: Verdict = Verdict.ALLOW,
    run: RunIdentity = THIS,
    stage: Stage = Stage.GATE,
    bundle: str = "",
    signer: ReceiptSigner | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Receipts in this deployment's ledger, by its dev key unless said otherwise."""
    from interlock.evidence import Ledger, ReceiptRecorder, load_signer
    from interlock.gate import Settings
    from interlock.policy import load_policy

    settings = Settings.load()
    recorder = ReceiptRecorder(
        signer or load_signer(settings), Ledger.open(settings.ledger_url), settings.receipt_lifetime, clock=clock
    )
    judged = decision(verdict, bundle=bundle or load_policy(settings).digest)
    for gate in gates:
        recorder.record(report(subject, gate), judged, GateContext(run=run, profile="dev", stage=stage))


def all_receipts(**changes: Any) -> None:
    receipt(*GATES, **changes)


def other_bytes_each() -> None:
    receipt("data-validation")
    receipt("data-poisoning", subject=OTHER)


def denied_later() -> None:
    all_receipts()
    receipt("data-poisoning", verdict=Verdict.DENY)


def detail_of(answer: Answer) -> str:
    """The reason in a refusal, whose form is the only one that LocalExecutor survives."""
    assert answer.status_code == 403, answer.text
    assert answer.headers["content-type"] == "application/json"
    detail = answer.json()["detail"]
    assert detail["reason"] == "interlock_start_refused"
    return str(detail["message"])


def test_a_protected_task_with_all_receipts_starts(api: Api) -> None:
    all_receipts()
    answer = api.start()
    assert answer.status_code == 200, answer.text
    assert events() == [] or all(event.kind.value != "start-refused" for event in events())


def test_a_protected_task_without_receipts_is_refused_and_told_once(api: Api) -> None:
    said = detail_of(api.start())
    assert "training step 'train' of DAG 'hard'" in said
    assert "no data-validation and no data-poisoning receipt" in said
    assert "Setting a gate's state by hand makes no receipt" in said
    detail_of(api.start())
    refused = [e for e in events_when(lambda found: bool(refusals(found))) if e.kind.value == "start-refused"]
    [event] = refused
    assert (event.level, event.pipeline, event.run_id, event.task_id) == ("L4", "hard", "r1", "train")
    assert event.reason == said
    assert audited() == said


def audited() -> str:
    """What Airflow's own audit log says of the newest refusal."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    newest = select(Log).where(Log.event == "interlock: start refused").order_by(Log.id.desc()).limit(1)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with create_session() as session:
            found = session.scalars(newest).one_or_none()
            if found is not None:
                assert (found.dag_id, found.run_id, found.task_id) == ("hard", "r1", "train")
                return str(found.extra)
        time.sleep(0.05)
    raise AssertionError("it is not in the audit log")


def refusals(found: list[Any]) -> list[Any]:
    return [event for event in found if event.kind.value == "start-refused"]


def test_asking_for_a_task_that_is_not_due_is_refused_but_not_told(api: Api) -> None:
    detail_of(api.start(state="scheduled"))
    detail_of(api.start(state="queued"))
    assert len(refusals(events_when(lambda found: bool(refusals(found))))) == 1


@pytest.mark.parametrize("task_id", ["validate", "poisoning", "report"])
def test_gates_and_ordinary_tasks_start(api: Api, task_id: str) -> None:
    assert api.start(task_id).status_code == 200


def _marked_by_hand() -> None:
    """Nothing in the ledger: a state in Airflow's database is no receipt."""


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        pytest.param(_marked_by_hand, "no data-validation and no data-poisoning", id="gates-marked-by-hand"),
        pytest.param(lambda: receipt("data-validation"), "no data-poisoning", id="one-gate-only"),
        pytest.param(
            other_bytes_each,
            "no data-",
            id="each-gate-saw-other-bytes",
        ),
        pytest.param(lambda: all_receipts(verdict=Verdict.DENY), "told to refuse", id="denied"),
        pytest.param(lambda: all_receipts(verdict=Verdict.UNDECIDED), "told to doubt", id="undecided"),
        pytest.param(
            denied_later,
            "no data-poisoning",
            id="denied-after-it-was-allowed",
        ),
        pytest.param(lambda: all_receipts(run=replace(THIS, run_id="r0")), "no data-validation", id="of-another-run"),
        pytest.param(
            lambda: all_receipts(run=replace(THIS, pipeline="easy")), "no data-validation", id="of-another-dag"
        ),
        pytest.param(lambda: all_receipts(signer=new_signer()), "no trusted key", id="forged"),
        pytest.param(lambda: all_receipts(clock=lambda: utc_now() - timedelta(days=30)), "expired", id="expired"),
        pytest.param(lambda: all_receipts(stage=Stage.GUARD), "issued by a guard", id="of-a-guard"),
        pytest.param(lambda: all_receipts(bundle="c" * 64), "unknown policy bundle", id="by-an-unknown-policy"),
    ],
)
def test_what_is_no_receipt_of_this_run_opens_nothing(api: Api, prepare: Callable[[], None], says: str) -> None:
    from interlock.evidence import load_signer
    from interlock.gate import Settings

    load_signer(Settings.load())  # so that there is a trusted key at all
    prepare()
    assert says in detail_of(api.start())


def test_receipts_of_this_run_that_another_ledger_exported_count(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interlock.evidence import KeyRing, Ledger
    from interlock.gate import Settings

    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("INTERLOCK_LEDGER_URL", f"sqlite:///{tmp_path / 'elsewhere.db'}")
        all_receipts()
        settings = Settings.load()
        Ledger.open(settings.ledger_url).export(tmp_path / "export", keyring=KeyRing.load(settings))
    detail_of(api.start())
    monkeypatch.setenv("INTERLOCK_RECEIPTS", str(tmp_path / "export"))
    assert api.start().status_code == 200
    (tmp_path / "export" / "ledger.json").unlink()
    assert "not whole" in detail_of(api.start())


def test_a_later_gate_run_opens_what_was_refused(api: Api) -> None:
    all_receipts(verdict=Verdict.DENY)
    detail_of(api.start())
    all_receipts()
    assert api.start().status_code == 200


@pytest.mark.parametrize(
    ("setting", "says", "ordinary"),
    [
        pytest.param(
            ("INTERLOCK_LEDGER_URL", "postgresql+pg8000://a:b@127.0.0.1:1/none"),
            "did not answer",
            200,
            id="ledger-does-not-answer",
        ),
        pytest.param(("INTERLOCK_LEDGER_URL", "mysql://x/y"), "no ledger is kept in mysql", 200, id="ledger-cannot-be"),
        pytest.param(("INTERLOCK_TRUSTED_KEYS", "/dev/null"), "trusted keys", 200, id="keys-cannot-be-read"),
        pytest.param(("INTERLOCK_POLICY", "/nowhere"), "/nowhere", 403, id="policy-cannot-be-read"),
        pytest.param(("INTERLOCK_PROFILE", "none"), "none", 403, id="unknown-profile"),
        pytest.param(("INTERLOCK_ENGINE", "nonsense"), "nonsense", 403, id="settings-cannot-be-read"),
    ],
)
def test_trouble_refuses_what_is_protected_or_cannot_be_told(
    api: Api, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str], says: str, ordinary: int
) -> None:
    all_receipts()
    monkeypatch.setenv(*setting)
    assert says in detail_of(api.start())
    assert api.start("report").status_code == ordinary


def test_a_damaged_ledger_refuses(api: Api) -> None:
    import sqlite3

    all_receipts()
    with sqlite3.connect(api.home / "ledger.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE interlock_entries SET recorded = '2020-01-01T00:00:00.000000Z'")
    assert "was altered" in detail_of(api.start())


def test_a_task_whose_dag_version_is_gone_is_refused(api: Api) -> None:
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(SerializedDagModel).where(SerializedDagModel.dag_id == "hard").values(dag_id="gone"))
    try:
        assert "does not have the DAG version" in detail_of(api.start("report"))
    finally:
        with create_session() as session:
            session.execute(update(SerializedDagModel).where(SerializedDagModel.dag_id == "gone").values(dag_id="hard"))


def test_a_task_that_airflow_does_not_know_is_left_to_airflow(api: Api) -> None:
    assert api.ask("01a21999-5ab1-72d8-9c52-03e9df0cf042").status_code == 404


def test_what_is_no_id_is_refused(api: Api) -> None:
    assert "ValueError" in detail_of(api.client.patch("/execution/task-instances/x/run", json={}))


def test_without_hard_mode_nothing_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_AIRFLOW_HARD_MODE", "no")
    assert api.start().status_code == 200


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("environment", "is_on"),
    [
        pytest.param({}, False, id="by-default"),
        pytest.param({"INTERLOCK_AIRFLOW_HARD_MODE": "no"}, False, id="no"),
        pytest.param({"INTERLOCK_AIRFLOW_HARD_MODE": "yes"}, True, id="yes"),
        pytest.param({"INTERLOCK_AIRFLOW_HARD_MODE": "perhaps"}, True, id="cannot-be-read"),
    ],
)
def test_hard_mode_is_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_on: bool
) -> None:
    from interlock.airflow_plugin.plugin import guarded

    assert home
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (guarded(_echo) is not _echo) is is_on


class Blocked:
    """A check that waits until it is let go. Implements what `RunMiddleware` asks of `StartCheck`."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def look(self, task_instance_id: str) -> None:
        assert task_instance_id
        assert self.go.wait(30)


class Broken:
    """A check that raises what nobody expects."""

    def look(self, task_instance_id: str) -> None:
        raise SystemError(task_instance_id)


def asked(
    check: Any, *paths: str, method: str = "PATCH", deadline: float = 60.0, then: Any = None, **told: Any
) -> list[Any]:
    """Statuses and bodies of requests that are all under way at once, by path order; `then` runs after the last."""
    from interlock.airflow_plugin.run_middleware import RunMiddleware

    async def together() -> list[Any]:
        app = RunMiddleware(_echo, check=check, deadline=deadline, **told)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            under_way = [asyncio.ensure_future(client.request(method, path)) for path in paths]
            if then is not None:
                await under_way[-1]
                then()
            return [(answer.status_code, answer.content) for answer in await asyncio.gather(*under_way)]

    return asyncio.run(together())


def test_the_event_loop_answers_others_while_a_check_waits() -> None:
    check = Blocked()
    answers = asked(check, "/execution/task-instances/1/run", "/api/v2/version", then=check.go.set)
    assert [status for status, _ in answers] == [204, 204]


def test_a_check_that_takes_too_long_is_a_refusal() -> None:
    check = Blocked()
    try:
        [(status, body)] = asked(check, "/execution/task-instances/1/run", deadline=0.05)
    finally:
        check.go.set()
    assert status == 403
    assert "could not tell within 0.05 s" in json.loads(body)["detail"]["message"]


def test_what_was_not_looked_at_in_time_is_not_noted() -> None:
    check = Blocked()
    noted: list[str] = []
    try:
        asked(check, "/execution/task-instances/1/run", deadline=0.05, note=lambda instance, _: noted.append(instance))
    finally:
        check.go.set()
    assert noted == []


def test_no_more_than_some_notes_wait() -> None:
    from interlock.airflow_plugin.run_middleware import NOTES_AT_MOST

    go = threading.Event()
    noted: list[str] = []
    released = threading.Semaphore(0)

    def note(instance: str, refusal: str) -> None:
        assert refusal
        assert go.wait(30)
        noted.append(instance)
        released.release()

    paths = [f"/execution/task-instances/{number}/run" for number in range(NOTES_AT_MOST + 30)]
    assert {status for status, _ in asked(Broken(), *paths, note=note)} == {403}
    go.set()
    for _ in range(NOTES_AT_MOST):
        assert released.acquire(timeout=30)
    assert len(noted) == NOTES_AT_MOST


def test_a_database_that_is_asked_again_gets_one_note(api: Api) -> None:
    from airflow.configuration import conf
    from sqlalchemy import event
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.orm import Session

    from interlock.airflow_plugin.task_notes import ENDING, note_refusal

    failures = iter([True, True, False, True])

    def busy(session: Session) -> None:
        if next(failures, False):
            raise OperationalError("COMMIT", {}, Exception(f"{session} is locked"))

    named = task_instance("hard", "r1", "train", state="queued")
    event.listen(Session, "before_commit", busy)
    try:
        note_refusal(named, "it was told once")
    finally:
        event.remove(Session, "before_commit", busy)
    logs = Path(conf.get_mandatory_value("logging", "base_log_folder")).rglob(f"*{ENDING}")
    said = [json.loads(line)["event"] for log in logs for line in log.read_text().splitlines()]
    assert said.count("it was told once") == 1
    assert audited() == "it was told once"


def test_an_unexpected_error_is_a_refusal_in_json() -> None:
    [(status, body)] = asked(Broken(), "/execution/task-instances/1/run")
    assert status == 403
    assert "SystemError" in json.loads(body)["detail"]["message"]


@pytest.mark.parametrize(
    ("path", "is_start"),
    [
        pytest.param("/execution/task-instances/1/run", True, id="plain"),
        pytest.param("/execution/task-instances/1/run/", True, id="slash"),
        pytest.param("/airflow/execution/task-instances/1/run", True, id="below-a-base-url"),
        pytest.param("/execution/v2/task-instances/1/run", True, id="a-version-in-the-path"),
        pytest.param("/execution/task-instances/1%2D2/run", True, id="percent-encoded"),
        pytest.param("/execution/task-instances/1/state", False, id="another-call"),
        pytest.param("/api/v2/dags/run", False, id="another-api"),
    ],
)
def test_the_start_of_a_task_is_known_by_its_path(path: str, is_start: bool) -> None:
    [(status, _)] = asked(Broken(), path)
    assert (status == 403) is is_start
    [(status, _)] = asked(Broken(), path, method="GET")
    assert status == 204
