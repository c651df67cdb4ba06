"""Which evidence a task brings, and how it reaches the step that needs it: as required input artifacts.

The wires hold nothing by themselves. They order the tasks, show in KFP's graph what a step rests on, and bring the
receipts that `interlock.kubeflow.presented` checks in the pod; the guard then asks the ledger as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interlock.gate.errors import UsageError

if TYPE_CHECKING:
    from kfp.dsl.pipeline_channel import PipelineArtifactChannel
    from kfp.dsl.pipeline_task import PipelineTask

KINDS = {
    "validate-data": "data-validation",
    "scan-poisoning": "data-poisoning",
    "scan-model": "artifact-scan",
    "secure-train": "training",
}
"""The kind of gate whose receipt a component writes, by the component's name."""

OPTIONAL_OUTPUTS = {"scan-poisoning": ("flagged", "cleaned", "profile")}
"""Outputs that a component has only where they are asked for, by the component's name."""

VERIFY = "verify"
RECEIPT_INPUT = "interlock_receipt_"
MAX_RECEIPTS = 8
"""Receipts that one protected step takes: one for each kind of gate that there is, apart from the step's own."""


def kinds_of(task: PipelineTask) -> tuple[str, ...]:
    """The kinds of gate whose receipts a task brings; none when they open no guard.

    Args:
        task: Made by a factory of `interlock.kubeflow`, or from its compiled component.
    """
    name = task.component_spec.name
    if name == VERIFY:
        options = task.inputs.get("options")
        return tuple(str(kind) for kind in options.get("requires", ())) if isinstance(options, dict) else ()
    return (KINDS[name],) if name in KINDS else ()


def receipt_channels(requires: Sequence[PipelineTask]) -> dict[str, PipelineArtifactChannel]:
    """The receipt of each task, by the name of the input that it goes into.

    Args:
        requires: In the order of the inputs.

    Raises:
        UsageError: None, too many, or a task whose receipt opens no guard.
    """
    if not requires:
        raise UsageError(
            "a protected step needs the receipt of a gate",
            next_step="requires=[validate_data(...), ...]; verify(...) brings receipts that are already there",
        )
    if len(requires) > MAX_RECEIPTS:
        raise UsageError(
            f"a protected step takes {MAX_RECEIPTS} receipts, not {len(requires)}",
            next_step="policy still asks the ledger for every gate that it requires; hand over the telling ones",
        )
    for task in requires:
        if len(kinds_of(task)) != 1:
            raise UsageError(
                f"{task.name} brings no receipt that opens a guard, or several in one",
                where="requires",
                next_step="name gates of interlock.kubeflow, or verify(...) of one kind; task.after(...) only orders",
            )
    return {f"{RECEIPT_INPUT}{number}": _receipt(task) for number, task in enumerate(requires, start=1)}


def _receipt(task: PipelineTask) -> PipelineArtifactChannel:
    outputs: Any = task.outputs  # kfp's own annotation says no more than that they are channels
    channel: PipelineArtifactChannel = outputs["receipt"]
    return channel
