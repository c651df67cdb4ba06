"""Which reader lists the tensors of which format."""

from __future__ import annotations

from interlock.artifacts.containers.torch_archive import torch_root
from interlock.artifacts.containers.torch_script import is_script
from interlock.artifacts.containers.zip_container import ZipStructureError, read_members
from interlock.artifacts.containers.zip_end import MAGICS
from interlock.artifacts.formats.gguf_values import MalformedGgufError
from interlock.artifacts.formats.native import NUMPY_MAGIC, looks_like_gguf, looks_like_safetensors
from interlock.artifacts.formats.numpy_file import MalformedArrayError
from interlock.artifacts.formats.safetensors_file import MalformedHeaderError
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer
from interlock.artifacts.weights.headers import LONGEST_HEADER, list_gguf, list_npy, list_npz, list_safetensors
from interlock.artifacts.weights.holders import Holder
from interlock.artifacts.weights.tensor import Listing
from interlock.artifacts.weights.torch_tensors import list_torch

READ = ("safetensors", "torch-zip", "numpy", "gguf")
"""Formats, as the scan names them, whose tensors are looked into."""

WITHOUT = ("json", "text", "keras-metadata", "tensorflow-fingerprint")
"""Formats that hold no weights."""


def has_tensors(head: bytes) -> bool:
    """Whether a file may be of one of the formats that are looked into, by its first bytes."""
    starts = (*MAGICS, NUMPY_MAGIC)
    return looks_like_safetensors(head) or looks_like_gguf(head) or head.startswith(starts)


def listed(data: Buffer, holder: Holder, path: str, *, profile: Profile, record: Record) -> Listing:
    """The tensors of a file of one of these formats; those of another zip are not listed.

    Args:
        data: Unverified bytes.
        holder: Gives the same bytes later, when the tensors are read.
        path: For findings.
        profile: Under which the scan walked its pickles.
        record: The scan's, for its budget alone.

    Raises:
        LimitPassedError: They cannot be listed; says why.
    """
    scratch = Record(record.budget)
    head = data[:LONGEST_HEADER]
    try:
        if looks_like_safetensors(head):
            return list_safetensors(data, holder, path, scratch)
        if looks_like_gguf(head):
            return list_gguf(data, holder, path, scratch)
        if head.startswith(NUMPY_MAGIC):
            return list_npy(head, holder, path, size=len(data))
        members = tuple(member for member in read_members(data, path=path, record=scratch) if not member.is_folder)
        root = torch_root(members)
        if root is None:
            return list_npz(data, holder, members, path, scratch)
        if is_script({member.name.removeprefix(f"{root}/"): member for member in members}):
            return Listing()
        return list_torch(data, holder, members, root, path, profile=profile, record=scratch)
    except (MalformedHeaderError, MalformedGgufError, MalformedArrayError, ZipStructureError) as error:
        raise LimitPassedError(f"its tensors cannot be listed: {error}") from error
