"""A live Airflow DAG as the neutral graph of `interlock.pipeline`.

A protected step is recognised generously: by the class attribute ``interlock_protects``, which subclasses inherit. A
gate is recognised strictly: the class must be Interlock's own, because a subclass can do anything under the same name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from interlock.pipeline import Graph, Step

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow.sdk.definitions._internal.abstractoperator import AbstractOperator

MAKES_EVIDENCE = {"interlock.airflow.steps.SecureTrainOperator": "training"}
"""Protected steps that are also the gate of a later step: training writes the receipt that deployment asks for."""

CALLBACKS = ("on_execute", "on_failure", "on_success", "on_retry", "on_skipped")
HOOKS = {"_pre_execute_hook": "pre_execute", "_post_execute_hook": "post_execute"}


def protects(task: AbstractOperator) -> str:
    """``training``, ``deployment``, or empty for a step that is not protected."""
    default = getattr(_class_of(task), "interlock_protects", "")
    return str(_argument(task, "protects", default)) if default else ""


def graph_of(dag: DAG, required: Callable[[str], tuple[str, ...]]) -> Graph:
    """Translate `dag`.

    Args:
        dag: A DAG as its author's file made it; untrusted.
        required: The gate kinds that policy requires for ``training`` or ``deployment``.
    """
    tasks = dag.tasks
    return Graph(
        steps=tuple(_step(task, required) for task in tasks),
        edges=tuple((task.task_id, lower) for task in tasks for lower in sorted(task.downstream_task_ids)),
    )


def _step(task: AbstractOperator, required: Callable[[str], tuple[str, ...]]) -> Step:
    kind = protects(task)
    cls = _class_of(task)
    gate = _gate_kind(cls)
    rule = str(getattr(task.trigger_rule, "value", task.trigger_rule))
    return Step(
        id=task.task_id,
        gate=gate,
        genuine=_is_ours(cls),
        overrides=tuple(_overrides(task)) if gate else (),
        protects=kind,
        requires=(*required(kind), *_own_requirements(task)) if kind else (),
        rule=rule,
        needs_all_upstreams=rule == "all_success",
        setup=bool(task.is_setup),
        teardown=bool(task.is_teardown),
    )


def _class_of(task: AbstractOperator) -> type:
    """The operator's class; a mapped operator only carries it."""
    return getattr(task, "operator_class", None) or type(task)


def _argument(task: AbstractOperator, name: str, default: object) -> object:
    """A constructor argument of a plain or a mapped operator, as far as it is known at parse time."""
    mapped: dict[str, Any] | None = getattr(task, "partial_kwargs", None)
    return getattr(task, name, default) if mapped is None else mapped.get(name, default)


def _own_requirements(task: AbstractOperator) -> tuple[str, ...]:
    named = _argument(task, "requires", ())
    return (named,) if isinstance(named, str) else tuple(str(kind) for kind in named or ())  # type: ignore[attr-defined]  # the author's value; what cannot be iterated is an import error, which is right


def _gate_kind(cls: type) -> str:
    kind = str(getattr(cls, "interlock_gate", ""))
    made = (MAKES_EVIDENCE.get(f"{base.__module__}.{base.__qualname__}", "") for base in cls.__mro__)
    return kind or next(filter(None, made), "")


def _is_ours(cls: type) -> bool:
    """True when `cls` is the class that Interlock's own module holds under its name, not one that only says so."""
    if not cls.__module__.startswith("interlock.airflow."):
        return False
    return getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls


def _overrides(task: AbstractOperator) -> Iterator[str]:
    mapped: dict[str, Any] | None = getattr(task, "partial_kwargs", None)
    if mapped is not None:
        named = (*HOOKS.values(), *(f"{name}_callback" for name in CALLBACKS))
        yield from (name for name in named if mapped.get(name))
        return
    own = vars(task)
    yield from (name for attribute, name in HOOKS.items() if own.get(attribute))
    yield from (f"{name}_callback" for name in CALLBACKS if own.get(f"{name}_callback"))
    # A function of the class that the instance shadows: `gate.execute = lambda context: None`.
    yield from sorted(name for name in own if callable(getattr(type(task), name, None)))
    if "interlock_gate" in own:
        yield "interlock_gate"
