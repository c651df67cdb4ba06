"""Recognises text and JSON by content, and looks for what makes a loader run code beside the weights."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.catboost_json import scan_catboost_json
from interlock.artifacts.formats.config_file import judge_config
from interlock.artifacts.formats.config_tree import Pairs, UnreadableConfigError, read_json, read_yaml
from interlock.artifacts.formats.graph_text import graph_in_json, graph_in_text
from interlock.artifacts.formats.keras_file import scan_keras_config
from interlock.artifacts.formats.lightgbm_file import looks_like_lightgbm, scan_lightgbm
from interlock.artifacts.formats.template import scan_template, scan_text_as_template
from interlock.artifacts.formats.trees import scan_xgboost_json
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer

# C0 control characters that no text has; tab, line feed, vertical tab, form feed and carriage return stay.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_TREES: Final = re.compile(r'"(?:learner|oblivious_trees|trees|features_info)"\s*:')
_ESCAPED: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")
_SOURCE_SUFFIXES: Final = frozenset({".py", ".pth", ".sh", ".bash", ".bat", ".cmd", ".ps1", ".js", ".rb", ".pl"})
_TEMPLATE_SUFFIXES: Final = frozenset({".jinja", ".jinja2", ".j2"})


def read_text(data: Buffer) -> str | None:
    """The text that `data` is, or None if it is none: strict UTF-8 without control characters."""
    try:
        text = data[:].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(text) else text


def scan_text(text: str, *, path: str, record: Record) -> str:
    """Look at a text or JSON file.

    Args:
        text: The whole file.
        path: For findings; its suffix only ever adds a finding.
        record: Where findings go.

    Returns:
        ``json``, ``xgboost``, ``catboost``, ``lightgbm`` or ``text``, the format by content.

    Raises:
        LimitPassedError: It is a configuration with more in it than may be read, or trees that are not read here.
    """
    record.looked(path)
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = read_json(text)
        except UnreadableConfigError as error:
            record.error(rules.DUPLICATE_KEY, str(error), path)
            return "json"
        if value is not None:
            return _scan_json(text, value, path, record)
        _look_for_trees(text, path, record)
    if looks_like_lightgbm(text):
        scan_lightgbm(text, path=path, record=record)
    graph = graph_in_text(text)
    if graph:
        record.fail(path, f"{graph} is not read here: save it in binary form, and scan that")
    for document in read_yaml(text):
        judge_config(document, path=path, record=record)
    if PurePosixPath(path).suffix.lower() in _TEMPLATE_SUFFIXES:
        scan_template(text, path=path, record=record, where="the template")
    else:
        scan_text_as_template(text, path=path, record=record)
    if text.startswith("#!") or PurePosixPath(path).suffix.lower() in _SOURCE_SUFFIXES:
        record.warning(rules.SOURCE_CODE, "source code beside a model: it runs if somebody imports or starts it", path)
    return "lightgbm" if looks_like_lightgbm(text) else "text"


def _scan_json(text: str, value: object, path: str, record: Record) -> str:
    judge_config(value, path=path, record=record)
    record.document(path, value)
    if isinstance(value, Pairs) and graph_in_json(value.keys()):
        record.fail(path, "an ONNX model written as JSON is not read here: save it in binary form, and scan that")
    _look_for_keras(text, value, path, record)
    if _is_xgboost(value):
        scan_xgboost_json(text.encode(), path=path, record=record)
        return "xgboost"
    if _is_catboost(value):
        scan_catboost_json(text.encode(), path=path, record=record)
        return "catboost"
    return "json"


def _is_xgboost(value: object) -> bool:
    return isinstance(value, Pairs) and any(
        key == "learner" and isinstance(inner, Pairs) and inner.get("gradient_booster") is not None
        for key, inner in value.items
    )


def _is_catboost(value: object) -> bool:
    """Whether the library would build trees of it: it takes the items of a list for trees, whatever they are."""
    return isinstance(value, Pairs) and any(
        (key == "oblivious_trees" and inner is not None) or (key == "trees" and isinstance(inner, list) and bool(inner))
        for key, inner in value.items
    )


def _look_for_trees(text: str, path: str, record: Record) -> None:
    """Trees in what Python does not take for JSON, and the parsers of XGBoost and CatBoost do.

    They do not ask what stands behind the end (XGBoost 3.2, CatBoost 1.2), and take numbers of any length.
    """
    if _TREES.search(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)):
        why = "trees in JSON that readers take differently, or not at all: have the library save the model again"
        record.error(rules.MALFORMED_TREES, why, path)


def _look_for_keras(text: str, value: object, path: str, record: Record) -> None:
    """What ``to_json()`` wrote, or the ``config.json`` of a model that was saved as a folder."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left += item
        elif isinstance(item, Pairs):
            if {"class_name", "config"} <= set(item.keys()):
                scan_keras_config(text.encode(), path=path, record=record)
                return
            left += [inner for _, inner in item.items]
