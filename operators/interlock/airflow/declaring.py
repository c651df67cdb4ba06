"""`protect(task, ...)`: any task of any provider as a protected step, and what it uses.

Policy finds most protected steps by what they use. What it cannot find is what such a step reads, and without that no
gate can have looked at it. This says both, in a template field, so that a subject may depend on the run and the
scheduler sees it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from interlock.gate.errors import UsageError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    Task = TypeVar("Task", bound=BaseOperator)

KINDS = ("training", "deployment")


def protect(task: Task, *, subject: str, protects: str = "", requires: Sequence[str] = ()) -> Task:
    """Declare what `task` uses, and that it is a protected step.

    Args:
        task: A task that is not mapped. `@task` functions: the task is ``my_function(...).operator``.
        subject: Path or URL of the data or model that it uses (templated).
        protects: ``training`` or ``deployment``; empty leaves it to policy, which then only learns the subject.
        requires: Gate kinds on top of those that policy requires; it can add, never take away.

    Returns:
        The same task.

    Raises:
        UsageError: `task` is mapped, `protects` is another word, or `subject` is empty.
    """
    if protects and protects not in KINDS:
        raise UsageError(
            f"a step protects {protects!r}", where=task.task_id, next_step=f"use one of {', '.join(KINDS)}"
        )
    if not subject:
        raise UsageError("a protected step uses nothing", where=task.task_id, next_step="name its data or model")
    if getattr(task, "partial_kwargs", None) is not None:
        raise UsageError(
            "a mapped task cannot be declared from outside",
            where=task.task_id,
            next_step="use SecureTrainOperator.partial(...).expand(...) or @task.guarded",
        )
    task.interlock = {"subject": subject, "protects": protects, "requires": list(requires)}
    task.template_fields = (*task.template_fields, "interlock")
    return task
