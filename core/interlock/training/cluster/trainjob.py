"""A Kubeflow TrainJob that waits for its guard, and the training runtime that makes its pods hardened ones.

A TrainJob cannot say that its pods get no token, no service links and a container that checks the data: its patches
know a few fields only (`PodSpecPatch`, Kubeflow Trainer 2.3). So the whole pod stands in a TrainingRuntime of its own,
named by its digest, and the TrainJob repeats what it can say. Both are judged together and released together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.gate import Json
from interlock.gate.documents import digest_of
from interlock.training.cluster.job import ClusterTraining
from interlock.training.cluster.pod import (
    HOLD,
    Opening,
    container_security,
    limits_of,
    pod_labels,
    pod_security,
    pod_spec,
    words,
)

API_VERSION = "trainer.kubeflow.org/v1alpha1"
MANAGER = "interlock.dev/guard"
"""Owner of the TrainJob's patch; nobody else's patch is released."""

NODE = "node"
"""Name of the replicated job and of its container; Trainer knows the training by it."""

_DEFAULTED = {"managedBy": "trainer.kubeflow.org/trainjob-controller"}
_RUNTIME_DEFAULTS = {"apiGroup": "trainer.kubeflow.org"}


def training_runtime(training: ClusterTraining) -> dict[str, Json]:
    """The TrainingRuntime whose one pod is the hardened pod of `training`."""
    spec = _runtime_spec(training)
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingRuntime",
        "metadata": {
            "name": runtime_name(training),
            "namespace": training.namespace,
            "labels": {"app.kubernetes.io/managed-by": "interlock"},
        },
        "spec": spec,
    }


def runtime_name(training: ClusterTraining) -> str:
    """Named by what is in it, so that a changed one is another one."""
    return f"interlock-{digest_of(_runtime_spec(training))[:32]}"


def train_job(training: ClusterTraining, opening: Opening | None = None) -> dict[str, Json]:
    """The TrainJob, suspended; with an `opening`, its patch carries the receipt to the pods.

    Args:
        training: What to run.
        opening: The guard that opened; None before it was asked.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": {
            "name": training.name,
            "namespace": training.namespace,
            "labels": {"app.kubernetes.io/managed-by": "interlock"},
            **({"annotations": opening.annotations} if opening else {}),
        },
        "spec": {
            "runtimeRef": {"name": runtime_name(training), "kind": "TrainingRuntime"},
            "suspend": True,
            "activeDeadlineSeconds": training.wall_seconds,
            "trainer": {
                "image": training.image,
                "command": list(words(training)),
                "numNodes": 1,
                "resourcesPerNode": limits_of(training.resources),
            },
            "runtimePatches": [_patch(training, opening)],
        },
    }


def release_patch(training: ClusterTraining, opening: Opening, resource_version: str) -> dict[str, Json]:
    """The merge patch (RFC 7386) that lets a judged TrainJob go on, if nobody touched it since.

    A list is replaced whole by a merge patch, so a patch of another manager that came in between goes, too; with the
    resource version in it the API server refuses it anyway. Trainer takes new patches together with the end of the
    suspension (``checkRuntimePatchesImmutability``, Trainer 2.3.0).

    Args:
        training: What was judged.
        opening: The guard that opened.
        resource_version: Of the TrainJob that was judged.
    """
    return {
        "metadata": {"resourceVersion": resource_version, "annotations": opening.annotations},
        "spec": {"suspend": False, "runtimePatches": [_patch(training, opening)]},
    }


def judged_spec(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a TrainJob runs: its specification without whether it waits, and without what the API server adds.

    Args:
        job: As the API server holds it; untrusted.
    """
    spec = dict(_object(job.get("spec")))
    spec.pop("suspend", None)
    for name, value in _DEFAULTED.items():
        if spec.get(name) == value:
            del spec[name]
    reference = dict(_object(spec.get("runtimeRef")))
    for name, value in _RUNTIME_DEFAULTS.items():
        if reference.get(name) == value:
            del reference[name]
    spec["runtimeRef"] = reference
    patches = spec.get("runtimePatches")
    if isinstance(patches, list):
        spec["runtimePatches"] = [{k: v for k, v in _object(patch).items() if k != "time"} for patch in patches]
    return spec


def pod_template(runtime: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod template of a TrainingRuntime with one replicated job; empty for any other.

    Args:
        runtime: As the API server holds it; untrusted.
    """
    jobs = _object(_object(_object(runtime.get("spec")).get("template")).get("spec")).get("replicatedJobs")
    if not isinstance(jobs, list) or len(jobs) != 1:
        return {}
    return _object(_object(_object(_object(jobs[0]).get("template")).get("spec")).get("template"))


def _runtime_spec(training: ClusterTraining) -> dict[str, Json]:
    return {
        "mlPolicy": {"numNodes": 1},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": NODE,
                        "replicas": 1,  # this and the group are said, because the API server would add them
                        "groupName": "default",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {
                                "backoffLimit": 0,
                                "template": {
                                    "metadata": {"labels": pod_labels()},
                                    "spec": pod_spec(training, trainer=NODE),
                                },
                            },
                        },
                    }
                ]
            }
        },
    }


def _patch(training: ClusterTraining, opening: Opening | None) -> dict[str, Json]:
    """What a TrainJob can say of its pods; Trainer takes no variables for this container, so there are none."""
    metadata: dict[str, Json] = {"labels": pod_labels()}
    if opening is not None:
        metadata["annotations"] = opening.annotations
    hardened: dict[str, Json] = {"securityContext": container_security()}
    template: dict[str, Json] = {
        "metadata": metadata,
        "spec": {
            "securityContext": pod_security(training.user),
            "initContainers": [{"name": HOLD, **hardened}],
            "containers": [{"name": NODE, **hardened}],
        },
    }
    replicated: list[Json] = [{"name": NODE, "template": {"spec": {"template": template}}}]
    return {"manager": MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": replicated}}}}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
