"""`interlock airflow ...`: set up, show and ask again what enforces the gates in Airflow's scheduler.

What it does lies beside Airflow's plugin, which is imported when a command runs; this room only shows what came of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from interlock.cli import show
from interlock.gate import MissingExtraError
from interlock.gate.errors import EXIT_ALLOW, EXIT_UNDECIDED

_FORMAT = click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)


@click.group()
def airflow() -> None:
    """Enforcement in Airflow; run it where the scheduler's AIRFLOW_HOME and settings are."""


@airflow.command()
@_FORMAT
def setup(format_: str) -> int:
    """Make the quarantine pool with its 0 slots, then show the status. Once after each `airflow db migrate`.

    Exit status 3 when something of the enforcement is not in force, 2 when Airflow is not installed.
    """
    with _plugin() as plugin:
        plugin.set_up()
        lines = plugin.status()
    return _show_status(lines, format_)


@airflow.command()
@_FORMAT
def status(format_: str) -> int:
    """Say what of the enforcement is in force: hooks, plugin, policy, quarantine pool, and what waits in it.

    Exit status 3 when something is not in force, 2 when Airflow is not installed.
    """
    with _plugin() as plugin:
        lines = plugin.status()
    return _show_status(lines, format_)


@airflow.command()
@_FORMAT
def recheck(format_: str) -> int:
    """Judge all waiting tasks again, and move them into or out of the quarantine.

    After installing Interlock in an Airflow that has runs, and after policy was changed or could not be read.
    """
    with _plugin() as plugin:
        moved = plugin.recheck()
    if format_ == "json":
        show.say_json(
            {
                "moved": [
                    {"dag": m.dag_id, "run": m.run_id, "task": m.task_id, "map_index": m.map_index, "pool": m.pool}
                    for m in moved
                ]
            }
        )
    else:
        show.table(
            ("DAG", "run", "task", "waits now in pool"),
            [
                (m.dag_id, m.run_id, m.task_id if m.map_index < 0 else f"{m.task_id}[{m.map_index}]", m.pool)
                for m in moved
            ],
        )
        show.progress(f"{len(moved)} waiting task instance{'' if len(moved) == 1 else 's'} moved")
    return EXIT_ALLOW


@contextmanager
def _plugin() -> Iterator[Any]:
    """What does it; meanwhile Airflow, which logs to standard output, logs to standard error."""
    if find_spec("airflow") is None:
        raise MissingExtraError("airflow", extra="airflow")
    with redirect_stdout(sys.stderr):
        yield import_module("interlock.airflow_plugin.setup")


def _show_status(lines: Sequence[Any], format_: str) -> int:
    if format_ == "json":
        show.say_json(
            {
                "checks": [
                    {
                        "what": line.what,
                        "state": "ok" if line.ok else "broken",
                        "found": line.found,
                        "next_step": line.next_step,
                    }
                    for line in lines
                ]
            }
        )
    else:
        show.table(
            ("what", "state", "found", "next step"),
            [(line.what, "ok" if line.ok else "broken", line.found, line.next_step) for line in lines],
        )
    return EXIT_ALLOW if all(line.ok for line in lines) else EXIT_UNDECIDED
