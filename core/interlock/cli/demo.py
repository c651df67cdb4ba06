"""`interlock demo`: the example three times, on an Airflow or under kfp.local, and whether it ended as it should."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from interlock.cli import show
from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY

_EXAMPLES = Path("dags_examples")


@click.command()
@click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), help="Folder for all that it makes.  [default: .demo]"
)
@click.option(
    "--dags",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with gated_retraining.py.  [default: dags_examples/airflow, or /kubeflow]",
)
@click.option("--kubeflow", is_flag=True, help="As a Kubeflow pipeline, offline under kfp.local, in place of Airflow.")
def demo(*, home: Path | None, dags: Path | None, kubeflow: bool) -> int:
    """Run clean, poisoned and tampered retraining; exit 0 only if all three end as they should."""
    orchestrator = "kubeflow" if kubeflow else "airflow"
    home = home or Path(".demo/kubeflow" if kubeflow else ".demo")
    # The demos drive an orchestrator, so they live beside the operators; this room only shows what they came to.
    run_demo = import_module(f"interlock.{orchestrator}.demo").run_demo
    result = run_demo(home, dags or _EXAMPLES / orchestrator, say=show.progress)
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
