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

    from interlock.gate.errors import InterlockError

    try:
        refusal = _judge(dag)
    except InterlockError as error:
        refusal = _unreadable(dag, error)
    if refusal:
        raise AirflowClusterPolicyViolation(refusal)


def _judge(dag: DAG) -> str:
    from interlock.airflow_plugin.dag_graph import graph_of
    from interlock.airflow_plugin.rules import load_rules
    from interlock.airflow_plugin.wording import refusal
    from interlock.pipeline import check

    rules = load_rules()
    violations = check(graph_of(dag, rules.protection, rules.required))
    return refusal(dag, violations, profile=rules.profile) if violations else ""


def _unreadable(dag: DAG, error: Exception) -> str:
    """Without policy only a DAG of which nothing is protected by the rules that Interlock ships is let through."""
    from interlock.airflow_plugin.dag_graph import graph_of
    from interlock.airflow_plugin.rules import shipped_protection

    graph = graph_of(dag, shipped_protection(), lambda _step: ())
    if not any(step.protects for step in graph.steps):
        return ""
    return f"Interlock refuses DAG {dag.dag_id!r}: what its protected steps require cannot be read: {error}"
