"""A served model and the guard that opened for it."""

from __future__ import annotations

import json
from typing import Any

from interlock.deployment.kserve import ServedModel, ServingEvidence
from interlock.gate import (
    Coverage,
    Decision,
    GateContext,
    Observation,
    Recorded,
    Report,
    RunIdentity,
    Stage,
    Subject,
    Verdict,
    utc_now,
)
from interlock.runner import LocalRunner
from interlock.training.cluster import Opening

DIGEST = "3" * 64
RECEIPT = "01JDQ3V5T8Z0G6Y4N2M7C9KXWB"
IMAGE = f"registry.example/interlock@sha256:{'1' * 64}"


def served(**changes: Any) -> ServedModel:
    return ServedModel(
        **{
            "name": "fraud",
            "namespace": "serving",
            "storage_uri": f"s3://models/registry/fraud/versions/sha256-{DIGEST}",
            "digest": DIGEST,
            "model_format": "onnx",
            **changes,
        }
    )


def evidence(**changes: str) -> ServingEvidence:
    opening = Opening(
        **{"receipt_id": RECEIPT, "envelope_digest": "4" * 64, "subject_digest": DIGEST, **changes},
    )
    return ServingEvidence(opening=opening, receipts=("01JDQ3V5T8Z0G6Y4N2M7C9KXWA",), bundle="5" * 64)


DATA = Subject(name="train.csv", uri="file:///train.csv", digest="6" * 64)


def vouch_for_model(runner: LocalRunner, model: Subject) -> None:
    """All that a deployment guard looks for, as after a training and a scan that were allowed."""
    vouch(runner, DATA, "data-validation", "data-poisoning")
    vouch(runner, model, "training", materials=(DATA,))
    vouch(runner, model, "artifact-scan")


def vouch(
    runner: LocalRunner,
    subject: Subject,
    *kinds: str,
    verdict: Verdict = Verdict.ALLOW,
    materials: tuple[Subject, ...] = (),
) -> list[Recorded]:
    """Receipts of gates as their runs would leave them; what the gates themselves see is no matter of these tests."""
    recorded = []
    for kind in kinds:
        report = Report(
            gate=kind,
            subject=subject,
            observation=Observation(coverage=Coverage(looked_at=(subject.name,))),
            tools=(),
            configuration=json.dumps({"data": {"digest": materials[0].digest}} if materials else {}),
            started=utc_now(),
            finished=utc_now(),
        )
        decision = Decision(verdict=verdict, bundle_digest=runner.decider.bundle_digest, decision_id=kind)
        run = RunIdentity(orchestrator="cli", pipeline="serve", run_id="r1", task_id=kind)
        context = GateContext(run=run, profile="dev", stage=Stage.GATE)
        recorded.append(runner.recorder.record(report, decision, context, materials=materials))
    return recorded
