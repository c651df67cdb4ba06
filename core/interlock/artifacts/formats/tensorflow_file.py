"""Scans TensorFlow's models by their wire format: SavedModels, meta graphs, frozen graphs and Keras' metadata.

A graph is a program. Its operators are checked against the ones that only compute; what TensorFlow's saver and its
vocabularies need of files is allowed where the file's name cannot be the model's own choice (`tensorflow_files`).
"""

from __future__ import annotations

import json
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.beside import path_beside, stays_beside
from interlock.artifacts.formats.protobuf import Kept, MalformedMessageError, Walk, text
from interlock.artifacts.formats.tensorflow_files import FileNames
from interlock.artifacts.formats.tensorflow_operators import COMPUTES, PRINTS, PRINTS_TO, READS_ASSETS, SAVES
from interlock.artifacts.formats.tensorflow_schema import SCHEMA
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_MOST_NAMES: Final = 10_000
_KERAS_CODE: Final = frozenset({"Lambda", "PyFunc"})


def scan_messages(data: Buffer, root: str, path: str, record: Record) -> None:
    """Walk all graphs and functions of a model, or look for layers that carry code in Keras' metadata.

    Args:
        data: Unverified bytes.
        root: Name of the message in the schema: ``SavedModel``, ``MetaGraph``, ``GraphDef`` or ``KerasMetadata``.
        path: For findings.
        record: Where findings go.

    Raises:
        LimitPassedError: The budget is spent.
    """
    scan = _Scan(data, path, record)
    walk = Walk(data=data, schema=SCHEMA, budget=record.budget, leave=scan.leave, unknown=scan.unknown_field)
    try:
        walk.message(root, 0, len(data))
        scan.finish(root)
    except MalformedMessageError as error:
        record.error(rules.MALFORMED_GRAPH, f"no graph that every reader takes alike: {error}", path, error.offset)
    record.looked(path)


class _Scan:
    """What one file was seen to hold."""

    def __init__(self, data: Buffer, path: str, record: Record) -> None:
        self.data = data
        self.path = path
        self.record = record
        self.used: dict[str, int] = {}
        self.functions: set[str] = set()
        self.meta_graphs: list[Kept] = []

    def leave(self, name: str, kept: Kept, around: tuple[str, ...], at: int) -> None:
        """After each message; see `protobuf.Leave`."""
        del around
        if name == "Node" and len(self.used) < _MOST_NAMES:
            self.used.setdefault(self._text(kept, 2), at)
        elif name == "Attribute":
            self._attribute(kept, at)
        elif name == "Signature":
            self.functions.add(self._text(kept, 1))
        elif name == "Asset":
            self._asset(self._text(kept, 2), at)
        elif name == "MetaGraph":
            self.meta_graphs.append(kept)
        elif name in ("UserObject", "KerasObject"):
            self._keras(self._text(kept, 3 if name == "UserObject" else 5), at)

    def unknown_field(self, name: str, number: int, at: int) -> None:
        """A field that TensorFlow 2.21 does not have: a newer one, or something hidden from this scan."""
        self.record.fail(self.path, f"field {number} of {name}, at byte {at}, is none that TensorFlow 2.21 has")

    def finish(self, root: str) -> None:
        """Judge the operators, once it is known which functions there are."""
        if len(self.used) >= _MOST_NAMES:
            self.record.fail(self.path, f"a graph of more than {_MOST_NAMES:,} different operators")
        files = {operator for operator in self.used if operator in SAVES or operator in READS_ASSETS}
        for operator, at in self.used.items():
            if operator in COMPUTES or operator in files or operator == PRINTS or operator in self.functions:
                continue
            what = f"the operator {shown(operator)!r} is none that only computes: it may touch files, hosts or code"
            self.record.error(rules.UNSAFE_OPERATOR, what, self.path, at, operator=shown(operator))
        if not files:
            return
        graphs = self.meta_graphs or ([{2: [(0, len(self.data))]}] if root == "GraphDef" else [])
        for kept in graphs:
            FileNames(self.data, kept, self.path, self.record).check()

    def _attribute(self, kept: Kept, at: int) -> None:
        if self._text(kept, 1) != "output_stream" or 2 not in kept:
            return
        first, last = kept[2][0]
        # AttrValue.s is field 2; nothing else stands in the attribute that PrintV2 has under this name.
        value = text(self.data, (first + 2, last), self.record.budget) if last - first > 1 else ""
        if last - first > 0x81 or value not in PRINTS_TO:
            what = f"prints into {shown(value)!r}, which is a file or nobody knows what"
            self.record.error(rules.UNSAFE_OPERATOR, what, self.path, at, operator=PRINTS)

    def _asset(self, name: str, at: int) -> None:
        location = f"assets/{name}"
        if not stays_beside(location):
            what = f"the asset {shown(name)!r} is outside of the model's folder"
            self.record.error(rules.EXTERNAL_DATA, what, self.path, at)
        elif path_beside(self.path, location) not in self.record.sizes:
            what = f"its asset {shown(location)!r} is not part of what was scanned: scan the folder that holds both"
            self.record.fail(self.path, what)

    def _keras(self, metadata: str, at: int) -> None:
        """Keras 2 rebuilds layers from this JSON; a Lambda in it is marshalled bytecode (CVE-2024-3660)."""
        if not metadata:
            return
        try:
            left: list[object] = [json.loads(metadata)]
        except (ValueError, RecursionError) as error:
            self.record.fail(self.path, f"Keras metadata at byte {at} that is no JSON: {shown(str(error), 80)}")
            return
        while left:
            item = left.pop()
            if isinstance(item, list):
                left += item
            elif isinstance(item, dict):
                left += item.values()
                name = item.get("class_name")
                # TFOpLambda calls any symbol that TensorFlow exports, file operations among them.
                if isinstance(name, str) and (name in _KERAS_CODE or (name.endswith("OpLambda") and _acts(item))):
                    what = f"the Keras layer {shown(name)} carries code, or calls what the model names"
                    self.record.error(rules.HIDDEN_CODE, what, self.path, at)

    def _text(self, kept: Kept, number: int) -> str:
        return text(self.data, kept[number][0], self.record.budget) if number in kept else ""


def _acts(layer: dict[str, object]) -> bool:
    """Whether the symbol that an operator layer names is anything but arithmetic."""
    config = layer.get("config")
    function = config.get("function") if isinstance(config, dict) else None
    if function is None:
        return False
    modules = ("math.", "nn.", "linalg.", "image.", "signal.", "__operators__.", "keras.backend.")
    plain = {"cast", "concat", "reshape", "expand_dims", "squeeze", "shape", "stack", "tile", "transpose", "where"}
    return not isinstance(function, str) or not (function.startswith(modules) or function in plain)
