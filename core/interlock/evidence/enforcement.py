"""Enforcement events: what people and the levels of enforcement did to a pipeline, beside what gates and guards say.

Somebody marked a gate as success, a task was quarantined, a start was refused, a DAG file was not let in. An event is
no evidence and opens nothing; it is the trace that a reviewer reads. The ledger keeps it in a chain of its own
(`Ledger.record_event`, `Ledger.events`). It is not signed: it says what the process that recorded it saw, on the word
of that process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from interlock.gate.documents import moment_of, timestamp
from interlock.gate.errors import LedgerError, UsageError
from interlock.gate.values import Json, utc_now

MAX_NAME: Final = 1000
"""Characters of a pipeline, run, task or user at most; Airflow allows 250 for the first three."""
MAX_REASON: Final = 4000
LEVELS: Final = ("", "L0", "L1", "L2", "L3", "L4", "L5")
_CUT = "..."


class EventKind(Enum):
    """What happened."""

    MARKED_SUCCESS = "marked-success"
    MARKED_FAILED = "marked-failed"
    MARKED_SKIPPED = "marked-skipped"
    CLEARED = "cleared"
    PAUSED = "paused"
    UNPAUSED = "unpaused"
    DELETED = "deleted"
    QUARANTINED = "quarantined"
    START_REFUSED = "start-refused"
    BUNDLE_REFUSED = "bundle-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcementEvent:
    """One thing that somebody or something did.

    Args:
        kind: What.
        level: The level of enforcement that acted, ``L0`` to ``L5``; empty when a person acted.
        actor: The name under which the orchestrator knows who did it; untrusted text, empty when unknown.
        orchestrator: As in `RunIdentity`; empty when unknown.
        pipeline: DAG id or pipeline name; untrusted text, as all that follow.
        run_id: Empty when the event is about no single run.
        task_id: Empty when the event is about a whole run or pipeline.
        map_index: Index of a mapped task, -1 when not mapped.
        attempt: The try; 0 when there is none yet or it is unknown.
        reason: Why, or how, in one or two sentences; untrusted text.
        at: UTC.

    Raises:
        UsageError: A text is longer than its limit or no Unicode, or the level is unknown. `fitting` cuts and mends.
    """

    kind: EventKind
    level: str = ""
    actor: str = ""
    orchestrator: str = ""
    pipeline: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    attempt: int = 0
    reason: str = ""
    at: datetime = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise UsageError(f"unknown level of enforcement {self.level!r}", next_step=f"use {', '.join(LEVELS[1:])}")
        for name in ("actor", "orchestrator", "pipeline", "run_id", "task_id", "reason"):
            _check_text(name, getattr(self, name), MAX_REASON if name == "reason" else MAX_NAME)

    def document(self) -> dict[str, Json]:
        """The event as it stands in the ledger and in ``--format json``; `event_from` reads it back."""
        return {
            "kind": self.kind.value,
            "level": self.level,
            "actor": self.actor,
            "orchestrator": self.orchestrator,
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
            "attempt": self.attempt,
            "reason": self.reason,
            "at": timestamp(self.at),
        }


def event_from(document: Mapping[str, Any]) -> EnforcementEvent:
    """The reverse of `EnforcementEvent.document`.

    Args:
        document: Parsed JSON, untrusted.

    Raises:
        LedgerError: It has another shape.
    """
    try:
        said = {**document, "kind": EventKind(document["kind"]), "at": moment_of(document["at"])}
        event = EnforcementEvent(**said)
        _check_types(event)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise LedgerError(f"an enforcement event has another shape: {error}") from error
    return event


def fitting(text: object, limit: int = MAX_NAME) -> str:
    """Text from outside, cut to `limit` characters and without what is no Unicode, so that an event can hold it."""
    whole = str(text).encode(errors="replace").decode()
    return whole if len(whole) <= limit else whole[: limit - len(_CUT)] + _CUT


def _check_text(name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise UsageError(f"{name} of an enforcement event is longer than {limit} characters", next_step="use fitting()")
    if not text.isprintable():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{name} of an enforcement event is no Unicode", next_step="use fitting()") from error


def _check_types(event: EnforcementEvent) -> None:
    for name, kind in (("map_index", int), ("attempt", int)):
        if type(getattr(event, name)) is not kind:
            raise TypeError(f"{name} is a number")
