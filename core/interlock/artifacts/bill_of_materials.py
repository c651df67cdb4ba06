"""A bill of materials of a model in CycloneDX (ML-BOM, 1.6 or 1.7): what it is, what it was made of, and which bytes.

What the model's own card (``README.md``) and ``config.json`` say is taken over as said: task, architecture, metrics,
licence, base models, names of datasets. What was measured is the sha256 of each file, and of each dataset that is named
by its bytes. The document has no time and no random number, so equal models have equal documents.
Specification: CycloneDX 1.6 and 1.7, ``modelCard`` (https://cyclonedx.org/docs/1.7/json/).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.artifacts.declared import ADAPTER
from interlock.gate.cards import MAX_ENTRIES, README, broken_card, front_matter, json_card, text_in, texts_in
from interlock.gate.documents import canonical_json
from interlock.gate.errors import UsageError
from interlock.gate.protocols import MODEL_SIGNATURE
from interlock.gate.values import Json, Subject

SPECS = ("1.6", "1.7")
LEFT_OUT = ("bom.json", MODEL_SIGNATURE)
"""What is written after a bill of materials, or is it."""

CONFIG = "config.json"

SPDX = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd": "BSD-3-Clause", "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause", "isc": "ISC", "unlicense": "Unlicense", "cc0-1.0": "CC0-1.0",
    "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0", "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0", "cc-by-nd-4.0": "CC-BY-ND-4.0",
    "cc-by-3.0": "CC-BY-3.0", "cc-by-sa-3.0": "CC-BY-SA-3.0", "mpl-2.0": "MPL-2.0", "wtfpl": "WTFPL",
    "gpl-3.0": "GPL-3.0-only", "gpl-2.0": "GPL-2.0-only", "agpl-3.0": "AGPL-3.0-only", "lgpl-3.0": "LGPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only", "artistic-2.0": "Artistic-2.0", "bsl-1.0": "BSL-1.0", "zlib": "Zlib",
    "eupl-1.1": "EUPL-1.1", "osl-3.0": "OSL-3.0", "ofl-1.1": "OFL-1.1", "postgresql": "PostgreSQL", "ncsa": "NCSA",
}  # fmt: skip
"""Identifiers of licences on the Hugging Face hub that SPDX has, too; of others the name is taken over as a name."""

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*==\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What a model cannot say of itself.

    Args:
        datasets: By their bytes.
        libraries: Version by name, as a requirements file pins them.
    """

    datasets: Sequence[Subject] = ()
    libraries: Mapping[str, str] | None = None


def bill_of_materials(
    model: Path, name: str, files: Mapping[str, str], made_of: Ingredients, *, spec: str = SPECS[-1]
) -> dict[str, Json]:
    """Write the document.

    Args:
        model: The file or folder; untrusted.
        name: Of the model.
        files: sha256 by path, ``""`` for a model that is one file; the document itself and a signature are left out.
        made_of: What else goes in.
        spec: Version of CycloneDX.

    Raises:
        UsageError: There is no such version here.
        SubjectError: The card or the configuration cannot be read.
    """
    if spec not in SPECS:
        raise UsageError(f"CycloneDX {spec!r} is not written here", next_step=f"use one of {', '.join(SPECS)}")
    said = _Said.of(model, files)
    data = [_dataset(one) for one in made_of.datasets]
    component: dict[str, Json] = {"type": "machine-learning-model", "bom-ref": "model", "name": name}
    if "" in files:
        component["hashes"] = _hashes(files[""])
    if said.licences:
        component["licenses"] = list(said.licences)
    if said.base_models:
        ancestors: list[Json] = [{"type": "machine-learning-model", "name": one} for one in said.base_models]
        component["pedigree"] = {"ancestors": ancestors}
    card = said.card([str(one["bom-ref"]) for one in data])
    if card:
        component["modelCard"] = card
    parts: list[Json] = [*data, *_libraries(made_of.libraries or {}), *_files(files)]
    document: dict[str, Json] = {
        "bomFormat": "CycloneDX",
        "specVersion": spec,
        "version": 1,
        "metadata": {"component": component},
        "components": parts,
        "dependencies": [{"ref": "model", "dependsOn": _references(parts)}],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, canonical_json(document).decode())
    return {"$schema": f"http://cyclonedx.org/schema/bom-{spec}.schema.json", "serialNumber": f"urn:uuid:{serial}"} | (
        document
    )


def pinned(requirements: Path) -> dict[str, str]:
    """The libraries that a requirements file pins with ``==``, by name; other lines say nothing of a version.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the requirements cannot be read: {error}", where=str(requirements)) from error
    found = (_PIN.match(line.strip()) for line in lines)
    return {_normal(match[1]): match[2] for match in found if match}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What the model's files say."""

    task: str | None
    family: str | None
    architecture: str | None
    datasets: tuple[str, ...]
    base_models: tuple[str, ...]
    licences: tuple[Json, ...]
    metrics: tuple[Json, ...]

    @classmethod
    def of(cls, model: Path, files: Mapping[str, str]) -> _Said:
        card: Mapping[str, Any] = (front_matter(model / README) or {}) if README in files else {}
        config: Mapping[str, Any] = json_card(model / CONFIG) if CONFIG in files else {}
        adapter: Mapping[str, Any] = json_card(model / ADAPTER) if ADAPTER in files else {}
        key = "base_model_name_or_path"
        adapted = text_in(adapter.get(key), card=ADAPTER, key=key)
        based_on = texts_in(card.get("base_model"), card=README, key="base_model") or ()
        architectures = texts_in(config.get("architectures"), card=CONFIG, key="architectures") or ()
        return cls(
            task=text_in(card.get("pipeline_tag"), card=README, key="pipeline_tag"),
            family=text_in(config.get("model_type"), card=CONFIG, key="model_type"),
            architecture=", ".join(architectures) or None,
            datasets=texts_in(card.get("datasets"), card=README, key="datasets") or (),
            base_models=tuple(dict.fromkeys([*based_on, *([adapted] if adapted else [])])),
            licences=tuple(_licences(card)),
            metrics=tuple(_metrics(card)),
        )

    def card(self, measured: Sequence[str]) -> dict[str, Json]:
        """The model card, with datasets that were measured by reference and others by the name that was said."""
        datasets: list[Json] = [{"ref": one} for one in measured]
        datasets += [{"type": "dataset", "name": one} for one in self.datasets]
        stated = (("task", self.task), ("architectureFamily", self.family), ("modelArchitecture", self.architecture))
        parameters: dict[str, Json] = {key: value for key, value in stated if value}
        if datasets:
            parameters["datasets"] = datasets
        card: dict[str, Json] = {"modelParameters": parameters} if parameters else {}
        if self.metrics:
            card["quantitativeAnalysis"] = {"performanceMetrics": list(self.metrics)}
        return card


def _licences(card: Mapping[str, Any]) -> Iterator[Json]:
    named = text_in(card.get("license_name"), card=README, key="license_name")
    for one in texts_in(card.get("license"), card=README, key="license") or ():
        spdx = SPDX.get(one.lower())
        yield {"license": {"id": spdx} if spdx else {"name": named if one == "other" and named else one}}


def _metrics(card: Mapping[str, Any]) -> Iterator[Json]:
    """Of ``model-index`` (Hugging Face model cards, after Papers with Code)."""
    key = "model-index"
    for entry in _list(card.get(key), key):
        for result in _list(entry.get("results"), key):
            dataset = result.get("dataset")
            where = text_in(dataset, card=README, key=key) if isinstance(dataset, Mapping) else None
            for metric in _list(result.get("metrics"), key):
                kind = text_in(metric.get("type"), card=README, key=key)
                value = metric.get("value")
                if kind is None or isinstance(value, bool) or not isinstance(value, int | float | str):
                    continue
                yield {"type": kind, "value": str(value)} | ({"slice": where} if where else {})


def _list(value: Any, key: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_ENTRIES or not all(isinstance(one, Mapping) for one in value):
        raise broken_card(README, f"{key} is no list of mappings")
    return value


def _dataset(subject: Subject) -> dict[str, Json]:
    return {
        "type": "data",
        "bom-ref": f"dataset-{subject.digest}",
        "name": subject.name,
        "hashes": _hashes(subject.digest),
        "data": [{"type": "dataset", "name": subject.name}],
    }


def _libraries(versions: Mapping[str, str]) -> Iterator[Json]:
    for name, version in sorted(versions.items()):
        purl = f"pkg:pypi/{name}@{version}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _files(files: Mapping[str, str]) -> Iterator[Json]:
    for path, digest in sorted(files.items()):
        if path and path not in LEFT_OUT and not path.endswith(".cdx.json"):
            yield {"type": "file", "bom-ref": f"file-{path}", "name": path, "hashes": _hashes(digest)}


def _references(parts: Sequence[Json]) -> list[Json]:
    return [part["bom-ref"] for part in parts if isinstance(part, dict)]


def _hashes(digest: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": digest}]


def _normal(name: str) -> str:
    """A name on the Python package index (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
