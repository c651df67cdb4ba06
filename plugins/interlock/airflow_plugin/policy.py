"""Airflow cluster policy: a DAG whose protected steps are not gated is refused before it can run, or waits for ever.

Loaded by the entry point ``airflow.policy`` in the scheduler, the API server, the DAG processor and every worker, on
Airflow 3.1 and later; so importing this module imports next to nothing of Interlock. Nothing here opens a connection or
starts an engine.

`dag_policy` is level L1 of the design: it runs in the process of the DAG's author, so it stops forgetting, not intent.
`task_instance_mutation_hook` is level L2: it runs in the scheduler and the API server, out of that author's reach. The
guard inside each protected step (L3) relies on neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow import settings
from airflow.policies import hookimpl

from interlock.airflow_plugin.preload import preload_before_forks

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk import DAG

# Airflow (3.1 to 3.3) notices a mutation hook only in an airflow_local_settings.py. One of an entry point counts as
# none: the pool that it gives to new task instances would be dropped where they are inserted in bulk.
settings.task_instance_mutation_hook.is_noop = False  # type: ignore[attr-defined]  # set on the function by Airflow
preload_before_forks()


@hookimpl
def dag_policy(dag: DAG) -> None:
    """Refuse `dag` if the chain rule does not hold for every protected step.

    Raises:
        AirflowClusterPolicyViolation: Lists everything that is missing, with fixes; or says that the settings or the
            policy bundle cannot be read, without which no protected step is let through.
    """
    from airflow.exceptions import AirflowClusterPolicyViolation

    from interlock.airflow_plugin.dag_check import check_dag

    refusal = check_dag(dag)
    if refusal:
        raise AirflowClusterPolicyViolation(refusal)


@hookimpl
def task_instance_mutation_hook(task_instance: TaskInstance) -> None:
    """Quarantine `task_instance` if its task is protected and not gated; never raises.

    The argument `dag_run` of Airflow 3.3 is left out: 3.1 and 3.2 refuse a policy that asks for it.
    """
    try:
        from interlock.airflow_plugin.quarantine import hold_if_ungated
    except Exception:  # noqa: BLE001 (a broken installation; what is raised here ends Airflow's scheduler)
        task_instance.pool = "interlock_quarantine"
        return
    hold_if_ungated(task_instance)
