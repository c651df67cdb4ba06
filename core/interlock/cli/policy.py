"""`interlock policy ...`: ask the policy by hand, and install the engine that answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from interlock.cli import policy_author, policy_bundle, policy_replay, show
from interlock.gate import Json, Settings, UsageError


@click.group()
def policy() -> None:
    """Evaluate policy; install the embedded engine."""


policy.add_command(policy_author.test)
policy.add_command(policy_author.coverage)
policy.add_command(policy_author.check)
policy.add_command(policy_bundle.bundle)
policy.add_command(policy_bundle.fetch)
policy.add_command(policy_replay.diff)


@policy.command("install-engine")
def install_engine() -> int:
    """Fetch the OPA library with its pinned hash; keep it in this virtual environment, or under the home folder."""
    from interlock.policy.install import install_engine as install
    from interlock.policy.install import place_for

    show.progress(f"the policy engine is {install(place_for(Settings.load()))}")
    return 0


@policy.command("eval")
@click.argument("policies", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--query", required=True, metavar="data.PATH", help="What to evaluate.")
@click.option("--input", "input_", default="-", help="JSON file with the input document; - is standard input.")
def evaluate(policies: tuple[Path, ...], query: str, input_: str) -> int:
    """Evaluate a query over any input; the result is one JSON object on standard output."""
    from interlock.policy import evaluate as ask

    settings = Settings.load()
    answer = ask(settings, query=query, document=_document(input_), policies=policies)
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
