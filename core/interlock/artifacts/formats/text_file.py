"""Recognises text and JSON by content, and looks for what makes a loader run code beside the weights."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.graph_text import graph_in_json, graph_in_text
from interlock.artifacts.formats.keras_file import scan_keras_config
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

# C0 control characters that no text has; tab, line feed, vertical tab, form feed and carriage return stay.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_SOURCE_SUFFIXES: Final = frozenset({".py", ".pth", ".sh", ".bash", ".bat", ".cmd", ".ps1", ".js", ".rb", ".pl"})
_REMOTE_CODE_KEYS: Final = frozenset({"auto_map", "custom_pipelines"})


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
        ``json`` or ``text``, the format by content.
    """
    record.looked(path)
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text, object_pairs_hook=_Pairs)
        except RecursionError:
            record.error(rules.DUPLICATE_KEY, "JSON that nests deeper than readers can follow", path)
            return "json"
        except ValueError:
            value = None
        if value is not None:
            _look_for_remote_code(value, path, record)
            if isinstance(value, _Pairs) and graph_in_json(key for key, _ in value.items):
                record.fail(
                    path, "an ONNX model written as JSON is not read here: save it in binary form, and scan that"
                )
            _look_for_keras(text, value, path, record)
            return "json"
    graph = graph_in_text(text)
    if graph:
        record.fail(path, f"{graph} is not read here: save it in binary form, and scan that")
    if text.startswith("#!") or PurePosixPath(path).suffix.lower() in _SOURCE_SUFFIXES:
        record.warning(rules.SOURCE_CODE, "source code beside a model: it runs if somebody imports or starts it", path)
    return "text"


class _Pairs:
    """A JSON object with every key that it has, twice if it stands there twice."""

    __slots__ = ("items",)

    def __init__(self, items: list[tuple[str, Any]]) -> None:
        self.items = items


def _look_for_remote_code(value: object, path: str, record: Record) -> None:
    """Hugging Face loaders import Python files that a config names (``auto_map``) once they are trusted to."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left += item
        if not isinstance(item, _Pairs):
            continue
        keys = [key for key, _ in item.items]
        for key, inner in item.items:
            left.append(inner)
            code = key in _REMOTE_CODE_KEYS and isinstance(inner, _Pairs | list | str) and bool(_size(inner))
            if code or (key == "trust_remote_code" and inner not in (False, None)):
                record.error(
                    rules.REMOTE_CODE,
                    f"{key} makes a loader run code that comes with the model",
                    path,
                    key=key,
                    value=shown(json.dumps(inner, default=lambda pairs: dict(pairs.items)), limit=400),
                )
        if len(set(keys)) != len(keys) and _REMOTE_CODE_KEYS.union({"architectures", "model_type"}).intersection(keys):
            record.error(rules.DUPLICATE_KEY, "a configuration with a key twice, of which readers take either", path)


def _look_for_keras(text: str, value: object, path: str, record: Record) -> None:
    """What ``to_json()`` wrote, or the ``config.json`` of a model that was saved as a folder."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left += item
        elif isinstance(item, _Pairs):
            if {"class_name", "config"} <= {key for key, _ in item.items}:
                scan_keras_config(text.encode(), path=path, record=record)
                return
            left += [inner for _, inner in item.items]


def _size(value: _Pairs | list[object] | str) -> int:
    return len(value.items) if isinstance(value, _Pairs) else len(value)
