"""`interlock policy diff OLD NEW`: which recorded decisions a new policy would change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import Json, Settings, UsageError
from interlock.gate.documents import moment_of
from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY, EXIT_UNDECIDED

if TYPE_CHECKING:
    from interlock.policy.decisions.decider import PolicyDecider
    from interlock.policy.decisions.replay import Replayed

SHIPPED = "shipped"


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--ledger", "from_ledger", is_flag=True, help="Replay the ledger's decision log (the default).")
@click.option("--log", "log", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Replay these lines.")
@click.option("--since", help="Only decisions from then on: a date, or RFC 3339; UTC unless it says otherwise.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(min=1), help="Only the newest.")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table")
def diff(
    *, old: str, new: str, from_ledger: bool, log: Path | None, since: str | None, limit: int, format_: str
) -> int:
    """Replay recorded decisions under policy NEW and list every verdict that would change.

    OLD and NEW are what setting `policy` takes (a folder, a .tar.gz, a URL), or `shipped`. Exit status: 0 no verdict
    would change, 1 some would, 3 nothing was comparable or something could not be told.
    """
    if from_ledger and log is not None:
        raise UsageError("decisions come from the ledger or from --log, not from both")
    from interlock.policy.decisions.replay import replay

    settings, moment = Settings.load(), _moment(since)
    deciders: list[PolicyDecider] = []
    try:
        deciders += [_decider(settings, old)]
        deciders += [_decider(settings, new)]
        events = _of_file(log, moment, limit) if log is not None else _of_ledger(settings, moment, limit)
        found = tuple(replay(events, old=deciders[0], new=deciders[1]))
    finally:
        for decider in deciders:
            decider.close()
    if format_ == "json":
        show.say_json(_document(found, *(decider.bundle_digest for decider in deciders)))
    else:
        _present(found)
    return _status(found)


def _decider(settings: Settings, policy: str) -> PolicyDecider:
    from interlock.policy import PolicyDecider, open_engine
    from interlock.policy.bundles.source import load_policy

    bundle = load_policy(replace(settings, policy="" if policy == SHIPPED else policy))
    if settings.engine in {"auto", "server"}:  # a server decides by its own bundle; these two are evaluated here
        settings = replace(settings, engine="auto", opa_url="")
    return PolicyDecider(open_engine(settings, bundle), bundle)


def _of_ledger(settings: Settings, since: datetime | None, limit: int) -> Iterator[Json]:
    from interlock.evidence import Ledger

    for logged in Ledger.open(settings.ledger_url).decisions(since=since, limit=limit):
        yield logged.document()


def _of_file(place: Path, since: datetime | None, limit: int) -> Iterator[Json]:
    """The newest events of a file; a line that cannot be read is passed on as nothing, to be counted."""
    with place.open(encoding="utf-8", errors="replace") as lines:
        events = [_parsed(line) for line in lines if line.strip()]
    yield from [event for event in events if _is_due(event, since)][-limit:]


def _parsed(line: str) -> Json:
    try:
        event: Json = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event


def _is_due(event: Json, since: datetime | None) -> bool:
    if since is None or not isinstance(event, dict):
        return True
    try:
        return moment_of(str(event.get("timestamp"))) >= since
    except ValueError:
        return True


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "that is no moment", where=f"--since {text}", next_step="write 2026-11-23 or 2026-11-23T12:00:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _status(found: tuple[Replayed, ...]) -> int:
    from interlock.policy.decisions.replay import Change

    kinds = Counter(one.change for one in found)
    if any(change.changes_verdict for change in kinds):
        return EXIT_DENY
    compared = len(found) - kinds[Change.NOT_COMPARABLE] - kinds[Change.COULD_NOT_TELL]
    return EXIT_UNDECIDED if kinds[Change.COULD_NOT_TELL] or not compared else EXIT_ALLOW


def _present(found: tuple[Replayed, ...]) -> None:
    from interlock.policy.decisions.replay import Change

    styles = {Change.NEWLY_ALLOWED: "bold red", Change.NEWLY_REFUSED: "bold yellow"}
    for change in Change:
        those = [one for one in found if one.change is change]
        if not those or change is Change.NONE:
            continue
        show.say(f"{change.value.upper()}: {_decisions(len(those))}", style=styles.get(change, "bold"))
        for rule, count in _by_rule(those).most_common():
            show.say(f"  {rule}: {_decisions(count)}")
        show.table(
            ("when", "run", "what", "recorded", "new", "decision"),
            [(one.when, one.run, one.what, str(one.recorded or ""), _answer(one), one.decision_id) for one in those],
        )
    counted = Counter(one.change for one in found)
    counts = ", ".join(f"{counted[change]} {change.value}" for change in Change if counted[change])
    show.say(f"{_decisions(len(found))} replayed: {counts}" if found else "no decision is recorded there")


def _answer(one: Replayed) -> str:
    return ": ".join(text for text in (str(one.new or ""), one.why) if text)


def _by_rule(found: list[Replayed]) -> Counter[str]:
    return Counter(rule for one in found for rule in one.rules)


def _decisions(count: int) -> str:
    return f"{count} decision{'' if count == 1 else 's'}"


def _document(found: tuple[Replayed, ...], old: str, new: str) -> dict[str, Json]:
    from interlock.policy.decisions.replay import Change

    counted = Counter(one.change for one in found)
    by_rule = {
        change.value: dict(_by_rule([one for one in found if one.change is change]))
        for change in (Change.NEWLY_ALLOWED, Change.NEWLY_REFUSED, Change.OTHER_VERDICT, Change.OTHER_REASONS)
    }
    return {
        "old": {"bundle_digest": {"sha256": old}},
        "new": {"bundle_digest": {"sha256": new}},
        "replayed": len(found),
        "counts": {change.value: counted[change] for change in Change},
        "by_rule": by_rule,
        "decisions": [_one(one) for one in found if one.change is not Change.NONE],
    }


def _one(one: Replayed) -> dict[str, Json]:
    return {
        "decision_id": one.decision_id,
        "when": one.when,
        "run": one.run,
        "what": one.what,
        "change": one.change.value,
        "recorded": str(one.recorded or ""),
        "new": str(one.new or ""),
        "rules": list(one.rules),
        "why": one.why,
    }
