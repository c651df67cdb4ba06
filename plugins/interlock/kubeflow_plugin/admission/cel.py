"""What of the admission rules needs no receipt, as ValidatingAdmissionPolicies: the API server decides by itself.

The expressions are made from the same profile that pack ``kubernetes`` reads, so they cannot drift from it, and they
refuse nothing that the pack lets pass. They stand when the webhook is down. CEL cannot walk an object to any depth and
looks up nothing, so the pack stays the whole of it: patches of TrainJobs, kinds that nobody listed, changes of what
runs under a receipt, and the receipts themselves are the webhook's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interlock.gate import Json, PolicyError

_RECEIPT = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
_DIGEST = "^[0-9a-f]{64}$"
_NAMES = {"interlock.dev/receipt": _RECEIPT, "interlock.dev/subject-sha256": _DIGEST}


@dataclass(frozen=True, slots=True, kw_only=True)
class CelRule:
    """One expression that must hold.

    Args:
        rule: Id of the pack's rule that refuses the same.
        expression: CEL over ``object`` and ``variables``.
        message: For whoever is refused.
    """

    rule: str
    expression: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CelPolicy:
    """One ValidatingAdmissionPolicy.

    Args:
        name: Of the policy and its binding.
        group: API group; empty for the core.
        version: API version.
        resources: Plural names, with subresources.
        variables: Names and expressions, in the order in which they are computed.
        rules: What must hold.
    """

    name: str
    group: str
    version: str
    resources: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    rules: tuple[CelRule, ...]


def cel_policies(profile: Mapping[str, Json]) -> tuple[CelPolicy, ...]:
    """The policies by one profile of the bundle's data.

    Args:
        profile: With its sections ``kubernetes`` and ``images``.

    Raises:
        PolicyError: A parameter is missing or of another type.
    """
    return (
        _of_pods("interlock-pods", "", "v1", ("pods", "pods/ephemeralcontainers"), "object", profile),
        _of_pods(
            "interlock-workloads",
            "apps",
            "v1",
            ("daemonsets", "deployments", "replicasets", "statefulsets"),
            "object.spec.template",
            profile,
        ),
        _of_pods("interlock-jobs", "batch", "v1", ("jobs",), "object.spec.template", profile),
        _of_pods("interlock-cronjobs", "batch", "v1", ("cronjobs",), "object.spec.jobTemplate.spec.template", profile),
        _of_train_jobs(profile),
        _of_services(profile),
    )


def policy_documents(policy: CelPolicy, selector: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The ValidatingAdmissionPolicy and its binding.

    Args:
        policy: What must hold.
        selector: Which namespaces, as a label selector.
    """
    labels: Json = {"app.kubernetes.io/managed-by": "interlock"}
    rules: Json = {
        "apiGroups": [policy.group],
        "apiVersions": [policy.version],
        "operations": ["CREATE", "UPDATE"],
        "resources": list(policy.resources),
    }
    variables: list[Json] = [{"name": name, "expression": expression} for name, expression in policy.variables]
    validations: list[Json] = [
        {"expression": one.expression, "message": f"[{one.rule}] {one.message}", "reason": "Forbidden"}
        for one in policy.rules
    ]
    api = "admissionregistration.k8s.io/v1"
    spec: dict[str, Json] = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rules], "matchPolicy": "Equivalent"},
        "variables": variables,
        "validations": validations,
    }
    binding: dict[str, Json] = {
        "policyName": policy.name,
        "validationActions": ["Deny", "Audit"],
        "matchResources": {"namespaceSelector": dict(selector)},
    }
    return (
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": policy.name, "labels": labels},
            "spec": spec,
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": policy.name, "labels": labels},
            "spec": binding,
        },
    )


def _of_pods(  # noqa: PLR0917 (what a policy is of, in the order of its API)
    name: str, group: str, version: str, resources: tuple[str, ...], pod: str, profile: Mapping[str, Json]
) -> CelPolicy:
    spec = f"{pod}.spec"
    shared = f"{spec}.securityContext"
    variables = (
        ("containers", f"{spec}.containers + {_or(spec, 'initContainers')} + {_or(spec, 'ephemeralContainers')}"),
        ("volumes", _or(spec, "volumes")),
        ("annotations", _annotations(pod)),
        ("gpu", _gpu(spec, profile)),
    )
    return CelPolicy(
        name=name,
        group=group,
        version=version,
        resources=resources,
        variables=variables,
        rules=(
            _security(f"has({spec}.automountServiceAccountToken) && {spec}.automountServiceAccountToken == false",
                      "automountServiceAccountToken must be false"),
            *_host(spec),
            *_containers(spec, shared, profile),
            _volumes(profile),
            *_images("c.image", profile, each="variables.containers.all(c, has(c.image) && {})"),
            _environment("variables.containers", profile),
            _receipt("!variables.gpu", "what asks for a GPU"),
        ),
    )  # fmt: skip


def _containers(spec: str, shared: str, profile: Mapping[str, Json]) -> tuple[CelRule, ...]:
    own = "c.securityContext"
    said = f"has({spec}.securityContext) && has({shared}."
    non_root = f"({said}runAsNonRoot) && {shared}.runAsNonRoot == true)"
    seccomp = f"({said}seccompProfile) && {shared}.seccompProfile.type in ['RuntimeDefault', 'Localhost'])"
    rules = [
        (
            f"has({own}) && has({own}.allowPrivilegeEscalation) && {own}.allowPrivilegeEscalation == false",
            "securityContext.allowPrivilegeEscalation must be false",
        ),
        (
            f"has({own}) && (!has({own}.privileged) || {own}.privileged == false)"
            f" && (!has({own}.procMount) || {own}.procMount == 'Default')",
            "securityContext must not be privileged",
        ),
        (
            f"has({own}) && has({own}.capabilities) && has({own}.capabilities.drop)"
            f" && 'ALL' in {own}.capabilities.drop && (!has({own}.capabilities.add)"
            f" || {own}.capabilities.add.all(one, one == 'NET_BIND_SERVICE'))",
            "securityContext.capabilities must drop ALL, and add nothing but NET_BIND_SERVICE",
        ),
        (
            f"(has({own}) && has({own}.runAsNonRoot)) ? {own}.runAsNonRoot == true : {non_root}",
            "securityContext.runAsNonRoot must be true",
        ),
        (
            f"(!has({own}) || !has({own}.runAsUser) || {own}.runAsUser > 0)"
            f" && (!has({spec}.securityContext) || !has({shared}.runAsUser) || {shared}.runAsUser > 0)",
            "runAsUser must not be 0",
        ),
        (
            f"(has({own}) && has({own}.seccompProfile))"
            f" ? {own}.seccompProfile.type in ['RuntimeDefault', 'Localhost'] : {seccomp}",
            "securityContext.seccompProfile.type must be RuntimeDefault or Localhost",
        ),
        ("!has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0)", "hostPort must be 0"),
    ]
    if _section(profile, "kubernetes").get("read_only_root_filesystem") is not False:
        rules.append(
            (
                f"has({own}) && has({own}.readOnlyRootFilesystem) && {own}.readOnlyRootFilesystem == true",
                "securityContext.readOnlyRootFilesystem must be true",
            )
        )
    return tuple(
        _security(f"variables.containers.all(c, {expression})", f"each container: {text}") for expression, text in rules
    )


def _of_train_jobs(profile: Mapping[str, Json]) -> CelPolicy:
    """Its image may be completed by a runtime, so images are judged where the pods are."""
    trainer = "object.spec.trainer"
    waits = "(has(object.spec.suspend) && object.spec.suspend == true)"
    return CelPolicy(
        name="interlock-trainjobs",
        group="trainer.kubeflow.org",
        version="v1alpha1",
        resources=("trainjobs",),
        variables=(
            ("annotations", _annotations("object")),
            ("trainers", f"has({trainer}) ? [{trainer}] : []"),
        ),
        rules=(
            _receipt(waits, "a TrainJob that is not suspended"),
            _environment("variables.trainers", profile),
        ),
    )


def _of_services(profile: Mapping[str, Json]) -> CelPolicy:
    predictor, model = "object.spec.predictor", "object.spec.predictor.model"
    has_model = f"has({predictor}.model)"
    other = f"has({model}.storage) || has({predictor}.storageUris)"
    return CelPolicy(
        name="interlock-inferenceservices",
        group="serving.kserve.io",
        version="v1beta1",
        resources=("inferenceservices",),
        variables=(
            ("annotations", _annotations("object")),
            ("models", f"{has_model} ? [{model}] : []"),
        ),
        rules=(
            _receipt("false", "an InferenceService"),
            CelRule(
                rule="kubernetes.one-model",
                expression=f"!({has_model} && has({model}.storageUri) && ({other}))",
                message="it loads one model, named by storageUri",
            ),
            _security(
                f"!has({predictor}.automountServiceAccountToken) || {predictor}.automountServiceAccountToken == false",
                "automountServiceAccountToken must be false",
            ),
            *_host(predictor),
            _security(
                "variables.models.all(c, !has(c.securityContext) || !has(c.securityContext.privileged)"
                " || c.securityContext.privileged == false)",
                "the model server must not be privileged",
            ),
            _environment("variables.models", profile),
        ),
    )


def _host(spec: str) -> tuple[CelRule, ...]:
    return tuple(
        _security(f"!has({spec}.{name}) || {spec}.{name} == false", f"{name} must be false")
        for name in ("hostNetwork", "hostPID", "hostIPC")
    )


def _volumes(profile: Mapping[str, Json]) -> CelRule:
    kinds = _texts(profile, "kubernetes", "volumes")
    audiences = _literal(_texts(profile, "kubernetes", "token_audiences"))
    one = " || ".join(f"has(v.{kind})" for kind in kinds) or "false"
    projects = "has(s.serviceAccountToken)"
    projected = (
        f"!has(v.projected) || !has(v.projected.sources) || v.projected.sources.all(s, !{projects}"
        f" || (has(s.serviceAccountToken.audience) && s.serviceAccountToken.audience in {audiences}))"
    )
    return _security(
        f"variables.volumes.all(v, ({one}) && ({projected}))", f"volumes are of {', '.join(kinds)}, without tokens"
    )


def _images(image: str, profile: Mapping[str, Json], *, each: str) -> tuple[CelRule, ...]:
    """How images are pinned, and where they come from."""
    pinned = f"{image}.matches('@sha256:[0-9a-f]{{64}}$')"
    asked = "a digest"
    if _section(profile, "images").get("pinned") == "tag":
        moved = "|".join(["latest", *(_plain(tag) for tag in _texts(profile, "images", "mutable_tags"))])
        tagged = f"{image}.matches(':[A-Za-z0-9_][A-Za-z0-9_.-]*$') && !{image}.matches('(?i):({moved})$')"
        pinned, asked = f"({pinned} || ({tagged}))", "a digest, or a tag that is not moved"
    rules = [CelRule(rule="kubernetes.pod-security", expression=each.format(pinned), message=f"images need {asked}")]
    registries = _section(profile, "images").get("registries")
    if registries != "any":
        places = [f"{place.rstrip('/')}" for place in _texts(profile, "images", "registries")]
        # Docker Hub has several spellings, so its images are left to the pack.
        hub = [place for place in places if place.split("/")[0].endswith("docker.io")]
        allowed = " || ".join(
            f"{image}.startsWith({_literal(place + end)})" for place in places for end in ("/", ":", "@")
        )
        if not hub:
            expression = each.format(f"({allowed or 'false'})")
            text = f"images come from {', '.join(places) or 'nowhere yet (images.registries)'}"
            rules.append(CelRule(rule="kubernetes.pod-security", expression=expression, message=text))
    return tuple(rules)


def _environment(containers: str, profile: Mapping[str, Json]) -> CelRule:
    names = _literal(_texts(profile, "kubernetes", "variables"))
    return CelRule(
        rule="kubernetes.settings",
        expression=(
            f"{containers}.all(c, (!has(c.env) || c.env.all(e, !e.name.startsWith('INTERLOCK_') || e.name in {names}))"
            " && (!has(c.envFrom) || c.envFrom.all(e, !has(e.prefix) || !e.prefix.startsWith('INTERLOCK_'))))"
        ),
        message="Interlock's settings are the deployment's, not a pod's",
    )


def _receipt(unless: str, what: str) -> CelRule:
    forms = " && ".join(
        f"{_literal(name)} in variables.annotations"
        f" && variables.annotations[{_literal(name)}].matches({_literal(form)})"
        for name, form in _NAMES.items()
    )
    return CelRule(
        rule="kubernetes.receipt",
        expression=f"{unless} || ({forms})",
        message=f"{what} names its receipt: annotations {' and '.join(_NAMES)}",
    )


def _gpu(spec: str, profile: Mapping[str, Json]) -> str:
    expressions = _texts(profile, "kubernetes", "gpu_resources")
    form = _literal("^(" + "|".join(f"(?:{one})" for one in expressions) + ")$")
    asks = [
        f"(has(c.resources) && has(c.resources.{part}) && c.resources.{part}.exists(k, k.matches({form})"
        f" && string(c.resources.{part}[k]) != '0'))"
        for part in ("limits", "requests")
    ]
    classes = _literal(_texts(profile, "kubernetes", "gpu_runtime_classes"))
    claims = f"(has({spec}.resourceClaims) && {spec}.resourceClaims.size() > 0)"
    runtime = f"(has({spec}.runtimeClassName) && {spec}.runtimeClassName in {classes})"
    return f"variables.containers.exists(c, {' || '.join(asks)}) || {claims} || {runtime}"


def _annotations(holder: str) -> str:
    return f"has({holder}.metadata) && has({holder}.metadata.annotations) ? {holder}.metadata.annotations : {{}}"


def _or(spec: str, field: str) -> str:
    return f"(has({spec}.{field}) ? {spec}.{field} : [])"


def _security(expression: str, message: str) -> CelRule:
    return CelRule(rule="kubernetes.pod-security", expression=expression, message=message)


def _section(profile: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    section = profile.get(name)
    if not isinstance(section, Mapping):
        raise PolicyError("the profile has no such section", where=name)
    return section


def _texts(profile: Mapping[str, Json], section: str, name: str) -> list[str]:
    listed = _section(profile, section).get(name)
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise PolicyError("the profile has no list of texts there", where=f"{section}.{name}")
    return [str(one) for one in listed]


def _plain(text: str) -> str:
    """A text as a regular expression of RE2."""
    return "".join(letter if letter.isalnum() or letter in "_-" else f"\\{letter}" for letter in text)


def _literal(value: str | Sequence[str]) -> str:
    """A text, or a list of texts, in CEL; its escapes are JSON's, with the quotes that YAML does not need escaped."""
    if isinstance(value, str):
        return "'" + json.dumps(value)[1:-1].replace("'", "\\'").replace('\\"', '"') + "'"
    return "[" + ", ".join(_literal(one) for one in value) + "]"
