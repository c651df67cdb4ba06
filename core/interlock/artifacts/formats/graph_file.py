"""Recognises models that are protobuf messages or tables without a magic number in front, and has them scanned.

Protobuf would read much as a message: text, a pickle, random bytes for a while. A file is a model if the message ends
well and holds something at a place where a loader looks. All places are looked for in one pass, as leniently as
protobuf itself reads, so that nothing a loader accepts is taken for something else here.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Final

from interlock.artifacts.formats.protobuf import MalformedMessageError, fields, held, planted
from interlock.artifacts.limits import Budget
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer

# Model.graph.node.op_type and .domain, .initializer.name and .external_data, .sparse_initializer.values; the same in
# training_info and functions.
_ONNX: Final = ((7, 1, 4), (7, 1, 7), (7, 5, 8), (7, 5, 13), (7, 15, 1), (20, 1, 1, 4), (20, 2, 1, 4), (25, 7, 4))
# Where nodes are in a saved model, a meta graph and a graph, and then where those of their functions are.
_TENSORFLOW: Final = {
    "nodes of SavedModel": (2, 2, 1), "nodes of MetaGraph": (2, 1), "nodes of GraphDef": (1,),
    "functions of SavedModel": (2, 2, 2, 1, 3), "functions of MetaGraph": (2, 2, 1, 3),
    "functions of GraphDef": (2, 1, 3),
}  # fmt: skip
# A node's identifier and its metadata.
_KERAS: Final = {"keras identifier": (1, 4), "keras metadata": (1, 5)}
_PLACES: Final = planted([*(("onnx", path) for path in _ONNX), *_TENSORFLOW.items(), *_KERAS.items()])
_NAMES: Final = frozenset({"onnx", *_TENSORFLOW, *_KERAS})
_NODE: Final = planted([("name", (1,)), ("operator", (2,))])

# What TensorFlow takes for the name of a node, of an operator or of a function that is called like one.
_NAME: Final = re.compile(rb"[A-Za-z0-9_.>/-]+\Z")
_LONGEST_NAME: Final = 1000

INDEX_FOOTER: Final = 48
"""Bytes at the end of a TensorFlow checkpoint's index."""

_INDEX_MAGIC: Final = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"

_FINGERPRINT_BYTES: Final = 512
_WIRES: Final = {1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 2, 7: 2}


def graph_formats(data: Buffer, budget: Budget) -> list[str]:
    """Every format of graphs that a loader could take `data` for.

    Raises:
        LimitPassedError: The budget is spent.
    """
    found = _found(data, budget)
    formats = ["onnx"] if "onnx" in found else []
    if _root(found):
        formats.append("tensorflow")
    elif found.issuperset(_KERAS):
        formats.append("keras-metadata")
    if _looks_like_fingerprint(data, budget):
        formats.append("tensorflow-fingerprint")
    # A table, whose end says what it is.
    if len(data) >= INDEX_FOOTER and data[-len(_INDEX_MAGIC) :] == _INDEX_MAGIC:
        formats.append("tensorflow-checkpoint")
    return formats


def scan_graph(data: Buffer, name: str, *, path: str, record: Record) -> None:
    """Scan a file as one of `graph_formats`.

    Raises:
        LimitPassedError: The budget is spent.
    """
    if name == "onnx":
        from interlock.artifacts.formats.onnx_file import scan_onnx

        scan_onnx(data, path, record)
    elif name == "tensorflow-checkpoint":
        from interlock.artifacts.formats.tensorflow_checkpoint import scan_index

        scan_index(data, path, record)
    elif name == "tensorflow-fingerprint":
        record.budget.spend_bytes(len(data))
        record.looked(path)
    else:
        from interlock.artifacts.formats.tensorflow_file import scan_messages

        root = "KerasMetadata" if name == "keras-metadata" else _root(_found(data, record.budget))
        scan_messages(data, root, path, record)


def _found(data: Buffer, budget: Budget) -> set[str]:
    """At which places loaders of ONNX, TensorFlow (a node with a name and an operator) and Keras 2 find something."""

    def named(_: str, first: int, last: int) -> bool:
        return _NAME.match(data[first : min(last, first + _LONGEST_NAME)]) is not None

    def counts(name: str, first: int, last: int) -> bool:
        if name not in _TENSORFLOW:
            return True
        both = {"name", "operator"}
        return held(data, first, last, _NODE, budget, left=both, counts=named) == both

    return held(data, 0, len(data), _PLACES, budget, left=_NAMES, counts=counts)


def _root(found: Set[str]) -> str:
    """The message that TensorFlow would read, or an empty text."""
    return next((place.rpartition(" ")[2] for place in _TENSORFLOW if place in found), "")


def _looks_like_fingerprint(data: Buffer, budget: Budget) -> bool:
    """``fingerprint.proto``: five hashes, a version and an id in decimal digits; nothing in it is used by a loader."""
    if len(data) > _FINGERPRINT_BYTES:
        return False
    try:
        found = {number: (wire, first, last) for number, wire, first, last in fields(data, 0, len(data), budget)}
    except MalformedMessageError:
        return False
    wires = {number: wire for number, (wire, _, _) in found.items()}
    if not {1, 2}.issubset(wires) or any(_WIRES.get(number) != wire for number, wire in wires.items()):
        return False
    _, first, last = found.get(7, (2, 0, 0))
    return not last or data[first:last].isdigit()
