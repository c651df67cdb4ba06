"""`interlock demo`: the example DAG three times on a real Airflow, and whether it ended as it should."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from interlock.cli import show
from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY


@click.command()
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), default=Path(".demo"), show_default=True)
@click.option(
    "--dags",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dags_examples/airflow"),
    show_default=True,
    help="Folder with gated_retraining.py.",
)
def demo(home: Path, dags: Path) -> int:
    """Run clean, poisoned and tampered retraining; exit 0 only if all three end as they should."""
    # The demo drives an orchestrator, so it lives beside the operators; this room only shows what it came to.
    result = import_module("interlock.airflow.demo").run_demo(home, dags, say=show.progress)
    show.table(
        ("scenario", "step", "outcome", "reason", "seconds"),
        [
            (row.scenario, row.step, row.outcome, row.reason, "" if row.seconds is None else f"{row.seconds:.1f}")
            for row in result.rows
        ],
    )
    show.say(f"isolation of the training: {result.isolation}")
    show.say(f"report: {result.report}")
    for problem in result.problems:
        show.say(f"not as it should be: {problem}", style="bold red")
    if result.problems:
        return EXIT_DENY
    show.say(f"all three ended as they should, in {result.seconds:.0f} s", style="bold green")
    return EXIT_ALLOW
