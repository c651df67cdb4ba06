"""Quarantine (level L2): an ungated protected task goes to a pool without slots, where it waits, visibly, for good.

`task_instance_mutation_hook` runs in the scheduler and in the API server, where no author's code is, on the serialized
DAG. So a policy that was unregistered in the DAG's file, trigger rules, hooks and callbacks on gates are all seen here.
Airflow 3.3.2 calls it when

- a run gets its task instances (`DagRun.verify_integrity`), mapped ones as they are expanded (`TaskMap`, and
  `DagRun._revise_map_indexes_if_mapped`): twice each, first out of `TaskInstance.__init__`, which knows neither the
  run nor the DAG version yet;
- a run goes on with a newer version of its DAG: on every task instance it has, read from the database, without a task;
- a task instance is cleared (`clear_task_instances`), and wherever else it is made anew from its task
  (`TaskInstance.refresh_from_task`), after that has put the pool back to what the author wrote.

It is not called for a retry, for a sensor that comes back or for a deferred task that resumes: those wait in the pool
that the task instance has. Airflow starts none whose pool has no free slot, or is not there at all.

What passes this level: a task whose operator has ``start_from_trigger`` is deferred by the scheduler without asking its
pool. Its trigger runs, in the triggerer, and the operator itself then does not. And what already waits when Interlock
is installed, or when policy changes, is judged by `interlock airflow recheck`, not by itself.

The hook must not raise, for that ends Airflow's scheduler; it must not wait, or ask a database. Whatever goes wrong,
the task instance is quarantined.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.judgement import Judge

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

POOL = "interlock_quarantine"
"""Has 0 slots; `interlock airflow setup` makes it."""

_LOG = logging.getLogger("interlock.enforcement")
_DONE = frozenset({"success", "failed", "skipped", "upstream_failed"})
_LIVE = (("airflow.sdk.bases.operator", "BaseOperator"), ("airflow.sdk.definitions.mappedoperator", "MappedOperator"))


@cache
def judge() -> Judge:
    """The judge of this process."""
    return Judge()


def hold_if_ungated(instance: TaskInstance) -> None:
    """Send a task instance to the quarantine if its task is protected and not gated, or if nobody can tell.

    Does nothing where its task is live, which is so only in a process of the DAG's author. Takes it out of the
    quarantine when it may run now, for example with a newer version of its DAG.

    Args:
        instance: As Airflow's scheduler or API server has it; its task is untrusted.
    """
    try:
        reason = _judged(instance)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 (see the module: what is raised here ends Airflow's scheduler)
        reason = f"this task cannot be judged ({type(error).__name__}), and so it does not run"
    try:
        _apply(instance, reason)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 (as above)
        _LOG.critical("a task instance could not be sent to pool %s", POOL, exc_info=True)


def _judged(instance: TaskInstance) -> str | None:
    """Why it must not run, empty when it may, None when nothing is to be said."""
    task: Any = vars(instance).get("task")
    if task is None:
        if str(getattr(instance.state, "value", instance.state)) in _DONE:
            return None  # a new version of the DAG says nothing of what is over; to run it again, Airflow asks again
        task = _task_by_run(instance)
    if _is_live(task):
        return None
    return judge().judge(task.dag).hold(task)


def _task_by_run(instance: TaskInstance) -> Any:
    """The task of an instance that was read from the database, out of the DAG that its run was given.

    Only of a run that is here already: reading it could use the database.
    """
    run = vars(instance)["dag_run"]
    return run.dag.get_task(instance.task_id)


def _is_live(task: object) -> bool:
    classes = (getattr(sys.modules.get(module), name, None) for module, name in _LIVE)
    return isinstance(task, tuple(found for found in classes if isinstance(found, type)))


def _apply(instance: TaskInstance, reason: str | None) -> None:
    if reason:
        instance.pool = POOL
        instance.pool_slots = 1  # a negative number, which only a forged DAG holds, would make room for others
        _tell(instance, reason)
    elif reason is not None and instance.pool == POOL:
        task: Any = vars(instance).get("task") or _task_by_run(instance)
        instance.pool, instance.pool_slots = task.pool, task.pool_slots


def _tell(instance: TaskInstance, reason: str) -> None:
    from interlock.airflow_plugin.quarantine_events import told

    told().tell(dag_id=instance.dag_id, run_id=instance.run_id or "", task_id=instance.task_id, reason=reason)
