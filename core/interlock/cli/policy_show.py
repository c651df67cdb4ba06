"""`interlock policy new`, `schema` and `controls`: to begin with a rule, and to see what there is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import Json, UsageError

if TYPE_CHECKING:
    from interlock.policy.authoring.controls import Supported

_SUPPORTS = "What the rules support. It says nothing of whether anybody complies with anything."


@click.command("new")
@click.argument("name", metavar="PACK/RULE")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("policies"),
    show_default=True,
    help="Root of the bundle that it is written into.",
)
def new(name: str, *, folder: Path) -> int:
    """Write a rule that fails closed, with its tests and its parameter."""
    from interlock.policy.authoring.templates import new_rule

    for path in new_rule(name, folder):
        show.say(str(path))
    show.progress(f"next: interlock policy test {folder} --threshold 100 && interlock policy check {folder}")
    return 0


@click.command("schema")
@click.argument("name", required=False)
def schema(name: str | None) -> int:
    """Print a published JSON Schema; without a name, list them."""
    from interlock.policy.authoring.lint import read_schemas

    schemas = read_schemas(())
    if name is None:
        rows = [(known, _title(document)) for known, document in sorted(schemas.items())]
        show.table(("schema", "what it describes"), rows)
        return 0
    known = name.removesuffix(".json").removeprefix("schema.")
    if known not in schemas:
        raise UsageError("no schema has this name", where=name, next_step=f"one of {', '.join(sorted(schemas))}")
    click.echo(json.dumps(schemas[known], ensure_ascii=False, indent=2))
    return 0


@click.command("controls")
@click.argument("policies", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[POLICY]...")
@click.option("--framework", default="", metavar="TEXT", help="Only frameworks with this in their name.")
@click.option(
    "--format", "format_", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True
)
def controls(policies: tuple[Path, ...], *, framework: str, format_: str) -> int:
    """List which controls the rules support, by framework and version, and which they do not."""
    from interlock.policy.authoring.controls import supported_controls
    from interlock.policy.authoring.sources import load_sources
    from interlock.policy.authoring.syntax import parse
    from interlock.policy.authoring.workbench import Workbench

    sources = load_sources(policies)
    with Workbench() as workbench:
        files, broken = parse(workbench, sources.bundle.modules)
    for path, said in broken.items():
        raise UsageError(f"a rule cannot be parsed: {said}", where=sources.place(path))
    found = supported_controls(files, framework=framework)
    if not found:
        raise UsageError("no framework has this in its name", where=framework, next_step="leave --framework out")
    if format_ == "json":
        show.say_json({"note": _SUPPORTS, "frameworks": _by_framework(found)})
    elif format_ == "markdown":
        click.echo(_markdown(found))
    else:
        show.table(
            ("framework", "version", "control", "title", "supported by"),
            [(one.framework.name, one.framework.version, one.control, _named(one), _rules(one)) for one in found],
        )
        show.progress(_SUPPORTS)
    return 0


def _by_framework(found: tuple[Supported, ...]) -> list[Json]:
    frameworks: list[Json] = []
    for framework, controls in groupby(found, key=lambda one: one.framework):
        listed = list(controls)
        frameworks.append(
            {
                "framework": framework.name,
                "version": framework.version,
                "supported": [
                    {"id": one.control, "title": one.title, "rules": [*one.rules]} for one in listed if one.rules
                ],
                "not_supported": [{"id": one.control, "title": one.title} for one in listed if not one.rules],
                "unknown": [one.control for one in listed if not one.known],
            }
        )
    return frameworks


def _markdown(found: tuple[Supported, ...]) -> str:
    lines = [_SUPPORTS]
    for framework, controls in groupby(found, key=lambda one: one.framework):
        lines += ["", f"## {framework.name} {framework.version}", "", "| control | title | supported by |"]
        lines += ["| --- | --- | --- |"]
        lines += [f"| {_cell(one.control)} | {_cell(_named(one))} | {_cell(_rules(one))} |" for one in controls]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _named(one: Supported) -> str:
    return one.title or "(not in the catalogue)"


def _rules(one: Supported) -> str:
    return ", ".join(one.rules) or "-"


def _title(document: Json) -> str:
    return str(document.get("title", "")) if isinstance(document, Mapping) else ""
