"""Which run of which pipeline a Kubeflow step belongs to.

KFP gives a container no such thing by itself; it fills placeholders in constants of a task's inputs. So every step of
ours has three inputs for them, and a step of one run finds the receipts of the same run, also from inside of a nested
pipeline. What they say is as untrusted as the pipeline is: a wrong name finds no receipts, or none that count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from interlock.gate import RunIdentity, UsageError

PREFIX = "interlock_"
"""Inputs of this prefix are ours, and no component of a user's may have one."""

PLACEHOLDERS = {
    "interlock_pipeline": "{{$.pipeline_job_name}}",
    "interlock_run": "{{$.pipeline_job_uuid}}",
    "interlock_task": "{{$.pipeline_task_name}}",
}
"""The inputs and what each is bound to, `kfp.dsl.PIPELINE_JOB_NAME_PLACEHOLDER` and its sisters."""

_STAMP = re.compile(r"[- ]\d{4}-\d\d-\d\d[- ]\d\d-\d\d-\d\d(-\d{1,6})?\Z")


def run_identity(parameters: Mapping[str, object]) -> RunIdentity:
    """The identity from a step's own inputs.

    Args:
        parameters: Values by name of the input; untrusted. The job's name is the pipeline's with the moment behind it,
            unless somebody named the run otherwise; the moment is taken off, so that policy may name a pipeline.

    Raises:
        UsageError: One of the inputs is not there, or KFP has not filled it in.
    """
    values = {name: parameters.get(name) for name in PLACEHOLDERS}
    for name, value in values.items():
        if not isinstance(value, str) or not value or value.startswith("{{$"):
            raise UsageError(
                "the step does not know which run it belongs to",
                where=name,
                next_step=f"bind input {name} to the constant {PLACEHOLDERS[name]}",
            )
    pipeline, run_id, task_id = (str(value) for value in values.values())
    return RunIdentity(
        orchestrator="kubeflow", pipeline=_STAMP.sub("", pipeline) or pipeline, run_id=run_id, task_id=task_id
    )
