"""What the operators for trainings on a cluster share: what an author may say of them, and the guard before them.

Importing this module needs no provider; `interlock.airflow.cluster_pod` and `interlock.airflow.cluster_job` do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.gate import Json, RunIdentity
    from interlock.runner import GuardRequest
    from interlock.training.cluster import ClusterTraining

ISOLATION = "pod"
"""What the guard is told; no receipt says that anybody measured it (docs/adr/0016)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStep:
    """A training on a cluster as a DAG's author asks for it; the data's digest is not among it.

    Args:
        image: What trains, by digest.
        interlock_image: Image with Interlock in it, by digest.
        command: Program and arguments; ``{data}`` and ``{out}`` become the paths in the pod.
        data_claim: PersistentVolumeClaim that holds the same bytes as `data`, for the pod.
        data_path: Where they lie in it.
        out_claim: PersistentVolumeClaim for the output.
        out_path: Existing folder in it.
        namespace: Where the pod runs.
        environment: Further variables, no secrets.
        cpu: Quantity, request and limit.
        memory: Quantity, request and limit.
        disk: Quantity of ephemeral storage, with the pod's copy of the data.
        gpus: How many.
        gpu_resource: Which resource counts them.
        wall_clock: Seconds after which the cluster ends it.
        user_namespace: Whether the pod gets user ids of its own.
    """

    image: str
    interlock_image: str
    command: Sequence[str]
    data_claim: str
    data_path: str
    out_claim: str
    namespace: str
    out_path: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    cpu: str = "4"
    memory: str = "16Gi"
    disk: str = "20Gi"
    gpus: int = 0
    gpu_resource: str = "nvidia.com/gpu"
    wall_clock: int = 3600
    user_namespace: bool = False

    def training(self, name: str, digest: str) -> ClusterTraining:
        """The training on the bytes of `digest`.

        Args:
            name: RFC 1123 label for its objects.
            digest: sha256 that the pod compares with.

        Raises:
            UsageError: It could not be rendered into a hardened pod.
        """
        from interlock.training.cluster import ClusterData, ClusterTraining, Resources

        return ClusterTraining(
            name=name,
            namespace=self.namespace,
            image=self.image,
            interlock_image=self.interlock_image,
            command=tuple(self.command),
            data=ClusterData(claim=self.data_claim, path=self.data_path, digest=digest),
            out_claim=self.out_claim,
            out_path=self.out_path,
            environment=tuple(self.environment.items()),
            resources=Resources(
                cpu=self.cpu, memory=self.memory, disk=self.disk, gpus=self.gpus, gpu_resource=self.gpu_resource
            ),
            wall_seconds=self.wall_clock,
            user_namespace=self.user_namespace,
        )

    def guard_request(self, data: str, requires: Sequence[str], run: RunIdentity, **more: Json) -> GuardRequest:
        """What the guard is asked."""
        from interlock.runner import GuardRequest

        return GuardRequest(
            kind="training",
            subject=data,
            requires=tuple(requires),
            requested={
                "isolation": ISOLATION,
                "image": self.image,
                "command": list(self.command),
                "gpus": self.gpus,
                **more,
            },
            run=run,
        )


def label_of(task_id: str) -> str:
    """A task's id as an RFC 1123 label that leaves room for a suffix."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in task_id.lower())
    return kept.strip("-")[:40].strip("-") or "training"
