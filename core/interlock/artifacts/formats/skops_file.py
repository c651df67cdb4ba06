"""Judges the ``schema.json`` of a skops archive: every type in it has to be one that skops trusts by default.

Format: ``skops.io`` 0.16, protocols 0 to 2: a tree of nodes with ``__class__``, ``__module__`` and ``__loader__``.
``skops.io.get_untrusted_types`` walks it as each loader does, and was led astray by nodes that say one type and build
another (CVE-2025-54412, -54413). Here every node is judged wherever it stands, and only by loaders that build what
they say; what a person would have to trust is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.allow_lists import table
from interlock.artifacts.formats.strict_json import MalformedJsonError, strict_json
from interlock.artifacts.record import Record, shown

SCHEMA = "schema.json"
_NODE_KEYS: Final = frozenset({"__class__", "__module__", "__loader__"})
_REFUSED: Final[Mapping[str, str]] = {
    "MethodNode": "names a method of an object, any attribute of it (CVE-2025-54413)",
    "OperatorFuncNode": "calls a function of `operator` (CVE-2025-54412)",
    "PartialNode": "builds a call of a function",
    "DTypeNode": "builds a data type, which skops asks a person about",
    "ConstructorFromReduceNode": "calls a type with what the file says",
    "QuantileForestNode": "builds trees of compiled code, whose indices nobody checks",
    "TreeNode": "builds trees of compiled code, whose indices nobody checks, so skops asks a person",
}
_OFTEN = 4096


def scan_schema(raw: bytes, *, path: str, record: Record) -> Mapping[str, str]:
    """Judge one schema.

    Args:
        raw: JSON, unverified.
        path: For findings.
        record: Where findings go.

    Returns:
        The members that it refers to, and the loader that would read each.

    Raises:
        LimitPassedError: It is larger than a text may be, or the time is over.
    """
    record.looked(path)
    try:
        schema = strict_json(raw, record)
    except MalformedJsonError as error:
        record.error(rules.MALFORMED_SKOPS, f"a schema that is {error}", path)
        return {}
    protocol = schema.get("protocol") if isinstance(schema, dict) else None
    if type(protocol) is not int or not 0 <= protocol <= table("skops_types")["protocol"]:
        record.error(rules.MALFORMED_SKOPS, f"no skops protocol: {shown(repr(protocol))}", path)
        return {}
    judge = _Judge(path, record, protocol)
    judge.run(schema)
    return judge.files


class _Judge:
    """Goes through all nodes, in whatever order."""

    def __init__(self, path: str, record: Record, protocol: int) -> None:
        self.path, self.record, self.protocol = path, record, protocol
        self.files: dict[str, str] = {}
        self._first: dict[int, dict[str, Any]] = {}

    def run(self, schema: dict[str, Any]) -> None:
        left: list[object] = [schema]
        seen = 0
        while left:
            item = left.pop()
            seen += 1
            if seen % _OFTEN == 0:
                self.record.budget.check_time()
            if isinstance(item, list):
                left += item
            elif isinstance(item, dict):
                left += item.values()
                if _NODE_KEYS & item.keys():
                    self._node(item)

    def _node(self, node: dict[str, Any]) -> None:
        kind, module, loader = (node.get(key) for key in ("__class__", "__module__", "__loader__"))
        if loader == "CachedNode" and (kind, module) == (None, None):
            return  # stands for a node that is judged where it is written
        if not (isinstance(kind, str) and isinstance(module, str) and isinstance(loader, str)):
            self._malformed("a node whose class, module and loader are not three texts")
            return
        name = f"{module}.{kind}"
        trusted: Mapping[str, list[str]] = table("skops_types")["trusted"]
        if loader in _REFUSED:
            self._deny(f"a {loader} {_REFUSED[loader]}: {shown(repr(name))}", loader, name)
        elif loader not in trusted:
            self._deny(f"the unknown loader {shown(repr(loader))}", loader, name)
        elif name not in trusted[loader]:
            self._deny(f"{shown(repr(name))} is not among the types that skops trusts for {loader}", loader, name)
        self._check_id(node)
        self._check_content(node, loader)

    def _check_id(self, node: dict[str, Any]) -> None:
        """Wherever an identity comes again, skops builds its first node and never looks at the others."""
        identity = node.get("__id__")
        if identity is None:
            return
        if type(identity) is not int:
            self._malformed("a node whose identity is no number")
            return
        first = self._first.setdefault(identity, node)
        if first is not node and _without_file(first) != _without_file(node):
            self._malformed("two nodes of one identity that say different things")

    def _check_content(self, node: dict[str, Any], loader: str) -> None:
        if loader == "JsonNode":
            self._check_json(node.get("content"))
        elif loader == "RandomGeneratorNode":
            self._check_generator(node.get("content"))
        if "file" in node:
            file = node["file"]
            if not isinstance(file, str):
                self._malformed("a node whose file is no text")
            else:
                self.files[file] = loader

    def _check_json(self, content: object) -> None:
        if not isinstance(content, str):
            self._malformed("a JsonNode whose content is no text")
            return
        try:
            strict_json(content.encode("utf-8", "surrogatepass"), self.record)
        except MalformedJsonError as error:
            self._malformed(f"a JsonNode whose content is {error}")

    def _check_generator(self, content: object) -> None:
        """The name of the bit generator is looked up in ``numpy.random`` and called."""
        try:
            state: Any = content
            name = json.loads(state["bit_generator"]["content"]["bit_generator"]["content"])
        except (KeyError, TypeError, ValueError, RecursionError):
            name = None
        if self.protocol != table("skops_types")["protocol"] or not isinstance(name, str):
            self._malformed("a random generator that does not say what it is made of, or of an old protocol")
        elif f"numpy.random.{name}" not in table("skops_types")["bit_generators"]:
            self._deny(f"numpy.random.{shown(name)} is no bit generator", "RandomGeneratorNode", name)

    def _deny(self, what: str, loader: str, name: str) -> None:
        self.record.error(rules.SKOPS_TYPE, what, self.path, loader=shown(loader), type=shown(name))

    def _malformed(self, what: str) -> None:
        self.record.error(rules.MALFORMED_SKOPS, what, self.path)


def _without_file(node: dict[str, Any]) -> dict[str, Any]:
    """Bytes are written again under another name each time; every member is looked at by itself."""
    return {key: value for key, value in node.items() if key != "file"}
