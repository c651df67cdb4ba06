"""Makes the files of `schemas/` from the published ones: what a document needs, without the descriptions, and strict.

``python vendor_schemas.py KUBERNETES TRAINER KSERVE`` with the trees of kubernetes/kubernetes, kubeflow/trainer and
kserve/kserve at the versions that `schemas/README.md` names. The API server drops fields that it does not know, or
refuses them where it is asked to; here an unknown field is always an error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

HERE = Path(__file__).with_name("schemas")
ADMISSION = "io.k8s.api.admissionregistration.v1"
FRAMEWORKS = (
    *("huggingface", "lightgbm", "onnx", "paddle", "pmml", "pytorch", "sklearn", "tensorflow", "triton", "xgboost"),
    "workerSpec",
)
DIALECT = "https://json-schema.org/draft/2020-12/schema"
BUILT_IN = {
    "pod": ("api__v1_openapi.json", "io.k8s.api.core.v1.Pod"),
    "networkpolicy": ("apis__networking.k8s.io__v1_openapi.json", "io.k8s.api.networking.v1.NetworkPolicy"),
    "configmap": ("api__v1_openapi.json", "io.k8s.api.core.v1.ConfigMap"),
    "namespace": ("api__v1_openapi.json", "io.k8s.api.core.v1.Namespace"),
    "service": ("api__v1_openapi.json", "io.k8s.api.core.v1.Service"),
    "serviceaccount": ("api__v1_openapi.json", "io.k8s.api.core.v1.ServiceAccount"),
    "deployment": ("apis__apps__v1_openapi.json", "io.k8s.api.apps.v1.Deployment"),
    **{
        kind.lower(): ("apis__admissionregistration.k8s.io__v1_openapi.json", f"{ADMISSION}.{kind}")
        for kind in (
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        )
    },
}
CUSTOM = {
    "trainjob": ("manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml", "v1alpha1"),
    "trainingruntime": ("manifests/base/crds/trainer.kubeflow.org_trainingruntimes.yaml", "v1alpha1"),
    "inferenceservice": ("config/crd/full/serving.kserve.io_inferenceservices.yaml", "v1beta1"),
    "clusterstoragecontainer": (
        "config/crd/full/clusterstoragecontainer/serving.kserve.io_clusterstoragecontainers.yaml",
        "v1alpha1",
    ),
}
UNUSED = {"inferenceservice": (("canary", "explainer", "transformer"), FRAMEWORKS)}
"""Parts of a specification, and of its predictor, that are never rendered; left out, and so refused."""

REF = "#/components/schemas/"


def strict(schema: Any) -> Any:
    """Without texts for people, and with no room for fields that are not named."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: strict(one) for name, one in value.items()}
        elif key == "$ref":
            kept[key] = value.replace(REF, "#/$defs/")
        elif key == "default":
            kept[key] = value
        elif key != "description":
            kept[key] = strict(value)
    open_ = "additionalProperties" in kept or kept.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in kept and not open_:
        kept["additionalProperties"] = False
    return kept


def needed(schemas: dict[str, Any], root: str) -> dict[str, Any]:
    """`root` and everything that it refers to."""
    found: dict[str, Any] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = strict(schemas[name])
            text = json.dumps(found[name])
            waiting += [part.split('"')[0] for part in text.split('"#/$defs/')[1:]]
    return found


def written(name: str, document: dict[str, Any]) -> None:
    text = json.dumps({"$schema": DIALECT, **document}, sort_keys=True, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n")


def custom(name: str, root: Path) -> None:
    file, wanted = CUSTOM[name]
    versions = yaml.safe_load((root / file).read_text())["spec"]["versions"]
    (version,) = (one for one in versions if one["name"] == wanted)
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    of_spec, of_predictor = UNUSED.get(name, ((), ()))
    for part in of_spec:
        del schema["properties"]["spec"]["properties"][part]
    for part in of_predictor:
        del schema["properties"]["spec"]["properties"]["predictor"]["properties"][part]
    written(name, schema)


def main(kubernetes: Path, trainer: Path, kserve: Path) -> None:
    for name, (file, root) in BUILT_IN.items():
        schemas = json.loads((kubernetes / "api/openapi-spec/v3" / file).read_text())["components"]["schemas"]
        written(name, {"$ref": f"#/$defs/{root}", "$defs": needed(schemas, root)})
    for name, (file, _) in CUSTOM.items():
        custom(name, trainer if "trainer" in file else kserve)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
