"""Interlock's own Airflow steps, by class name: which gate each is, what it protects, and where its subject stands.

By name, because the scheduler sees serialized tasks and imports no operator.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStep:
    """What one class is.

    Args:
        gate: The gate kind whose receipts it makes, else empty.
        subject: The argument that names what it looks at (for ``training``: what it makes).
        protects: ``training``, ``deployment`` or empty; an argument ``protects`` of the task goes before it.
        inputs: The arguments that name what it uses.
        outputs: The arguments that name what it makes.
    """

    gate: str = ""
    subject: str = ""
    protects: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


OWN_STEPS = {
    "interlock.airflow.gates.ValidateDataOperator": OwnStep(gate="data-validation", subject="subject"),
    "interlock.airflow.gates.ScanPoisoningOperator": OwnStep(gate="data-poisoning", subject="subject"),
    "interlock.airflow.gates.ScanModelOperator": OwnStep(gate="artifact-scan", subject="subject"),
    "interlock.airflow.gates.EvaluateModelOperator": OwnStep(gate="model-probe", subject="subject"),
    "interlock.airflow.approval.ApprovalGateOperator": OwnStep(gate="approval", subject="subject"),
    # Training is also the gate of a later step: it writes the receipt that deployment asks for.
    "interlock.airflow.steps.SecureTrainOperator": OwnStep(
        gate="training", subject="out", protects="training", inputs=("data",), outputs=("out",)
    ),
    # What they leave lies in a claim and has no receipt, so they are no gate.
    "interlock.airflow.cluster_pod.SecureTrainPodOperator": OwnStep(protects="training", inputs=("data",)),
    "interlock.airflow.cluster_job.SecureTrainJobOperator": OwnStep(protects="training", inputs=("data",)),
    "interlock.airflow.steps.DeployGateOperator": OwnStep(protects="deployment", inputs=("model",)),
    "interlock.airflow.decorators.GuardedOperator": OwnStep(protects="training", inputs=("subject",)),
}
"""``module.Class`` to what it is."""

DECLARED = "interlock"
"""The attribute by which `interlock.airflow.protect` marks any other task: ``protects``, ``subject``, ``requires``."""

CALLBACKS = ("on_execute", "on_failure", "on_success", "on_retry", "on_skipped")
HOOKS = {"_pre_execute_hook": "pre_execute", "_post_execute_hook": "post_execute"}
"""What runs before or after a gate's own work, on a live task and on a serialized one."""
