"""The hardened pod, and the network policy that cuts it off.

The Pod Security Standards' profile ``restricted`` (Kubernetes 1.34) and more: a read-only root, no token, no service
links, a deadline, limits on everything, and data that was copied and checked by a container of ours before the
training starts. `interlock.training.cluster.check` says of any pod whether it is still one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from interlock.gate import Json
from interlock.training.cluster.job import DATA, OUT, SOURCE, ClusterTraining, Resources

if TYPE_CHECKING:
    from interlock.evidence import Opened

NETWORK_LABEL = "interlock.dev/network"
NO_NETWORK = "none"
"""Value of `NETWORK_LABEL` that the network policy selects."""

RECEIPT = "interlock.dev/receipt"
SUBJECT = "interlock.dev/subject-sha256"
ENVELOPE = "interlock.dev/envelope-sha256"

HOLD = "hold-data"
"""The init container that copies and checks the data."""

TRAINER = "base"
"""The container that trains, by the name that Airflow's operator looks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a guard that opened left behind, for the objects that start because of it.

    Args:
        receipt_id: The guard's own receipt.
        envelope_digest: sha256 of its envelope.
        subject_digest: sha256 of the bytes that it opened on.
    """

    receipt_id: str
    envelope_digest: str
    subject_digest: str

    @classmethod
    def left_by(cls, opened: Opened) -> Self:
        """What a guard that opened leaves for the objects of the cluster."""
        return cls(
            receipt_id=opened.recorded.receipt_id,
            envelope_digest=opened.recorded.envelope_digest,
            subject_digest=opened.subject.subject.digest,
        )

    @property
    def annotations(self) -> dict[str, Json]:
        """As the admission rules of pack ``kubernetes`` read them, and the envelope's digest."""
        return {RECEIPT: self.receipt_id, SUBJECT: self.subject_digest, ENVELOPE: self.envelope_digest}


def hardened_pod(training: ClusterTraining, opening: Opening) -> dict[str, Json]:
    """The pod that runs `training`, to be created as it is.

    Args:
        training: What to run.
        opening: The guard that opened for it, on the digest that the pod will check.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": training.name,
            "namespace": training.namespace,
            "labels": pod_labels(),
            "annotations": opening.annotations,
        },
        "spec": pod_spec(training, trainer=TRAINER),
    }


def pod_labels() -> dict[str, Json]:
    """By these the network policy knows the pod."""
    return {NETWORK_LABEL: NO_NETWORK, "app.kubernetes.io/managed-by": "interlock"}


def pod_spec(training: ClusterTraining, *, trainer: str) -> dict[str, Json]:
    """The specification of a hardened pod.

    Args:
        training: What to run.
        trainer: Name of the container that trains.
    """
    spec: dict[str, Json] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": training.wall_seconds,
        "terminationGracePeriodSeconds": 30,
        "securityContext": pod_security(training.user),
        "initContainers": [_hold(training)],
        "containers": [_trainer(training, trainer)],
        "volumes": _volumes(training),
    }
    if training.user_namespace:
        spec["hostUsers"] = False
    return spec


def pod_security(user: int) -> dict[str, Json]:
    """The pod's security context; `user` owns what it writes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Json]:
    """The security context of each container; what a pod's says too is said again, so that no container's differs."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def limits_of(resources: Resources) -> dict[str, Json]:
    """Requests and limits, which are the same."""
    amounts: dict[str, Json] = {
        "cpu": resources.cpu,
        "memory": resources.memory,
        "ephemeral-storage": resources.disk,
    }
    if resources.gpus:
        amounts[resources.gpu_resource] = str(resources.gpus)
    return {"requests": amounts, "limits": dict(amounts)}


def deny_all(namespace: str, *, name: str = "interlock-training-no-network") -> dict[str, Json]:
    """The network policy that lets nothing in or out of hardened pods, name look-ups included.

    It selects by label, lists both directions and has no rule. Network policies add up, so another one that selects
    the same pods can open what this one shuts; and a cluster whose network plug-in knows no policies ignores it.

    Args:
        namespace: Where the pods run.
        name: RFC 1123 label.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "interlock"}},
        "spec": {
            "podSelector": {"matchLabels": {NETWORK_LABEL: NO_NETWORK}},
            "policyTypes": ["Egress", "Ingress"],
            "egress": [],
            "ingress": [],
        },
    }


def _hold(training: ClusterTraining) -> dict[str, Json]:
    data = training.data
    copy = ["interlock", "fetch", _literal(str(SOURCE / data.path)), "--digest", f"sha256:{data.digest}"]
    plain = Resources(cpu=training.resources.cpu, memory=training.resources.memory, disk=training.resources.disk)
    return {
        "name": HOLD,
        "image": training.interlock_image,
        "command": [*copy, "--to", _literal(str(DATA / data.name))],
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "TMPDIR", "value": "/tmp"}],  # noqa: S108 (in the pod)
        "resources": limits_of(plain),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "source", "mountPath": str(SOURCE), "readOnly": True},
            {"name": "data", "mountPath": str(DATA)},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _trainer(training: ClusterTraining, name: str) -> dict[str, Json]:
    out: dict[str, Json] = {"name": "out", "mountPath": str(OUT)}
    if training.out_path:
        out["subPath"] = training.out_path
    return {
        "name": name,
        "image": training.image,
        "command": list(words(training)),
        "env": [{"name": name, "value": value} for name, value in _environment(training).items()],
        "resources": limits_of(training.resources),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "data", "mountPath": str(DATA), "readOnly": True},
            out,
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }


def words(training: ClusterTraining) -> tuple[str, ...]:
    """The command as it stands in the container's specification."""
    places = {"{data}": str(DATA / training.data.name), "{out}": str(OUT)}
    filled = []
    for word in training.command:
        for name, path in places.items():
            word = word.replace(name, path)  # noqa: PLW2901 (one word, filled twice)
        filled.append(_literal(word))
    return tuple(filled)


def _literal(text: str) -> str:
    """Kubernetes expands ``$(NAME)`` in commands and values, and takes two dollar signs for one."""
    return text.replace("$", "$$")


def _environment(training: ClusterTraining) -> Mapping[str, str]:
    own = {
        "HOME": "/tmp",  # noqa: S108
        "INTERLOCK_DATA": _literal(str(DATA / training.data.name)),
        "INTERLOCK_OUT": str(OUT),
        "INTERLOCK_SEED": str(training.seed),
        "PYTHONHASHSEED": str(training.seed),
        "TMPDIR": "/tmp",  # noqa: S108
    }
    return own | {name: _literal(value) for name, value in training.environment}


def _volumes(training: ClusterTraining) -> list[Json]:
    disk = training.resources.disk
    return [
        {"name": "source", "persistentVolumeClaim": {"claimName": training.data.claim, "readOnly": True}},
        {"name": "data", "emptyDir": {"sizeLimit": disk}},
        {"name": "out", "persistentVolumeClaim": {"claimName": training.out_claim}},
        {"name": "tmp", "emptyDir": {"sizeLimit": training.scratch}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": training.shared_memory}},
    ]
