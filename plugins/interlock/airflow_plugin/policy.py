"""Airflow cluster policy: a DAG whose protected steps are not gated is refused before it can run.

Loaded by the entry point ``airflow.policy`` in the scheduler, the API server, the DAG processor and every worker, on
Airflow 3.1 and later; so importing this module imports nothing else of Interlock. Nothing here opens a connection or
starts an engine.

This is level L1 of the design: it runs in the process of the DAG's author, so it stops forgetting, not intent. The
guard inside each protected step (L3) does not rely on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.policies import hookimpl

if TYPE_CHECKING:
    from airflow.sdk import DAG


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
