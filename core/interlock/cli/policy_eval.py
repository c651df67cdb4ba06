"""`interlock policy eval`: what rules answer to one input, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import Json, Settings, UsageError

if TYPE_CHECKING:
    from interlock.policy.authoring.explain import Explained
    from interlock.policy.authoring.sources import Sources

_SHOWN = 200
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("eval")
@click.argument("policies", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[POLICY]...")
@click.option("--query", required=True, metavar="data.PATH", help="What to evaluate.")
@click.option("--input", "input_", default="-", help="JSON file with the input document; - is standard input.")
@click.option("--data", multiple=True, type=_FILE, help="JSON file with more of data; may be given again.")
@click.option("--engine", type=click.Choice(["embedded", "binary", "server"]), help="Instead of the settings' engine.")
@click.option("--format", "format_", type=click.Choice(["json", "table"]), default="json", show_default=True)
@click.option("--explain", is_flag=True, help="Say which rules said no, where, and what they saw.")
def evaluate(
    policies: tuple[Path, ...],
    *,
    query: str,
    input_: str,
    data: tuple[Path, ...],
    engine: str | None,
    format_: str,
    explain: bool,
) -> int:
    """Evaluate a query over any input; the result is one JSON object on standard output."""
    from interlock.policy import evaluate as ask

    settings = Settings.load()
    if engine is not None:
        settings = replace(settings, engine=engine)
    document = _document(input_)
    answer = ask(settings, query=query, document=document, policies=policies, data=data)
    told, sources = _explained(settings, policies, data, query, document) if explain else ((), None)
    if format_ == "table":
        _show_answer(answer)
        if sources is not None:
            _show_explanation(told, sources)
        return 0
    if sources is not None:
        answer["explanation"] = [_told(one, sources) for one in told]
    show.say_json(answer)
    return 0


def _document(path: str) -> Json:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        document: Json = json.loads(text)
    except OSError as error:
        raise UsageError(f"the input cannot be read: {error.strerror}", where=path) from error
    except ValueError as error:
        raise UsageError(f"the input is no JSON: {error}", where=path) from error
    return document


def _explained(
    settings: Settings, policies: Sequence[Path], data: Sequence[Path], query: str, document: Json
) -> tuple[tuple[Explained, ...], Sources]:
    """The embedded engine explains, whichever answered: it alone can be asked for its steps."""
    from interlock.policy.authoring.evaluation import joined_policy
    from interlock.policy.authoring.explain import explain
    from interlock.policy.authoring.sources import named_as
    from interlock.policy.authoring.workbench import Workbench
    from interlock.policy.bundles.bundle import packaged_folder
    from interlock.policy.engines.install import locate

    if settings.engine == "server" and not policies:
        raise UsageError("the rules of a server are not here to be explained", next_step="name them: POLICY...")
    sources = named_as(policies or [packaged_folder()], joined_policy(settings, policies, data))
    with Workbench(locate(settings)) as workbench:
        return explain(workbench, sources, query, document), sources


def _show_answer(answer: dict[str, Json]) -> None:
    rows = answer.get("result")
    if not isinstance(rows, list) or not rows:
        show.say("undefined")
        return
    for row in rows:
        if isinstance(row, dict):
            bound, expressions = row.get("bindings"), row.get("expressions")
            values = bound if isinstance(bound, dict) and bound else None
            if values is None and isinstance(expressions, list):
                values = {str(one["text"]): one["value"] for one in expressions if isinstance(one, dict)}
            for name, value in (values or {}).items():
                show.say(f"{name} = {json.dumps(value, ensure_ascii=False)}")


def _show_explanation(told: Sequence[Explained], sources: Sources) -> None:
    for one in told:
        show.progress(f"{one.said}: {one.rule_id}  ({sources.place(one.path)}:{one.row})")
        if one.stopped:
            path, _, row = one.stopped.rpartition(":")
            show.progress(f"  it ended at {sources.place(path)}:{row}")
        for name, value in one.variables.items():
            show.progress(f"  {name}: {_short(value)}")
        for seen in one.seen:
            show.progress(f"    {seen.place}  " + ("missing" if seen.missing else f"= {_short(seen.value)}"))
    if not told:
        show.progress("no rule denied, warned or held back an allow")


def _told(one: Explained, sources: Sources) -> dict[str, Json]:
    return {
        "said": one.said,
        "rule": one.rule_id,
        "location": {"file": sources.place(one.path), "row": one.row},
        "stopped": one.stopped,
        "variables": dict(one.variables),
        "read": [
            {"place": seen.place, "missing": True} if seen.missing else {"place": seen.place, "value": seen.value}
            for seen in one.seen
        ],
    }


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
