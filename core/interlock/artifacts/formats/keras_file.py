"""Judges a Keras configuration: every class and function that loading it would look up has to be a known one.

Layout: ``keras.src.saving.serialization_lib`` of Keras 3 (``module``, ``class_name``, ``config``, ``registered_name``)
and ``keras.src.legacy.saving`` for HDF5 files, where the module is missing. Keras checks less than is checked here:
its ``safe_mode`` was passed by in CVE-2025-1550, -8747, -9905, -9906, -12058 and CVE-2026-1462. Here a name that is
not in the table is refused wherever it stands, whatever Keras would make of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.allow_lists import table
from interlock.artifacts.formats.strict_json import MalformedJsonError, strict_json
from interlock.artifacts.record import Record, shown

CONFIG = "config.json"
METADATA = "metadata.json"
_METADATA_KEYS: Final = frozenset({"keras_version", "date_saved"})
_TYPE_SPEC_KEYS: Final = frozenset({"_tf_type", "type_spec", "spec_name"})
_OFTEN = 4096


def looks_like_keras(value: object) -> bool:
    """Whether a JSON document is a Keras object, as ``to_json()`` and ``config.json`` have it."""
    return isinstance(value, dict) and "class_name" in value and "config" in value


def scan_keras_config(raw: bytes, *, path: str, record: Record) -> None:
    """Judge one configuration.

    Args:
        raw: JSON, unverified.
        path: For findings.
        record: Where findings go.

    Raises:
        LimitPassedError: It is larger than a text may be, or the time is over.
    """
    try:
        judge_config(strict_json(raw, record), path=path, record=record)
    except MalformedJsonError as error:
        record.error(rules.MALFORMED_KERAS, f"a Keras configuration that is {error}", path)
    record.looked(path)


def scan_keras_metadata(raw: bytes, *, path: str, record: Record) -> None:
    """Check ``metadata.json``: two texts, and nothing that a reader could trip over.

    Raises:
        LimitPassedError: It is larger than a text may be.
    """
    try:
        value = strict_json(raw, record)
    except MalformedJsonError as error:
        record.error(rules.MALFORMED_KERAS, f"metadata that is {error}", path)
    else:
        known = isinstance(value, dict) and value.keys() <= _METADATA_KEYS
        if not known or not all(isinstance(text, str) for text in value.values()):
            record.error(rules.MALFORMED_KERAS, "metadata with other fields than Keras writes", path)
    record.looked(path)


def judge_config(value: object, *, path: str, record: Record) -> None:
    """Judge every object in a parsed configuration, however deep it is.

    Raises:
        LimitPassedError: The time is over.
    """
    left = [value]
    seen = 0
    while left:
        item = left.pop()
        seen += 1
        if seen % _OFTEN == 0:
            record.budget.check_time()
        if isinstance(item, list):
            left += item
        elif isinstance(item, dict):
            left += item.values()
            _judge_mapping(item, path, record)


def _judge_mapping(item: Mapping[str, Any], path: str, record: Record) -> None:
    vocabulary = item.get("vocabulary")
    if isinstance(vocabulary, str) and vocabulary:
        record.error(
            rules.EXTERNAL_FILE,
            "a vocabulary that is a path: loading the model reads that file (CVE-2025-12058)",
            path,
            vocabulary=shown(vocabulary),
        )
    if "class_name" in item:
        problem = _problem(item)
        if problem:
            named = {key: shown(repr(item.get(key))) for key in ("module", "class_name", "registered_name")}
            record.error(rules.KERAS_CLASS, problem, path, named=named)
    elif _TYPE_SPEC_KEYS & item.keys():
        record.error(rules.KERAS_CLASS, "a TensorFlow type that is built by a name in the file", path)
    elif "registered_name" in item or ("module" in item and "config" in item):
        record.fail(path, "an object of a Keras configuration without class_name: nobody can tell what it becomes")


def _problem(item: Mapping[str, Any]) -> str:
    """Why an object may not be loaded, or the empty text."""
    name, module, registered = item["class_name"], item.get("module"), item.get("registered_name")
    known = table("keras_classes")
    if not isinstance(name, str) or not isinstance(module, str | None) or not isinstance(registered, str | None):
        return "an object whose names are no text"
    if name in known["unsafe"]:
        return str(known["unsafe"][name])
    if name in known["values"]:
        return ""
    wanted = item.get("config") if name == "function" else name
    if registered not in (None, name, wanted):
        return f"{shown(name)!r} is registered as {shown(registered or '')!r}: a class that the model's author wrote"
    if name == "function":
        return _function_problem(module, wanted)
    known_names = known["names_without_module"] if module is None else known["classes"].get(module, ())
    return "" if name in known_names else f"{_dotted(module, name)} is not among the classes of a Keras model"


def _function_problem(module: str | None, name: object) -> str:
    functions: Mapping[str, list[str]] = table("keras_classes")["functions"]
    if not isinstance(name, str):
        return "a function whose name is no text"
    # Keras looks functions of `builtins` up by name alone, in its own modules.
    anywhere = module in (None, "builtins")
    places = functions.values() if anywhere else (functions.get(module or "", []),)
    if any(name in place for place in places):
        return ""
    return f"{_dotted(module, name)} is not among the functions of a Keras model"


def _dotted(module: str | None, name: str) -> str:
    return shown(repr(f"{module}.{name}" if module else name))
