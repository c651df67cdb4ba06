"""Homes for a stack whose database is made already: Airflow makes the same tables each time, in two processes."""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
from atexit import register
from contextlib import closing
from pathlib import Path

from interlock.airflow.stack import AirflowStack
from interlock.airflow.stack_home import StackHome


def migrated(home: Path) -> Path:
    """Make `home` with a database of its own that needs no migration; `test_stack.py` starts without one."""
    made = _made_once()
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "airflow.db").touch(mode=0o600)
    copied(made, home)
    return home


def copied(made: Path, home: Path) -> None:
    """Copy the database of one home, whose Airflow may run, and what says that it is migrated."""
    with closing(sqlite3.connect(made / "airflow.db")) as ready, closing(sqlite3.connect(home / "airflow.db")) as copy:
        ready.backup(copy)
    for mark in made.glob("migrated-*"):
        (home / mark.name).touch()


@functools.cache
def _made_once() -> Path:
    """The home that all others of this process are copied from; migrated as a stack does it, and never started."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-migrated-"))
    register(shutil.rmtree, folder, ignore_errors=True)
    environment = {"INTERLOCK_HOME": str(folder / "interlock"), "INTERLOCK_PROFILE": "dev"}
    stack = AirflowStack(folder / "home", folder, environment=environment)
    stack._home = StackHome.make(stack.home)
    stack._lock = stack._home.lock()
    try:
        stack._home.write(dags=folder, address=stack.address, parallelism=1, overrides={})
        stack._migrate()
    finally:
        stack.stop()
    return stack.home
