"""The field that the tricks are played on: a real Airflow with its settings, its data, and the marks of trainings."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.airflow.homes import migrated

from interlock.airflow.api_client import AirflowClient
from interlock.airflow.stack import AirflowStack
from interlock.gate.errors import UnavailableError

ROOT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "dags"
PATIENCE = 400.0
"""Seconds; a test machine may be busy with other things."""
QUARANTINE = "interlock_quarantine"
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Malicious:
    """What a gate on model files refuses: loading it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


class Field:
    """Folders and settings of one deployment; `play` starts its Airflow.

    Args:
        root: An empty folder.
        hard_mode: Whether the API server refuses starts without receipts (L4).
    """

    def __init__(self, root: Path, *, hard_mode: bool = False) -> None:
        self.root = root
        self.dags = root / "dags"
        self.home = root / "airflow"
        self.marks = root / "marks"
        self.installed: list[str] = []
        self.said: dict[str, str] = {}
        self.known: frozenset[str] = frozenset()
        self.refusals: list[str] = []
        for folder in (self.dags, self.marks, root / "data"):
            folder.mkdir(parents=True)
        (root / "data" / "bad.pkl").write_bytes(pickle.dumps(Malicious()))
        self.write_data("good.json")
        (self.dags / ".airflowignore").write_text("trick_14_ignored.py\n")
        self.environment = {
            "BYPASS_FIELD": str(root),
            # Files are read whatever words stand in them: no trick works because its file was overlooked.
            "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
            "PYTHONPATH": str(ROOT),
            "INTERLOCK_HOME": str(root / "interlock"),
            "INTERLOCK_PROFILE": "bypass",
            "INTERLOCK_POLICY_LAYERS": str(_policy_layer(root / "layer")),
            "INTERLOCK_AIRFLOW_HARD_MODE": "yes" if hard_mode else "no",
            "INTERLOCK_ENGINE_DEADLINE": "60",  # a busy test machine is no reason to refuse
        }
        self._stack: AirflowStack | None = None

    def write_data(self, name: str, text: str = '{"rows": [1, 2, 3]}') -> None:
        """Data that its gate allows."""
        (self.root / "data" / name).write_text(text)

    def install(self, source: str, level: str, name: str = "") -> str:
        """Put a file of ``dags/`` into the folder of a level; return the DAG's id."""
        folder = self.dags / level
        folder.mkdir(exist_ok=True)
        shutil.copy(DAGS / f"{source}.py", folder / f"{name or source}.py")
        self.installed.append(f"{level}_{name or source}")
        return self.installed[-1]

    @contextmanager
    def playing(self) -> Iterator[Field]:
        """The Airflow of this field, with every DAG that is installed loaded or refused."""
        with AirflowStack(
            migrated(self.home),
            self.dags,
            environment=self.environment,
            settings={
                "core": {"dags_are_paused_at_creation": "False"},
                # Each file is read once; what a trick does to its DAG it does at that time.
                "dag_processor": {"parsing_processes": "2", "min_file_process_interval": "3600"},
            },
        ) as stack:
            self._stack = stack
            yield self

    @property
    def client(self) -> AirflowClient:
        """Of the running Airflow."""
        assert self._stack is not None
        return self._stack.client

    def ask(self, method: str, path: str, body: object = None, **params: str | int | bool) -> dict[str, Any]:
        """One request to the public API, as the administrator."""
        for _ in range(3):
            try:
                return self.client._json(method, f"/api/v2{path}", body=body, params=params or None)
            except UnavailableError:
                # Airflow's event loop and a task that starts can wait for each other's lock on SQLite, until one is
                # told that the database is locked.
                time.sleep(1)
        return self.client._json(method, f"/api/v2{path}", body=body, params=params or None)

    def all_of(self, path: str, key: str, **params: str | int | bool) -> list[dict[str, Any]]:
        """All pages of a list; the server gives a hundred items at once."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.ask("GET", path, limit=100, offset=len(found), **params)
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def trained(self, dag_id: str) -> bool:
        """Whether the training of this DAG ran."""
        return (self.marks / dag_id).exists()

    def refusal(self, dag_id: str) -> str:
        """What the import error said that names this DAG; empty when none did."""
        return next((text for text in self.refusals if f"{dag_id!r}" in text), "")

    def loaded(self) -> frozenset[str]:
        """Ids of the DAGs that the scheduler may run."""
        return frozenset(dag["dag_id"] for dag in self.all_of("/dags", "dags", exclude_stale=True))

    def run_of(self, dag_id: str) -> str:
        """Id of the DAG's only run."""
        ((run,),) = (self.ask("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"],)
        return str(run["dag_run_id"])

    def instance(self, dag_id: str, task_id: str = "train") -> str:
        """Path of a task instance in the API."""
        return f"/dags/{dag_id}/dagRuns/{self.run_of(dag_id)}/taskInstances/{task_id}"

    def task(self, dag_id: str, task_id: str = "train") -> dict[str, Any]:
        """A task instance as the API shows it."""
        return self.ask("GET", self.instance(dag_id, task_id))

    def log(self, dag_id: str, task_id: str = "train") -> str:
        """The log of a task's last try."""
        attempt = int(self.task(dag_id, task_id)["try_number"])
        return self.client.log(dag_id, self.run_of(dag_id), task_id, attempt=attempt)

    def wait(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until something is so, while all of Airflow lives."""
        assert self._stack is not None
        until = time.monotonic() + PATIENCE
        while not reached():
            self._stack.check()
            assert time.monotonic() < until, f"waited {PATIENCE:.0f} s until {what}"
            time.sleep(0.3)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database of this Airflow answers; to look often costs next to nothing, unlike over the API."""
        with closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
            return list(database.execute(query))

    def wait_until_loaded(self) -> None:
        """Wait until each file was read, to a DAG or to an import error, or is one that does not lead to either.

        What was loaded and refused then is kept in `known` and `refusals`.
        """
        expected = {dag_id for dag_id in self.installed if not dag_id.endswith(("_skipped", "_ignored"))}

        def told() -> bool:
            known = {dag_id for (dag_id,) in self.rows("SELECT dag_id FROM dag WHERE NOT is_stale")}
            self.refusals = [text for (text,) in self.rows("SELECT stacktrace FROM import_error")]
            return all(dag_id in known or self.refusal(dag_id) for dag_id in expected)

        self.wait(told, "all DAG files are read")
        self.known = self.loaded()

    def wait_until_quiet(self) -> None:
        """Wait until every run is over, but for what waits in the quarantine."""
        self.wait(self._is_quiet, "all runs are over or wait in the quarantine")

    def _is_quiet(self) -> bool:
        dags = self.rows("SELECT dag_id FROM dag WHERE NOT is_stale")
        expected = {dag_id for (dag_id,) in dags if not dag_id.endswith("forger")}
        found = self.rows("SELECT dag_id, state, pool FROM task_instance")
        going = {dag_id for dag_id, state, pool in found if not (state in ENDED or pool == QUARANTINE)}
        return expected <= {dag_id for dag_id, _, _ in found} - going

    def alone(self, level: str, name: str) -> dict[str, str]:
        """Environment of a shell with a database of its own and a folder of DAGs that holds one installed file.

        ``airflow tasks test`` and ``dags test`` read all files in one process, where what one of them patches or
        unregisters is missed by all others, and write what they read to the database. With that of the running Airflow
        its scheduler would run the same tasks.
        """
        folder = self.root / "alone" / name / level
        folder.mkdir(parents=True)
        shutil.copy(self.dags / level / f"{name}.py", folder)
        copy = folder / "airflow.db"
        with closing(sqlite3.connect(self.home / "airflow.db")) as live, closing(sqlite3.connect(copy)) as mine:
            live.backup(mine)
        return {
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder.parent),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{copy}",
        }

    def say(self, key: str, *arguments: str, more: Mapping[str, str] | None = None) -> None:
        """Run Python with `arguments` as somebody with a shell on this machine; what it says is in `said`.

        Args:
            key: Where in `said`.
            arguments: Of Python.
            more: Environment besides that of this deployment.
        """
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW"))}
        environment |= {**self.environment, "AIRFLOW_HOME": str(self.home), **(more or {})}
        command = [sys.executable, "-P", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.said[key] = done.stdout + done.stderr


def _policy_layer(folder: Path) -> Path:
    """An organisation's own policy: one cheap gate before a training, and which DAGs are only audited."""
    audited = {"mode": "audit", "pipelines": ["open_*", "L3_*", "L4_*"]}
    profile = {
        "extends": "standard",
        "required": {"training": ["artifact-scan"]},
        "evidence": {"accept_dev_receipts": True, "accept_profiles": ["bypass"]},
    }
    roots = ["interlock/profiles/bypass", "interlock/enforcement/airflow/bypass"]
    layer: Sequence[tuple[str, object]] = (
        (".manifest", {"revision": "bypass", "roots": roots}),
        ("interlock/profiles/data.json", {"bypass": profile}),
        ("interlock/enforcement/data.json", {"airflow": {"bypass": audited}}),
    )
    for name, document in layer:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    return folder
