"""A serialized Airflow DAG as the neutral graph of `interlock.pipeline`: what the scheduler and the API server see.

No author's code is in these processes, so what is said here cannot be patched away; and less can be seen. Classes are
names, written by the author's process: a file that gives a class of its own the name of a gate is not found out here,
but by the guard. Bases are not there, nor arguments that are no template fields (`container_resources`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.own_steps import CALLBACKS, HOOKS, OWN_STEPS, OwnStep
from interlock.airflow_plugin.steps import Required, step_of
from interlock.airflow_plugin.task_traits import traits_of
from interlock.pipeline import Graph, Protection, Step

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

_SHOWN = {
    "SecureTrainOperator": OWN_STEPS["interlock.airflow.steps.SecureTrainOperator"],
    "SecureTrainPodOperator": OWN_STEPS["interlock.airflow.cluster_pod.SecureTrainPodOperator"],
    "SecureTrainJobOperator": OWN_STEPS["interlock.airflow.cluster_job.SecureTrainJobOperator"],
    "DeployGateOperator": OWN_STEPS["interlock.airflow.steps.DeployGateOperator"],
    "@task.guarded": OWN_STEPS["interlock.airflow.decorators.GuardedOperator"],
}
"""`custom_operator_name` of each protected step."""


def graph_of_serialized(dag: SerializedDAG, protection: Protection, required: Required) -> Graph:
    """Translate `dag`.

    Args:
        dag: As it was read from the database; made from what its author wrote, so untrusted.
        protection: Which steps policy protects.
        required: The gate kinds that policy requires for ``training`` or ``deployment``.
    """
    tasks = list(dag.task_dict.values())
    tags = tuple(sorted(map(str, dag.tags or ())))
    return Graph(
        steps=tuple(_step(task, tags, protection, required) for task in tasks),
        edges=tuple((task.task_id, lower) for task in tasks for lower in sorted(task.downstream_task_ids)),
    )


def class_name(task: Any) -> str:
    """``module.Class`` as the serialized task says it."""
    return f"{getattr(task, '_task_module', '')}.{getattr(task, 'task_type', '')}"


def _step(task: Any, tags: tuple[str, ...], protection: Protection, required: Required) -> Step:
    name = class_name(task)
    own = OWN_STEPS.get(name) or _kin(task)
    return step_of(
        task,
        own=own,
        match=protection.judge(traits_of(task, operators=(name,), tags=tags)),
        genuine=name in OWN_STEPS,
        overrides=tuple(_overrides(task)) if own is not None and own.gate else (),
        required=required,
    )


def _kin(task: Any) -> OwnStep | None:
    """A subclass of one of Interlock's steps: its class attributes are serialized by the base class.

    Of a mapped task Airflow serializes only the name under which its operator is shown, which a subclass inherits.
    """
    own = OWN_STEPS.get(str(getattr(task, "interlock_step", "")))
    return own or _SHOWN.get(str(getattr(task, "operator_name", "")))


def _overrides(task: Any) -> Iterator[str]:
    mapped: Mapping[str, Any] | None = getattr(task, "partial_kwargs", None)
    said = vars(task) if mapped is None else {**vars(task), **mapped}
    yield from (name for attribute, name in HOOKS.items() if said.get(attribute) or said.get(name))
    for name in CALLBACKS:
        if said.get(f"has_{name}_callback") or said.get(f"{name}_callback"):
            yield f"{name}_callback"
