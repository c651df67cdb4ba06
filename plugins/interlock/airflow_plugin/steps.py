"""One Airflow task, live or serialized, as a step of the neutral graph: what both adapters share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from interlock.airflow_plugin.own_steps import DECLARED, OwnStep
from interlock.airflow_plugin.task_values import name_of, texts_of, uris_of, value_of
from interlock.pipeline import Match, Step, named

Required = Callable[[str], tuple[str, ...]]
"""The gate kinds that policy requires for ``training`` or ``deployment``; raises for any other word."""


def step_of(
    task: Any, *, own: OwnStep | None, match: Match, genuine: bool, overrides: tuple[str, ...], required: Required
) -> Step:
    """Translate one task.

    Args:
        task: Live or serialized, plain or mapped; untrusted.
        own: What it is if it is one of Interlock's steps or made from one.
        match: What policy's data says of it.
        genuine: Whether it is Interlock's own class itself.
        overrides: What was put over or around a gate.
        required: See `Required`.
    """
    declared = _declared(task)
    kind, because = _protection(task, own, match, declared)
    rule = str(getattr(task.trigger_rule, "value", task.trigger_rule))
    inputs = tuple(filter(None, _inputs(task, own, declared))) if kind or own is not None else ()
    return Step(
        id=str(task.task_id),
        gate=own.gate if own is not None else "",
        genuine=genuine,
        overrides=overrides,
        subject=name_of(task, own.subject) if own is not None and own.gate else "",
        protects=kind,
        because=because,
        requires=tuple(dict.fromkeys((*required(kind), *_own_requirements(task, declared)))) if kind else (),
        inputs=inputs,
        outputs=tuple(filter(None, _outputs(task, own))),
        starts=texts_of(task, "trigger_dag_id"),
        rule=rule,
        needs_all_upstreams=rule == "all_success",
        setup=bool(task.is_setup),
        teardown=bool(task.is_teardown),
        image=next(iter(texts_of(task, "image")), ""),
    )


def subject_text(task: Any) -> str:
    """What a protected step uses, as its file spells it, for a gate to look at; empty unless it is one plain text."""
    if getattr(task, "partial_kwargs", None) is not None:
        return ""  # each of its instances may use something else
    named_by = (value_of(task, argument) for argument in ("data", "model", "subject"))
    declared = _declared(task).get("subject")
    said = [value for value in (declared, *named_by) if isinstance(value, str) and value]
    uris = uris_of(task, "inlets")
    return said[0] if said else (uris[0] if len(uris) == 1 else "")


def declares(task: Any) -> bool:
    """Whether `protect()` declared the task a protected step."""
    return bool(_declared(task).get("protects"))


def _declared(task: Any) -> Mapping[str, Any]:
    """What `protect()` wrote on the task; a template field, so that it survives serialization."""
    value = value_of(task, DECLARED)
    return value if isinstance(value, Mapping) else {}


def _protection(task: Any, own: OwnStep | None, match: Match, declared: Mapping[str, Any]) -> tuple[str, str]:
    """What the step counts as, and why; what it says of itself adds to policy and takes nothing away."""
    if own is not None and own.protects:
        return str(value_of(task, "protects", own.protects) or own.protects), ""
    if own is not None and own.gate:
        return "", ""  # a gate may well use a GPU: it makes the evidence that the others need
    if declared.get("protects"):
        return str(declared["protects"]), "declared by protect()"
    return match.protects, match.because


def _own_requirements(task: Any, declared: Mapping[str, Any]) -> tuple[str, ...]:
    more = declared.get("requires", ())
    listed = tuple(map(str, more)) if isinstance(more, list | tuple) else ()
    return (*texts_of(task, "requires"), *listed)


def _inputs(task: Any, own: OwnStep | None, declared: Mapping[str, Any]) -> Iterator[str]:
    if own is not None:
        yield from (name_of(task, argument) for argument in own.inputs)
        return
    if isinstance(declared.get("subject"), str):
        yield named(declared["subject"])
        return
    uris = [named(uri) for uri in uris_of(task, "inlets")]
    # A model that a step starts from is told by its own name in a registry, not by the bytes that a gate opened.
    yield from [uri for uri in uris if not uri.startswith("model://")] or uris


def _outputs(task: Any, own: OwnStep | None) -> Iterator[str]:
    if own is not None:
        yield from (name_of(task, argument) for argument in own.outputs)
    else:
        yield from map(named, uris_of(task, "outlets"))
