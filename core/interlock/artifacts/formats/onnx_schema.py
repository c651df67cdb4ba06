"""The messages of ONNX as far as a scan walks into them: ``onnx/onnx-ml.proto`` of onnx 1.23 (IR version 14).

Messages that hold nothing but shapes, names and placement (types, shardings) are spans that nobody walks into.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts.formats.protobuf import FIXED32, FIXED64, VARINT, Rule, Schema

_VALUE = Rule()
_VALUES = Rule(repeated=True)
_NUMBER = Rule(VARINT)
_KEPT = Rule(keep=True)
_KEPT_NUMBER = Rule(VARINT, keep=True)


def _many(message: str, *, keep: bool = False) -> Rule:
    return Rule(repeated=True, message=message, keep=keep)


SCHEMA: Final[Schema] = {
    "Model": {
        1: _KEPT_NUMBER, 2: _VALUE, 3: _VALUE, 4: _VALUE, 5: _NUMBER, 6: _VALUE, 7: Rule(message="Graph"),
        8: _many("OperatorSetId", keep=True), 14: _many("Entry"), 20: _many("TrainingInfo"), 25: _many("Function"),
        26: _VALUES,
    },
    "OperatorSetId": {1: _KEPT, 2: _KEPT_NUMBER},
    "Entry": {1: _KEPT, 2: _KEPT},
    "TrainingInfo": {
        1: Rule(message="Graph"), 2: Rule(message="Graph"), 3: _many("Entry"), 4: _many("Entry"),
    },
    "Function": {
        1: _KEPT, 4: _VALUES, 5: _VALUES, 6: _VALUES, 7: _many("Node"), 8: _VALUE, 9: _many("OperatorSetId"),
        10: _KEPT, 11: _many("Attribute"), 12: _VALUES, 13: _VALUE, 14: _many("Entry"),
    },
    "Graph": {
        1: _many("Node"), 2: _VALUE, 5: _many("Tensor", keep=True), 10: _VALUE, 11: _VALUES, 12: _VALUES, 13: _VALUES,
        14: _VALUES, 15: _many("SparseTensor"), 16: _many("Entry"),
    },
    "Node": {
        1: _VALUES, 2: _VALUES, 3: _KEPT, 4: _KEPT, 5: _many("Attribute"), 6: _VALUE, 7: _KEPT, 8: _VALUE,
        9: _many("Entry"), 10: _VALUES,
    },
    "Attribute": {
        1: _VALUE, 2: Rule(FIXED32), 3: _NUMBER, 4: _VALUE, 5: Rule(message="Tensor"), 6: Rule(message="Graph"),
        7: Rule(FIXED32, repeated=True), 8: Rule(VARINT, repeated=True), 9: _VALUES, 10: _many("Tensor"),
        11: _many("Graph"), 13: _VALUE, 14: _VALUE, 15: _VALUES, 20: _NUMBER, 21: _VALUE,
        22: Rule(message="SparseTensor"), 23: _many("SparseTensor"),
    },
    "SparseTensor": {
        1: Rule(message="Tensor"), 2: Rule(message="Tensor"), 3: Rule(VARINT, repeated=True),
    },
    "Tensor": {
        1: Rule(VARINT, repeated=True, keep=True), 2: _KEPT_NUMBER, 3: _VALUE, 4: Rule(FIXED32, repeated=True),
        5: Rule(VARINT, repeated=True), 6: _VALUES, 7: Rule(VARINT, repeated=True), 8: _KEPT, 9: _KEPT,
        10: Rule(FIXED64, repeated=True), 11: Rule(VARINT, repeated=True), 12: _VALUE, 13: _many("Entry", keep=True),
        14: _KEPT_NUMBER, 16: _many("Entry"),
    },
}  # fmt: skip

BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
"""Bits of an element by ``TensorProto.DataType``; texts (8) have none."""
TEXTS: Final = 8
EXTERNAL: Final = 1
"""``TensorProto.DataLocation``."""
