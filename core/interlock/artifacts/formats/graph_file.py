"""Recognises models that are protobuf messages or tables without a magic number in front, and has them scanned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from interlock.artifacts.formats.onnx_file import looks_like_onnx, scan_onnx
from interlock.artifacts.formats.protobuf import MalformedMessageError, fields
from interlock.artifacts.formats.tensorflow_checkpoint import looks_like_index, scan_index
from interlock.artifacts.formats.tensorflow_file import (
    looks_like_graph,
    looks_like_keras_metadata,
    scan_keras_metadata,
)
from interlock.artifacts.formats.tensorflow_file import scan_graph as scan_tensorflow
from interlock.artifacts.limits import Budget
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer

_Looks: TypeAlias = Callable[[Buffer, Budget], bool]
_Scan: TypeAlias = Callable[[Buffer, str, Record], None]

_FINGERPRINT_BYTES: Final = 512
_WIRES: Final = {1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 2, 7: 2}


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


def _scan_fingerprint(data: Buffer, path: str, record: Record) -> None:
    record.budget.spend_bytes(len(data))
    record.looked(path)


_FORMATS: Final[Mapping[str, tuple[_Looks, _Scan]]] = {
    "onnx": (looks_like_onnx, scan_onnx),
    "tensorflow": (looks_like_graph, scan_tensorflow),
    "keras-metadata": (looks_like_keras_metadata, scan_keras_metadata),
    "tensorflow-fingerprint": (_looks_like_fingerprint, _scan_fingerprint),
    "tensorflow-checkpoint": (lambda data, _: looks_like_index(data), scan_index),
}


def graph_formats(data: Buffer, budget: Budget) -> list[str]:
    """Every format of graphs that a loader could take `data` for.

    Raises:
        LimitPassedError: The budget is spent.
    """
    return [name for name, (looks, _) in _FORMATS.items() if looks(data, budget)]


def scan_graph(data: Buffer, name: str, *, path: str, record: Record) -> None:
    """Scan a file as one of `graph_formats`.

    Raises:
        LimitPassedError: The budget is spent.
    """
    _FORMATS[name][1](data, path, record)
