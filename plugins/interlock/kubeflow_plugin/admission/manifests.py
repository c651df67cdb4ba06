"""What is installed in a cluster so that admission asks the gates: rendered from the policy bundle, so it cannot drift.

Two servers to choose from. Interlock's own webhook looks receipts up; a stock OPA has the bundle and sees the form of
annotations only. Either way the API server refuses when nobody answers, and the ValidatingAdmissionPolicies stand
beside them. Certificates, settings and trusted keys are the cluster's own objects and are named here, never rendered.
"""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from interlock.gate import Json, PolicyError, UsageError
from interlock.kubeflow_plugin.admission.cel import cel_policies, policy_documents
from interlock.policy import Bundle
from interlock.policy.bundles.archive import packed
from interlock.training.cluster import Resources
from interlock.training.cluster.job import PINNED_IMAGE
from interlock.training.cluster.pod import container_security, limits_of, pod_security

NAME = "interlock-admission"
TLS = "interlock-admission-tls"
"""Secret with ``tls.crt`` and ``tls.key``, for ``interlock-admission.<namespace>.svc``."""

SETTINGS = "interlock-settings"
"""Secret with ``config.toml``: a ledger's URL holds a password."""

KEYS = "interlock-trusted-keys"
"""ConfigMap with the public keys; the settings name the folder ``/keys``."""

ENFORCED = "interlock.dev/admission"
"""Label of the namespaces that are asked about, with the value ``enforce``."""

OPA_PATH = "/v0/data/interlock/kubernetes/admission/response"
OWN_PATH = "/admit"
_PORT = 8443
_LABELS: dict[str, Json] = {"app.kubernetes.io/name": NAME}
_ASKED = (
    ("", ("pods", "pods/ephemeralcontainers", "replicationcontrollers")),
    ("apps", ("daemonsets", "deployments", "replicasets", "statefulsets")),
    ("batch", ("cronjobs", "jobs")),
    ("trainer.kubeflow.org", ("trainjobs",)),
    ("serving.kserve.io", ("inferenceservices", "llminferenceservices")),
    ("kubeflow.org", ("*",)),
    ("ray.io", ("*",)),
    ("jobset.x-k8s.io", ("jobsets",)),
)
_AUTHORIZATION = """package system.authz

# Everybody in the cluster can reach the server; nobody may change what it decides by.
default allow := false

allow if {
	input.method == "POST"
	input.path == ["v0", "data", "interlock", "kubernetes", "admission", "response"]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is installed, and for which namespaces.

    Args:
        image: Image with Interlock in it, or of OPA, by digest.
        opa: Whether `image` is a stock OPA, which gets the bundle and looks no receipts up.
        namespace: Where the server runs; it is not asked about itself.
        everywhere: Ask about every namespace but ``kube-system`` and the server's; else about those that carry label
            ``interlock.dev/admission: enforce``.
        ca: PEM of the CA that signed the server's certificate; None leaves it to cert-manager, which is told by
            annotation to write that of Certificate ``interlock-admission``.
        replicas: Pods of the server.
    """

    image: str
    opa: bool = False
    namespace: str = "interlock-system"
    everywhere: bool = False
    ca: bytes | None = None
    replicas: int = 2

    def __post_init__(self) -> None:
        if not PINNED_IMAGE.fullmatch(self.image):
            raise UsageError(
                f"{self.image!r} is not pinned", where="image", next_step="give registry/name@sha256:digest"
            )

    @property
    def selector(self) -> dict[str, Json]:
        """Which namespaces, as a label selector."""
        mine: dict[str, Json] = {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", self.namespace],
        }
        return {"matchExpressions": [mine], **({} if self.everywhere else {"matchLabels": {ENFORCED: "enforce"}})}


def server_documents(installation: Installation, bundle: Bundle) -> list[dict[str, Json]]:
    """The server: its namespace, account, deployment, service and network policy, and the policy that OPA gets.

    Args:
        installation: What is installed.
        bundle: The policy; Interlock's own webhook finds it by its settings instead.
    """
    namespace: dict[str, Json] = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": installation.namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    account = _object("v1", "ServiceAccount", installation)
    account["automountServiceAccountToken"] = False
    port: Json = {"name": "https", "port": 443, "targetPort": "https"}
    service = _object("v1", "Service", installation) | {"spec": {"selector": _LABELS, "ports": [port]}}
    policy = _object("networking.k8s.io/v1", "NetworkPolicy", installation) | {
        "spec": {
            "podSelector": {"matchLabels": _LABELS},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": _PORT}]}],
        }
    }
    documents = [namespace, account, _deployment(installation), service, policy]
    return [*documents, _policy_map(installation, bundle)] if installation.opa else documents


def webhook_document(installation: Installation) -> dict[str, Json]:
    """The ValidatingWebhookConfiguration: nothing is admitted that nobody answered for."""
    metadata: dict[str, Json] = {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "interlock"}}
    client: dict[str, Json] = {
        "service": {
            "name": NAME,
            "namespace": installation.namespace,
            "path": OPA_PATH if installation.opa else OWN_PATH,
        }
    }
    if installation.ca is not None:
        client["caBundle"] = base64.b64encode(installation.ca).decode()
    else:
        metadata["annotations"] = {"cert-manager.io/inject-ca-from": f"{installation.namespace}/{NAME}"}
    rules: list[Json] = [
        {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"],
            "resources": list(resources),
            "scope": "Namespaced",
        }
        for group, resources in _ASKED
    ]
    webhook: dict[str, Json] = {
        "name": "admission.interlock.dev",
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": installation.selector,
        "rules": rules,
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": metadata,
        "webhooks": [webhook],
    }


def policy_documents_of(installation: Installation, bundle: Bundle) -> list[dict[str, Json]]:
    """The ValidatingAdmissionPolicies and their bindings, by the profile that the bundle names for clusters.

    Raises:
        PolicyError: The bundle names none, or its parameters cannot be read.
    """
    profile = bundle.profile(admission_profile(bundle))
    pairs = [policy_documents(policy, installation.selector) for policy in cel_policies(profile)]
    return [document for pair in pairs for document in pair]


def admission_profile(bundle: Bundle) -> str:
    """The profile that judges objects of a cluster, by the bundle's data.

    Raises:
        PolicyError: The bundle names none.
    """
    found: Json = bundle.data
    for step in ("interlock", "kubernetes", "settings", "profile"):
        found = found.get(step) if isinstance(found, Mapping) else None
    if not isinstance(found, str):
        raise PolicyError(
            "the bundle names no profile for clusters", where="data.interlock.kubernetes.settings.profile"
        )
    return found


def _deployment(installation: Installation) -> dict[str, Json]:
    pod: dict[str, Json] = {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(65532),
        "containers": [_opa(installation) if installation.opa else _own(installation)],
        "volumes": _volumes(installation),
    }
    return _object("apps/v1", "Deployment", installation) | {
        "spec": {
            "replicas": installation.replicas,
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        }
    }


def _own(installation: Installation) -> dict[str, Json]:
    probe: Json = {"httpGet": {"path": "/healthz", "port": "https", "scheme": "HTTPS"}}
    return {
        "name": "webhook",
        "image": installation.image,
        "command": ["interlock", "kubernetes", "webhook", "--cert", "/tls/tls.crt", "--key", "/tls/tls.key"],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 (in the pod)
        "ports": [{"name": "https", "containerPort": _PORT}],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "resources": limits_of(Resources(cpu="1", memory="512Mi", disk="1Gi")),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "tls", "mountPath": "/tls", "readOnly": True},
            {"name": "settings", "mountPath": "/etc/interlock", "readOnly": True},
            {"name": "keys", "mountPath": "/keys", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def opa_arguments(*, tls: str, policy: str, address: str, health: str) -> list[str]:
    """How OPA is started: TLS, the bundle, and nobody who may change it.

    Args:
        tls: Folder of the certificate.
        policy: Folder of the bundles.
        address: What it listens on.
        health: What its probes are answered on, with the same certificate.
    """
    return [
        "run",
        "--server",
        f"--addr={address}",
        f"--diagnostic-addr={health}",
        f"--tls-cert-file={tls}/tls.crt",
        f"--tls-private-key-file={tls}/tls.key",
        "--tls-cert-refresh-period=1m",
        "--min-tls-version=1.2",
        "--authorization=basic",
        "--skip-version-check",
        "--bundle",
        f"{policy}/bundle.tar.gz",
        f"{policy}/authorization.tar.gz",
    ]


def _opa(installation: Installation) -> dict[str, Json]:
    probe: Json = {"httpGet": {"path": "/health?bundles", "port": "health", "scheme": "HTTPS"}}
    arguments: list[Json] = [*opa_arguments(tls="/tls", policy="/policy", address=f":{_PORT}", health=":8282")]
    return {
        "name": "opa",
        "image": installation.image,
        "args": arguments,
        "ports": [{"name": "https", "containerPort": _PORT}, {"name": "health", "containerPort": 8282}],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "resources": limits_of(Resources(cpu="1", memory="512Mi", disk="1Gi")),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "tls", "mountPath": "/tls", "readOnly": True},
            {"name": "policy", "mountPath": "/policy", "readOnly": True},
        ],
    }


def _volumes(installation: Installation) -> list[Json]:
    tls: Json = {"name": "tls", "secret": {"secretName": TLS}}
    if installation.opa:
        return [tls, {"name": "policy", "configMap": {"name": f"{NAME}-policy"}}]
    return [
        tls,
        {"name": "settings", "secret": {"secretName": SETTINGS}},
        {"name": "keys", "configMap": {"name": KEYS}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
    ]


def _policy_map(installation: Installation, bundle: Bundle) -> dict[str, Json]:
    files = {"bundle.tar.gz": packed(bundle), "authorization.tar.gz": _authorization()}
    content: dict[str, Json] = {name: base64.b64encode(data).decode() for name, data in files.items()}
    found = _object("v1", "ConfigMap", installation) | {"binaryData": content, "immutable": False}
    found["metadata"] = {"name": f"{NAME}-policy", "namespace": installation.namespace, "labels": _LABELS}
    return found


def _authorization() -> bytes:
    """A bundle of its own, the same bytes each time."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        files = {".manifest": '{"roots": ["system/authz"], "rego_version": 1}', "authz.rego": _AUTHORIZATION}
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(content.getvalue(), mtime=0)


def _object(version: str, kind: str, installation: Installation) -> dict[str, Json]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": NAME, "namespace": installation.namespace, "labels": _LABELS},
    }
