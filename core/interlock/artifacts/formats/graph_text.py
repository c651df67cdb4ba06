"""Recognises graphs that are written as JSON or text: loaders take them too, by the file's suffix.

``onnx.load`` reads JSON (``.json``), text format (``.textproto``, ``.pbtxt``) and its own syntax (``.onnxtxt``);
TensorFlow loads ``saved_model.pbtxt``. They are kept for debugging, so they are not walked: whoever has one can save it
in binary form. A text that only begins like one is taken for one, because a reader would see further than this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_VALUES: Final = ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string")
_MESSAGES: Final = ("graph", "metadata_props", "opset_import", "training_info", "functions", "configuration")
_GRAPHS: Final = frozenset({"graph", "functions", "training_info", "trainingInfo"})
# JSON has each name in either spelling, and json_format refuses what a message does not have.
_JSON_FIELDS: Final = frozenset(
    spelling
    for name in _VALUES + _MESSAGES
    for spelling in (name, re.sub("_(.)", lambda match: match[1].upper(), name))
)
_SPACE: Final = r"(?:[\s;,]|#[^\n]*(?:\n|\Z))*+"
_MODEL: Final = "|".join(_VALUES + _MESSAGES)
_BEGINNINGS: Final = {
    "an ONNX model in text format": (
        rf"(?:(?:{'|'.join(_VALUES)}){_SPACE}:|(?:{'|'.join(_MESSAGES)}){_SPACE}(?::{_SPACE})?[{{<])",
        r"\b(?:graph|training_info|functions)\b",
    ),
    "an ONNX model in ONNX's own syntax": (
        rf"(?:<\s*(?:{_MODEL})\s*:|[A-Za-z_]\w*\s*(?:<[^<>]*>\s*)?\([^()]*\)\s*=>\s*\()",
        "=>",
    ),
    "a TensorFlow graph in text format": (
        rf"(?:saved_model_schema_version|meta_graphs|meta_info_def|graph_def|versions|node|library){_SPACE}(?::{_SPACE})?[\d{{<]",
        r"\b(?:node|function)\b",
    ),
}  # fmt: skip
_TEXTS: Final = {
    what: (re.compile(rf"\A{_SPACE}{begins}"), re.compile(has)) for what, (begins, has) in _BEGINNINGS.items()
}


def graph_in_text(text: str) -> str:
    """Which kind of graph a text is, for a gap's reason; empty if it is none."""
    return next((what for what, (begins, has) in _TEXTS.items() if begins.match(text) and has.search(text)), "")


def graph_in_json(keys: Iterable[str]) -> bool:
    """Whether ``onnx.load`` would take a JSON object with these top-level keys for a model with a graph in it."""
    found = set(keys)
    return bool(found & _GRAPHS) and found <= _JSON_FIELDS
