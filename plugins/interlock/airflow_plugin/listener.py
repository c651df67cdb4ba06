"""Airflow's listener for task states set by hand, in the API server only.

Airflow calls these hooks with the database's task instance when somebody marks it, whichever form the request had
(single, bulk, a task group). It is not in the plugin's `listeners`, which every process would load: a task's process
has nothing to say here, and DAGs with ``end_from_trigger`` are refused wherever any listener is. The middleware of
`interlock.airflow_plugin.request_watch` adds it, and says who asked. What a hook raises, Airflow swallows.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from interlock.airflow_plugin.manual import Change
from interlock.evidence.enforcement import EventKind

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

NOTED: ContextVar[list[Change] | None] = ContextVar("interlock_noted_changes", default=None)
"""Where the request that is being answered keeps what the hooks see; None outside of one."""


@hookimpl
def on_task_instance_success(task_instance: TaskInstance) -> None:
    """Somebody marked it success."""
    _note(EventKind.MARKED_SUCCESS, task_instance)


@hookimpl
def on_task_instance_failed(task_instance: TaskInstance) -> None:
    """Somebody marked it failed."""
    _note(EventKind.MARKED_FAILED, task_instance)


@hookimpl
def on_task_instance_skipped(task_instance: TaskInstance) -> None:
    """Somebody marked it skipped; Airflow 3.2 and later."""
    _note(EventKind.MARKED_SKIPPED, task_instance)


def _note(kind: EventKind, instance: Any) -> None:
    noted = NOTED.get()
    if noted is None:
        return  # no request: the scheduler's own doing
    version = getattr(instance, "dag_version_id", None)
    noted.append(
        Change(
            kind=kind,
            dag_id=instance.dag_id,
            run_id=instance.run_id,
            task_id=instance.task_id,
            map_index=-1 if instance.map_index is None else instance.map_index,
            attempt=instance.try_number or 0,
            version_id=str(version) if version else "",
        )
    )
