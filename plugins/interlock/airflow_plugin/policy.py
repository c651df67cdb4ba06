"""Airflow cluster policy: a DAG whose protected steps are not gated is refused before it can run.

Loaded by the entry point ``airflow.policy`` in the scheduler, the API server, the DAG processor and every worker, on
Airflow 3.1 and later; so importing this module imports nothing else of Interlock. A DAG without a protected step
costs one look at the classes of its tasks. Nothing here opens a connection or starts an engine.

This is level L1 of the design: it runs in the process of the DAG's author, so it stops forgetting, not intent. The
guard inside each protected step (L3) does not rely on it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from airflow.policies import hookimpl

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from interlock.gate import Settings
    from interlock.policy import Bundle


@hookimpl
def dag_policy(dag: DAG) -> None:
    """Refuse `dag` if the chain rule does not hold for every protected step.

    Raises:
        AirflowClusterPolicyViolation: Lists everything that is missing, with fixes; or says that the settings or the
            policy bundle cannot be read, without which no protected step is let through.
    """
    if not any(getattr(getattr(t, "operator_class", type(t)), "interlock_protects", "") for t in dag.tasks):
        return
    from airflow.exceptions import AirflowClusterPolicyViolation

    from interlock.gate.errors import InterlockError

    try:
        refusal = _judge(dag)
    except InterlockError as error:
        refusal = f"Interlock refuses DAG {dag.dag_id!r}: what its protected steps require cannot be read: {error}"
    if refusal:
        raise AirflowClusterPolicyViolation(refusal)


def _judge(dag: DAG) -> str:
    from interlock.airflow_plugin.dag_graph import graph_of
    from interlock.airflow_plugin.wording import refusal
    from interlock.gate import Settings
    from interlock.pipeline import check
    from interlock.policy import required_gates

    settings = Settings.load()
    bundle = _bundle(settings)
    violations = check(graph_of(dag, lambda step: required_gates(bundle, settings.profile, step)))
    return refusal(dag, violations, profile=settings.profile) if violations else ""


@cache
def _bundle(settings: Settings) -> Bundle:
    """One read for a process; Airflow parses each DAG file in a process of its own, so it is never old for long.

    No server is asked: of a bundle from a URL this reads the copy that this machine keeps.
    """
    from interlock.policy import load_policy

    return load_policy(settings, online=False)
