"""Which requirement of a hardened pod a given pod breaks.

Asked before a pod is created and again of the pod that the API server holds, since hooks, webhooks and whoever wrote
the pipeline may change it in between. A field that is not known here counts as broken: what nobody thought of is no
exception. Everything that pack ``kubernetes`` refuses is refused here too; this asks for more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.training.cluster.job import DATA, PINNED_IMAGE, ClusterTraining
from interlock.training.cluster.pod import HOLD, NETWORK_LABEL, NO_NETWORK, RECEIPT, SUBJECT, pod_spec

_Object = Mapping[str, Any]

_POD_FIELDS = frozenset(
    {
        *("activeDeadlineSeconds", "automountServiceAccountToken", "containers", "enableServiceLinks", "hostIPC"),
        *("hostNetwork", "hostPID", "hostUsers", "initContainers", "restartPolicy", "securityContext", "volumes"),
        # What schedules a pod or is added by the API server, and weakens nothing.
        *("affinity", "dnsPolicy", "imagePullSecrets", "nodeName", "nodeSelector", "overhead", "preemptionPolicy"),
        *("priority", "priorityClassName", "runtimeClassName", "schedulerName", "schedulingGates", "serviceAccount"),
        *("serviceAccountName", "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints"),
    }
)
_CONTAINER_FIELDS = frozenset(
    {
        *("args", "command", "env", "image", "name", "resources", "securityContext", "volumeMounts"),
        *("imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"),
    }
)
_POD_SECURITY = frozenset(
    {
        *("fsGroup", "fsGroupChangePolicy", "supplementalGroups"),
        *("runAsGroup", "runAsNonRoot", "runAsUser", "seccompProfile"),
    }
)
_CONTAINER_SECURITY = frozenset(
    {
        *("allowPrivilegeEscalation", "capabilities", "privileged", "procMount", "readOnlyRootFilesystem"),
        *("runAsGroup", "runAsNonRoot", "runAsUser", "seccompProfile"),
    }
)
_MOUNT_FIELDS = frozenset({"mountPath", "name", "readOnly", "recursiveReadOnly", "subPath"})
_RECEIPT = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")  # as pack ``kubernetes`` wants it: a ULID
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECCOMP = frozenset({"RuntimeDefault", "Localhost"})
_AMOUNTS = frozenset({"cpu", "memory", "ephemeral-storage"})
_NO_DEVICES = frozenset({"none", "void"})
_DEVICES_BY_ANNOTATION = ("cdi.k8s.io/", "container.apparmor.security.beta.kubernetes.io/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """One requirement that a pod breaks.

    Args:
        requirement: Its name in `REQUIREMENTS`.
        where: Path of the field.
        message: What is asked for.
    """

    requirement: str
    where: str
    message: str


REQUIREMENTS = {
    "as-rendered": "the containers run what was asked for, with the mounts that they were given",
    "capabilities": "capabilities must drop ALL and add none",
    "claims": "claims are mounted from the pod's own volumes; the source only in the container that copies",
    "data-read-only": "the source's claim and the training's view of the data must be read-only",
    "deadline": "activeDeadlineSeconds must be a number above 0",
    "devices": "no devices but counted ones: no annotations, no NVIDIA_VISIBLE_DEVICES",
    "digest-checked": "the one init container must copy the data by the digest that the pod is annotated with",
    "environment": "variables must hold plain values",
    "escalation": "allowPrivilegeEscalation must be false",
    "fields": "only fields that a hardened pod has",
    "host": "no namespace of the host",
    "image-pinned": "images must be registry/name@sha256:digest",
    "limits": "requests must be limits, and cpu, memory and ephemeral-storage have some",
    "no-network-label": f"label {NETWORK_LABEL} must be {NO_NETWORK}, so that the network policy selects the pod",
    "non-root": "runAsNonRoot must be true, and no user and no group may be 0",
    "privileged": "privileged must be false, procMount Default",
    "receipt": f"annotations {RECEIPT} and {SUBJECT} must name the guard's receipt and the bytes it opened on",
    "restart": "restartPolicy must be Never",
    "root-read-only": "readOnlyRootFilesystem must be true",
    "seccomp": "seccompProfile.type must be RuntimeDefault or Localhost",
    "service-links": "enableServiceLinks must be false",
    "shape": "an object of the API's own shape",
    "token": "automountServiceAccountToken must be false",
    "volumes": "only claims, and emptyDir with a sizeLimit",
}
"""What a hardened pod must be, by name."""


def hardened_findings(pod: object, training: ClusterTraining | None = None) -> tuple[Weakness, ...]:
    """Every requirement that `pod` breaks; empty for a hardened one.

    Args:
        pod: A Pod as the API spells it, or a pod template with ``metadata`` and ``spec``; untrusted.
        training: What it was made for; then image, command, variables and mounts must be those, too.
    """
    found = {
        (weakness.requirement, weakness.where): weakness
        for weakness in (*_of_metadata(pod), *_of_spec(pod), *_of_purpose(pod, training))
    }
    return tuple(found[key] for key in sorted(found))


def _weak(requirement: str, where: str) -> Weakness:
    return Weakness(requirement=requirement, where=where, message=REQUIREMENTS[requirement])


def _of_metadata(pod: object) -> Iterator[Weakness]:
    metadata = _object(_object(pod).get("metadata"))
    if _object(metadata.get("labels")).get(NETWORK_LABEL) != NO_NETWORK:
        yield _weak("no-network-label", "metadata.labels")
    for part in ("labels", "annotations"):
        texts = metadata.get(part, {})
        if not isinstance(texts, Mapping) or not all(isinstance(text, str) for text in texts.values()):
            yield _weak("shape", f"metadata.{part}")
    annotations = _object(metadata.get("annotations"))
    forms = {RECEIPT: _RECEIPT, SUBJECT: _DIGEST} if annotations or _object(pod).get("kind") == "Pod" else {}
    if any(not form.fullmatch(str(annotations.get(name))) for name, form in forms.items()):
        yield _weak("receipt", "metadata.annotations")
    for name in annotations:
        if str(name).startswith(_DEVICES_BY_ANNOTATION):
            yield _weak("devices", f"metadata.annotations.{name}")


def _of_spec(pod: object) -> Iterator[Weakness]:
    spec = _object(_object(pod).get("spec"))
    security = spec.get("securityContext")
    for name, holds in _POD_CHECKS.items():
        if not holds(spec):
            yield _weak(name, "spec")
    yield from _strangers(spec, _POD_FIELDS, "spec")
    yield from _strangers(_object(security), _POD_SECURITY, "spec.securityContext")
    for index, volume in enumerate(_objects(spec.get("volumes"))):
        if not _plain_volume(volume):
            yield _weak("volumes", f"spec.volumes[{index}]")
    for place, container in _containers(spec):
        yield from _of_container(container, spec, place)


def _of_container(container: _Object, spec: _Object, place: str) -> Iterator[Weakness]:
    yield from _strangers(container, _CONTAINER_FIELDS, place)
    yield from _strangers(_object(container.get("securityContext")), _CONTAINER_SECURITY, f"{place}.securityContext")
    for name, holds in _CONTAINER_CHECKS.items():
        if not holds(container, spec):
            yield _weak(name, place)
    for index, variable in enumerate(_objects(container.get("env", []))):
        if set(variable) - {"name", "value"} or not isinstance(variable.get("value", ""), str):
            yield _weak("environment", f"{place}.env[{index}]")
        if variable.get("name") == "NVIDIA_VISIBLE_DEVICES" and str(variable.get("value")) not in _NO_DEVICES:
            yield _weak("devices", f"{place}.env[{index}]")
    for index, mount in enumerate(_objects(container.get("volumeMounts", []))):
        yield from _strangers(mount, _MOUNT_FIELDS, f"{place}.volumeMounts[{index}]")


def _of_purpose(pod: object, training: ClusterTraining | None) -> Iterator[Weakness]:
    """The data is copied, checked, and then only read; and the containers are those that were asked for."""
    spec = _object(_object(pod).get("spec"))
    first, trains = _objects(spec.get("initContainers")), _objects(spec.get("containers"))
    digest = _object(_object(_object(pod).get("metadata")).get("annotations")).get(SUBJECT)
    digest = training.data.digest if training is not None and digest is None else digest
    if len(first) != 1 or not _checks(first[0], digest):
        yield _weak("digest-checked", "spec.initContainers")
    volumes = _objects(spec.get("volumes"))
    sources = {_name(volume) for volume in volumes if _read_only_claim(volume)}
    if not _only_read([mount for mount in _mounts(first) if _name(mount) in sources]):
        yield _weak("data-read-only", "spec.initContainers.volumeMounts")
    held = {_name(mount) for mount in _mounts(first) if mount.get("mountPath") == str(DATA)}
    views = [m for m in _mounts(trains) if _name(m) in held or str(m.get("mountPath")).startswith(str(DATA))]
    if not _only_read(views) or not {_name(mount) for mount in views} <= held:
        yield _weak("data-read-only", "spec.containers.volumeMounts")
    unknown = {_name(mount) for mount in _mounts([*first, *trains])} - {_name(volume) for volume in volumes}
    if unknown or sources & {_name(mount) for mount in _mounts(trains)}:
        yield _weak("claims", "spec.containers.volumeMounts")
    if training is not None:
        yield from _departures(spec, training)


def _only_read(mounts: Sequence[_Object]) -> bool:
    """Whether there is at least one, and none that could be written."""
    return bool(mounts) and all(mount.get("readOnly") is True for mount in mounts)


def _departures(spec: _Object, training: ClusterTraining) -> Iterator[Weakness]:
    """Where the containers and volumes are not those that `training` is rendered to."""
    trains = _objects(spec.get("containers"))
    name = str(trains[0].get("name")) if len(trains) == 1 else ""
    asked = pod_spec(training, trainer=name)
    for kind in ("initContainers", "containers"):
        for index, wanted in enumerate(_objects(asked[kind])):
            given = dict(enumerate(_objects(spec.get(kind)))).get(index, {})
            for field in ("image", "command", "args", "env", "volumeMounts"):
                if given.get(field) != wanted.get(field):
                    yield _weak("as-rendered", f"spec.{kind}[{index}].{field}")
        if len(_objects(spec.get(kind))) != 1:
            yield _weak("as-rendered", f"spec.{kind}")
    if [_claim(v) for v in _objects(spec.get("volumes"))] != [_claim(v) for v in _objects(asked["volumes"])]:
        yield _weak("as-rendered", "spec.volumes")
    if training.user_namespace and spec.get("hostUsers") is not False:
        yield _weak("host", "spec.hostUsers")


def _claim(volume: _Object) -> tuple[str, object]:
    return _name(volume), volume.get("persistentVolumeClaim")


def _checks(container: _Object, digest: object) -> bool:
    """Whether the container is ours and compares with `digest`."""
    command = container.get("command")
    return (
        container.get("name") == HOLD
        and not container.get("args")
        and isinstance(command, list)
        and len(command) == 7
        and command[:2] == ["interlock", "fetch"]
        and command[3:6] == ["--digest", f"sha256:{digest}", "--to"]
    )


def _read_only_claim(volume: _Object) -> bool:
    return _object(volume.get("persistentVolumeClaim")).get("readOnly") is True


def _plain_volume(volume: _Object) -> bool:
    kinds = set(volume) - {"name"}
    if kinds == {"persistentVolumeClaim"}:
        return isinstance(_object(volume["persistentVolumeClaim"]).get("claimName"), str)
    return kinds == {"emptyDir"} and _some(_object(volume["emptyDir"]).get("sizeLimit"))


def _strangers(thing: _Object, known: frozenset[str], place: str) -> Iterator[Weakness]:
    for name in sorted(map(str, set(thing) - known)):
        yield _weak("fields", f"{place}.{name}")


def _number(value: object, *, above: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > above


def _off(thing: _Object, name: str) -> bool:
    return name not in thing or thing[name] is False


def _said(container: _Object, spec: _Object, name: str) -> list[Any]:
    """What the pod and the container say of a setting that either may; what a pod says must be sound, too."""
    contexts = (_object(spec.get("securityContext")), _object(container.get("securityContext")))
    return [context[name] for context in contexts if name in context]


def _some(quantity: object) -> bool:
    return isinstance(quantity, (str, int)) and not isinstance(quantity, bool) and str(quantity) not in {"", "0"}


def _ids(context: _Object, names: Sequence[str]) -> bool:
    return all(_number(context[name]) for name in names if name in context)


def _pod_ids(spec: _Object) -> bool:
    context = _object(spec.get("securityContext"))
    groups = context.get("supplementalGroups", [])
    named = _ids(context, ("runAsUser", "runAsGroup", "fsGroup"))
    return named and "runAsUser" in context and isinstance(groups, list) and all(map(_number, groups))


def _shaped(spec: _Object) -> bool:
    lists = (spec.get("containers"), spec.get("initContainers"), spec.get("volumes"))
    things = [item for listed in lists if isinstance(listed, list) for item in listed]
    return all(isinstance(listed, list) and listed for listed in lists) and all(isinstance(t, Mapping) for t in things)


_POD_CHECKS: dict[str, Callable[[_Object], bool]] = {
    "shape": _shaped,
    "token": lambda spec: spec.get("automountServiceAccountToken") is False,
    "service-links": lambda spec: spec.get("enableServiceLinks") is False,
    "host": lambda spec: all(_off(spec, name) for name in ("hostNetwork", "hostPID", "hostIPC", "hostUsers")),
    "restart": lambda spec: spec.get("restartPolicy") == "Never",
    "deadline": lambda spec: _number(spec.get("activeDeadlineSeconds")),
    "non-root": _pod_ids,
}


def _same_amounts(container: _Object, _: _Object) -> bool:
    resources = _object(container.get("resources"))
    limits = _object(resources.get("limits"))
    some = all(_some(limits.get(name)) for name in _AMOUNTS)
    return set(resources) == {"requests", "limits"} and resources["requests"] == limits and some


def _drops_all(container: _Object, _: _Object) -> bool:
    capabilities = _object(_object(container.get("securityContext")).get("capabilities"))
    dropped = capabilities.get("drop")
    return isinstance(dropped, list) and "ALL" in dropped and not capabilities.get("add")


def _not_root(container: _Object, spec: _Object) -> bool:
    own = _object(container.get("securityContext"))
    said = _said(container, spec, "runAsNonRoot")
    return bool(said) and all(value is True for value in said) and _ids(own, ("runAsUser", "runAsGroup"))


def _confined(container: _Object, spec: _Object) -> bool:
    said = _said(container, spec, "seccompProfile")
    return bool(said) and all(str(_object(profile).get("type")) in _SECCOMP for profile in said)


def _unprivileged(container: _Object, _: _Object) -> bool:
    own = _object(container.get("securityContext"))
    return _off(own, "privileged") and own.get("procMount", "Default") == "Default"


_CONTAINER_CHECKS: dict[str, Callable[[_Object, _Object], bool]] = {
    "escalation": lambda container, _: (
        _object(container.get("securityContext")).get("allowPrivilegeEscalation") is False
    ),
    "capabilities": _drops_all,
    "root-read-only": lambda container, _: (
        _object(container.get("securityContext")).get("readOnlyRootFilesystem") is True
    ),
    "non-root": _not_root,
    "privileged": _unprivileged,
    "seccomp": _confined,
    "image-pinned": lambda container, _: PINNED_IMAGE.fullmatch(str(container.get("image"))) is not None,
    "limits": _same_amounts,
    "shape": lambda container, _: all(
        isinstance(listed, list) and all(isinstance(item, Mapping) for item in listed)
        for listed in (container.get("env", []), container.get("volumeMounts", []))
    ),
}


def _containers(spec: _Object) -> Iterator[tuple[str, _Object]]:
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(_objects(spec.get(kind))):
            yield f"spec.{kind}[{index}]", container


def _mounts(containers: Sequence[_Object]) -> list[_Object]:
    return [mount for container in containers for mount in _objects(container.get("volumeMounts", []))]


def _name(thing: _Object) -> str:
    return str(thing.get("name"))


def _object(value: object) -> _Object:
    """`value`, or an object without fields, so that a wrong type fails each check that wanted something in it."""
    return value if isinstance(value, Mapping) else {}


def _objects(value: object) -> list[_Object]:
    """The items of a list as objects; what is no list has none, which `shape` tells of."""
    return [_object(item) for item in value] if isinstance(value, list) else []
