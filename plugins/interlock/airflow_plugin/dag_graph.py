"""A live Airflow DAG as the neutral graph of `interlock.pipeline`.

A protected step is recognised generously: by what policy's data says, by what Interlock's own classes and their
subclasses are, and by `interlock.airflow.protect`. A gate is recognised strictly: the class must be Interlock's own,
because a subclass can do anything under the same name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.own_steps import CALLBACKS, HOOKS, OWN_STEPS, OwnStep
from interlock.airflow_plugin.steps import Required, declares, step_of
from interlock.airflow_plugin.task_traits import traits_of
from interlock.pipeline import Graph, Protection, Step

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow.sdk.definitions._internal.abstractoperator import AbstractOperator

_IGNORED_BASES = frozenset({"builtins", "abc", "typing"})


def graph_of(dag: DAG, protection: Protection, required: Required) -> Graph:
    """Translate `dag`.

    Args:
        dag: A DAG as its author's file made it; untrusted.
        protection: Which steps policy protects.
        required: The gate kinds that policy requires for ``training`` or ``deployment``.
    """
    tasks = dag.tasks
    tags = tuple(sorted(map(str, dag.tags or ())))
    return Graph(
        steps=tuple(live_step(task, tags, protection, required) for task in tasks),
        edges=tuple((task.task_id, lower) for task in tasks for lower in sorted(task.downstream_task_ids)),
    )


def has_protected(dag: DAG, protection: Protection) -> bool:
    """Whether a DAG has a protected step at all: most have none, and this is all that they cost."""
    tags = tuple(sorted(map(str, dag.tags or ())))
    return any(_is_protected(task, tags, protection) for task in dag.tasks)


def _is_protected(task: AbstractOperator, tags: tuple[str, ...], protection: Protection) -> bool:
    cls = class_of(task)
    own = own_of(cls)
    if own is not None:
        return bool(own.protects)
    if declares(task):
        return True
    return bool(protection.judge(traits_of(task, operators=lineage(cls), tags=tags)).protects)


def live_step(task: AbstractOperator, tags: tuple[str, ...], protection: Protection, required: Required) -> Step:
    """Translate one task of a DAG with these tags; see `graph_of`."""
    cls = class_of(task)
    own = own_of(cls)
    return step_of(
        task,
        own=own,
        match=protection.judge(traits_of(task, operators=lineage(cls), tags=tags)),
        genuine=_is_ours(cls),
        overrides=tuple(_overrides(task)) if own is not None and own.gate else (),
        required=required,
    )


def class_of(task: AbstractOperator) -> type:
    """The operator's class; a mapped operator only carries it."""
    return getattr(task, "operator_class", None) or type(task)


@lru_cache(maxsize=1024)
def lineage(cls: type) -> tuple[str, ...]:
    """``module.Class`` of a class and its bases."""
    return tuple(
        f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__ if base.__module__ not in _IGNORED_BASES
    )


@lru_cache(maxsize=1024)
def own_of(cls: type) -> OwnStep | None:
    """What a class is if it is one of Interlock's steps or made from one."""
    return next((OWN_STEPS[name] for name in lineage(cls) if name in OWN_STEPS), None)


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
