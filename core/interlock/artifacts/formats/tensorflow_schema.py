"""The messages of TensorFlow's models as far as a scan walks into them.

Sources: ``saved_model.proto``, ``meta_graph.proto``, ``saved_object_graph.proto``, ``saver.proto`` and
``tensor_bundle.proto`` (``tensorflow/core/protobuf``), ``graph.proto``, ``function.proto``, ``node_def.proto`` and
``attr_value.proto`` (``tensorflow/core/framework``),
``tf_keras/protobuf/saved_metadata.proto``, of TensorFlow 2.21. Attributes, types and signatures are spans that nobody
walks into here; `tensorflow_files` reads those that name files.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts.formats.protobuf import FIXED32, VARINT, Rule, Schema

_VALUE = Rule()
_VALUES = Rule(repeated=True)
_NUMBER = Rule(VARINT)
_KEPT = Rule(keep=True)


def _many(message: str, *, keep: bool = False) -> Rule:
    return Rule(repeated=True, message=message, keep=keep)


SCHEMA: Final[Schema] = {
    "SavedModel": {1: _NUMBER, 2: _many("MetaGraph", keep=True)},
    "MetaGraph": {
        1: _VALUE, 2: Rule(message="GraphDef", keep=True), 3: _KEPT, 4: _VALUES,
        5: Rule(repeated=True, keep=True), 6: _many("Asset", keep=True),
        7: Rule(message="ObjectGraph"),
    },
    "Asset": {1: _VALUE, 2: _KEPT},
    "GraphDef": {1: _many("Node"), 2: Rule(message="Library"), 3: _NUMBER, 4: _VALUE, 5: _VALUE},
    "Library": {1: _many("Function"), 2: _VALUES, 3: _VALUES},
    "Function": {
        1: Rule(message="Signature"), 3: _many("Node"), 4: _VALUES, 5: _VALUES, 6: _VALUES, 7: _VALUES, 8: _VALUES,
    },
    "Signature": {
        1: _KEPT, 2: _VALUES, 3: _VALUES, 4: _VALUES, 5: _VALUE, 6: _VALUE, 8: _VALUE, 16: _NUMBER, 17: _NUMBER,
        18: _NUMBER, 19: _NUMBER, 20: _VALUES, 21: _NUMBER,
    },
    "Node": {1: _VALUE, 2: _KEPT, 3: _VALUES, 4: _VALUE, 5: _many("Attribute"), 6: _VALUE, 7: _VALUE},
    "Attribute": {1: _KEPT, 2: _KEPT},
    "ObjectGraph": {1: _many("Object"), 2: _VALUES},
    "Object": {
        1: _VALUES, 3: _VALUES, 4: Rule(message="UserObject"), 5: _VALUE, 6: _VALUE, 7: _VALUE, 8: _VALUE, 9: _VALUE,
        10: _VALUE, 11: _VALUES, 12: _VALUE, 13: _VALUE, 14: _VALUE, 15: _VALUES, 16: _VALUE,
    },
    "UserObject": {1: _VALUE, 2: _VALUE, 3: _KEPT},
    "KerasMetadata": {1: _many("KerasObject")},
    "KerasObject": {2: _NUMBER, 3: _VALUE, 4: _VALUE, 5: _KEPT, 6: _VALUE},
    "BundleHeader": {1: Rule(VARINT, keep=True), 2: Rule(VARINT, keep=True), 3: _VALUE},
    "BundleEntry": {
        1: Rule(VARINT, keep=True), 2: _VALUE, 3: Rule(VARINT, keep=True), 4: Rule(VARINT, keep=True),
        5: Rule(VARINT, keep=True), 6: Rule(FIXED32), 7: _VALUES,
    },
}  # fmt: skip
