"""Torch files for the tests of conversion: saved by torch, and forged ones that torch would not write."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

DTYPES = (
    "bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "bfloat16", "float32",
    "float64", "complex64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
)  # fmt: skip
FORMATS = ("torch-zip", "torch-legacy")


def saved(value: object, format_: str = "torch-zip", *, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=format_ == "torch-zip")
    return file.getvalue()


def of_every_dtype() -> dict[str, torch.Tensor]:
    raw = torch.arange(48, dtype=torch.uint8)
    return {f"t_{name}": raw.clone().view(getattr(torch, name)) for name in DTYPES if name != "bool"} | {
        "t_bool": torch.tensor([True, False, True])
    }


def odd_views() -> dict[str, torch.Tensor]:
    """Views of all kinds, NaN payloads and the sign of zero."""
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    bits = torch.tensor([0x7FC00001, 0x7F800001, -0x80000000, -1], dtype=torch.int32)
    return {
        "scalar": torch.tensor(-0.0),
        "empty": torch.zeros(0, 3),
        "transposed": base.permute(2, 0, 1),
        "sliced": base[1:, ::2, 1:4],
        "row": base[1],
        "expanded": torch.tensor([[7.0], [8.0]]).expand(2, 9),
        "offset": torch.arange(10)[4:],
        "nans": bits.view(torch.float32),
        "ünïcode \n \x7f \"'\\": torch.ones(1),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    }


class Reduced:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def rebuilt(offset: object, shape: object, strides: object, metadata: object = None, key: str = "0") -> Reduced:
    """A view of storage `key`, of which nobody checked anything."""
    more = () if metadata is None else (metadata,)
    return Reduced(torch._utils._rebuild_tensor_v2, _Storage(key), offset, shape, strides, False, OrderedDict(), *more)


class _Storage:
    def __init__(self, key: str) -> None:
        self.key = key


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> Any:
        return ("storage", torch.FloatStorage, value.key, "cpu", 4) if isinstance(value, _Storage) else None


def forged(value: object, *, members: Mapping[str, bytes] | None = None) -> bytes:
    """An archive with one storage of four float32, whose pickle is `value`."""
    pickled = io.BytesIO()
    _Pickler(pickled, protocol=2).dump(value)
    content = {"data.pkl": pickled.getvalue(), "byteorder": b"little", "data/0": bytes(range(16)), "version": b"3\n"}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, one in (content | dict(members or {})).items():
            archive.writestr(f"archive/{name}", one)
    return file.getvalue()
