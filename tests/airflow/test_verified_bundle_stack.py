"""A verifying bundle in a real Airflow: what is not attested is never imported, and what loses it is paused."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.airflow.attesting import DAG_FILE, Deployment
from tests.airflow.homes import migrated

from interlock.airflow.stack import AirflowStack
from interlock.gate import Verdict

pytestmark = [pytest.mark.slow, pytest.mark.stack]

PATIENCE = 300.0
REFRESH = 20


@dataclass
class Running:
    """The stack, and where its DAG files leave a mark when they are imported."""

    stack: AirflowStack
    deployment: Deployment
    marks: Path
    sources: dict[str, str]

    def row(self, wanted: str) -> tuple[object, ...] | None:
        with sqlite3.connect(f"file:{self.stack.home / 'airflow.db'}?mode=ro", uri=True, timeout=30) as database:
            row: tuple[object, ...] | None = database.execute(wanted).fetchone()
        return row

    def refreshed(self) -> object:
        found = self.row("SELECT last_refreshed FROM dag_bundle WHERE name = 'team'")
        return found[0] if found else None

    def wait(self, reached: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not reached():
            self.stack.check()
            assert time.monotonic() < until, f"waited {PATIENCE:.0f} s until {what}"
            time.sleep(0.2)

    def wait_for_refreshes(self, count: int) -> None:
        for _ in range(count):
            before = self.refreshed()
            self.wait(lambda before=before: self.refreshed() != before, "the bundle was refreshed")  # type: ignore[misc]  # mypy takes the default for an argument


def lint(deployment: Deployment, file: Path) -> None:
    """Pass a file as CI does, by the command, so that what the bundle finds is what lint writes."""
    command = [sys.executable, "-m", "interlock.cli", "lint", "--receipts", str(file)]
    environment = os.environ | deployment.environment | {"INTERLOCK_PROFILE": "dev"}
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("verified")
    dags, marks = root / "dags", root / "marks"
    dags.mkdir()
    marks.mkdir()
    # A copy: a policy that is edited meanwhile would be another one, whose receipts do not count.
    policy = shutil.copytree(Path(__file__).parents[2] / "policies", root / "policy")
    deployment = Deployment(root / "interlock", policy=str(policy))
    names = ("attested", "unattested")
    sources = {name: DAG_FILE.format(marker=str(marks / name), dag_id=name) for name in names}
    for name, source in sources.items():
        (dags / f"{name}.py").write_text(source)
    lint(deployment, dags / "attested.py")
    bundle = {
        "name": "team",
        "classpath": "interlock.airflow_plugin.bundles.VerifiedLocalDagBundle",
        "kwargs": {"path": str(dags), "refresh_interval": REFRESH},
    }
    settings = {
        "dag_processor": {
            "dag_bundle_config_list": json.dumps([bundle]),
            "dag_bundle_storage_path": str(root / "bundles"),
            "bundle_refresh_check_interval": "1",
            "min_file_process_interval": "1",
        }
    }
    home, environment = migrated(root / "home"), deployment.environment
    with AirflowStack(home, dags, environment=environment, settings=settings, parallelism=2) as stack:
        yield Running(stack, deployment, marks, sources)


def test_an_unattested_file_is_never_imported_and_an_attested_one_runs_until_it_loses_that(running: Running) -> None:
    client = running.stack.client
    client.wait_for_dag("attested", parsed_after=running.stack.started)
    client.unpause("attested")
    client.trigger("attested", run_id="one")
    assert client.wait_for_run("attested", "one", patience=PATIENCE).state == "success"
    assert (running.marks / "attested").exists()

    running.wait_for_refreshes(1)
    running.deployment.attest(running.sources["attested"], verdict=Verdict.DENY)
    client.trigger("attested", run_id="two")  # before the processor looks again: the worker is alone with it
    running.wait(
        lambda: running.row("SELECT is_paused, is_stale FROM dag WHERE dag_id = 'attested'") == (1, 1),
        "the serialized DAG was paused",
    )
    state = running.row("SELECT state FROM task_instance WHERE run_id = 'two'")
    assert state is not None
    assert state[0] != "success"
    (running.marks / "attested").unlink()
    running.wait_for_refreshes(2)

    assert list(running.marks.iterdir()) == []
    assert running.row("SELECT dag_id FROM dag WHERE dag_id = 'unattested'") is None
    events = [json.loads(event.event) for event in running.deployment.ledger.events()]
    assert any(event["pipeline"] == "attested" and "paused" in event["reason"] for event in events)
    assert any("unattested.py is refused" in event["reason"] for event in events)
