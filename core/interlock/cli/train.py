"""`interlock train`: a training behind the guard, in the sandbox, with a signed provenance receipt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli import show
from interlock.cli.gates import cli_run, settings_with
from interlock.cli.out import OutFile, keep_one_document
from interlock.cli.outcome import FORMATS, QUIET, present, refuse_terminal
from interlock.cli.sizes import Size
from interlock.gate import GATE_KINDS, UsageError

if TYPE_CHECKING:
    from interlock.training import TrainingSpec
    from interlock.training.gpu import GpuRequest


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is read and written."""
    for option in (
        click.option("--report", "report", type=OutFile(), help="Write the report to this file (.html, .json, .png)."),
        click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True),
        click.option("--profile", help="Policy profile; the deployment's own settings when not given."),
        click.option("--base", default="", metavar="MODEL", help="Model that it starts from: INTERLOCK_BASE inside."),
        click.option("--checkpoints", default="", metavar="DIR", help="For checkpoints; outlives a run that fails."),
        click.option("--out", required=True, metavar="DIR|URL", help="Where the model appears, whole or not at all."),
        click.option("--data", required=True, metavar="PATH|URL", help="The dataset that passed its gates."),
    ):
        command = option(command)
    return command


def _what(command: Callable[..., Any]) -> Callable[..., Any]:
    """What runs, and with how much."""
    for option in (
        click.argument("command", nargs=-1, type=click.UNPROCESSED),
        click.option(
            "--requires", multiple=True, type=click.Choice(GATE_KINDS), help="A gate on top of what policy requires."
        ),
        click.option("--memory", type=Size(), help="Of each process, for example 8GiB; by default the machine's."),
        click.option("--output-bytes", type=Size(), default="10GiB", show_default=True, help="Largest output."),
        click.option(
            "--wall-clock", metavar="SECONDS", type=float, default=3600.0, show_default=True, help="Longest run."
        ),
        click.option(
            "--keep-pickles",
            is_flag=True,
            help="Let pickles leave as they are, if the artifact scan has nothing against them.",
        ),
        click.option(
            "--check-determinism", is_flag=True, help="Run it twice, and compare what both runs wrote, byte for byte."
        ),
        click.option(
            "--deterministic", is_flag=True, help="Seeds, deterministic kernels and a fixed number of threads."
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="INTERLOCK_SEED, PYTHONHASHSEED."),
        click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="No secrets: it is recorded."),
        click.option("--image", metavar="NAME@sha256:...", default="", help="Run in this image's files."),
        click.option("--visible", multiple=True, metavar="PATH", help="Also shown, read-only and where it is."),
        click.option("--code", multiple=True, metavar="PATH", help="The training's code; by default the script."),
        click.option("--function", metavar="MODULE:NAME", help="Call f(data, out) in place of a command."),
    ):
        command = option(command)
    return command


def _pays(command: Callable[..., Any]) -> Callable[..., Any]:
    """Who pays, and how much at most."""
    for option in (
        click.option(
            "--max-restarts", type=click.IntRange(min=0), help="Of workers; with --checkpoints, of all of it."
        ),
        click.option("--money", type=float, help="Most money, in the currency of policy's price table."),
        click.option("--energy-kwh", type=float, help="Most kilowatt-hours."),
        click.option("--gpu-hours", type=float, help="Most GPU-hours; by default wall clock times GPUs."),
        click.option("--team", default="", metavar="NAME", help="Whose budget pays."),
    ):
        command = option(command)
    return command


def _watched(command: Callable[..., Any]) -> Callable[..., Any]:
    """How the watch on its losses answers."""
    words = click.Choice(("stop", "warn", "ignore"))
    for option in (
        click.option("--losses", default="", metavar="FILE", help="Where recorded losses go, out of the output."),
        click.option("--stall", "stall_seconds", metavar="SECONDS", type=float, help="End a run that tells nothing."),
        click.option(
            "--on-spike", type=words, default="warn", show_default=True, help="A loss or gradient that leaps."
        ),
        click.option("--on-nan", type=words, default="stop", show_default=True, help="A loss that is no number."),
    ):
        command = option(command)
    return command


def _gpus(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which GPUs, and how they have to be."""
    for option in (
        click.option("--scrub", is_flag=True, help="Overwrite the GPUs' free memory before and after."),
        click.option("--confidential", is_flag=True, help="Only GPUs in confidential mode."),
        click.option("--gpu", "gpu_names", multiple=True, metavar="INDEX|UUID", help="This GPU or slice; repeatable."),
        click.option("--gpus", type=click.IntRange(min=0), help="How many GPUs; 0 is none."),
    ):
        command = option(command)
    return command


def _privacy(command: Callable[..., Any]) -> Callable[..., Any]:
    """How much a training may give away of its dataset."""
    for option in (
        click.option("--max-grad-norm", type=float, help="Clipping norm; 1.0 when nobody says so."),
        click.option("--delta", type=float, help="With --epsilon; below 1 / rows."),
        click.option("--epsilon", type=float, help="Train with differential privacy, spending so much at most."),
    ):
        command = option(command)
    return command


@click.command()
@_where
@_what
@_gpus
@_pays
@_watched
@_privacy
def train(
    *,
    data: str,
    out: str,
    profile: str | None,
    format_: str,
    report: Path | None,
    requires: tuple[str, ...],
    team: str,
    max_restarts: int | None,
    checkpoints: str,
    base: str,
    **what: Any,
) -> int:
    """Train behind the guard, in the sandbox, and publish what policy allows.

    COMMAND, after --, is the training as it is: -- python train.py {data} {out}. Both become paths inside the sandbox,
    which are in INTERLOCK_DATA and INTERLOCK_OUT, too. The guard opens only where the dataset's bytes passed the gates
    that policy requires; the model appears at --out only when policy allows what came out.
    """
    from interlock.runner import LocalRunner, TrainRequest
    from interlock.training.budgets import RESOURCES
    from interlock.training.privacy import privacy_target
    from interlock.training.watching import WatchOptions

    refuse_terminal(format_, report, option="--report")
    request = TrainRequest(
        data=data,
        out=out,
        spec=_spec(what),
        requires=requires,
        team=team,
        budget={name: what[name] for name in RESOURCES if what[name] is not None},
        restarts=max_restarts,
        checkpoints=checkpoints,
        deterministic=what["deterministic"],
        check_determinism=what["check_determinism"],
        keep_pickles=what["keep_pickles"],
        base=base,
        watch=WatchOptions.named(**{name: what[name] for name in ("on_nan", "on_spike", "stall_seconds", "losses")}),
        gpus=_gpu_request(what),
        privacy=privacy_target(what["epsilon"], what["delta"], what["max_grad_norm"]),
        run=cli_run("training"),
    )
    settings = settings_with(profile)
    keep_one_document(settings, format_, report)
    with LocalRunner(settings) as runner, show.training(quiet=format_ in QUIET) as (on_line, on_progress):
        trained = runner.train(request, on_line=on_line, on_progress=on_progress)
    present(trained.outcome, format_, report)
    return trained.outcome.decision.verdict.exit_status


def _gpu_request(what: dict[str, Any]) -> GpuRequest | None:
    """The GPUs that the options ask for.

    Raises:
        UsageError: They are asked for by number and by name.
    """
    from interlock.training.gpu import gpu_request

    count, names = what["gpus"], what["gpu_names"]
    if count is not None and names:
        raise UsageError("GPUs are asked for either by --gpus or by --gpu")
    return gpu_request(names or count, confidential=what["confidential"], scrub=what["scrub"])


def _spec(what: dict[str, Any]) -> TrainingSpec:
    """The training that the options describe.

    Raises:
        UsageError: It is not described wholly, or not in one way only.
    """
    from interlock.training import Limits, training_spec

    if not what["command"] and not what["function"]:
        raise UsageError("there is nothing to run", next_step="add -- python train.py {data} {out}, or --function")
    limits = Limits(wall_seconds=what["wall_clock"], output_bytes=what["output_bytes"], memory_bytes=what["memory"])
    return training_spec(
        command=what["command"] or None,
        function=what["function"],
        code=what["code"],
        visible=what["visible"],
        environment=dict(_pair(text) for text in what["environment"]),
        seed=what["seed"],
        limits=limits,
        image=what["image"],
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"a variable is NAME=VALUE, not {text!r}", where="--env")
    return name, value
