"""The components as Kubeflow sees them: typed artifacts in and out, and a body that calls the installed package.

kfp copies the source of these functions into each compiled pipeline. It is short on purpose: what a gate does is in the
image, which is named by digest, and a compiled step is genuine when it says exactly this (`interlock lint`).
`published` compiles these functions into the YAMLs that are shipped, and the factories (`gates`, `steps`) make tasks of
those.

kfp reads the annotations when it runs, so this module has no ``from __future__ import annotations``. It cannot be
imported in a pod, where kfp leaves out what only a compiler needs.
"""

from typing import Any, Optional

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from interlock.kubeflow.artifacts import Receipt, Report
from interlock.kubeflow.images import PLACEHOLDER

_component = dsl.component(base_image=PLACEHOLDER, packages_to_install=[], install_kfp_package=False)


@_component
def validate_data(
    subject: Input[Artifact],
    receipt: Output[Receipt],
    report: Output[Report],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
) -> str:
    """Validates a dataset with a Great Expectations suite; fails unless the decision is ALLOW."""
    from interlock.kubeflow.running import Pod

    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options, receipt=receipt, report=report) as pod:
        return pod.gate("data-validation", subject)


@_component
def scan_poisoning(
    subject: Input[Artifact],
    receipt: Output[Receipt],
    report: Output[Report],
    flagged: Output[Artifact],
    cleaned: Output[Dataset],
    profile: Output[Artifact],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
    accepted: Optional[Input[Artifact]] = None,
    clean: Optional[Input[Artifact]] = None,
    losses: Optional[Input[Artifact]] = None,
) -> str:
    """Scans a labelled dataset for poison; fails unless the decision is ALLOW."""
    from interlock.kubeflow.running import Pod

    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options, receipt=receipt, report=report) as pod:
        return pod.gate(
            "data-poisoning",
            subject,
            beside={"accepted": accepted, "clean": clean, "losses": losses},
            outputs={"flagged": flagged, "clean_out": cleaned, "profile_out": profile},
        )


@_component
def scan_model(
    subject: Input[Artifact],
    receipt: Output[Receipt],
    report: Output[Report],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
    accepted: Optional[Input[Artifact]] = None,
) -> str:
    """Scans a model for code that could run when it is loaded; fails unless the decision is ALLOW."""
    from interlock.kubeflow.running import Pod

    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options, receipt=receipt, report=report) as pod:
        return pod.gate("artifact-scan", subject, beside={"accepted": accepted})


@_component
def check_policy(
    subject: Input[Artifact],
    receipt: Output[Receipt],
    report: Output[Report],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
) -> str:
    """Asks policy whether the evidence so far would let a step start; fails unless it would."""
    from interlock.kubeflow.running import Pod

    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options, receipt=receipt, report=report) as pod:
        return pod.check(subject)


@_component
def verify(
    subject: Input[Artifact],
    receipt: Output[Receipt],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
) -> str:
    """Finds the receipts that the ledger has for these bytes; fails unless each kind asked for says ALLOW."""
    from interlock.kubeflow.pod_steps import find_receipts
    from interlock.kubeflow.running import Pod

    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options, receipt=receipt) as pod:
        return find_receipts(pod, subject)


@_component
def snapshot(
    uri: str,
    data: Output[Dataset],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
) -> str:
    """Copies what lies at a URI into the pipeline, and returns its digest."""
    from interlock.kubeflow.pod_steps import take
    from interlock.kubeflow.running import Pod

    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options) as pod:
        return take(pod, uri, data)


@_component
def secure_train(
    data: Input[Artifact],
    model: Output[Model],
    receipt: Output[Receipt],
    report: Output[Report],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
    base: Optional[Input[Artifact]] = None,
    interlock_receipt_1: Optional[Input[Receipt]] = None,
    interlock_receipt_2: Optional[Input[Receipt]] = None,
    interlock_receipt_3: Optional[Input[Receipt]] = None,
    interlock_receipt_4: Optional[Input[Receipt]] = None,
    interlock_receipt_5: Optional[Input[Receipt]] = None,
    interlock_receipt_6: Optional[Input[Receipt]] = None,
    interlock_receipt_7: Optional[Input[Receipt]] = None,
    interlock_receipt_8: Optional[Input[Receipt]] = None,
) -> str:
    """Trains in the sandbox, on a verified read-only copy of the data, once the guard is open."""
    from interlock.kubeflow.pod_steps import train
    from interlock.kubeflow.running import Pod

    receipts = {name: value for name, value in locals().items() if name.startswith("interlock_receipt_") and value}
    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options, receipt=receipt, report=report) as pod:
        return train(pod, data, model, receipts, base=base)


@_component
def deploy_gate(
    model: Input[Artifact],
    to: str,
    receipt: Output[Receipt],
    report: Output[Report],
    options: dict[str, Any],
    interlock_pipeline: str,
    interlock_run: str,
    interlock_task: str,
    declared: Optional[dict[str, Any]] = None,
    interlock_receipt_1: Optional[Input[Receipt]] = None,
    interlock_receipt_2: Optional[Input[Receipt]] = None,
    interlock_receipt_3: Optional[Input[Receipt]] = None,
    interlock_receipt_4: Optional[Input[Receipt]] = None,
    interlock_receipt_5: Optional[Input[Receipt]] = None,
    interlock_receipt_6: Optional[Input[Receipt]] = None,
    interlock_receipt_7: Optional[Input[Receipt]] = None,
    interlock_receipt_8: Optional[Input[Receipt]] = None,
) -> str:
    """Promotes a model to a registry alias, once the guard is open on exactly its bytes."""
    from interlock.kubeflow.pod_steps import deploy
    from interlock.kubeflow.running import Pod

    receipts = {name: value for name, value in locals().items() if name.startswith("interlock_receipt_") and value}
    with Pod(interlock_pipeline, interlock_run, interlock_task, options=options, receipt=receipt, report=report) as pod:
        return deploy(pod, model, to, receipts, declared=declared or {})
