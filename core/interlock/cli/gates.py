"""`interlock gate <kind> SUBJECT`: one gate, here and now, with a signed receipt."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from interlock.cli import show
from interlock.cli.out import OutFile, keep_one_document
from interlock.cli.outcome import FORMATS, QUIET, present, refuse_terminal
from interlock.gate import Json, RunIdentity, Settings, UsageError


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every gate has."""
    for option in (
        click.option("--out", type=OutFile(), help="Write the report to this file."),
        click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True),
        click.option("--profile", help="Policy profile; the deployment's own settings when not given."),
        click.argument("subject"),
    ):
        command = option(command)
    return command


@click.group()
def gate() -> None:
    """Run one gate on a dataset or a model; the receipt goes to the ledger."""


@gate.command("data-validation")
@shared_options
@click.option("--suite", required=True, help="Great Expectations suite file (JSON).")
@click.option("--min-rows", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--required", multiple=True, metavar="TYPE[:COLUMN]", help="Expectation that the suite must contain.")
def data_validation(
    *,
    subject: str,
    profile: str | None,
    format_: str,
    out: Path | None,
    suite: str,
    min_rows: int,
    required: tuple[str, ...],
) -> int:
    """Validate a dataset with a Great Expectations suite."""
    options: dict[str, Json] = {"suite": suite, "min_rows": min_rows, "required": list(required)}
    return _run("data-validation", subject, options, profile=profile, format_=format_, out=out)


@gate.command("data-poisoning")
@shared_options
@click.option("--label", metavar="COLUMN", help="The label column; class folders and IDX files need none.")
@click.option("--image", metavar="COLUMN", help="Column of images: paths in the dataset, or bytes.")
@click.option("--image-shape", metavar="HxW[xC]", help="Draw images to it; or, the feature columns are one such image.")
@click.option("--text", metavar="COLUMN", multiple=True, help="Column of running text; may be given several times.")
@click.option("--features", metavar="A,B,...", help="Feature columns; all numeric ones but the label by default.")
@click.option("--embedding", metavar="COLUMN", help="Column of lists of numbers, in place of feature columns.")
@click.option("--source", metavar="COLUMN", help="Column that says who contributed a row.")
@click.option("--id", "id_", metavar="COLUMN", help="Column that names a row for people.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Where torch computes: cpu, cuda, cuda:1.")
@click.option("--engine", default="local", show_default=True, help="Where rows are read: local, or ray for workers.")
@click.option("--ray-address", metavar="HOST:PORT", help="A Ray cluster's head, or auto; one of its own by default.")
@click.option("--also", metavar="NAME", multiple=True, help="Compare with another project's detector: see the docs.")
@click.option("--accepted", metavar="FILE", help="Compare with the last accepted snapshot, by its --profile-out.")
@click.option("--clean", metavar="PATH", help="Compare with a small clean set: 10 to 500 rows of each class.")
@click.option("--with-training", is_flag=True, help="Train a small network on the dataset, and ask what it learned.")
@click.option("--losses", metavar="FILE", help="What LossRecorder wrote in another training; with --with-training.")
@click.option("--flagged", metavar="FILE", help="Write who is flagged, by whom and why, to this Parquet file.")
@click.option("--clean-out", metavar="DIR", help="Write the dataset without the flagged rows; it needs a gate run too.")
@click.option("--profile-out", metavar="FILE", help="If it is allowed, write what the next scan compares with.")
def data_poisoning(
    *,
    subject: str,
    profile: str | None,
    format_: str,
    out: Path | None,
    label: str | None,
    image: str | None,
    image_shape: str | None,
    text: tuple[str, ...],
    features: str | None,
    embedding: str | None,
    source: str | None,
    id_: str | None,
    seed: int,
    device: str,
    engine: str,
    ray_address: str | None,
    also: tuple[str, ...],
    accepted: str | None,
    clean: str | None,
    with_training: bool,
    losses: str | None,
    flagged: str | None,
    clean_out: str | None,
    profile_out: str | None,
) -> int:
    """Scan a labelled dataset for backdoor triggers and wrong labels.

    SUBJECT is a file or a folder: Parquet, Arrow, CSV, JSON Lines, npz, IDX, a saved Hugging Face dataset, folders of
    images by class, or images with a manifest (--image and --label name its columns).
    """
    options: dict[str, Json] = {
        "label": label,
        "image": image,
        "image_shape": _shape(image_shape) if image_shape else None,
        "text": list(text),
        "features": features.split(",") if features else None,
        "embedding": embedding,
        "source": source,
        "id": id_,
        "seed": seed,
        "device": device,
        "engine": engine,
        "ray_address": ray_address,
        "accepted": accepted,
        "clean": clean,
        "with_training": with_training,
        "losses": losses,
        "also": list(also),
    }
    places = (("flagged", flagged), ("clean_out", clean_out), ("profile_out", profile_out))
    outputs = {name: place for name, place in places if place}
    return _run("data-poisoning", subject, options, outputs, profile=profile, format_=format_, out=out)


@gate.command("artifact-scan")
@shared_options
@click.option("--scanner-profile", default="torch-state-dict", show_default=True, help="What a pickle may refer to.")
@click.option("--also", multiple=True, metavar="SCANNER", help="Ask another scanner, too: picklescan, modelaudit.")
@click.option("--look-for", multiple=True, metavar="KIND", help="In texts, too: secrets, personal-data; repeatable.")
@click.option("--weights/--no-weights", default=None, help="Read the tensors; by default where numpy is installed.")
@click.option("--accepted", metavar="MODEL", help="Compare its tensors with the last accepted version: path or URL.")
def artifact_scan(
    *,
    subject: str,
    profile: str | None,
    format_: str,
    out: Path | None,
    scanner_profile: str,
    also: tuple[str, ...],
    look_for: tuple[str, ...],
    weights: bool | None,
    accepted: str | None,
) -> int:
    """Scan a model file or folder for code that could run when it is loaded, and look at its weights."""
    options: dict[str, Json] = {
        "profile": scanner_profile,
        "also": list(also),
        "look_for": list(look_for),
        "weights": weights,
        "accepted": accepted,
    }
    return _run("artifact-scan", subject, options, profile=profile, format_=format_, out=out)


@gate.command("model-probe")
@shared_options
@click.option("--evaluation", required=True, metavar="SET", help="The sealed set: Parquet or CSV, file or folder.")
@click.option("--label", required=True, metavar="COLUMN", help="What is predicted; the code never sees it.")
@click.option("--slice", "slices", multiple=True, metavar="COLUMN", help="Judge its values apart, too; repeatable.")
@click.option("--predict", required=True, metavar="CODE", help="module:function, or a command: see the docs.")
@click.option("--code", multiple=True, metavar="PATH", help="What the code that predicts may read; repeatable.")
@click.option("--name", metavar="NAME", help="Of the evaluation in policy data; the set's own name by default.")
@click.option("--features", metavar="A,B,...", help="Columns that the code gets; all but label and slices by default.")
@click.option(
    "--task", default="classification", show_default=True, type=click.Choice(("classification", "regression"))
)
@click.option("--accepted", metavar="MODEL", help="Where the model that was accepted last lies now: path or URL.")
@click.option("--wall-clock", default=600.0, show_default=True, help="Seconds that predicting with one model may take.")
def model_probe(
    *,
    subject: str,
    profile: str | None,
    format_: str,
    out: Path | None,
    evaluation: str,
    label: str,
    slices: tuple[str, ...],
    predict: str,
    code: tuple[str, ...],
    name: str | None,
    features: str | None,
    task: str,
    accepted: str | None,
    wall_clock: float,
) -> int:
    """Evaluate a model on a sealed set, beside the model that was accepted last on the same rows.

    The code runs in the sandbox, as f(model: Path, rows: Path) or a command with {model}, {data} and {out}.
    """
    options: dict[str, Json] = {
        "evaluation": evaluation,
        "label": label,
        "slices": list(slices),
        "predict": predict,
        "code": list(code),
        "name": name,
        "features": features.split(",") if features else None,
        "task": task,
        "accepted": accepted,
        "wall_clock": wall_clock,
    }
    return _run("model-probe", subject, options, profile=profile, format_=format_, out=out)


def settings_with(profile: str | None) -> Settings:
    """The deployment's settings; `profile` counts as the environment does, so the administrator's file still wins."""
    return Settings.load({**os.environ, **({"INTERLOCK_PROFILE": profile} if profile else {})})


def cli_run(task: str) -> RunIdentity:
    """The identity of a run by hand: who, on this machine, with an id of its own unless ``INTERLOCK_RUN_ID`` is set."""
    return RunIdentity(
        orchestrator="cli",
        pipeline=getpass.getuser(),
        run_id=os.environ.get("INTERLOCK_RUN_ID") or uuid4().hex,
        task_id=task,
    )


def _run(
    kind: str,
    subject: str,
    options: Mapping[str, Json],
    outputs: Mapping[str, str] | None = None,
    *,
    profile: str | None,
    format_: str,
    out: Path | None,
) -> int:
    from interlock.runner import GateRequest, LocalRunner

    refuse_terminal(format_, out)
    request = GateRequest(kind=kind, subject=subject, options=options, outputs=outputs or {}, run=cli_run(kind))
    settings = settings_with(profile)
    keep_one_document(settings, format_, out)
    with LocalRunner(settings) as runner, show.working(f"{kind} looks at {subject}", quiet=format_ in QUIET):
        outcome = runner.run_gate(request)
    present(outcome, format_, out)
    for written in outcome.written:
        show.progress(str(written))
    return outcome.decision.verdict.exit_status


def _shape(text: str) -> list[int]:
    try:
        shape = [int(part) for part in text.lower().split("x")]
    except ValueError:
        shape = []
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise UsageError(f"an image shape is HxW or HxWxC, not {text!r}", where="--image-shape", next_step="e.g. 8x8")
    return shape
