"""A real Airflow in its own processes: it comes up, runs a DAG, shows errors, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.airflow.homes import copied

from interlock.airflow.api_client import AirflowClient, RunState, TaskState
from interlock.airflow.stack import AirflowStack
from interlock.gate.errors import UnavailableError, UsageError

pytestmark = [pytest.mark.slow, pytest.mark.stack]

HELLO = """
from airflow.sdk import dag, task

@dag(schedule=None)
def hello():
    @task
    def greet(**context):
        print("greeting", context["dag_run"].conf["name"])

    @task
    def fail():
        raise ValueError("on purpose")

    greet() >> fail()

hello()
"""
FORGOTTEN = """
from airflow.sdk import DAG
from interlock.airflow import SecureTrainOperator

with DAG("forgotten", schedule=None):
    SecureTrainOperator(task_id="train", data="d", out="o", command=["x"])
"""


def of_home(home: Path) -> list[int]:
    """Live processes that hold a file of this home open: all inherit its lock, whatever they call themselves."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and any(home in link.readlink().parents for link in (entry / "fd").iterdir()):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended while we looked
    return [pid for pid in found if pid != os.getpid()]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("stack")
    (root / "dags").mkdir()
    (root / "dags" / "hello.py").write_text(HELLO)
    (root / "dags" / "forgotten.py").write_text(FORGOTTEN)
    return root / "home", root / "dags"


@pytest.fixture(scope="module")
def stack(folders: tuple[Path, Path]) -> Iterator[AirflowStack]:
    home, dags = folders
    running = AirflowStack(home, dags, environment={"INTERLOCK_HOME": str(home / "interlock")}, parallelism=2)
    with running:
        yield running
    assert of_home(home) == []


def test_a_dag_runs_and_its_states_and_logs_are_read(stack: AirflowStack) -> None:
    client = stack.client
    client.wait_for_dag("hello", parsed_after=stack.started)
    client.unpause("hello")
    client.trigger("hello", run_id="one", conf={"name": "Ada"})
    seen: list[tuple[RunState, tuple[TaskState, ...]]] = []

    def watch(state: RunState, tasks: tuple[TaskState, ...]) -> None:
        stack.check()
        seen.append((state, tasks))

    ended = client.wait_for_run("hello", "one", patience=120, progress=watch)
    assert ended.state == "failed"
    assert ended == seen[-1][0]
    greet, fail = client.tasks("hello", "one")
    assert (greet.task_id, greet.state, fail.task_id, fail.state) == ("greet", "success", "fail", "failed")
    assert greet.seconds is not None
    assert "greeting Ada" in client.log("hello", "one", "greet")
    assert "on purpose" in client.log("hello", "one", "fail")


def test_a_dag_that_policy_refuses_is_told_with_its_reason(stack: AirflowStack) -> None:
    with pytest.raises(UsageError, match=r"(?s)forgotten\.py.*no data-validation gate holds training step"):
        stack.client.wait_for_dag("forgotten", patience=60)


def test_one_user_with_a_generated_password_may_log_in(stack: AirflowStack) -> None:
    with (
        AirflowClient(address=stack.address, user="admin", password="guess") as stranger,
        pytest.raises(UsageError, match="refused the login"),
    ):
        stranger.unpause("hello")


def test_the_database_is_for_the_owner_only(stack: AirflowStack) -> None:
    assert {stat.S_IMODE(file.stat().st_mode) for file in stack.home.glob("airflow.db*")} == {0o600}


def test_what_the_server_refuses_is_a_usage_error(stack: AirflowStack) -> None:
    with pytest.raises(UsageError, match="404"):
        stack.client.run("hello", "never")


def test_a_second_stack_in_the_same_home_is_refused(stack: AirflowStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.airflow.stack_home.LOCK_PATIENCE", 0.0)
    with pytest.raises(UnavailableError, match="another Airflow runs in this home"):
        AirflowStack(stack.home, stack.dags).start()


def test_a_port_that_is_taken_is_told(stack: AirflowStack, tmp_path: Path) -> None:
    taken = int(stack.address.rsplit(":", 1)[1])
    with pytest.raises(UsageError, match=f"port {taken} is taken"):
        AirflowStack(tmp_path / "home", stack.dags, port=taken).start()
    assert of_home(tmp_path / "home") == []


def test_a_process_that_dies_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    broken = AirflowStack(
        tmp_path / "home", tmp_path / "dags", settings={"database": {"sql_alchemy_conn": "sqlite:////nowhere/x.db"}}
    )
    with pytest.raises(
        UnavailableError, match=r"(?s)airflow db migrate ended with status.*unable to open database file"
    ):
        broken.start()
    assert of_home(tmp_path / "home") == []


def migrated_home(stack: AirflowStack, home: Path) -> Path:
    """A home of its own whose database need not be made again."""
    home.mkdir()
    copied(stack.home, home)
    return home


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param("starting Airflow", signal.SIGINT, id="ctrl-c-while-starting"),
        pytest.param("Ctrl-C stops it", signal.SIGKILL, id="killed-while-running"),
    ],
)
def test_make_airflow_leaves_nothing_behind(
    stack: AirflowStack, tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    home = migrated_home(stack, tmp_path / "home")
    command = [sys.executable, "-m", "interlock.airflow.stack", "--home", str(home), "--dags", str(stack.dags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        try:
            said = ""
            while moment not in said and (line := process.stdout.readline()):
                said += line
            assert of_home(home), said
            process.send_signal(number)
            assert process.wait(60) == (0 if number is signal.SIGINT else -signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
    for _ in range(300):
        if not of_home(home):
            return
        time.sleep(0.1)
    raise AssertionError(f"still there: {of_home(home)}")
