"""Judges configuration beside weights: what a loader imports, calls, opens or renders because a file says so.

Which file it is does not matter: loaders are pointed at any name, and look for the same keys.
"""

from __future__ import annotations

import json
import re
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.config_tree import Pairs
from interlock.artifacts.formats.template import scan_template
from interlock.artifacts.record import Record, shown

_REMOTE_CODE: Final = frozenset({"auto_map", "custom_pipelines", "custom_pipeline", "custom_generate"})
_KERNELS: Final = frozenset({"attn_implementation", "_attn_implementation", "_attn_implementation_internal"})
"""CVE-2026-4372: a value with a slash is a repository whose code transformers downloads and runs."""

_CODE: Final = {
    "_target_": "hydra imports and calls it (CVE-2025-23304)",
    "py/object": "jsonpickle imports it",
    "py/reduce": "jsonpickle calls it",
    "py/function": "jsonpickle imports it",
    "py/type": "jsonpickle imports it",
    "py/repr": "jsonpickle evaluates it",
    ":serialized:": "stable-baselines3 unpickles it",
    "__class__": "loaders import it",
    "__module__": "loaders import it",
    "__reduce__": "loaders call it",
}
_OPENED: Final = frozenset({
    "base_model_name_or_path", "emoji_file", "merges_file", "monolingual_vocab_file", "source_spm", "spm_file",
    "target_spm", "target_vocab_file", "tokenizer_file", "tokenizer_name_or_path", "vocab_file",
})  # fmt: skip
"""Keys whose file a loader opens even where the folder has one of its own: a path in the configuration wins."""
_MENTIONED: Final = frozenset({"special_tokens_map_file"})
_LEAVES: Final = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*://|(?:.*[/\\])?\.\.(?:[/\\]|\Z)")
_OF_A_MODULE: Final = frozenset({"idx", "name", "path", "type"})
_LIBRARIES: Final = ("transformers.", "diffusers.", "sentence_transformers.", "torch.")
_JUDGED_ONCE: Final = _REMOTE_CODE | _KERNELS | _OPENED | frozenset(_CODE) | {
    "architectures", "chat_template", "model_type", "trust_remote_code", "weight_map",
}  # fmt: skip


def leaves_folder(path: str) -> bool:
    """Whether a path or URL names anything outside of the folder it stands in."""
    return bool(_LEAVES.match(path.strip()))


def judge_config(value: object, *, path: str, record: Record) -> None:
    """Look at every object of a configuration.

    Args:
        value: What `config_tree` read; unverified.
        path: For findings.
        record: Where findings go.
    """
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left += item
        if not isinstance(item, Pairs):
            continue
        if item.tag:
            record.error(rules.CODE_REFERENCE, f"the YAML tag {shown(item.tag, 100)} makes a Python object", path)
        keys = item.keys()
        for key, inner in item.items:
            left.append(inner)
            _judge_pair(key, inner, path, record)
        _judge_object(item, path, record)
        if len(set(keys)) != len(keys) and _JUDGED_ONCE.intersection(keys):
            record.error(rules.DUPLICATE_KEY, "a configuration with a key twice, of which readers take either", path)


def _judge_pair(key: str, value: object, path: str, record: Record) -> None:
    names_code = key in _REMOTE_CODE and isinstance(value, Pairs | list | str) and bool(_size(value))
    kernel = key in _KERNELS and any("/" in text for text in _texts(value))
    if names_code or kernel or (key == "trust_remote_code" and value not in (False, None)):
        message = f"{key} makes a loader run code that comes with the model"
        record.error(rules.REMOTE_CODE, message, path, key=key, value=_told(value))
    elif key in _CODE and isinstance(value, Pairs | list | str) and _size(value):
        record.error(rules.CODE_REFERENCE, f"{key} names code: {_CODE[key]}", path, key=key, value=_told(value))
    elif key == "parent_library" and isinstance(value, str) and not value.startswith(_LIBRARIES):
        message = "parent_library names a module that PEFT imports"
        record.error(rules.CODE_REFERENCE, message, path, key=key, value=_told(value))
    elif key in _OPENED | _MENTIONED and any(leaves_folder(text) for text in _texts(value)):
        add = record.error if key in _OPENED else record.warning
        add(rules.OUTSIDE_PATH, f"{key} names something outside of the folder", path, key=key, value=_told(value))
    elif "chat_template" in key:
        for name, text in _templates(key, value):
            scan_template(text, path=path, record=record, where=shown(name))


def _judge_object(item: Pairs, path: str, record: Record) -> None:
    kind, place, template = item.get("type"), item.get("path"), item.get("template")
    if _OF_A_MODULE.issubset(item.keys()) and isinstance(kind, str):
        if not kind.startswith("sentence_transformers."):
            message = "type names a module that sentence-transformers imports"
            record.error(rules.CODE_REFERENCE, message, path, key="type", value=_told(kind))
        if isinstance(place, str) and leaves_folder(place):
            message = "path names something outside of the folder"
            record.error(rules.OUTSIDE_PATH, message, path, key="path", value=_told(place))
    if item.get("template_format") == "jinja2" and isinstance(template, str):
        scan_template(template, path=path, record=record, where="template")
    if item.get("_class_name") is not None or item.get("_diffusers_version") is not None:
        _judge_pipeline(item, path, record)


def _judge_pipeline(item: Pairs, path: str, record: Record) -> None:
    """Of diffusers, which takes ``["file", "Class"]`` for a component from a file of the folder, or of any package."""
    for key, value in item.items:
        pair = isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
        if pair and isinstance(value, list) and (key == "_class_name" or not re.fullmatch(r"[a-z0-9_]+", value[0])):
            message = f"{shown(key, 60)} names code that diffusers imports"
            record.error(rules.CODE_REFERENCE, message, path, key=shown(key, 60), value=_told(value))


def _templates(key: str, value: object) -> list[tuple[str, str]]:
    """Name and text of each template: one text, a mapping, or a list of ``{"name": ..., "template": ...}``."""
    if isinstance(value, str):
        return [(key, value)]
    if isinstance(value, Pairs):
        return [(f"{key}.{name}", text) for name, text in value.items if isinstance(text, str)]
    named: list[tuple[str, str]] = []
    for entry in value if isinstance(value, list) else []:
        if isinstance(entry, Pairs):
            named += [(f"{key}.{name}", text) for name, text in entry.items if isinstance(text, str)]
        elif isinstance(entry, str):
            named.append((key, entry))
    return named


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value if isinstance(value, list) else [part for _, part in value.items] if isinstance(value, Pairs) else []
    return [part for part in parts if isinstance(part, str)]


def _size(value: Pairs | list[object] | str) -> int:
    return len(value.items) if isinstance(value, Pairs) else len(value)


def _told(value: object) -> str:
    return shown(json.dumps(value, default=lambda pairs: dict(pairs.items)), limit=400)
