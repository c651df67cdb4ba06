"""Ways to weaken a hardened pod, each with the requirement that it breaks; every field of the restricted standard."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Pod = dict[str, Any]
Attack = Callable[[Pod], None]


def at(pod: Pod, path: str) -> tuple[Any, Any]:
    """The object that holds the last step of a path, and that step; numbers are places in lists, ~1 is a slash."""
    steps: list[Any] = [int(s) if s.isdigit() else s.replace("~1", "/") for s in path.split("/")]
    place: Any = pod
    for step in steps[:-1]:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    return place, steps[-1]


def put(path: str, value: Any) -> Attack:
    def attack(pod: Pod) -> None:
        place, last = at(pod, path)
        place[last] = copy.deepcopy(value)

    return attack


def drop(path: str) -> Attack:
    def attack(pod: Pod) -> None:
        place, last = at(pod, path)
        del place[last]

    return attack


def add(path: str, value: Any) -> Attack:
    def attack(pod: Pod) -> None:
        place, last = at(pod, path)
        place.setdefault(last, []).append(copy.deepcopy(value))

    return attack


ELSEWHERE = {"host": "10.0.0.1", "port": 80}
SPEC, SHARED = "spec", "spec/securityContext"
MAIN, FIRST = "spec/containers/0", "spec/initContainers/0"
OWN, FIRSTS = f"{MAIN}/securityContext", f"{FIRST}/securityContext"
DEBUG = {"name": "debug", "image": f"registry.example/x@sha256:{'9' * 64}", "command": ["sh"]}
MORE = {"name": "more", "hostPath": {"path": "/"}}
TOKEN = {"name": "more", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}


def unconfined_everywhere(pod: Pod) -> None:
    for path in (SHARED, OWN):
        put(f"{path}/seccompProfile", {"type": "Unconfined"})(pod)


def seccomp_nowhere(pod: Pod) -> None:
    for path in (SHARED, OWN, FIRSTS):
        drop(f"{path}/seccompProfile")(pod)


def non_root_nowhere(pod: Pod) -> None:
    for path in (SHARED, OWN, FIRSTS):
        drop(f"{path}/runAsNonRoot")(pod)


# Pod Security Standards of Kubernetes 1.34, baseline and restricted, each field of the table.
STANDARD: dict[str, tuple[str, Attack]] = {
    "host process": ("fields", put(f"{SHARED}/windowsOptions", {"hostProcess": True})),
    "host process of a container": ("fields", put(f"{OWN}/windowsOptions", {"hostProcess": True})),
    "host network": ("host", put(f"{SPEC}/hostNetwork", True)),
    "host processes": ("host", put(f"{SPEC}/hostPID", True)),
    "host ipc": ("host", put(f"{SPEC}/hostIPC", True)),
    "privileged": ("privileged", put(f"{OWN}/privileged", True)),
    "privileged init container": ("privileged", put(f"{FIRSTS}/privileged", True)),
    "a capability": ("capabilities", put(f"{OWN}/capabilities/add", ["SYS_ADMIN"])),
    "a capability of the init container": ("capabilities", put(f"{FIRSTS}/capabilities/add", ["NET_RAW"])),
    "capabilities kept": ("capabilities", put(f"{OWN}/capabilities/drop", ["NET_RAW"])),
    "capabilities unsaid": ("capabilities", drop(f"{OWN}/capabilities")),
    "a host path": ("volumes", add("spec/volumes", MORE)),
    "a host port": ("fields", put(f"{MAIN}/ports", [{"containerPort": 22, "hostPort": 22}])),
    "a probe that names a host": ("fields", put(f"{MAIN}/livenessProbe", {"httpGet": ELSEWHERE})),
    "a hook that names a host": (
        "fields", put(f"{MAIN}/lifecycle", {"postStart": {"tcpSocket": ELSEWHERE}}),
    ),
    "apparmor by annotation": (
        "devices", put("metadata/annotations/container.apparmor.security.beta.kubernetes.io~1base", "unconfined"),
    ),
    "apparmor": ("fields", put(f"{OWN}/appArmorProfile", {"type": "Unconfined"})),
    "apparmor of the pod": ("fields", put(f"{SHARED}/appArmorProfile", {"type": "Unconfined"})),
    "selinux type": ("fields", put(f"{OWN}/seLinuxOptions", {"type": "spc_t"})),
    "selinux role of the pod": ("fields", put(f"{SHARED}/seLinuxOptions", {"role": "sysadm_r"})),
    "proc unmasked": ("privileged", put(f"{OWN}/procMount", "Unmasked")),
    "seccomp off": ("seccomp", put(f"{OWN}/seccompProfile", {"type": "Unconfined"})),
    "seccomp off everywhere": ("seccomp", unconfined_everywhere),
    "seccomp of the pod unsaid and of a container null": ("seccomp", put(f"{SHARED}/seccompProfile", None)),
    "seccomp unsaid": ("seccomp", seccomp_nowhere),
    "sysctls": ("fields", put(f"{SHARED}/sysctls", [{"name": "kernel.msgmax", "value": "1"}])),
    "a volume of another type": ("volumes", add("spec/volumes", {"name": "more", "nfs": {"server": "a", "path": "/"}})),
    "escalation": ("escalation", put(f"{OWN}/allowPrivilegeEscalation", True)),
    "escalation unsaid": ("escalation", drop(f"{OWN}/allowPrivilegeEscalation")),
    "root allowed": ("non-root", put(f"{OWN}/runAsNonRoot", False)),
    "root unsaid": ("non-root", non_root_nowhere),
    "root by number": ("non-root", put(f"{SHARED}/runAsUser", 0)),
    "root by number in a container": ("non-root", put(f"{OWN}/runAsUser", 0)),
}  # fmt: skip

BEYOND: dict[str, tuple[str, Attack]] = {
    "a token": ("token", put(f"{SPEC}/automountServiceAccountToken", True)),
    "a token by default": ("token", drop(f"{SPEC}/automountServiceAccountToken")),
    "a projected token": ("volumes", add("spec/volumes", TOKEN)),
    "a secret": ("volumes", add("spec/volumes", {"name": "more", "secret": {"secretName": "token"}})),
    "a writable root": ("root-read-only", put(f"{OWN}/readOnlyRootFilesystem", False)),
    "a writable root by default": ("root-read-only", drop(f"{FIRSTS}/readOnlyRootFilesystem")),
    "service links": ("service-links", drop(f"{SPEC}/enableServiceLinks")),
    "users of the host": ("host", put(f"{SPEC}/hostUsers", True)),
    "shared processes": ("fields", put(f"{SPEC}/shareProcessNamespace", True)),
    "no deadline": ("deadline", drop(f"{SPEC}/activeDeadlineSeconds")),
    "a deadline of nothing": ("deadline", put(f"{SPEC}/activeDeadlineSeconds", 0)),
    "started again": ("restart", put(f"{SPEC}/restartPolicy", "Always")),
    "an image by tag": ("image-pinned", put(f"{MAIN}/image", "registry.example/fraud/train:1")),
    "an init image by tag": ("image-pinned", put(f"{FIRST}/image", "registry.example/interlock:latest")),
    "group root": ("non-root", put(f"{SHARED}/supplementalGroups", [0])),
    "files of group root": ("non-root", put(f"{SHARED}/fsGroup", 0)),
    "no user": ("non-root", drop(f"{SHARED}/runAsUser")),
    "scratch without a limit": ("volumes", put("spec/volumes/3/emptyDir", {})),
    "no limit of memory": ("limits", drop(f"{MAIN}/resources/limits/memory")),
    "no limit of disk": ("limits", drop(f"{MAIN}/resources/limits/ephemeral-storage")),
    "more limit than request": ("limits", put(f"{MAIN}/resources/limits/memory", "512Gi")),
    "more gpus than asked": ("limits", put(f"{MAIN}/resources/limits/nvidia.com~1gpu", "8")),
    "devices by claim": ("fields", put(f"{SPEC}/resourceClaims", [{"name": "gpu"}])),
    "devices of a container by claim": ("limits", put(f"{MAIN}/resources/claims", [{"name": "gpu"}])),
    "devices by variable": ("devices", add(f"{MAIN}/env", {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"})),
    "devices by annotation": ("devices", put("metadata/annotations/cdi.k8s.io~1gpu", "nvidia.com/gpu=all")),
    "a secret by variable": (
        "environment", add(f"{MAIN}/env", {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
    ),
    "variables from elsewhere": ("fields", put(f"{MAIN}/envFrom", [{"secretRef": {"name": "s"}}])),
    "the network label gone": ("no-network-label", drop("metadata/labels/interlock.dev~1network")),
    "another network label": ("no-network-label", put("metadata/labels/interlock.dev~1network", "all")),
    "no receipt": ("receipt", drop("metadata/annotations/interlock.dev~1receipt")),
    "a receipt of no form": ("receipt", put("metadata/annotations/interlock.dev~1receipt", "yes")),
    "no annotations": ("receipt", drop("metadata/annotations")),
    "a sidecar": ("as-rendered", add("spec/containers", DEBUG)),
    "a second init container": ("digest-checked", add("spec/initContainers", DEBUG)),
    "a debug container": ("fields", put(f"{SPEC}/ephemeralContainers", [DEBUG])),
    "no init container": ("digest-checked", put("spec/initContainers", [])),
    "another digest": ("digest-checked", put(f"{FIRST}/command/4", f"sha256:{'0' * 64}")),
    "another program": ("digest-checked", put(f"{FIRST}/command", ["cp", "/interlock/source", "/interlock/data"])),
    "a shell around the check": ("digest-checked", put(f"{FIRST}/command", ["sh", "-c", "interlock fetch || true"])),
    "another image for the check": ("as-rendered", put(f"{FIRST}/image", f"registry.example/evil@sha256:{'8' * 64}")),
    "another program that trains": ("as-rendered", put(f"{MAIN}/command", ["python", "-c", "import evil"])),
    "further arguments": ("as-rendered", put(f"{MAIN}/args", ["--steal"])),
    "data that can be written": ("data-read-only", put(f"{MAIN}/volumeMounts/0/readOnly", False)),
    "a source that can be written": ("data-read-only", put("spec/volumes/0/persistentVolumeClaim/readOnly", False)),
    "a source mount that can be written": ("data-read-only", drop(f"{FIRST}/volumeMounts/0/readOnly")),
    "the source itself instead of the copy": ("claims", put(f"{MAIN}/volumeMounts/0/name", "source")),
    "another claim over the data": (
        "data-read-only", put(f"{MAIN}/volumeMounts/1", {"name": "out", "mountPath": "/interlock/data/train.csv"}),
    ),
    "another claim for the output": ("as-rendered", put("spec/volumes/2/persistentVolumeClaim/claimName", "prod")),
    "a mount that spreads": ("fields", put(f"{MAIN}/volumeMounts/2/mountPropagation", "Bidirectional")),
    "a block device": ("fields", put(f"{MAIN}/volumeDevices", [{"name": "data", "devicePath": "/dev/sda"}])),
    "a terminal": ("fields", put(f"{MAIN}/stdin", True)),
    "a field that nobody knows": ("fields", put(f"{SPEC}/newIn2027", True)),
}  # fmt: skip

ATTACKS = STANDARD | BEYOND


def weakened(pod: Pod, attack: Attack) -> Pod:
    """A copy of `pod` after `attack`."""
    changed = copy.deepcopy(pod)
    attack(changed)
    return changed
