"""What happens to one DAG as it is loaded (L1): judged by the chain rule, then refused, mended, or let pass.

The mode is policy data's, by DAG. All that is wrong with a DAG is said at once. In the modes that enforce, a protected
step that is not Interlock's own gets the guard, so that evidence is asked for on the worker, too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interlock.airflow_plugin.dag_graph import class_of, graph_of, has_protected, own_of
from interlock.airflow_plugin.guarding import put_guard
from interlock.airflow_plugin.inserting import insert_gates
from interlock.airflow_plugin.rules import load_rules, shipped_protection
from interlock.airflow_plugin.wording import refusal
from interlock.gate.errors import InterlockError
from interlock.pipeline import Mode, check

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from interlock.airflow_plugin.rules import Rules
    from interlock.pipeline import Graph, Violation

UNGATED_TAG = "interlock:ungated"
log = logging.getLogger("interlock.enforcement")


def check_dag(dag: DAG) -> str:
    """Judge `dag` and change it as its mode says.

    Args:
        dag: As its author's file made it; untrusted. Gets gates (mode ``insert``), guards, and a tag where it is let
            pass in mode ``warn``.

    Returns:
        Why it is refused, all of it; empty when it is let pass.
    """
    try:
        return _check(dag, load_rules())
    except InterlockError as error:
        return _unreadable(dag, error)


def _check(dag: DAG, rules: Rules) -> str:
    if not has_protected(dag, rules.protection):
        return ""
    graph = graph_of(dag, rules.protection, rules.required)
    mode = rules.enforcement.mode(dag.dag_id, tuple(sorted(map(str, dag.tags or ()))))
    violations = check(graph)
    if violations and mode is Mode.INSERT and insert_gates(dag, violations, rules):
        graph = graph_of(dag, rules.protection, rules.required)
        violations = check(graph)
    if not mode.lets_pass:
        _put_guards(dag, graph)
    if not violations:
        return ""
    said = refusal(dag, violations, profile=rules.profile)
    return _let_pass(dag, said, mode) if mode.lets_pass else said + _not_inserted(mode, violations)


def _put_guards(dag: DAG, graph: Graph) -> None:
    for step in graph.steps:
        task = dag.get_task(step.id)
        if step.protects and own_of(class_of(task)) is None:  # Interlock's own bring their guard
            put_guard(task)


def _let_pass(dag: DAG, said: str, mode: Mode) -> str:
    if mode is Mode.WARN:
        dag.tags.add(UNGATED_TAG)
    log.warning("mode %s lets an ungated DAG pass. %s", mode.value, said)
    return ""


def _not_inserted(mode: Mode, violations: tuple[Violation, ...]) -> str:
    if mode is not Mode.INSERT:
        return ""
    kinds = ", ".join(dict.fromkeys(violation.missing for violation in violations))
    return (
        f"\nMode insert could not mend this ({kinds}): a gate is put in where the step says what it uses and a rule of"
        " data.interlock.insertion.airflow says how the gate is set."
    )


def _unreadable(dag: DAG, error: Exception) -> str:
    """Without policy only a DAG of which nothing is protected by the rules that Interlock ships is let through."""
    if not has_protected(dag, shipped_protection()):
        log.error("policy cannot be read, and DAG %s is let pass as ordinary: %s", dag.dag_id, error)
        return ""
    return f"Interlock refuses DAG {dag.dag_id!r}: what its protected steps require cannot be read: {error}"
