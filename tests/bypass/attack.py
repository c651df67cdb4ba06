"""What the DAG files of the tricks are made of: a real gate that refuses, and a training that leaves a mark if it runs.

A DAG file is installed in one folder for each level it is tried at, and the folder's name says what is out of the way:

- ``open``: everything. The training is not guarded, and policy data only audits the DAG. The trick has to work here.
- ``L1``: nothing; the training is not guarded, so only the structure of the DAG can stop it.
- ``L2``: L1, as an attacker puts it out of the way: its policy is unregistered in the DAG file.
- ``L3``: L1 and L2, by policy data that only audits the DAG; the training is guarded.
- ``L4``: the same, and the training is not guarded.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG

from interlock.airflow import ScanModelOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

FIELD = Path(os.environ.get("BYPASS_FIELD", "/nowhere"))
"""Folder that the tests and the DAG files share: ``data`` and ``marks``."""


def mark(name: str) -> None:
    """What every training here does, and all it does."""
    (FIELD / "marks" / name).touch()


def mark_guarded(data: str, name: str) -> None:
    """The same behind the guard, which fills `data` in."""
    mark(name)


def take_l1_away() -> None:
    """Trick 8: unregister the policy in the author's own process."""
    from airflow.settings import get_policy_plugin_manager

    get_policy_plugin_manager().unregister(name="interlock")


class Attack:
    """One trick at one level.

    Args:
        file: ``__file__`` of the DAG file.
        data: Name of the file that is checked and trained on; ``bad.pkl`` is refused by its gate.
    """

    def __init__(self, file: str, *, data: str = "bad.pkl") -> None:
        self.level = Path(file).parent.name
        self.dag_id = f"{self.level}_{Path(file).stem}"
        self.data = str(FIELD / "data" / data)
        if self.level == "L2":
            take_l1_away()

    def dag(self, **given: Any) -> DAG:
        """The DAG, to be used as a context; the scheduler starts its only run by itself."""
        return DAG(self.dag_id, schedule="@once", start_date=datetime(2026, 1, 1, tzinfo=UTC), **given)

    def gate(self, **given: Any) -> ScanModelOperator:
        """The real gate on the data."""
        return ScanModelOperator(task_id="gate", subject=self.data, **given)

    def train(self, **given: Any) -> BaseOperator:
        """A training: behind the guard at ``L3``, else an ordinary task that only its queue gives away."""
        from airflow.providers.standard.operators.python import PythonOperator

        from interlock.airflow import protect
        from interlock.airflow.decorators import GuardedOperator

        if self.level == "L3":
            return GuardedOperator(
                task_id="train",
                subject=self.data,
                python_callable=mark_guarded,
                op_kwargs={"name": self.dag_id},
                **given,
            )
        named = {"queue": "gpu", **given}
        plain = PythonOperator(task_id="train", python_callable=mark, op_args=[self.dag_id], **named)
        return protect(plain, subject=self.data)
