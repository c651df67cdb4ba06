"""What every Interlock operator shares: the runner, the run's identity, and which error stops a task how.

A refusal is final (`AirflowFailException`, no retry): the bytes will not get better by asking again. Trouble with the
infrastructure is not (`AirflowException`, Airflow's retries apply). In both cases the receipt is in the ledger before
the exception leaves. XCom carries only the receipt's id and digest, for people and links; nothing here reads it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk import BaseOperator

from interlock.gate.errors import InterlockError, UnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.gate import Recorded, RunIdentity
    from interlock.runner import Runner


class InterlockOperator(BaseOperator):
    """Base of all operators here.

    Args:
        interlock_conn_id: Connection of type ``interlock`` that says *where* the ledger is, used only where the
            deployment's own settings do not. How strictly things are checked never comes from a connection.
    """

    interlock_step: ClassVar[str] = ""
    """Which of Interlock's steps this is or is made from; the scheduler reads it from the serialized task."""
    ui_color = "#e3ecf7"

    @classmethod
    def get_serialized_fields(cls) -> frozenset[str]:
        """Airflow's, and what the scheduler needs to judge the step."""
        return serialized_with_ours(super().get_serialized_fields())  # type: ignore[no-untyped-call]  # Airflow's own

    def __init__(self, *, interlock_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.interlock_conn_id = interlock_conn_id


def serialized_with_ours(fields: frozenset[str]) -> frozenset[str]:
    """The fields of a serialized task, with those by which the scheduler knows an Interlock step."""
    return fields | {"interlock_step", "requires", "protects"}


@contextmanager
def open_runner(conn_id: str | None) -> Iterator[Runner]:
    """A runner for this task, and Airflow's exceptions in place of Interlock's.

    Raises:
        AirflowFailException: Refused, misconfigured or unreadable; a retry would change nothing.
        AirflowException: Infrastructure trouble; Airflow retries as the task says.
    """
    from interlock.airflow.hooks import InterlockHook
    from interlock.runner import LocalRunner

    try:
        with LocalRunner(InterlockHook.settings_for(conn_id)) as runner:
            yield runner
    except UnavailableError as error:
        raise AirflowException(str(error)) from error
    except InterlockError as error:
        raise AirflowFailException(str(error)) from error


def run_identity(context: Context) -> RunIdentity:
    """Which run, task and try this is, from the task's own context."""
    from interlock.gate import RunIdentity

    instance = context["ti"]  # pyright: ignore[reportTypedDictNotRequiredAccess]  # there in every running task
    return RunIdentity(
        orchestrator="airflow",
        pipeline=instance.dag_id,
        run_id=instance.run_id,
        task_id=instance.task_id,
        attempt=max(1, instance.try_number or 1),
        map_index=-1 if instance.map_index is None else instance.map_index,
    )


def pointer(recorded: Recorded) -> dict[str, str]:
    """What goes into XCom: enough to find the receipt, nothing that anybody trusts."""
    return {"receipt_id": recorded.receipt_id, "envelope_digest": recorded.envelope_digest}
