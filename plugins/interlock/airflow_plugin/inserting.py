"""Mode ``insert``: puts the missing gates in front of the steps that lack them.

The author's file stays as it is; the DAG processor and every worker put in the same gates with the same ids, so what
is scheduled is what runs. A gate is put between the step and all its upstreams. What a gate in front cannot repair (a
step that runs anyway, a subject that nobody names, a gate that needs a setting which policy does not give) is still a
violation afterwards, and the DAG is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from interlock.airflow_plugin.steps import subject_text
from interlock.airflow_plugin.wording import OPERATORS
from interlock.gate.errors import InterlockError

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from interlock.airflow_plugin.rules import Rules
    from interlock.gate import Json
    from interlock.pipeline import Violation

TAG = "interlock:inserted"
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_.-]")


def insert_gates(dag: DAG, violations: Iterable[Violation], rules: Rules) -> tuple[str, ...]:
    """Put a gate in front of the step of each violation for which policy says how.

    Args:
        dag: Changed in place.
        violations: What the chain rule found.
        rules: Policy's word; `rules.insertion` says how each gate is set.

    Returns:
        Ids of the gates that were put in; the chain rule is to be asked again.

    Raises:
        AirflowDagCycleException: Never for what is put in here; asked all the same, because Airflow does not ask again.
    """
    tags = tuple(sorted(map(str, dag.tags or ())))
    put = []
    for violation in violations:
        if violation.missing not in OPERATORS or violation.missing == "training":
            continue
        subject = subject_text(dag.get_task(violation.step_id))
        options = rules.insertion.options(violation.missing, dag.dag_id, tags)
        if subject and options is not None:
            put.append(_insert(dag, violation, subject, options))
    if put:
        dag.tags.add(TAG)
        dag.check_cycle()
    return tuple(put)


def gate_id(kind: str, step_id: str) -> str:
    """The id of a gate that is put in front of a step: the same at each parse, in each process."""
    return f"interlock__{kind}__{_NOT_IN_AN_ID.sub('_', step_id).replace('.', '_')}"


def _insert(dag: DAG, violation: Violation, subject: str, options: Mapping[str, Json]) -> str:
    step = dag.get_task(violation.step_id)
    operator = getattr(import_module("interlock.airflow"), OPERATORS[violation.missing][0])
    try:
        gate = operator(
            task_id=gate_id(violation.missing, violation.step_id),
            subject=subject,
            dag=dag,
            task_group=step.task_group,
            doc_md=_explained(violation, options),
            **options,
        )
    except TypeError as error:
        raise InterlockError(
            f"the {violation.missing} gate cannot be put in: {error}",
            where="data.interlock.insertion.airflow",
            next_step=f"give the arguments of {OPERATORS[violation.missing][0]} under `options`",
        ) from error
    gate.set_upstream([dag.get_task(upstream) for upstream in sorted(step.upstream_task_ids)])
    gate.set_downstream(step)
    return str(gate.task_id)


def _explained(violation: Violation, options: Mapping[str, Json]) -> str:
    settings = ", ".join(f"`{name}={value!r}`" for name, value in sorted(options.items())) or "nothing"
    return (
        f"**Put in by Interlock**, because policy requires a `{violation.missing}` gate before {violation.protects}"
        f" step `{violation.step_id}`, and the DAG's file has none."
        f" Set by `data.interlock.insertion.airflow`: {settings}. Write the gate into the file to set it yourself."
    )
