"""`@task.guarded`: the guard on a Python task that exists already.

The function gets `data`, the path of a private, read-only copy of exactly the bytes that were scanned. It never runs
when the evidence does not suffice.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory
from airflow.providers.standard.operators.python import PythonOperator

from interlock.airflow.base import open_runner, run_identity, serialized_with_ours
from interlock.gate.errors import UsageError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskDecorator
    from airflow.sdk import Context

_NOT_YET = "the guard fills this in"


class GuardedOperator(DecoratedOperator, PythonOperator):
    """A Python task behind the guard.

    Args:
        subject: Path or URL of what the function is about to use (templated).
        requires: Gate kinds on top of those that policy requires.
        protects: ``training`` or ``deployment``: whose rules apply.
        interlock_conn_id: As in every Interlock operator.
    """

    custom_operator_name = "@task.guarded"
    template_fields: Sequence[str] = (*PythonOperator.template_fields, "subject")
    template_fields_renderers: ClassVar[dict[str, str]] = {**PythonOperator.template_fields_renderers}
    interlock_protects: ClassVar[str] = "training"
    interlock_step: ClassVar[str] = "interlock.airflow.decorators.GuardedOperator"
    ui_color = "#f7ead9"

    @classmethod
    def get_serialized_fields(cls) -> frozenset[str]:
        """Airflow's, and what the scheduler needs to judge the step."""
        return serialized_with_ours(super().get_serialized_fields())  # type: ignore[no-untyped-call]  # Airflow's own

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        subject: str,
        requires: Sequence[str] = (),
        protects: str = "training",
        interlock_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        if "data" not in inspect.signature(python_callable).parameters:
            raise UsageError(
                "a guarded function takes `data`, the verified view of its subject",
                where=python_callable.__qualname__,
                next_step=f"write def {python_callable.__name__}(data, ...)",
            )
        if "data" in (op_kwargs or {}) and (op_kwargs or {})["data"] != _NOT_YET:
            raise UsageError("`data` is filled in by the guard", where=python_callable.__qualname__)
        filled = {**(op_kwargs or {}), "data": _NOT_YET}
        super().__init__(
            python_callable=python_callable,
            op_args=op_args or (),
            op_kwargs=filled,
            kwargs_to_upstream={"python_callable": python_callable, "op_args": op_args or (), "op_kwargs": filled},
            **kwargs,
        )
        self.subject = subject
        self.requires = requires
        self.protects = protects
        self.interlock_conn_id = interlock_conn_id

    def execute(self, context: Context) -> Any:
        """Open the guard on the subject, then run the function on the held copy."""
        from interlock.runner import GuardRequest

        request = GuardRequest(
            kind=self.protects, subject=self.subject, requires=tuple(self.requires), run=run_identity(context)
        )
        with open_runner(self.interlock_conn_id) as runner, runner.open_guard(request) as opened:
            self.log.info("guard open on sha256:%s", opened.subject.subject.digest)
            self.op_kwargs = {**self.op_kwargs, "data": opened.subject.path}
            return super().execute(context)


def guarded_task(
    python_callable: Callable[..., Any] | None = None,
    multiple_outputs: bool | None = None,  # noqa: FBT001 (the signature is Airflow's)
    **kwargs: Any,
) -> TaskDecorator:
    """`@task.guarded(subject=..., requires=[...])`.

    Args:
        python_callable: The function to guard; it takes `data`.
        multiple_outputs: As in `@task`.
        **kwargs: Arguments of `GuardedOperator` and `PythonOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=GuardedOperator,
        **kwargs,
    )
