"""Tensors in a file's order of bytes, and back out of bytes that somebody has verified: safetensors, and nothing else.

Written as the library's own writer does, but one tensor at a time, so that nothing is held twice. Read strictly, as
the artifact scan reads headers: what readers could take two ways is refused. Opens no files; `store` does.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from interlock.gate.errors import SubjectError, UsageError
from interlock.training.checkpoints.state import Encoded


def pieces_of(encoded: Encoded, *, item: str) -> Iterator[memoryview]:
    """The bytes of a safetensors file with the tensors of `encoded`, in order.

    A tensor of an accelerator comes to the processor's memory when its turn is there. Further names of one tensor
    stand in the metadata, as `safetensors.torch.save_model` does and ``load_model`` reads.

    Args:
        encoded: From `state.encode`.
        item: What it is, for messages.

    Raises:
        UsageError: The names and shapes are more than the format's header holds.
    """
    from interlock.artifacts.conversion.tensors import ORDER, ConversionError
    from interlock.artifacts.conversion.writer import Plan

    described = {name: _described(tensor) for name, tensor in encoded.tensors.items()}
    order = sorted(described, key=lambda name: (ORDER.index(described[name].dtype), name))
    plan = Plan(
        entries=tuple((name, described[name]) for name in order),
        metadata={"format": "pt"} | encoded.aliases,
        aliases={},
    )
    try:
        yield memoryview(plan.header())
    except ConversionError as error:
        raise UsageError(f"the tensors cannot be written: {error}", where=item) from error
    for name in order:
        yield _bytes_of(encoded.tensors[name])


def _described(tensor: Any) -> Any:
    from interlock.artifacts.conversion.tensors import NUMPY, TORCH, Tensor
    from interlock.artifacts.layout import row_major

    shape = tuple(tensor.shape)
    name = str(tensor.dtype)
    dtype = TORCH[name.removeprefix("torch.")] if name.startswith("torch.") else NUMPY[tensor.dtype.str[1:]]
    return Tensor(
        storage="", dtype=dtype, itemsize=tensor.dtype.itemsize, start=0, shape=shape, strides=row_major(shape)
    )


def _bytes_of(tensor: Any) -> memoryview:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(tensor, torch.Tensor):
        return memoryview(tensor.reshape(-1).view("u1"))
    whole = tensor.to("cpu").contiguous()
    size = whole.numel() * whole.element_size()
    if size == 0:
        return memoryview(b"")
    window = (ctypes.c_ubyte * size).from_address(whole.data_ptr())
    window.owner = whole  # the memory lives as long as the view of it
    return memoryview(window).cast("B")


class TensorFile:
    """The tensors of a safetensors file.

    Args:
        data: The whole file, already verified; writable memory that nobody else writes to.
        item: What it is, for messages.
        views: Let torch tensors be views of `data`, for who copies them anyway; else each has memory of its own, laid
            out as torch lays it out, on which the last bits of a sum can depend.

    Raises:
        SubjectError: It is no safetensors file.
    """

    def __init__(self, data: Any, *, item: str, views: bool = False) -> None:
        from interlock.artifacts.formats.safetensors_file import MalformedHeaderError, read_header

        self._data = data
        self._views = views
        try:
            self._start, self._header = read_header(data)
        except MalformedHeaderError as error:
            raise SubjectError(f"the tensors cannot be read: {error}", where=item) from error
        self._made: dict[str, Any] = {}

    def tensor(self, name: str) -> Any:
        """The torch tensor of that name: one object, however often it is asked for.

        Raises:
            KeyError: There is none, or its dtype is none of torch's.
        """
        if name not in self._made:
            self._made[name] = self._torch(self._header[name])
        return self._made[name]

    def array(self, name: str) -> Any:
        """The numpy array of that name, a copy.

        Raises:
            KeyError: There is none, or its dtype is none of numpy's.
        """
        import numpy as np

        from interlock.artifacts.conversion.tensors import NUMPY

        entry = self._header[name]
        code = {dtype: code for code, dtype in NUMPY.items()}[entry["dtype"]]
        start, end = entry["data_offsets"]
        raw = bytes(memoryview(self._data)[self._start + start : self._start + end])
        return np.frombuffer(raw, f"<{code}").reshape(entry["shape"]).copy()

    def _torch(self, entry: Mapping[str, Any]) -> Any:
        import torch

        from interlock.artifacts.conversion.tensors import TORCH

        dtype = getattr(torch, {name: torch_name for torch_name, name in TORCH.items()}[entry["dtype"]])
        start, end = entry["data_offsets"]
        if start == end:
            return torch.empty(entry["shape"], dtype=dtype)
        flat = torch.frombuffer(
            self._data, dtype=dtype, offset=self._start + start, count=(end - start) // dtype.itemsize
        )
        shaped = flat.reshape(entry["shape"])
        return shaped if self._views else shaped.clone()
