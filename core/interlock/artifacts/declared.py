"""What a model folder says of itself, as facts for policy: the models it is based on, and its bill of materials.

Claims, bound to the bytes like everything else in the folder: ``base_model`` in a Hugging Face model card,
``base_model_name_or_path`` in the configuration of a PEFT adapter, and a CycloneDX document. That a bill of materials
is there is a fact; whether it is right is not said here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from interlock.gate.cards import README, broken_card, front_matter, json_card, text_in, texts_in
from interlock.gate.protocols import OpenSubject
from interlock.gate.values import Json

ADAPTER = "adapter_config.json"
_BOM_NAMES = ("bom.json",)
_BOM_SUFFIX = ".cdx.json"  # CycloneDX 1.6, "Recognized file patterns": bom.json and *.cdx.json


def model_facts(opened: OpenSubject) -> dict[str, Json]:
    """The facts that the folder's own files give; what none of them says is absent.

    Args:
        opened: The held model; everything in it is untrusted.

    Raises:
        SubjectError: A file that should say it is broken.
    """
    facts: dict[str, Json] = {}
    based_on = tuple(dict.fromkeys(_base_models(opened)))
    if based_on or README in opened.files or ADAPTER in opened.files:
        facts["base_models"] = list(based_on)
    bom = next(_bills_of_materials(opened), None)
    if bom is not None:
        facts["bom"] = bom
    return facts


def _base_models(opened: OpenSubject) -> Iterator[str]:
    if README in opened.files:
        said = front_matter(opened.path / README) or {}
        yield from texts_in(said.get("base_model"), card=README, key="base_model") or ()
    if ADAPTER in opened.files:
        key = "base_model_name_or_path"
        named = text_in(json_card(opened.path / ADAPTER).get(key), card=ADAPTER, key=key)
        if named is not None:
            yield named


def _bills_of_materials(opened: OpenSubject) -> Iterator[dict[str, Json]]:
    for file in opened.files:
        name = PurePosixPath(file).name
        if "/" in file or not (name in _BOM_NAMES or name.endswith(_BOM_SUFFIX)):
            continue
        document = json_card(opened.path / file)
        if document.get("bomFormat") != "CycloneDX":
            raise broken_card(file, "bomFormat is not CycloneDX")
        version = text_in(document.get("specVersion"), card=file, key="specVersion")
        if version is None:
            raise broken_card(file, "it has no specVersion")
        yield {"format": "CycloneDX", "version": version}
