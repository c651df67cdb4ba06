"""Retraining with every gate on the way: the example that `make demo` runs three times.

The pipeline is ordinary: collect, validate, scan, train, scan the model, promote. What Interlock adds is that `train`
and `promote` open their guard on receipts for exactly the bytes they are about to use, so the order of the arrows is
not what protects them. Trigger it with ``{"scenario": "clean"}``, ``"poisoned"`` or ``"tampered"`` and look at which
task refuses, and why, in its log.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import Param, dag, task

from interlock.airflow import (
    DeployGateOperator,
    ScanModelOperator,
    ScanPoisoningOperator,
    SecureTrainOperator,
    ValidateDataOperator,
)

HERE = Path(__file__).parent
LAKE = Path(os.environ.get("INTERLOCK_EXAMPLE_LAKE", "/tmp/interlock-example-lake"))  # noqa: S108 (an example's default)


@dag(
    schedule=None,
    max_active_runs=3,
    params={"scenario": Param("clean", enum=["clean", "poisoned", "tampered"])},
    tags=["interlock", "example"],
    doc_md=__doc__,
)
def gated_retraining() -> None:
    """Build the DAG."""
    run = f"{LAKE}/{{{{ run_id }}}}"
    data = f"{run}/digits.parquet"

    @task
    def collect(path: str, scenario: str) -> None:
        """Gather the new data; in the scenario `poisoned`, somebody upstream has slipped a backdoor into it."""
        from scenarios import collect_digits  # type: ignore[import-not-found]  # Airflow puts this folder on sys.path

        collect_digits(Path(path), poisoned=scenario == "poisoned")

    @task
    def others(model: str, scenario: str) -> None:
        """Stands for whoever else can write to the model's folder; in `tampered`, they swap the weights."""
        from scenarios import swap_model

        if scenario == "tampered":
            swap_model(Path(model) / "model.safetensors")

    scenario = "{{ params.scenario }}"
    checks = [
        ValidateDataOperator(
            task_id="validate", subject=data, suite=str(HERE / "suites" / "digits.json"), min_rows=1000
        ),
        ScanPoisoningOperator(task_id="poisoning", subject=data, label="label", image_shape=(8, 8)),
    ]
    train = SecureTrainOperator(
        task_id="train",
        data=data,
        out=f"{run}/model",
        command=["python", str(HERE / "train_digits.py"), "--data", "{data}", "--out", "{out}"],
        code=[str(HERE / "train_digits.py")],
    )
    scan = ScanModelOperator(task_id="scan", subject=train.out)
    promote = DeployGateOperator(task_id="promote", model=train.out, to="registry://digits/champion")
    collect(data, scenario) >> checks >> train >> scan >> others(train.out, scenario) >> promote


gated_retraining()
