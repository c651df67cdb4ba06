"""The guard (L3) on a protected step of somebody else's operator: put there by the cluster policy, run in the task.

It is the task's first hook: it opens the guard on what the task uses before any of the operator's own code, and the
guard stays open, its bytes held, until the process ends. What a local operator then reads is the held copy: wherever
the subject stands in the task's rendered fields the path of the copy is put, and ``INTERLOCK_DATA`` names it. An
operator that works elsewhere (a pod, a cloud service) reads the data itself; there the guard has only checked, and the
admission in the cluster (L5) is what binds it.
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.own_steps import DECLARED
from interlock.pipeline import named

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.evidence import Opened
    from interlock.pipeline import Step

DATA = "INTERLOCK_DATA"
_HOOK = "_pre_execute_hook"
"""Where Airflow keeps the argument `pre_execute` of a task."""
_LOCAL = frozenset(
    {
        "airflow.providers.standard.operators.python.PythonOperator",
        "airflow.providers.standard.operators.bash.BashOperator",
    }
)
"""Operators, with what is made from them, that run in the task's own process or as its child."""


def put_guard(task: Any) -> None:
    """Make the guard the first thing that `task` runs; a second call changes nothing."""
    mapped = getattr(task, "partial_kwargs", None)
    theirs = vars(task).get(_HOOK) if mapped is None else mapped.get("pre_execute")
    if _is_ours(theirs):
        return
    hook = open_guard_first if theirs is None else functools.partial(open_guard_first, then=theirs)
    if mapped is None:
        setattr(task, _HOOK, hook)
    else:
        mapped["pre_execute"] = hook


def open_guard_first(context: Context, then: Callable[..., object] | None = None) -> None:
    """Open the guard on what the task uses, then run the task's own hook.

    Args:
        context: The running task's.
        then: The hook that the author put on the task.

    Raises:
        AirflowFailException: Refused, or the task does not say what it uses; no retry would change it.
        AirflowException: Infrastructure trouble; Airflow retries as the task says.
    """
    task: Any = context["task"]  # pyright: ignore[reportTypedDictNotRequiredAccess]  # there in every running task
    step = _step_of(task)
    with ExitStack() as held:
        opened = _open(held, task, step, context)
        atexit.register(held.pop_all().close)  # the step reads the held bytes until its process ends
    for each, uri in opened:
        _hand_over(task, each, uri)
    if then is not None:
        then(context)


def _step_of(task: Any) -> Step:
    """What the task counts as, judged here again: the file may say other things in this process than it did before."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    from interlock.airflow_plugin.dag_graph import live_step
    from interlock.airflow_plugin.rules import load_rules
    from interlock.gate.errors import InterlockError

    try:
        rules = load_rules()
        step = live_step(task, tuple(sorted(map(str, task.dag.tags or ()))), rules.protection, rules.required)
    except InterlockError as error:
        raise AirflowFailException(f"the guard cannot be set up: {error}") from error
    if not step.inputs:
        raise AirflowFailException(
            f"the guard stays shut: step {task.task_id!r} does not say what it uses. Next step: declare it with"
            ' protect(task, subject="..."), or inlets=[Asset("...")]'
        )
    return step


def _open(held: ExitStack, task: Any, step: Step, context: Context) -> list[tuple[Opened, str]]:
    from interlock.airflow.base import open_runner, run_identity
    from interlock.runner import GuardRequest

    runner = held.enter_context(open_runner(None))
    opened = []
    for uri in step.inputs:
        request = GuardRequest(
            kind=step.protects or "training", subject=uri, requires=step.requires, run=run_identity(context)
        )
        opened.append((held.enter_context(runner.open_guard(request)), uri))
        task.log.info("guard open on %s, sha256:%s", uri, opened[-1][0].subject.subject.digest)
    return opened


def _hand_over(task: Any, opened: Opened, uri: str) -> None:
    """Give a local operator the held copy in place of what it would have opened."""
    from interlock.airflow_plugin.dag_graph import class_of, lineage

    path = str(opened.subject.path)
    os.environ[DATA] = path
    if _LOCAL.isdisjoint(lineage(class_of(task))):
        task.log.warning("%s reads %s itself: the guard has checked it and cannot hold it there", task.task_type, uri)
        return
    for name in task.template_fields:
        if name != DECLARED:
            setattr(task, name, _replaced(getattr(task, name, None), uri, path))
    if isinstance(getattr(task, "env", None), dict):
        task.env = {**task.env, DATA: path}


def _replaced(value: Any, uri: str, path: str) -> Any:
    if isinstance(value, str):
        return path if named(value) == uri else value.replace(uri, path)
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, uri, path) for item in value)
    if isinstance(value, dict):
        return {key: _replaced(item, uri, path) for key, item in value.items()}
    return value


def _is_ours(hook: object) -> bool:
    return hook is open_guard_first or getattr(hook, "func", None) is open_guard_first
