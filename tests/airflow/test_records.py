"""Reading records: what a server may say, and what of it is believed. The server is a real one with set answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from interlock.airflow.records import MOST_RUNS, RecordReader, approve_option
from interlock.deployment.approval import Answer, Behind, Choice, Person
from interlock.gate import RunIdentity
from interlock.gate.errors import EvidenceError, UsageError

RUN = RunIdentity(orchestrator="airflow", pipeline="d", run_id="a/../r?x", task_id="t")
RECORD_PATH = "/api/v2/dags/d/dagRuns/a%2F..%2Fr%3Fx/taskInstances/t/-1/hitlDetails"
RUN_PATH = "/api/v2/dags/d/dagRuns/a%2F..%2Fr%3Fx"
DIGEST = "ab" * 32
RECORD: dict[str, Any] = {
    "options": [approve_option(DIGEST), "Reject"],
    "chosen_options": [approve_option(DIGEST)],
    "responded_at": "2026-11-26T12:00:00Z",
    "responded_by_user": {"id": "7", "name": "bob"},
    "task_instance": {"id": "ti-1"},
}
Serve = Callable[[dict[str, Any]], RecordReader]


class _Answers(BaseHTTPRequestHandler):
    """Logs everybody in, and gives the set answer for each path."""

    answers: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        self._say(201, {"access_token": "t"})

    def do_GET(self) -> None:
        found = self.answers.get(self.path)
        self._say(404 if found is None else 200, found)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that it has there)
        """Say nothing."""

    def _say(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A reader in front of a server that gives these answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    readers: list[RecordReader] = []

    def reader(answers: dict[str, Any]) -> RecordReader:
        _Answers.answers = answers
        readers.append(
            RecordReader(address=f"http://127.0.0.1:{server.server_address[1]}", user="reader", password="p")
        )
        return readers[-1]

    yield reader
    for one in readers:
        one.close()
    server.shutdown()
    server.server_close()
    thread.join()


def run_of(kind: str, by: str | None = None) -> dict[str, Any]:
    return {"run_type": kind, "triggering_user_name": by}


def answer(serve: Serve, **changed: Any) -> Answer:
    answers = {RECORD_PATH: RECORD | changed, RUN_PATH: run_of("manual", "alice")}
    return serve(answers).answer(RUN, ti_id="ti-1", step="deployment")


def test_a_record_says_who_approved_which_bytes_whatever_a_run_is_called(serve: Serve) -> None:
    found = answer(serve)
    assert (found.choice, found.asked, found.by) == (Choice.APPROVED, DIGEST, Person(id="7", name="bob"))
    assert found.behind == Behind(names=("alice",), known=True)
    assert found.record.endswith(RECORD_PATH)
    assert found.via.name == "airflow"


@pytest.mark.parametrize(
    ("changed", "choice", "named"),
    [
        pytest.param({"chosen_options": ["Reject"]}, Choice.REJECTED, True, id="rejected"),
        pytest.param({"responded_by_user": None}, Choice.APPROVED, False, id="answered-by-the-task-itself"),
        pytest.param({"responded_by_user": {"id": "", "name": " "}}, Choice.APPROVED, False, id="a-name-of-nothing"),
        pytest.param({"responded_at": None, "chosen_options": None}, Choice.NONE, True, id="no-answer"),
        pytest.param({"chosen_options": []}, Choice.OTHER, True, id="nothing-chosen"),
        pytest.param({"chosen_options": RECORD["options"]}, Choice.OTHER, True, id="both-chosen"),
        pytest.param({"chosen_options": [approve_option("cd" * 32)]}, Choice.OTHER, True, id="other-bytes-chosen"),
    ],
)
def test_what_is_no_approval_is_read_as_what_it_is(
    serve: Serve, changed: dict[str, Any], choice: Choice, *, named: bool
) -> None:
    found = answer(serve, **changed)
    assert (found.choice, found.by is not None) == (choice, named)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"task_instance": {"id": "ti-0"}}, "another try", id="another-try"),
        pytest.param({"options": ["Approve", "Reject"]}, "not one of this gate", id="a-question-without-bytes"),
        pytest.param({"options": [approve_option(DIGEST)]}, "not one of this gate", id="no-way-to-reject"),
        pytest.param({"options": [approve_option(DIGEST) + "\n", "Reject"]}, "not one of this gate", id="a-line-more"),
        pytest.param({"options": []}, "another shape", id="no-options"),
        pytest.param({"responded_by_user": "bob"}, "another shape", id="a-person-of-another-shape"),
        pytest.param({"responded_at": "yesterday"}, "another shape", id="a-time-of-another-shape"),
        pytest.param({"task_instance": None}, "another shape", id="no-task"),
    ],
)
def test_a_record_that_cannot_be_this_gates_is_refused(serve: Serve, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(EvidenceError, match=says):
        answer(serve, **changed)


def events(*sources: tuple[str | None, str | None]) -> dict[str, Any]:
    return {"asset_events": [{"source_dag_id": dag, "source_run_id": run} for dag, run in sources]}


RUNS = "/api/v2/dags/d/dagRuns"


@pytest.mark.parametrize(
    ("answers", "behind"),
    [
        pytest.param({f"{RUNS}/0": run_of("manual", "bob")}, Behind(names=("bob",), known=True), id="by-hand"),
        pytest.param({f"{RUNS}/0": run_of("scheduled")}, Behind(known=True), id="by-schedule"),
        pytest.param({f"{RUNS}/0": run_of("manual")}, Behind(known=False), id="by-hand-of-nobody"),
        pytest.param({f"{RUNS}/0": run_of("operator_triggered")}, Behind(known=False), id="by-a-task-of-nobody"),
        pytest.param({f"{RUNS}/0": run_of("kind of the future")}, Behind(known=False), id="by-what-is-not-known"),
        pytest.param({}, Behind(known=False), id="a-run-that-is-gone"),
        pytest.param(
            {
                f"{RUNS}/0": run_of("asset_triggered"),
                f"{RUNS}/0/upstreamAssetEvents": events(("d", "1"), ("d", "2")),
                f"{RUNS}/1": run_of("manual", "bob"),
                f"{RUNS}/2": run_of("scheduled"),
            },
            Behind(names=("bob",), known=True),
            id="by-assets-of-runs-that-are-known",
        ),
        pytest.param(
            {
                f"{RUNS}/0": run_of("asset_triggered"),
                f"{RUNS}/0/upstreamAssetEvents": events(("d", "1"), (None, None)),
                f"{RUNS}/1": run_of("manual", "bob"),
            },
            Behind(known=False),
            id="by-an-asset-event-from-outside",
        ),
        pytest.param(
            {f"{RUNS}/0": run_of("asset_triggered"), f"{RUNS}/0/upstreamAssetEvents": events()},
            Behind(known=False),
            id="by-assets-that-are-gone",
        ),
        pytest.param(
            {f"{RUNS}/0": run_of("asset_triggered"), f"{RUNS}/0/upstreamAssetEvents": events(("d", "0"))},
            Behind(known=True),
            id="by-itself",
        ),
    ],
)
def test_who_is_behind_a_run(serve: Serve, answers: dict[str, Any], behind: Behind) -> None:
    assert serve(answers).behind("d", "0") == behind


def test_a_long_chain_of_runs_is_not_followed_for_ever(serve: Serve) -> None:
    answers: dict[str, Any] = {}
    for number in range(MOST_RUNS + 1):
        answers[f"{RUNS}/{number}"] = run_of("asset_triggered")
        answers[f"{RUNS}/{number}/upstreamAssetEvents"] = events(("d", str(number + 1)))
    assert not serve(answers).behind("d", "0").known


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Section ``[interlock]`` of Airflow's configuration."""
    password = tmp_path / "password"
    password.write_text("secret\n")

    def write(**changed: str) -> None:
        sound = {"url": "https://airflow.example/", "user": "reader", "password_file": str(password)}
        for name, value in (sound | changed).items():
            monkeypatch.setenv(f"AIRFLOW__INTERLOCK__RECORDS_{name.upper()}", value)

    return write


def test_the_reader_comes_from_airflows_configuration(section: Callable[..., None]) -> None:
    section()
    with RecordReader.configured() as reader:
        assert (reader.address, reader.user) == ("https://airflow.example", "reader")
    section(url="http://127.0.0.1:8080")
    RecordReader.configured().close()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"user": ""}, "nobody may read", id="no-user"),
        pytest.param({"password_file": ""}, "nobody may read", id="no-password"),
        pytest.param({"password_file": "/nowhere/at/all"}, "cannot be read", id="a-password-that-is-not-there"),
        pytest.param({"url": "http://airflow.example"}, "over https only", id="plain-http-to-another-machine"),
        pytest.param({"url": "http://127.0.0.1.evil.example"}, "over https only", id="a-name-like-this-machine"),
        pytest.param({"url": "ftp://127.0.0.1"}, "over https only", id="no-http-at-all"),
        pytest.param({"ca_file": "/nowhere/at/all"}, "CA file", id="a-ca-that-is-not-there"),
    ],
)
def test_a_reader_that_could_be_deceived_is_refused(
    section: Callable[..., None], changed: dict[str, str], says: str
) -> None:
    section(**changed)
    with pytest.raises(UsageError, match=says):
        RecordReader.configured()
