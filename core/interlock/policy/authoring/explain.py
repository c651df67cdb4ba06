"""Which rule said no, where it stands, and what it saw."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.authoring.lint_shapes import DENIALS
from interlock.policy.authoring.reads import MISSING, Path, Reader, shown_path, value_at
from interlock.policy.authoring.sources import Sources, refuse_banned
from interlock.policy.authoring.syntax import Parsed, Rule, parse
from interlock.policy.authoring.workbench import Reply, Workbench

_HEAD = re.compile(r"(?:#[^\n]*\n)*(?P<name>[A-Za-z_]\w*)\b")  # a rule's METADATA comes before it
_HELD_BACK = "did not allow"
_SAID = {**dict.fromkeys(DENIALS, "denied"), "warn": "warned", "warnings": "warned"}
"""What a rule says by its name; of another name it denies if its METADATA gives it an id and a severity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One place that a rule read.

    Args:
        place: As Rego writes it.
        missing: Whether nothing was there.
        value: What was there.
    """

    place: str
    missing: bool
    value: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One rule that had a say.

    Args:
        said: ``denied``, ``warned``, or ``did not allow``.
        rule_id: From its METADATA; its name where it has none.
        path: Of its file in the bundle.
        row: Where it starts.
        stopped: ``file:row`` of the expression at which an `allow` ended; empty for a denial, and for an `allow` that
            OPA did not even enter because a constant in it does not fit.
        variables: Its own variables when it fired, among them the message.
        seen: What it read, through all that it called.
    """

    said: str
    rule_id: str
    path: str
    row: int
    stopped: str
    variables: Mapping[str, Json]
    seen: tuple[Seen, ...]


def explain(workbench: Workbench, sources: Sources, query: str, document: Json) -> tuple[Explained, ...]:
    """Evaluate `query` once more with OPA's trace, and tell which rules said no.

    Args:
        workbench: Not loaded yet.
        sources: The policies, with all data.
        query: As for `interlock.policy.authoring.evaluation.evaluate`.
        document: What is read as ``input``.

    Raises:
        PolicyError: It cannot be evaluated, or a rule cannot be parsed.
    """
    refuse_banned(workbench, sources, tests=False)
    files, broken = parse(workbench, sources.bundle.modules)
    for path, said in broken.items():
        raise PolicyError(f"a rule cannot be parsed: {said}", where=sources.place(path))
    refused = workbench.load(sources.bundle)
    reply = workbench.ask(query, document, trace=True) if not refused else Reply(error=refused)
    if reply.error:
        raise PolicyError(f"policy cannot be evaluated: {reply.error}", next_step="`interlock policy check`")
    documents: dict[str, Json] = {"input": document, "data": dict(sources.bundle.data)}
    reader = Reader(files, documents)
    told = []
    verdicts = list(_verdicts(reply.trace, files))
    denied = any(said == "denied" for said, *_ in verdicts)
    for said, place, variables, stopped in verdicts:
        if denied and said == _HELD_BACK:
            continue  # it only repeats that something denied
        file, rule = _rule_at(files, place)
        if file is None or rule is None:
            continue
        custom = rule.annotation.custom if rule.annotation else {}
        told.append(
            Explained(
                said=said,
                rule_id=str(custom.get("id", f"{file.package}.{rule.name}")),
                path=file.module.path,
                row=rule.row,
                stopped=stopped,
                variables={k: v for k, v in variables.items() if not k.startswith("_")},
                seen=_seen(workbench, reader, reader.reads(file, rule, variables), documents),
            )
        )
    return tuple(told)


def _seen(
    workbench: Workbench, reader: Reader, paths: Sequence[Path], documents: Mapping[str, Json]
) -> tuple[Seen, ...]:
    """What is at each place; what rules make is asked of OPA."""
    values = {path: value_at(path, documents) for path in paths}
    made = [path for path in paths if reader.made_by_rules(path)]
    if made:
        parts = [f"[it | it := {path[0]}{''.join(f'[{json.dumps(s)}]' for s in path[1:])}]" for path in made]
        for path, found in zip(made, _asked(workbench, parts, documents["input"]), strict=True):
            values[path] = found[0] if found else MISSING
            if found is None:
                del values[path]
    return tuple(
        Seen(place=shown_path(path), missing=value is MISSING, value=None if value is MISSING else value)
        for path, value in values.items()
    )


def _asked(workbench: Workbench, parts: Sequence[str], document: Json) -> Iterator[list[Json] | None]:
    """What is at places that rules make; asked together, and one by one where one is an error, which tells nothing."""
    reply = workbench.ask(f"seen := [{', '.join(parts)}]", document)
    if reply.rows:
        yield from reply.rows[0]["bindings"]["seen"]
        return
    for part in parts:
        reply = workbench.ask(f"seen := {part}", document)
        yield reply.rows[0]["bindings"]["seen"] if reply.rows else None


def _verdicts(trace: Sequence[Mapping[str, Any]], files: Sequence[Parsed]) -> Iterator[tuple[str, str, Any, str]]:
    """What was said, by the rule at which place, with which variables, and where an `allow` ended; each once."""
    entered: dict[int, str] = {}
    stopped: dict[int, str] = {}
    by_default: list[str] = []
    done: set[str] = set()
    speaking = set(_speaking(files))
    for event in trace:
        name = _HEAD.match(str(event.get("node", "")))
        head, query, place = name["name"] if name else "", int(event["query_id"]), str(event.get("location", ""))
        if event["op"] == "Enter" and head == "allow":
            entered[query] = place
        elif event["op"] == "Fail" and query in entered:
            stopped[query] = place
        elif event["op"] == "Exit" and head == "allow":
            entered.pop(query, None)
        elif event["op"] == "Exit" and head == "default" and "default allow" in str(event["node"]):
            by_default.append(place)
        elif event["op"] == "Exit" and f"{place} {event.get('locals')}" not in done:
            done.add(f"{place} {event.get('locals')}")
            if head in _SAID or place in speaking:
                yield _SAID.get(head, "denied"), place, event.get("locals") or {}, ""
    for query, place in entered.items():
        yield _HELD_BACK, place, {}, stopped.get(query, "")
    for place in dict.fromkeys(by_default):  # OPA's index leaves out a rule whose constants do not fit
        yield from ((_HELD_BACK, other, {}, "") for other in _allows(files, place) if other not in entered.values())


def _speaking(files: Sequence[Parsed]) -> Iterator[str]:
    """The places of rules whose METADATA says what a person is told, whatever the rule is called."""
    for file in files:
        for rule in file.rules:
            if rule.annotation is not None and {"id", "severity"} <= rule.annotation.custom.keys():
                yield f"{file.module.path}:{rule.row}"


def _allows(files: Sequence[Parsed], place: str) -> Iterator[str]:
    """The places of all `allow` rules of the package whose default is at `place`."""
    owner, _ = _rule_at(files, place)
    for file in files:
        for rule in file.rules:
            if owner and file.package == owner.package and rule.name == "allow" and not rule.node.get("default"):
                yield f"{file.module.path}:{rule.row}"


def _rule_at(files: Sequence[Parsed], location: str) -> tuple[Parsed | None, Rule | None]:
    path, _, row = location.rpartition(":")
    for file in files:
        if file.module.path == path:
            return file, next((rule for rule in file.rules if str(rule.row) == row), None)
    return None, None
