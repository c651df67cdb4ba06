"""Makes the files of `schemas/` from the published ones: what a document needs, without the descriptions, and strict.

``python vendor_schemas.py KUBERNETES TRAINER`` with the trees of kubernetes/kubernetes and kubeflow/trainer at the
versions that `schemas/README.md` names. The API server drops fields that it does not know, or refuses them where it is
asked to; here an unknown field is always an error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

HERE = Path(__file__).with_name("schemas")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
BUILT_IN = {
    "pod": ("api__v1_openapi.json", "io.k8s.api.core.v1.Pod"),
    "networkpolicy": ("apis__networking.k8s.io__v1_openapi.json", "io.k8s.api.networking.v1.NetworkPolicy"),
}
CUSTOM = ("trainjob", "trainingruntime")
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


def main(kubernetes: Path, trainer: Path) -> None:
    for name, (file, root) in BUILT_IN.items():
        schemas = json.loads((kubernetes / "api/openapi-spec/v3" / file).read_text())["components"]["schemas"]
        written(name, {"$ref": f"#/$defs/{root}", "$defs": needed(schemas, root)})
    for name in CUSTOM:
        path = trainer / f"manifests/base/crds/trainer.kubeflow.org_{name}s.yaml"
        (version,) = (one for one in yaml.safe_load(path.read_text())["spec"]["versions"] if one["name"] == "v1alpha1")
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        written(name, schema)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
