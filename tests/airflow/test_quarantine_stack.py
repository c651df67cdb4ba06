"""Level L2 on a real Airflow: a file that takes the policy away gets its DAG loaded, and its steps wait for good."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.airflow.homes import migrated

from interlock.airflow.stack import AirflowStack
from interlock.airflow_plugin.quarantine import POOL
from interlock.evidence import Ledger
from interlock.pipeline import Mode

pytestmark = [pytest.mark.slow, pytest.mark.stack]

UNREGISTERED = '''
"""Trick 8: the policy is taken away in the DAG's file, so that L1 never looks at it."""
from pathlib import Path

from airflow import settings
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

manager = settings.get_policy_plugin_manager()
manager.unregister(manager.get_plugin("interlock"))

with DAG("ungated", schedule=None, default_args={{"retries": 2}}):
    @task.guarded(subject="{data}")
    def fit(data):
        Path("{marks}/fit").touch()

    @task
    def parts():
        return ["a", "b"]

    fit()
    found = parts()
    BashOperator(task_id="on_gpu", queue="gpu", pool="default_pool", bash_command="touch {marks}/on_gpu")
    BashOperator.partial(task_id="each_on_gpu", queue="gpu").expand(
        bash_command=found.map(lambda part: f"touch {marks}/each_on_gpu")
    )
    BashOperator.partial(task_id="each").expand(bash_command=found.map(lambda part: "touch {marks}/each_" + part))
'''
GATED = """
from pathlib import Path

from airflow.sdk import DAG, task
from interlock.airflow import ScanPoisoningOperator, ValidateDataOperator

SUITE = {{"name": "s", "expectations": [{{"type": "expect_column_to_exist", "kwargs": {{"column": "label"}}}}]}}

with DAG("gated", schedule=None):
    @task.guarded(subject="{data}")
    def fit(data):
        Path("{marks}/gated").touch()

    [
        ValidateDataOperator(task_id="validate", subject="{data}", suite=SUITE),
        ScanPoisoningOperator(task_id="poisoning", subject="{data}", label="label"),
    ] >> fit()
"""
CHANGING = """
from airflow import settings
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

manager = settings.get_policy_plugin_manager()
manager.unregister(manager.get_plugin("interlock"))

with DAG("changing", schedule=None):
    wait = BashOperator(task_id="wait", bash_command="while [ ! -e {marks}/go ]; do sleep 0.2; done")
    wait >> BashOperator(task_id="train", queue="{queue}", bash_command="touch {marks}/changed")
"""


class Place:
    """The stack, and where the tasks leave their marks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dags, self.marks, self.data = root / "dags", root / "marks", root / "data.csv"
        for folder in (self.dags, self.marks):
            folder.mkdir()
        rows = [f"{i % 7},{(i * 3) % 11},{i % 2}" for i in range(400)]
        self.data.write_text("\n".join(["a,b,label", *rows]))
        self.write("unregistered", UNREGISTERED)
        self.write("gated", GATED)
        self.write("changing", CHANGING, queue="cpu")
        self.environment = {"INTERLOCK_HOME": str(root / "interlock"), "INTERLOCK_PROFILE": "dev"}
        self.stack = AirflowStack(migrated(root / "home"), self.dags, environment=self.environment, parallelism=4)

    def write(self, name: str, text: str, **more: str) -> None:
        (self.dags / f"{name}.py").write_text(text.format(marks=self.marks, data=self.data, **more))

    def marked(self) -> set[str]:
        return {path.name for path in self.marks.iterdir()}

    def asked(self, query: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.stack.home / "airflow.db", timeout=30)) as database, database:
            return list(database.execute(query, values))

    def waits(self, run_id: str) -> dict[tuple[str, int], tuple[str | None, str]]:
        """State and pool of each task instance of a run."""
        rows = self.asked("SELECT task_id, map_index, state, pool FROM task_instance WHERE run_id = ?", run_id)
        return {(task, index): (state, pool) for task, index, state, pool in rows}

    def until(self, reached: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 300  # another Airflow may run beside this one
        while not reached():
            self.stack.check()
            assert time.monotonic() < end, f"waited for {what}"
            time.sleep(0.2)

    def start(self, dag_id: str, run_id: str) -> None:
        self.stack.client.wait_for_dag(dag_id, parsed_after=self.stack.started)
        self.stack.client.unpause(dag_id)
        self.stack.client.trigger(dag_id, run_id=run_id)

    def interlock(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        environment = {**os.environ, **self.environment, "AIRFLOW_HOME": str(self.stack.home)}
        for name in [name for name in environment if name.startswith("AIRFLOW__")]:
            del environment[name]
        command = [sys.executable, "-m", "interlock.cli", "airflow", *arguments, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("quarantine"))
    with made.stack:
        yield made


def test_an_ungated_step_waits_for_good_while_its_neighbours_run(place: Place) -> None:
    place.start("ungated", "one")
    place.start("gated", "two")
    assert place.stack.client.wait_for_run("gated", "two", patience=180).state == "success"
    place.until(lambda: {"each_a", "each_b", "gated"} <= place.marked(), "the ordinary neighbours")
    place.until(lambda: place.waits("one").get(("each_on_gpu", 1), ("", ""))[0] == "scheduled", "the mapped steps")
    assert place.marked() == {"each_a", "each_b", "gated"}
    found = place.waits("one")
    for step in (("fit", -1), ("on_gpu", -1), ("each_on_gpu", 0), ("each_on_gpu", 1)):
        assert found[step] == ("scheduled", POOL), step
    for ordinary in (("parts", -1), ("each", 0), ("each", 1)):
        assert found[ordinary] == ("success", "default_pool"), ordinary
    assert {pool for _, pool in place.waits("two").values()} == {"default_pool"}


def test_the_ledger_says_why(place: Place) -> None:
    ledger = Ledger.open(f"sqlite:///{place.root}/interlock/ledger.db")

    def told() -> dict[str, str]:
        rows = [row.enforcement_event() for row in ledger.events(pipeline="ungated", run_id="one")]
        assert all((event.kind.value, event.level) == ("quarantined", "L2") for event in rows)
        assert len({event.task_id for event in rows}) == len(rows)
        return {event.task_id: event.reason for event in rows}

    place.until(lambda: set(told()) == {"fit", "on_gpu", "each_on_gpu"}, "the events")
    assert "rule gpu-queues: queue 'gpu'" in told()["on_gpu"]
    assert "no data-validation gate holds training step 'fit'" in told()["fit"]


def test_clearing_lets_nothing_out(place: Place) -> None:
    body = {"dry_run": False, "dag_run_id": "one", "only_failed": False, "only_running": False, "task_ids": ["fit"]}
    place.stack.client._json("POST", "/api/v2/dags/ungated/clearTaskInstances", body=body)
    place.until(lambda: place.waits("one")[("fit", -1)][0] == "scheduled", "the cleared step")
    assert place.waits("one")[("fit", -1)] == ("scheduled", POOL)
    assert "fit" not in place.marked()


def test_the_tab_says_why_to_those_who_may_read_the_dag(place: Place) -> None:
    page = f"{place.stack.address}/interlock/dags/ungated/runs/one"
    assert httpx.get(page, trust_env=False).status_code == 401
    said = place.stack.client._authorised("GET", "/interlock/dags/ungated/runs/one").text
    assert "3 of 3 protected steps are not gated, so Airflow does not start them." in said
    assert "rule gpu-queues: queue &#39;gpu&#39;" in said
    assert "each_on_gpu[1]" in said
    assert "ValidateDataOperator(task_id=&#34;data-validation&#34;" in said
    assert "Interlock, L2" in said
    gated = place.stack.client._authorised("GET", "/interlock/dags/gated/runs/two").text
    assert "1 protected step is held by every gate that is required." in gated
    assert gated.count(">ALLOW<") == 3
    views = place.stack.client._json("GET", "/api/v2/plugins")["plugins"]
    tabs = [
        view["destination"] for plugin in views if plugin["name"] == "interlock" for view in plugin["external_views"]
    ]
    assert tabs == ["dag", "dag_run", "task"]


def test_a_run_that_goes_on_with_another_version_of_its_dag_is_judged_by_that(place: Place) -> None:
    place.start("changing", "three")
    place.until(lambda: place.waits("three").get(("wait", -1), ("", ""))[0] == "running", "the first step")
    assert place.waits("three")[("train", -1)][1] == "default_pool"
    place.write("changing", CHANGING, queue="gpu")
    place.until(lambda: place.waits("three")[("train", -1)][1] == POOL, "the newer version")
    (place.marks / "go").touch()
    place.until(lambda: place.waits("three")[("train", -1)][0] == "scheduled", "the step")
    assert "changed" not in place.marked()
    place.write("changing", CHANGING, queue="cpu")
    place.until(lambda: "changed" in place.marked(), "the step of a version that protects nothing")
    assert place.stack.client.wait_for_run("changing", "three", patience=120).state == "success"


def test_without_the_pool_nothing_gets_out_and_setup_makes_it_again(place: Place) -> None:
    place.asked("DELETE FROM slot_pool WHERE pool = ?", POOL)
    place.start("ungated", "four")
    place.start("gated", "five")
    assert place.stack.client.wait_for_run("gated", "five", patience=180).state == "success"
    assert place.waits("four")[("on_gpu", -1)] == ("scheduled", POOL)
    assert "on_gpu" not in place.marked()
    status, said = place.interlock("status")
    assert (status, [check["what"] for check in said["checks"] if check["state"] == "broken"]) == (
        3,
        ["quarantine pool"],
    )
    assert place.interlock("setup")[0] == 0
    assert place.asked("SELECT slots, include_deferred FROM slot_pool WHERE pool = ?", POOL) == [(0, 0)]


def test_a_pool_that_was_given_slots_is_told_and_emptied(place: Place) -> None:
    place.stack.client._json("PATCH", "/api/v2/dags/ungated", body={"is_paused": True})
    place.asked("UPDATE slot_pool SET slots = 3 WHERE pool = ?", POOL)
    status, said = place.interlock("status")
    (pool,) = [check for check in said["checks"] if check["what"] == "quarantine pool"]
    assert (status, pool["state"]) == (3, "broken")
    assert "has 3 slots: what is quarantined runs" in pool["found"]
    assert place.interlock("setup")[0] == 0
    place.stack.client.unpause("ungated")


def test_what_waits_is_judged_again_when_policy_has_changed(place: Place) -> None:
    layer = place.root / "layer"
    rules = layer / "interlock" / "enforcement" / "airflow" / "some"
    rules.mkdir(parents=True)
    roots = ["interlock/enforcement/airflow/some"]
    (layer / ".manifest").write_text(json.dumps({"revision": "t", "roots": roots, "rego_version": 1}))
    (rules / "data.json").write_text(json.dumps({"mode": Mode.WARN.value, "pipelines": ["ungated"]}))
    place.environment["INTERLOCK_POLICY_LAYERS"] = str(layer)
    status, said = place.interlock("recheck")
    assert status == 0
    assert {each["run"] for each in said["moved"]} == {"one", "four"}
    assert {each["task"] for each in said["moved"]} == {"fit", "on_gpu", "each_on_gpu"}
    assert {each["pool"] for each in said["moved"]} == {"default_pool"}
    # The guard inside `fit` opens on the receipts that DAG `gated` left about the same bytes.
    place.until(lambda: {"fit", "on_gpu", "each_on_gpu"} <= place.marked(), "the steps that may run now")
