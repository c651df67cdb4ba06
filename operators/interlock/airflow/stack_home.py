"""The AIRFLOW_HOME of an `AirflowStack`: its lock, its secrets and its ``airflow.cfg``.

Everything that the stack decides stands in that one file, so ``AIRFLOW_HOME=<home> airflow ...`` in another terminal
talks to the same Airflow. The secrets in it (JWT secret, fernet key) are made once per home and are in no
environment variable, where every task would see them; the file and the password file have mode 0600.
"""

from __future__ import annotations

import configparser
import fcntl
import io
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from interlock.gate.errors import UnavailableError, UsageError

USER = "admin"
LOCK_PATIENCE = 30.0
"""Seconds to wait for the processes of an earlier stack in the same home to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackHome:
    """A folder that one Airflow lives in.

    Args:
        path: Absolute folder; made on first use with mode 0700.
    """

    path: Path

    @property
    def logs(self) -> Path:
        """Folder of all log files: one per process, and ``tasks/`` below."""
        return self.path / "logs"

    @property
    def configuration(self) -> Path:
        """The ``airflow.cfg`` that holds every setting and the secrets."""
        return self.path / "airflow.cfg"

    @property
    def passwords(self) -> Path:
        """SimpleAuthManager's file of users and passwords."""
        return self.path / "passwords.json"

    @classmethod
    def make(cls, path: Path) -> StackHome:
        """Make the folder.

        Raises:
            UsageError: Something else is at that path, or it cannot be written.
        """
        home = cls(path=path.expanduser().absolute())
        try:
            home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            home.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(f"the home folder cannot be made: {error.strerror}", where=str(home.path)) from error
        return home

    def lock(self, *, patience: float | None = None) -> int:
        """Take the lock of this home; it is held until the last process that inherits the descriptor has ended.

        Args:
            patience: Seconds to wait for an earlier stack that is still stopping; `LOCK_PATIENCE` when not given.

        Raises:
            UnavailableError: Another stack uses this home.
        """
        descriptor = os.open(self.path / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + (LOCK_PATIENCE if patience is None else patience)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > until:
                    os.close(descriptor)
                    raise UnavailableError(
                        "another Airflow runs in this home", where=str(self.path), next_step="stop it, or give --home"
                    ) from error
                time.sleep(0.2)
            else:
                return descriptor

    def write(self, *, dags: Path, address: str, parallelism: int, overrides: Mapping[str, Mapping[str, str]]) -> str:
        """Write ``airflow.cfg`` and the password file, keeping the secrets of an earlier start.

        Args:
            dags: Absolute folder of DAG files.
            address: ``http://127.0.0.1:<port>`` of the API server.
            parallelism: Tasks that may run at once.
            overrides: More settings, by section and name; they win.

        Returns:
            The password of `USER`.
        """
        chosen = _sections(self, dags=dags, address=address, parallelism=parallelism)
        kept = configparser.ConfigParser(interpolation=None)
        kept.read(self.configuration)
        chosen["core"]["fernet_key"] = kept.get("core", "fernet_key", fallback="") or _fernet_key()
        chosen["api_auth"]["jwt_secret"] = kept.get("api_auth", "jwt_secret", fallback="") or secrets.token_hex(64)
        for section, values in overrides.items():
            chosen.setdefault(section, {}).update(values)
        _write_private(self.configuration, _as_cfg(chosen))
        return self._password()

    def _password(self) -> str:
        try:
            password = json.loads(self.passwords.read_text(encoding="utf-8"))[USER]
        except (OSError, ValueError, KeyError, TypeError):
            password = secrets.token_urlsafe(12)
            _write_private(self.passwords, json.dumps({USER: password}))
        return str(password)


def _sections(home: StackHome, *, dags: Path, address: str, parallelism: int) -> dict[str, dict[str, str]]:
    port = address.rsplit(":", 1)[1]
    return {
        "core": {
            "dags_folder": str(dags),
            "load_examples": "False",
            "executor": "LocalExecutor",
            "parallelism": str(parallelism),
            "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(home.passwords),
            "execution_api_server_url": f"{address}/execution/",
            "test_connection": "Enabled",
        },
        # Four processes write to one SQLite file: wait for each other rather than fail.
        "database": {"sql_alchemy_conn": f"sqlite:///{home.path / 'airflow.db'}?timeout=30"},
        "logging": {
            "base_log_folder": str(home.logs / "tasks"),
            "dag_processor_child_process_log_directory": str(home.logs / "dag-files"),
        },
        "api": {"host": "127.0.0.1", "port": port, "base_url": address, "workers": "1"},
        "api_auth": {},
        # The idle sleep is the wait between two tasks of a chain: 1 second by default, and most of it waste here.
        "scheduler": {"scheduler_idle_sleep_time": "0.1"},
        "dag_processor": {"refresh_interval": "10", "min_file_process_interval": "10", "parsing_processes": "1"},
        "usage_data_collection": {"enabled": "False"},
    }


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def _as_cfg(sections: Mapping[str, Mapping[str, str]]) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    for section, values in sections.items():
        # Airflow reads the file with interpolation, where a percent sign is written twice.
        parser[section] = {name: value.replace("%", "%%") for name, value in values.items()}
    text = io.StringIO()
    text.write("# Written by interlock at every start; the secrets in it are kept. Change what the stack is given.\n")
    parser.write(text)
    return text.getvalue()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, by atomic rename."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
