"""How a violation of the chain rule reads in Airflow, with the shortest fix as code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from interlock.airflow_plugin.own_steps import DECLARED
from interlock.pipeline import Obstacle, Violation, Why, wording

if TYPE_CHECKING:
    from airflow.sdk import DAG

OPERATORS = {
    "data-validation": ("ValidateDataOperator", 'subject={subject}, suite="suite.json"'),
    "data-poisoning": ("ScanPoisoningOperator", 'subject={subject}, label="label"'),
    "artifact-scan": ("ScanModelOperator", "subject={subject}"),
    "model-probe": (
        "EvaluateModelOperator",
        'subject={subject}, evaluation="...", label="label", predict="module:function"',
    ),
    "training": ("SecureTrainOperator", 'data="...", out={subject}, command=["python", "train.py"]'),
}
"""Gate kind to the operator that makes its receipts, and its arguments in a suggestion."""

SUBJECT_ARGUMENTS = ("data", "model", "subject")


def refusal(dag: DAG, violations: Sequence[Violation], *, profile: str) -> str:
    """The whole message of one refused DAG: every violation, each with its fix."""
    return wording.refusal(f"DAG {dag.dag_id!r}", violations, lambda one: fixes(dag, one), profile=profile)


def fixes(dag: DAG, violation: Violation) -> Iterator[str]:
    """The shortest fix, one line of code for each thing to change."""
    if violation.path:
        for obstacle in violation.obstacles:
            yield _removal(dag, obstacle, violation)
    elif violation.elsewhere:
        yield f'dag.get_task("{violation.elsewhere}") >> dag.get_task("{violation.step_id}")'
    elif violation.missing in OPERATORS:
        operator, arguments = OPERATORS[violation.missing]
        filled = arguments.format(subject=_subject(dag, violation.step_id))
        yield f'{operator}(task_id="{violation.missing}", {filled}) >> dag.get_task("{violation.step_id}")'
    else:
        yield f"put a step that makes {violation.missing} receipts in front of {violation.step_id!r}"


def _removal(dag: DAG, obstacle: Obstacle, violation: Violation) -> str:
    task = f'dag.get_task("{obstacle.step_id}")'
    if obstacle.why is Why.RUNS_ANYWAY:
        return f'{task}: write trigger_rule="all_success" in place of "{obstacle.detail}"'
    if obstacle.why is Why.OVERRIDDEN:
        arguments = ", ".join(f"{name}=None" for name in obstacle.detail.split(", "))
        advice = " (alerts belong on the DAG: DAG(on_failure_callback=...))" if "callback" in obstacle.detail else ""
        return f"{task}: write {arguments}, or leave it out{advice}"
    if obstacle.why is Why.SETUP_OR_TEARDOWN:
        return f"{task}: leave out .as_{obstacle.detail}()"
    if obstacle.why is Why.OTHER_SUBJECT:
        return f"{task}: write subject={_subject(dag, violation.step_id)} in place of {obstacle.detail!r}"
    if obstacle.why is Why.UNSAID:
        return f'protect({task}, subject="..."), from interlock.airflow, or inlets=[Asset("...")] on it'
    operator = OPERATORS.get(violation.missing, ("Interlock's own operator", ""))[0]
    return f"{task}: use {operator} itself, from interlock.airflow, not a subclass"


def _subject(dag: DAG, step_id: str) -> str:
    task = dag.get_task(step_id)
    declared = getattr(task, DECLARED, None) or {}
    said = (declared.get("subject"), *(getattr(task, name, None) for name in SUBJECT_ARGUMENTS))
    return next((repr(value) for value in said if isinstance(value, str)), '"..."')
