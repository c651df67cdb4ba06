"""What a served model is, and the KServe objects that serve it: values in, objects of Kubernetes out.

A model is named by content: its place has a step ``sha256-<digest>``, as every version in the registry has, so that an
alias that moves changes nothing that runs. Whether it may be served was decided by the guard, whose receipt the
objects carry; `interlock.deployment.kserve_check` says of any InferenceService whether it is still one of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_network

from interlock.gate import Json, UsageError
from interlock.training.cluster import Opening, Resources
from interlock.training.cluster.job import PINNED_IMAGE
from interlock.training.cluster.pod import SUBJECT, container_security, limits_of, pod_security

API_VERSION = "serving.kserve.io/v1beta1"
RECEIPTS = "interlock.dev/receipts"
"""Annotation with the receipts that opened the guard, comma-separated."""

BUNDLE = "interlock.dev/bundle-sha256"
"""Annotation with the digest of the policy bundle that decided."""

LOADER = "interlock"
"""Name of the ClusterStorageContainer that checks what it loads."""

SERVED = "serving.kserve.io/inferenceservice"
"""Label by which KServe marks the pods of an InferenceService."""

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035, as KServe makes a service of it
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCHEMES = ("gs", "https", "pvc", "s3")
_PLACE = re.compile(r"(?P<scheme>[a-z0-9]+)://[^\s?#\\]+")
_QUANTITY = re.compile(r"[1-9][0-9]*(Ki|Mi|Gi|Ti)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One model behind one InferenceService.

    Args:
        name: RFC 1035 label; names the InferenceService.
        namespace: RFC 1123 label.
        storage_uri: Where KServe loads it from: ``s3://``, ``gs://``, ``https://`` or ``pvc://``, with a step
            ``sha256-<digest>``.
        digest: sha256 of the file, or of the folder's manifest, without a prefix.
        model_format: KServe's name for the format, for example ``onnx``; a serving runtime is chosen by it.
        format_version: Version of the format; empty for any.
        runtime: ServingRuntime; empty lets KServe choose.
        image: What serves, by digest, in place of the runtime's own; empty leaves that to the runtime.
        loader: ClusterStorageContainer that loads it, see `storage_container`; empty for KServe's own, which compares
            no digest. Claims are mounted by KServe without one.
        resources: What each pod gets.
        min_replicas: At least so many pods.
        max_replicas: At most so many.
        canary_percent: Share of the traffic that goes to it, the rest to what was served before; None for all.
        callers: Namespaces whose pods may talk to it.
        storage: Networks (CIDR) that its pods may reach, for the storage; none when empty.
        user: User and group number, above 0.
        temporary: Size limit of ``/tmp``.
    """

    name: str
    namespace: str
    storage_uri: str
    digest: str
    model_format: str
    format_version: str = ""
    runtime: str = ""
    image: str = ""
    loader: str = LOADER
    resources: Resources = field(default_factory=lambda: Resources(cpu="2", memory="8Gi", disk="10Gi"))
    min_replicas: int = 1
    max_replicas: int = 1
    canary_percent: int | None = None
    callers: tuple[str, ...] = ()
    storage: tuple[str, ...] = ()
    user: int = 65532
    temporary: str = "1Gi"

    def __post_init__(self) -> None:
        _fits(_LABEL, self.name, "name", "lower-case letters, digits and hyphens, a letter first")
        for namespace in (self.namespace, *self.callers):
            _fits(_NAMESPACE, namespace, "namespace, callers", "lower-case letters, digits and hyphens, at most 63")
        _fits(_DIGEST, self.digest, "digest", "64 hexadecimal digits")
        _fits(_WORD, self.model_format, "model_format", "a name such as onnx")
        for name in ("format_version", "runtime", "loader"):
            if text := getattr(self, name):
                _fits(_WORD, text, name, "letters, digits, dots and hyphens")
        if self.image:
            _fits(PINNED_IMAGE, self.image, "image", "registry/name@sha256:digest")
        _fits(_QUANTITY, self.temporary, "temporary", "a quantity such as 1Gi")
        _check_place(self.storage_uri, self.digest, self.loader)
        for network in self.storage:
            _check_network(network)
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1 or self.user < 1:
            raise UsageError(
                "replicas run from 0 up, and the user is not root", where="min_replicas, max_replicas, user"
            )
        if self.canary_percent is not None and not 0 <= self.canary_percent <= 100:
            raise UsageError("a share of the traffic is 0 to 100", where="canary_percent")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingEvidence:
    """What let a model be served, for the objects that serve it.

    Args:
        opening: The deployment guard that opened, on the model's bytes.
        receipts: Ids of the receipts that opened it.
        bundle: sha256 of the policy bundle that decided.
    """

    opening: Opening
    receipts: tuple[str, ...]
    bundle: str

    @property
    def annotations(self) -> dict[str, Json]:
        """As the admission rules of pack ``kubernetes`` read them, and what people look for."""
        return {**self.opening.annotations, RECEIPTS: ",".join(self.receipts), BUNDLE: self.bundle}


def inference_service(model: ServedModel, evidence: ServingEvidence | None = None) -> dict[str, Json]:
    """The InferenceService of `model`.

    Args:
        model: What to serve.
        evidence: What let it; None before the guard was asked, when policy judges what is going to run.

    Raises:
        UsageError: The guard opened on other bytes.
    """
    if evidence is not None and evidence.opening.subject_digest != model.digest:
        raise UsageError(
            f"the guard opened on sha256:{evidence.opening.subject_digest}, not on what is to be served",
            where=f"sha256:{model.digest}",
        )
    annotations: dict[str, Json] = evidence.annotations if evidence is not None else {SUBJECT: model.digest}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": model.name,
            "namespace": model.namespace,
            "labels": {"app.kubernetes.io/managed-by": "interlock"},
            "annotations": annotations,
        },
        "spec": {"predictor": _predictor(model, annotations)},
    }


def serving_policy(model: ServedModel) -> dict[str, Json]:
    """The network policy around the pods of `model`: its callers come in, the storage is reached, nothing else.

    Names are looked up in the cluster's DNS; without networks of a storage nothing leaves the pods at all.
    """
    dns: Json = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }
    reached: list[Json] = [{"ipBlock": {"cidr": network}} for network in model.storage]
    come_in: list[Json] = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in model.callers
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"interlock-{model.name}",
            "namespace": model.namespace,
            "labels": {"app.kubernetes.io/managed-by": "interlock"},
        },
        "spec": {
            "podSelector": {"matchLabels": {SERVED: model.name}},
            "policyTypes": ["Egress", "Ingress"],
            "egress": [{"to": reached}, dns] if reached else [],
            "ingress": [{"from": come_in}] if come_in else [],
        },
    }


def storage_container(image: str, *, resources: Resources | None = None, user: int = 65532) -> dict[str, Json]:
    """The ClusterStorageContainer that loads a model only if its bytes are those that its place is named by.

    KServe runs it before the model server, with the place and the folder as arguments (`interlock deploy load`). The
    storage's credentials are KServe's to give.

    Args:
        image: Image with Interlock in it, by digest.
        resources: What it gets while it loads.
        user: User and group number, above 0.
    """
    _fits(PINNED_IMAGE, image, "image", "registry/name@sha256:digest")
    uris: list[Json] = [{"regex": f"{scheme}://.+/sha256-[0-9a-f]{{64}}(/.+)?"} for scheme in ("gs", "https", "s3")]
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ClusterStorageContainer",
        "metadata": {"name": LOADER, "labels": {"app.kubernetes.io/managed-by": "interlock"}},
        "spec": {
            "container": {
                "name": "storage-initializer",
                "image": image,
                "command": ["interlock", "deploy", "load"],
                "resources": limits_of(resources or Resources(cpu="1", memory="1Gi", disk="10Gi")),
                "securityContext": {**container_security(), "runAsUser": user, "runAsGroup": user},
            },
            "supportedUriFormats": uris,
            "supportsMultiModelDownload": False,
            "workloadType": "initContainer",
        },
    }


def digest_in(place: str) -> str:
    """The digest that a place is named by: that of its one step ``sha256-<digest>``; empty where there is none."""
    found = [step.removeprefix("sha256-") for step in place.split("/") if step.startswith("sha256-")]
    return found[0] if len(found) == 1 and _DIGEST.fullmatch(found[0]) else ""


def _predictor(model: ServedModel, annotations: dict[str, Json]) -> dict[str, Json]:
    predictor: dict[str, Json] = {
        "annotations": dict(annotations),
        "labels": {"app.kubernetes.io/managed-by": "interlock"},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(model.user),
        "minReplicas": model.min_replicas,
        "maxReplicas": model.max_replicas,
        "model": _server(model),
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": model.temporary}}],
    }
    if model.canary_percent is not None:
        predictor["canaryTrafficPercent"] = model.canary_percent
    if model.loader:
        predictor["storageContainerName"] = model.loader
    return predictor


def _server(model: ServedModel) -> dict[str, Json]:
    version: dict[str, Json] = {"version": model.format_version} if model.format_version else {}
    said: dict[str, Json] = {"runtime": model.runtime, "image": model.image}
    return {
        "modelFormat": {"name": model.model_format, **version},
        "storageUri": model.storage_uri,
        "resources": limits_of(model.resources),
        "securityContext": container_security(),
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "TMPDIR", "value": "/tmp"}],  # noqa: S108 (in the pod)
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
        **{name: value for name, value in said.items() if value},
    }


def _check_place(place: str, digest: str, loader: str) -> None:
    match = _PLACE.fullmatch(place)
    if match is None or match["scheme"] not in _SCHEMES or ".." in place.split("/"):
        raise UsageError(
            f"{place!r} is no place that KServe loads models from",
            where="storage_uri",
            next_step=f"write one of {', '.join(f'{scheme}://' for scheme in _SCHEMES)}",
        )
    if digest_in(place) != digest:
        raise UsageError(
            f"{place!r} is not named by the model's digest, so other bytes may come to lie there",
            where="storage_uri",
            next_step=f"name a version of the registry, with the step sha256-{digest}",
        )
    if match["scheme"] == "pvc" and loader:
        raise UsageError(
            "KServe mounts claims without loading them, so nothing would compare the digest",
            where="storage_uri",
            next_step="serve from an object store, or leave out the loader (--unchecked-storage)",
        )


def _check_network(network: str) -> None:
    try:
        ip_network(network)
    except ValueError as error:
        raise UsageError(
            f"{network!r} is no network: {error}", where="storage", next_step="write 10.1.0.0/16"
        ) from error


def _fits(form: re.Pattern[str], text: str, where: str, wanted: str) -> None:
    if not form.fullmatch(text):
        raise UsageError(f"{text!r} cannot be used", where=where, next_step=f"give {wanted}")
