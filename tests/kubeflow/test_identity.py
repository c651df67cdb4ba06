"""Which run a step belongs to, from what KFP fills into its inputs."""

from __future__ import annotations

import pytest
from kfp import dsl

from interlock.gate import UsageError
from interlock.kubeflow.identity import PLACEHOLDERS, run_identity


def test_the_placeholders_are_those_of_kfp() -> None:
    assert list(PLACEHOLDERS.values()) == [
        dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    ]


@pytest.mark.parametrize(
    "job",
    [
        pytest.param("retrain", id="named by a person"),
        pytest.param("retrain-2026-11-28-01-02-03-000123", id="named by the local runner"),
        pytest.param("retrain 2026-11-28 01-02-03", id="named by the client"),
    ],
)
def test_a_run_is_of_its_pipeline_however_the_job_is_named(job: str) -> None:
    run = run_identity({"interlock_pipeline": job, "interlock_run": "r-1", "interlock_task": "train", "epochs": 3})
    assert (run.orchestrator, run.pipeline, run.run_id, run.task_id) == ("kubeflow", "retrain", "r-1", "train")


@pytest.mark.parametrize("value", [None, "", 3, "{{$.pipeline_job_uuid}}"])
def test_a_step_that_does_not_know_its_run_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="which run it belongs to"):
        run_identity({"interlock_pipeline": "p", "interlock_run": value, "interlock_task": "t"})
