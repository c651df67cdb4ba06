"""What a training on a cluster is: one image, one command, one claim with data, one claim for the output.

Values only. A value that could not be rendered into a hardened pod cannot be made; whether the training may start is
for the guard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from interlock.gate import UsageError
from interlock.training.spec import check_name

DATA = PurePosixPath("/interlock/data")
OUT = PurePosixPath("/interlock/out")
SOURCE = PurePosixPath("/interlock/source")
"""Where the data's claim is mounted, in the container that copies and in no other."""

PINNED_IMAGE = re.compile(
    r"(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(\.[a-z0-9-]+)*:[0-9]+)"
    r"(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?@sha256:[0-9a-f]{64}"
)
"""Registry, path, perhaps a tag, and the digest; the form that policy rule ``training.image`` asks for."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123
_QUANTITY = re.compile(r"[1-9][0-9]*(m|Ki|Mi|Gi|Ti)?")
_RESOURCE = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RESERVED = frozenset({"HOME", "TMPDIR", "PYTHONHASHSEED", "NVIDIA_VISIBLE_DEVICES"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a pod gets; each is request and limit at once, so that nothing is lent by a neighbour or taken from one.

    Args:
        cpu: Kubernetes quantity.
        memory: Kubernetes quantity; files in ``/dev/shm`` count.
        disk: Ephemeral storage of the pod's volumes, logs and copy of the data.
        gpus: How many of `gpu_resource`.
        gpu_resource: ``nvidia.com/gpu``, or a MIG profile such as ``nvidia.com/mig-1g.10gb``.
    """

    cpu: str = "4"
    memory: str = "16Gi"
    disk: str = "20Gi"
    gpus: int = 0
    gpu_resource: str = "nvidia.com/gpu"

    def __post_init__(self) -> None:
        for name in ("cpu", "memory", "disk"):
            _fits(_QUANTITY, getattr(self, name), name, "a quantity such as 500m, 4 or 16Gi")
        _fits(_RESOURCE, self.gpu_resource, "gpu_resource", "a resource such as nvidia.com/gpu")
        if self.gpus < 0:
            raise UsageError("a pod cannot have fewer than no GPUs", where="gpus")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterData:
    """The dataset, as the cluster sees it.

    Args:
        claim: PersistentVolumeClaim that holds it; it is mounted read-only.
        path: Where it lies in the claim, relative; its last part is the name that the training sees.
        digest: sha256 that the guard opened on, without a prefix; the pod copies these bytes or does not train.
    """

    claim: str
    path: str
    digest: str

    def __post_init__(self) -> None:
        _fits(_LABEL, self.claim, "data.claim", "the name of a PersistentVolumeClaim")
        _fits(_DIGEST, self.digest, "data.digest", "64 hexadecimal digits")
        parts = PurePosixPath(self.path).parts
        if not parts or ".." in parts or self.path.startswith("/"):
            raise UsageError(
                f"{self.path!r} is no place within a claim", where="data.path", next_step="give a relative path"
            )

    @property
    def name(self) -> str:
        """What the copy is called."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTraining:
    """One training on a cluster, on one node.

    Args:
        name: RFC 1123 label; names the objects.
        namespace: RFC 1123 label.
        image: What trains, by digest.
        command: Program and arguments. ``{data}`` and ``{out}`` become the paths in the pod.
        data: The dataset.
        out_claim: PersistentVolumeClaim for the output. How large it may become is how large that claim is.
        out_path: Folder within `out_claim`, relative; it must exist and be writable for `user`.
        interlock_image: Image with Interlock in it, by digest; it copies and checks the data.
        environment: Further variables. Everybody who may read pods sees them, so no secrets.
        resources: What it gets.
        wall_seconds: After this long the cluster ends it.
        scratch: Size limit of ``/tmp``.
        shared_memory: Size limit of ``/dev/shm``; it counts as memory.
        user: User and group number, above 0.
        user_namespace: Whether root in the pod is nobody on the node (Kubernetes 1.33 and a runtime that can do it).
        seed: Python's hash seed, and ``INTERLOCK_SEED``.
    """

    name: str
    namespace: str
    image: str
    command: tuple[str, ...]
    data: ClusterData
    out_claim: str
    interlock_image: str
    out_path: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    resources: Resources = field(default_factory=Resources)
    wall_seconds: int = 3600
    scratch: str = "10Gi"
    shared_memory: str = "1Gi"
    user: int = 65532
    user_namespace: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("name", "namespace", "out_claim"):
            _fits(_LABEL, getattr(self, name), name, "lower-case letters, digits and hyphens, at most 63")
        for name in ("image", "interlock_image"):
            _fits(PINNED_IMAGE, getattr(self, name), name, "registry/name@sha256:digest")
        for name in ("scratch", "shared_memory"):
            _fits(_QUANTITY, getattr(self, name), name, "a quantity such as 10Gi")
        if not self.command:
            raise UsageError("there is nothing to run", where="command")
        if self.out_claim == self.data.claim:
            raise UsageError("the output would lie beside the data", where="out_claim", next_step="use another claim")
        if self.wall_seconds < 1 or self.user < 1:
            raise UsageError("a pod needs a deadline and a user that is not root", where="wall_seconds, user")
        if ".." in PurePosixPath(self.out_path).parts or self.out_path.startswith("/"):
            raise UsageError(f"{self.out_path!r} is no place within a claim", where="out_path")
        _check_environment(self.environment)


def _check_environment(environment: tuple[tuple[str, str], ...]) -> None:
    names = [name for name, _ in environment]
    for name in names:
        check_name(name)
        if name in _RESERVED:
            raise UsageError("this variable is not the training's to set", where=f"environment: {name}")
    if len(set(names)) != len(names):
        raise UsageError("a variable is set twice", where="environment")


def _fits(form: re.Pattern[str], text: str, where: str, wanted: str) -> None:
    if not form.fullmatch(text):
        raise UsageError(f"{text!r} cannot be used", where=where, next_step=f"give {wanted}")
