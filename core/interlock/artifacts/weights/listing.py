"""Which reader lists the tensors of which format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from interlock.artifacts.containers.torch_archive import torch_root
from interlock.artifacts.containers.zip_container import MAGICS, ZipStructureError, read_members
from interlock.artifacts.formats.gguf_file import looks_like_gguf
from interlock.artifacts.formats.gguf_values import MalformedGgufError
from interlock.artifacts.formats.numpy_file import MAGIC as NUMPY_MAGIC
from interlock.artifacts.formats.numpy_file import MalformedArrayError
from interlock.artifacts.formats.safetensors_file import MalformedHeaderError, looks_like_safetensors
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer
from interlock.artifacts.weights.headers import list_gguf, list_npy, list_npz, list_safetensors
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


@contextmanager
def listed(data: Buffer, path: str, *, profile: Profile, record: Record) -> Iterator[Listing]:
    """The tensors of a file of one of these formats, to be read as long as the context lasts.

    Args:
        data: Unverified bytes.
        path: For findings.
        profile: Under which the scan walked its pickles.
        record: The scan's, for its budget alone.

    Raises:
        LimitPassedError: They cannot be listed; says why.
    """
    scratch = Record(record.budget)
    try:
        head = data[:16]
        if looks_like_safetensors(head):
            yield list_safetensors(data, path, scratch)
        elif looks_like_gguf(head):
            yield list_gguf(data, path, scratch)
        elif head.startswith(NUMPY_MAGIC):
            yield list_npy(data, path)
        else:
            members = tuple(member for member in read_members(data, path=path, record=scratch) if not member.is_folder)
            root = torch_root(members)
            if root is not None:
                yield list_torch(data, members, root, path, profile=profile, record=scratch)
            else:
                with list_npz(data, members, path, scratch) as found:
                    yield found
    except (MalformedHeaderError, MalformedGgufError, MalformedArrayError, ZipStructureError) as error:
        raise LimitPassedError(f"its tensors cannot be listed: {error}") from error
