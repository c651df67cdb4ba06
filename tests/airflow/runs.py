"""Real task runs of a DAG in this process, and what the ledger says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG

States = dict[str, str | None]
RunDag = Callable[["DAG"], States]

QUIET = [
    # Airflow runs its execution API in this process with Starlette's test client, which asks for another httpx.
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""Marks of a module whose tests run tasks in this process."""


def verdicts() -> dict[str, str]:
    """The newest verdict of each task, from the ledger."""
    from interlock.evidence import KeyRing, Ledger, verify_receipt
    from interlock.gate import Settings, utc_now

    settings = Settings.load()
    ring = KeyRing.load(settings)
    entries = reversed(Ledger.open(settings.ledger_url).entries())
    receipts = [verify_receipt(entry.envelope, ring, now=utc_now()) for entry in entries]
    return {receipt.run.task_id: receipt.verdict.value for receipt in receipts}


def gates_of(data: Path) -> list[Any]:
    from interlock.airflow import ScanPoisoningOperator, ValidateDataOperator

    suite: dict[str, Any] = {
        "name": "s",
        "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "label"}}],
    }
    return [
        ValidateDataOperator(task_id="validate", subject=str(data), suite=suite),
        ScanPoisoningOperator(task_id="poisoning", subject=str(data), label="label"),
    ]
