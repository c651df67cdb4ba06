"""Writes safetensors as the library's own writer does, byte for byte, and streaming: no tensor is held whole.

Layout and order of safetensors 0.8 (``safetensors/src/tensor.rs``, ``prepare`` and ``serialize_to_file``): by dtype,
then by name; the header padded with spaces to 8 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from interlock.artifacts.conversion.naming import Named
from interlock.artifacts.conversion.tensors import ORDER, ConversionError, Stored, Tensor
from interlock.artifacts.formats.safetensors_file import LONGEST_HEADER
from interlock.artifacts.record import shown
from interlock.artifacts.source import MappedFile, stretches

_CHUNK = 8 << 20
ROOM = 64 << 20
GROWTH = 8
"""What is written may be `ROOM` bytes and `GROWTH` times the source: one element can be expanded to any shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be written.

    Args:
        entries: Names and tensors in the order of the file.
        metadata: Text by text.
        aliases: Names that are left out because another name has the very same view; to that name.
    """

    entries: tuple[tuple[str, Tensor], ...]
    metadata: Mapping[str, str]
    aliases: Mapping[str, str]

    def header(self) -> bytes:
        """The length and the header.

        Raises:
            ConversionError: It is longer than the format allows.
        """
        document: dict[str, Any] = {"__metadata__": dict(self.metadata)} if self.metadata else {}
        at = 0
        for name, tensor in self.entries:
            end = at + tensor.size
            document[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, end]}
            at = end
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > LONGEST_HEADER:
            raise ConversionError(f"the header would have {len(text):,} bytes, more than {LONGEST_HEADER:,}")
        return len(text).to_bytes(8, "little") + text


def planned(
    found: Named[Tensor], *, metadata: Mapping[str, str], source_bytes: int, keep_duplicates: bool = False
) -> Plan:
    """Order what was found, and find the names that share one view.

    Args:
        found: The tensors.
        metadata: Of the kind of source.
        source_bytes: Size of the source, which bounds what is written.
        keep_duplicates: Write a tensor under each of its names, as `safetensors.torch.load_file` into a strict
            ``load_state_dict`` needs it; else once, and the other names into the metadata, as
            `safetensors.torch.save_model` does and ``load_model`` reads.

    Raises:
        ConversionError: No tensors, one that safetensors cannot hold, or more bytes than may be written.
    """
    if not found.tensors:
        raise ConversionError("it holds no tensors")
    kept: dict[Tensor, str] = {}
    aliases: dict[str, str] = {}
    total = 0
    for name, tensor in sorted(found.tensors.items()):
        if tensor.oddity:
            raise ConversionError(f"the tensor {shown(name)!r} {tensor.oddity}")
        if not keep_duplicates and name not in metadata and tensor.size and tensor in kept:
            aliases[name] = kept[tensor]
            continue
        kept.setdefault(tensor, name)
        total += tensor.size
        if total > ROOM + GROWTH * source_bytes:
            raise ConversionError(
                f"with the tensor {shown(name)!r} there would be {total:,} bytes, more than {GROWTH} times the source: "
                "views that are expanded this far are saved as they are before expanding"
            )
    written = (pair for pair in found.tensors.items() if pair[0] not in aliases)
    return Plan(
        entries=tuple(sorted(written, key=lambda pair: (ORDER.index(pair[1].dtype), pair[0]))),
        metadata=dict(metadata) | aliases,
        aliases=aliases,
    )


def write(plan: Plan, storages: Mapping[str, Stored], file: IO[bytes]) -> None:
    """Write it all.

    Args:
        plan: What.
        storages: Where the bytes are.
        file: Where to.

    Raises:
        ConversionError: A view that is not contiguous, and numpy is not installed.
        OSError: The file cannot be written.
    """
    file.write(plan.header())
    for _, tensor in plan.entries:
        stored = storages[tensor.storage]
        if tensor.contiguous:
            start = stored.start + tensor.start
            pieces = stretches(stored.data, start, start + tensor.size)
        else:
            pieces = _gathered(stored, tensor)
        for piece in pieces:
            file.write(piece)


def _gathered(stored: Stored, tensor: Tensor) -> Iterator[bytes]:
    """The elements of a view with strides, in order."""
    import mmap

    try:
        import numpy as np
    except ImportError:
        raise ConversionError("a tensor that is no contiguous view needs numpy: pip install numpy") from None
    element = np.dtype((np.void, tensor.itemsize))
    flat = np.frombuffer(stored.data, np.uint8, count=stored.size, offset=stored.start)[tensor.start :]
    strides = tuple(step * tensor.itemsize for step in tensor.strides)
    first = flat[: tensor.itemsize].view(element)
    array = np.lib.stride_tricks.as_strided(first, tensor.shape, strides, writeable=False)
    for block in _blocks(array):
        yield block.tobytes()
        if isinstance(stored.data, MappedFile):
            stored.data.madvise(mmap.MADV_DONTNEED)


def _blocks(array: Any) -> Iterator[Any]:
    """Parts of an array along its first axes, none much larger than `_CHUNK`."""
    if array.nbytes <= _CHUNK or array.ndim == 0:
        yield array
        return
    rows = max(1, _CHUNK * len(array) // array.nbytes)
    for at in range(0, len(array), rows):
        part = array[at : at + rows]
        if part.nbytes > _CHUNK and len(part) == 1:
            yield from _blocks(part[0])
        else:
            yield part
