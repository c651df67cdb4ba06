"""A training on a cluster and a guard that opened for it, and the published schemas."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from interlock.training.cluster import ClusterData, ClusterTraining, Opening, Resources

DIGEST = "3" * 64
SCHEMAS = Path(__file__).with_name("schemas")


def training(**changes: Any) -> ClusterTraining:
    return ClusterTraining(
        **{
            "name": "fraud-7",
            "namespace": "training",
            "image": f"registry.example/fraud/train:1@sha256:{'1' * 64}",
            "interlock_image": f"registry.example/interlock@sha256:{'2' * 64}",
            "command": ("python", "/app/train.py", "{data}", "{out}"),
            "data": ClusterData(claim="lake", path="2026/11/train.csv", digest=DIGEST),
            "out_claim": "models",
            "resources": Resources(gpus=1, gpu_resource="nvidia.com/mig-1g.10gb"),
            **changes,
        }
    )


def opening(**changes: str) -> Opening:
    return Opening(
        **{
            "receipt_id": "01JDQ3V5T8Z0G6Y4N2M7C9KXWB",
            "envelope_digest": "4" * 64,
            "subject_digest": DIGEST,
            **changes,
        }
    )


@cache
def schema(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{kind.lower()}.json").read_text()))


def problems(document: dict[str, Any]) -> list[str]:
    """What the published schema of the document's kind says of it."""
    return [f"{error.json_path}: {error.message}" for error in schema(document["kind"]).iter_errors(document)]
