"""Whether an InferenceService is still one that Interlock rendered, field by field.

It is read back into the values that it was made from and rendered again; whatever differs is told. So a field that
nobody thought of counts, and so does a default that was taken away. What the API server and KServe add by themselves
is let pass. Whether its receipt holds is for admission and for the guard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from interlock.deployment.kserve import (
    API_VERSION,
    BUNDLE,
    LOADER,
    RECEIPTS,
    ServedModel,
    ServingEvidence,
    inference_service,
)
from interlock.gate import UsageError
from interlock.training.cluster import Opening, Resources, Weakness
from interlock.training.cluster.pod import ENVELOPE, RECEIPT, SUBJECT

REQUIREMENTS = {
    "as-rendered": "the field must be what it was rendered to",
    "fields": "only fields that a rendered InferenceService has",
    "loader": f"storageContainerName must be {LOADER}, which loads only what its place is named by",
    "receipt": f"annotations {RECEIPT}, {SUBJECT}, {ENVELOPE}, {RECEIPTS} and {BUNDLE} must stand in their form",
    "shape": f"an InferenceService of {API_VERSION} with one predictor that has a model",
}
"""What a served model must be, by name."""

_FORMS = {
    RECEIPT: re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}"),
    SUBJECT: re.compile(r"[0-9a-f]{64}"),
    ENVELOPE: re.compile(r"[0-9a-f]{64}"),
    RECEIPTS: re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}(,[0-7][0-9A-HJKMNP-TV-Z]{25})*"),
    BUNDLE: re.compile(r"[0-9a-f]{64}"),
}
_ADDED = {"model.protocolVersion": ("v1", "v2"), "model.name": ("",)}
"""What KServe's defaulting writes into a predictor."""

_AMOUNTS = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "disk"}


def served_findings(manifest: object, *, unchecked_storage: bool = False) -> tuple[Weakness, ...]:
    """Where `manifest` is not what a served model is rendered to; empty when it is.

    Args:
        manifest: An InferenceService as the API spells it; untrusted.
        unchecked_storage: Let a model be loaded by something that compares no digest.
    """
    document = _object(manifest)
    predictor = _object(_object(document.get("spec")).get("predictor"))
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, "InferenceService"):
        return (_weak("shape", "kind"),)
    bad = [name for name, form in _FORMS.items() if not form.fullmatch(_annotation(document, name))]
    if bad:
        return tuple(_weak("receipt", f"metadata.annotations.{name}") for name in bad)
    try:
        model = _model(document, predictor)
        wanted = inference_service(model, _evidence(document))
    except UsageError as error:
        return (Weakness(requirement="as-rendered", where=error.where or "spec", message=error.what),)
    except (KeyError, TypeError, ValueError, AttributeError):
        return (_weak("shape", "spec.predictor"),)
    unloaded = model.loader != LOADER and not unchecked_storage
    loader = (_weak("loader", "spec.predictor.storageContainerName"),) if unloaded else ()
    return (*loader, *_differences(wanted, document))


def _differences(wanted: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Weakness]:
    """Names and labels beside ours, and the status, are the cluster's; the rest must be equal."""
    for part in ("labels", "annotations"):
        held = _object(_object(document["metadata"]).get(part))
        for name, text in _object(wanted["metadata"][part]).items():
            if held.get(name) != text:
                yield _weak("as-rendered", f"metadata.{part}.{name}")
    for name in sorted(map(str, set(document) - {"apiVersion", "kind", "metadata", "spec", "status"})):
        yield _weak("fields", name)
    yield from _compared(wanted["spec"], document.get("spec"), "spec")


def _compared(wanted: Any, held: Any, place: str) -> Iterator[Weakness]:
    if isinstance(wanted, Mapping) and isinstance(held, Mapping):
        for name in sorted(map(str, {*wanted, *held})):
            where = f"{place}.{name}"
            if name not in wanted and held[name] not in _ADDED.get(where.removeprefix("spec.predictor."), ()):
                yield _weak("fields", where)
            elif name in wanted:
                yield from _compared(wanted[name], held.get(name), where)
    elif isinstance(wanted, list) and isinstance(held, list) and len(wanted) == len(held):
        for index, (one, other) in enumerate(zip(wanted, held, strict=True)):
            yield from _compared(one, other, f"{place}[{index}]")
    elif type(wanted) is not type(held) or wanted != held:
        yield _weak("as-rendered", place)


def _model(document: Mapping[str, Any], predictor: Mapping[str, Any]) -> ServedModel:
    """The values that it says of itself; what cannot be a value raises."""
    model = predictor["model"]
    limits = {_AMOUNTS.get(name, name): amount for name, amount in model["resources"]["limits"].items()}
    gpus = [name for name in limits if name not in _AMOUNTS.values()]
    amounts: dict[str, Any] = {name: _text(limits[name]) for name in _AMOUNTS.values()}
    devices: dict[str, Any] = {"gpus": int(limits[gpus[0]]), "gpu_resource": gpus[0]} if len(gpus) == 1 else {}
    return ServedModel(
        name=_text(document["metadata"]["name"]),
        namespace=_text(document["metadata"]["namespace"]),
        storage_uri=_text(model["storageUri"]),
        digest=_annotation(document, SUBJECT),
        model_format=_text(model["modelFormat"]["name"]),
        format_version=_text(model["modelFormat"].get("version", "")),
        runtime=_text(model.get("runtime", "")),
        image=_text(model.get("image", "")),
        loader=_text(predictor.get("storageContainerName", "")),
        resources=Resources(**amounts, **devices),
        min_replicas=_number(predictor["minReplicas"]),
        max_replicas=_number(predictor["maxReplicas"]),
        canary_percent=_number(predictor["canaryTrafficPercent"]) if "canaryTrafficPercent" in predictor else None,
        user=_number(predictor["securityContext"]["runAsUser"]),
        temporary=_text(predictor["volumes"][0]["emptyDir"]["sizeLimit"]),
    )


def _evidence(document: Mapping[str, Any]) -> ServingEvidence:
    return ServingEvidence(
        opening=Opening(
            receipt_id=_annotation(document, RECEIPT),
            envelope_digest=_annotation(document, ENVELOPE),
            subject_digest=_annotation(document, SUBJECT),
        ),
        receipts=tuple(_annotation(document, RECEIPTS).split(",")),
        bundle=_annotation(document, BUNDLE),
    )


def _annotation(document: Mapping[str, Any], name: str) -> str:
    found = _object(_object(document.get("metadata")).get("annotations")).get(name)
    return found if isinstance(found, str) else ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _weak(requirement: str, where: str) -> Weakness:
    return Weakness(requirement=requirement, where=where, message=REQUIREMENTS[requirement])
