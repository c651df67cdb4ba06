"""Retraining that promotes a model only when it is not worse than the last accepted one on a sealed set.

`evaluate` predicts the sealed rows with the new model and with the one that was accepted last, and policy compares them
over all rows, for each digit and for each scanner. `promote` asks for its receipt. Once, before the first run, and far
from this pipeline: ``python seal_digits.py <lake>/sealed/digits.parquet``, and its answer into policy data.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import dag, task

from interlock.airflow import (
    DeployGateOperator,
    EvaluateModelOperator,
    ScanModelOperator,
    ScanPoisoningOperator,
    SecureTrainOperator,
    ValidateDataOperator,
)

HERE = Path(__file__).parent
LAKE = Path(os.environ.get("INTERLOCK_EXAMPLE_LAKE", "/tmp/interlock-example-lake"))  # noqa: S108 (an example's default)


@dag(schedule=None, max_active_runs=1, tags=["interlock", "example"], doc_md=__doc__)
def gated_promotion() -> None:
    """Build the DAG."""
    run = f"{LAKE}/{{{{ run_id }}}}"
    data = f"{run}/digits.parquet"

    @task
    def collect(path: str) -> None:
        """Gather the new data: everything but what is sealed."""
        from seal_digits import training_rows, write  # type: ignore[import-not-found]  # Airflow puts this folder there

        write(training_rows(), Path(path))

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
    evaluate = EvaluateModelOperator(
        task_id="evaluate",
        subject=train.out,
        evaluation=f"{LAKE}/sealed/digits.parquet",
        name="digits",
        label="label",
        slices=["scanner"],
        predict="score_digits:predict",
        code=[str(HERE / "score_digits.py"), str(HERE / "train_digits.py")],
    )
    promote = DeployGateOperator(
        task_id="promote", model=train.out, to="registry://digits/champion", requires=["model-probe"]
    )
    collect(data) >> checks >> train >> scan >> evaluate >> promote


gated_promotion()
