"""What people change by hand through Airflow's public API (``/api/v2``; the UI calls the same), read off a request.

State changes of single tasks come from the listener (`interlock.airflow_plugin.listener`), which Airflow calls
whichever form the request had. What it calls nobody for - clearing, pausing, whole runs, deletion - is read here from
method, path, body and answer of a request that succeeded. Where a body cannot be read, the change counts as made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.evidence.enforcement import EventKind

EVERYTHING = "~"
"""Airflow's own wildcard in a path: the request does not say which DAG or run."""

_RUN_STATES = {
    "success": EventKind.MARKED_SUCCESS,
    "failed": EventKind.MARKED_FAILED,
    "queued": EventKind.CLEARED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that somebody changed.

    Args:
        kind: What.
        dag_id: `EVERYTHING` when the request does not say.
        run_id: Empty when it is about the whole DAG.
        task_id: Empty when it is about a whole run or DAG.
        map_index: -1 when not mapped.
        attempt: The try, 0 when unknown.
        version_id: Of the DAG that the task instance belongs to; empty when unknown.
        note: More for the reason.
    """

    kind: EventKind
    dag_id: str
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    attempt: int = 0
    version_id: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that succeeded, with its answer.

    Args:
        method: Upper case.
        path: Below ``/api/v2/``, decoded.
        body: What was sent; None when it was too large to keep.
        answer: What came back; None when it was too large to keep.
    """

    method: str
    path: str
    body: bytes | None
    answer: bytes | None


def is_watched(method: str, path: str) -> bool:
    """Whether a request may be one by which somebody changes something by hand."""
    return any(method == verb and pattern.fullmatch(path) for verb, pattern, _ in _WATCHED)


def changes_of(exchange: Exchange) -> Iterator[Change]:
    """The changes that no listener is called for."""
    for verb, pattern, read in _WATCHED:
        found = pattern.fullmatch(exchange.path)
        if exchange.method == verb and found is not None:
            yield from read(exchange, found.groupdict())


Read = Callable[[Exchange, Mapping[str, str]], Iterator[Change]]


def _paused(exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    """One DAG, or all that a pattern selects; of these the answer lists one page only."""
    answer = _mapping(_parsed(exchange.answer))
    listed = list(_mappings(answer.get("dags", [answer] if answer else [])))
    for dag in listed:
        yield Change(kind=_pausing(dag), dag_id=str(dag.get("dag_id", EVERYTHING)))
    total = answer.get("total_entries", 1 if answer or "dag" in named else 2)
    if not isinstance(total, int) or total > len(listed):
        note = "" if "dag" in named else "more DAGs than the answer lists"
        yield Change(kind=_pausing(_parsed(exchange.body)), dag_id=named.get("dag", EVERYTHING), note=note)


def _pausing(document: object) -> EventKind:
    return EventKind.PAUSED if _flag(document, "is_paused", default=True) else EventKind.UNPAUSED


def _tasks_cleared(exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    if _flag(_parsed(exchange.body), "dry_run", default=exchange.body is not None):
        return
    answer = _parsed(exchange.answer)
    if not isinstance(answer, Mapping):
        yield Change(kind=EventKind.CLEARED, dag_id=named["dag"], note="the answer was too long to read")
        return
    for item in _mappings(answer.get("task_instances")):
        yield _of_instance(EventKind.CLEARED, item, named["dag"])


def _run_cleared(exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    if not _flag(_parsed(exchange.body), "dry_run", default=exchange.body is not None):
        yield Change(kind=EventKind.CLEARED, dag_id=named["dag"], run_id=named["run"])


def _runs_cleared(exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    if _flag(_parsed(exchange.body), "dry_run", default=exchange.body is not None):
        return
    answer = _parsed(exchange.answer)
    if not isinstance(answer, Mapping):
        yield Change(kind=EventKind.CLEARED, dag_id=named["dag"], note="the answer was too long to read")
        return
    for run in _mappings(answer.get("dag_runs")):
        dag_id, run_id = str(run.get("dag_id", named["dag"])), str(run.get("dag_run_id", ""))
        yield Change(kind=EventKind.CLEARED, dag_id=dag_id, run_id=run_id)


def _run_marked(exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    said = _parsed(exchange.body)
    if isinstance(said, Mapping) and said.get("state") is None:
        return  # only a note
    answer = _parsed(exchange.answer)
    state = str(said.get("state") if isinstance(said, Mapping) else _mapping(answer).get("state"))
    kind = _RUN_STATES.get(state, EventKind.MARKED_SUCCESS)
    yield Change(kind=kind, dag_id=named["dag"], run_id=named["run"], note="the whole run")


def _runs_in_bulk(exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    said = _parsed(exchange.body)
    if not isinstance(said, Mapping):
        yield Change(kind=EventKind.MARKED_SUCCESS, dag_id=named["dag"], note="a bulk request too long to read")
        return
    for action, entity in _entities(said):
        run = entity if isinstance(entity, Mapping) else {"dag_run_id": entity}
        dag_id, run_id = str(run.get("dag_id") or named["dag"]), str(run.get("dag_run_id", ""))
        if action == "delete":
            yield Change(kind=EventKind.DELETED, dag_id=dag_id, run_id=run_id)
        elif run.get("state") is not None:
            kind = _RUN_STATES.get(str(run["state"]), EventKind.MARKED_SUCCESS)
            yield Change(kind=kind, dag_id=dag_id, run_id=run_id, note="the whole run, in bulk")


def _tasks_in_bulk(exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    for action, entity in _entities(_mapping(_parsed(exchange.body))):
        if action == "delete":
            task = entity if isinstance(entity, Mapping) else {"task_id": entity}
            item = {"dag_run_id": named["run"], **{key: value for key, value in task.items() if value is not None}}
            yield _of_instance(EventKind.DELETED, item, named["dag"])


def _deleted(_exchange: Exchange, named: Mapping[str, str]) -> Iterator[Change]:
    yield Change(kind=EventKind.DELETED, dag_id=named["dag"], run_id=named["run"], task_id=named.get("task") or "")


def _by_listener(_exchange: Exchange, _named: Mapping[str, str]) -> Iterator[Change]:
    yield from ()


def _watched() -> Iterator[tuple[str, re.Pattern[str], Read]]:
    dag, run, task = r"dags/(?P<dag>[^/]+)", r"/dagRuns/(?P<run>[^/]+)", r"/taskInstances/(?P<task>[^/]+)"
    for verb, path, read in (
        ("PATCH", "dags", _paused),
        ("PATCH", dag, _paused),
        ("POST", f"{dag}/clearTaskInstances", _tasks_cleared),
        ("POST", f"{dag}{run}/clear", _run_cleared),
        ("POST", f"{dag}/clearDagRuns", _runs_cleared),
        ("PATCH", f"{dag}/dagRuns", _runs_in_bulk),
        ("PATCH", f"{dag}{run}", _run_marked),
        ("DELETE", f"{dag}{run}", _deleted),
        ("PATCH", f"{dag}{run}/taskInstances", _tasks_in_bulk),
        ("PATCH", f"{dag}{run}{task}(/-?[0-9]+)?", _by_listener),
        ("PATCH", f"{dag}{run}/taskGroupInstances/[^/]+", _by_listener),
        ("DELETE", f"{dag}{run}{task}", _deleted),
    ):
        yield verb, re.compile(f"{path}/?"), read


_WATCHED: tuple[tuple[str, re.Pattern[str], Read], ...] = tuple(_watched())


def _of_instance(kind: EventKind, item: Mapping[str, Any], dag_id: str) -> Change:
    version = _mapping(item.get("dag_version"))
    index, attempt = item.get("map_index"), item.get("try_number")
    return Change(
        kind=kind,
        dag_id=str(item.get("dag_id") or dag_id),
        run_id=str(item.get("dag_run_id") or ""),
        task_id=str(item.get("task_id") or ""),
        map_index=index if isinstance(index, int) else -1,
        attempt=attempt if isinstance(attempt, int) else 0,
        version_id=str(version.get("id") or ""),
    )


def _entities(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for action in _mappings(said.get("actions")):
        entities = action.get("entities")
        for entity in entities if isinstance(entities, list) else ():
            yield str(action.get("action")), entity


def _parsed(content: bytes | None) -> object:
    """The document, or None where there is none to read."""
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None


def _flag(document: object, name: str, *, default: bool = False) -> bool:
    value = _mapping(document).get(name, default)
    return value if isinstance(value, bool) else str(value).lower() in {"true", "1", "yes", "on", "y", "t"}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    yield from (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()
