"""What the ``.metadata`` of a folder of torch.distributed.checkpoint may name.

torch reads it with plain `pickle.load` (pytorch#189308, GHSA-h6w6-rm56-8m58), so resuming from a folder runs whatever
it says. Source: ``torch/distributed/checkpoint/metadata.py`` and ``filesystem.py`` of torch 2.13.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts.pickles.rules import GlobalRule

_MOST_PATH_PARTS = 64


def _dataclass(module: str, name: str, kind: str) -> GlobalRule:
    """A dataclass that is made empty and whose fields BUILD sets."""
    return GlobalRule(module=module, name=name, kind="type", new=((),), result=kind, build=kind)


_METADATA = "torch.distributed.checkpoint.metadata"

DISTRIBUTED_CHECKPOINT: Final = (
    _dataclass(_METADATA, "Metadata", "dcp-metadata"),
    _dataclass(_METADATA, "TensorStorageMetadata", "dcp-tensor"),
    _dataclass(_METADATA, "TensorProperties", "dcp-properties"),
    _dataclass(_METADATA, "ChunkStorageMetadata", "dcp-chunk"),
    # It has no fields, so nothing is ever set on it.
    GlobalRule(module=_METADATA, name="BytesStorageMetadata", kind="type", new=((),), result="dcp-bytes"),
    _dataclass(_METADATA, "MetadataIndex", "dcp-index"),
    _dataclass(_METADATA, "StorageMeta", "dcp-storage-meta"),
    GlobalRule(
        module=_METADATA,
        name="_MEM_FORMAT_ENCODING",
        kind="type",
        calls=(("memory-format-number",),),
        result="memory-format",
    ),
    _dataclass("torch.distributed.checkpoint.filesystem", "_StorageInfo", "dcp-storage-info"),
    GlobalRule(module="torch.serialization", name="_get_layout", calls=(("layout-name",),), result="torch-layout"),
    *(
        # The path that the folder was saved under; Python 3.13 moved the class. Making a path opens nothing.
        GlobalRule(module=module, name="PosixPath", kind="type", calls=(("str?",) * _MOST_PATH_PARTS,), result="path")
        for module in ("pathlib", "pathlib._local")
    ),
)
"""Rules that the profile ``torch-dcp`` has beyond those of ``torch-checkpoint``."""
