"""`interlock validation suggest DATA`: a first suite for a person to edit."""

from __future__ import annotations

import json
from pathlib import Path

import click

from interlock.cli import show
from interlock.cli.out import OutFile
from interlock.gate import UsageError


@click.group()
def validation() -> None:
    """Work on Great Expectations suites."""


@validation.command()
@click.argument("data")
@click.option("--out", type=OutFile(), help="Write the suite here; must be new.")
def suggest(data: str, out: Path | None) -> int:
    """Draft a suite from a dataset that you trust; read it and edit it before you rely on it."""
    from interlock.reporting import write_whole
    from interlock.validation import suggest as draft

    if out is not None and out.exists():
        raise UsageError("the suite file is already there", where=str(out), next_step="give a new name")
    with show.working(f"reading {data}"):
        suite = draft(data)
    text = json.dumps(suite, ensure_ascii=False, indent=2) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return 0
    write_whole(out, text)
    show.progress(f"suite: {out}. Next: read it, loosen or tighten it, and keep it under version control")
    return 0
