"""Objects whose state is looked at field by field: what joblib and torch's distributed checkpoints build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ARRAY_WRAPPER: Final = "joblib-array"
STORAGE_INFO: Final = "dcp-storage-info"

FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    # joblib/numpy_pickle.py, NumpyArrayWrapper; files of joblib 1.1 and before have no alignment.
    ARRAY_WRAPPER: {
        "subclass": "array-type",
        "shape": "sizes",
        "order": "array-order",
        "dtype": "numpy-dtype",
        "allow_mmap": "bool",
        "numpy_array_alignment_bytes?": "alignment",
    },
    # torch/distributed/checkpoint/metadata.py
    "dcp-metadata": {
        "state_dict_metadata": "dict",
        "planner_data?": "any",
        "storage_data": "dict",
        "storage_meta?": "dcp-storage-meta-or-none",
        "version?": "str-or-none",
    },
    "dcp-tensor": {"properties": "dcp-properties", "size": "sizes", "chunks": "list"},
    "dcp-chunk": {"offsets": "sizes", "sizes": "sizes"},
    "dcp-index": {"fqn": "str", "offset?": "sizes-or-none", "index?": "size-or-none"},
    "dcp-storage-meta": {
        "checkpoint_id?": "path-or-none",
        "save_id?": "str-or-none",
        "load_id?": "str-or-none",
        "modules?": "list",
    },
    # torch/distributed/checkpoint/filesystem.py; the reader opens `relative_path` below the folder. What an extension
    # transformed (`transform_descriptors`) is not read here, so the field is not allowed.
    STORAGE_INFO: {"relative_path": "file-name", "offset": "size", "length": "size"},
}
"""Kind of state to its fields and the kind of each; ``?`` after a field means that it may be missing."""
