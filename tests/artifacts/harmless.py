"""Harmless model files, really saved by the libraries that people save them with."""

from __future__ import annotations

import collections
import io
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_safetensors
from tests.artifacts.corpus import raw_zip, torch_entries

torch.set_num_threads(1)


@dataclass(frozen=True, kw_only=True)
class Harmless:
    """A file or folder that its profile has to let pass.

    Args:
        profile: Under which it has to pass.
        files: Name to bytes; one file named ``""`` is a subject of a single file.
        formats: What the files are recognised as.
    """

    profile: str
    files: Mapping[str, bytes]
    formats: frozenset[str]


def one(profile: str, content: bytes, form: str) -> Harmless:
    return Harmless(profile=profile, files={"": content}, formats=frozenset({form}))


def saved(value: object, **options: Any) -> bytes:
    """What `torch.save` writes."""
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def array(value: Any) -> bytes:
    """What `numpy.save` writes."""
    out = io.BytesIO()
    np.save(out, value, allow_pickle=True)
    return out.getvalue()


def arrays(save: Callable[..., None], **values: Any) -> bytes:
    """What `numpy.savez` and `numpy.savez_compressed` write."""
    out = io.BytesIO()
    save(out, **values)
    return out.getvalue()


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )


def trained() -> dict[str, object]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler.step()
    return {
        "epoch": 3,
        "best": 0.97,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "args": {"lr": 1e-3, "layers": [1, 2], "name": "größe"},
    }


def _odd_python() -> dict[str, object]:
    return {
        "size": torch.Size([1, 2]), "device": torch.device("cuda", 0), "dtype": torch.bfloat16, "bytes": b"abc",
        "complex": 1j, "set": {1, 2}, "frozen": frozenset({"a"}), "bytearray": bytearray(b"x"), "none": None,
        "default": collections.defaultdict(dict, {1: {}}), "counter": collections.Counter("aab"), "big": 1 << 200,
        "negative": -(1 << 70), "tuple_key": {(1, (2, 3)): 4},
    }  # fmt: skip


def _numpy_values() -> dict[str, object]:
    return {
        "scalar": np.float32(1.5), "int": np.int64(-3), "bool": np.bool_(True), "array": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.ones((2, 2))), "big_endian": np.arange(3, dtype=">i4"),
        "text": np.array(["ab", "cdé"]), "bytes": np.array([b"x", b"yz"]), "time": np.array(["2026-01-01"], "M8[ns]"),
        "object": np.array([1, "a", None], dtype=object), "empty": np.zeros((0, 3)), "half": np.ones(2, np.float16),
    }  # fmt: skip


def every_dtype() -> dict[str, torch.Tensor]:
    names = [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "complex64",
        "complex128",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
        "uint16",
        "uint32",
        "uint64",
        "float8_e4m3fn",
        "float8_e5m2",
    ]
    return {name: torch.zeros(3).to(getattr(torch, name)) for name in names}


def views() -> dict[str, torch.Tensor]:
    base = torch.arange(24.0).reshape(4, 6)
    return {"base": base, "row": base[1], "column": base[:, 2], "transposed": base.t(), "tail": base[2:, 3:],
            "expanded": torch.ones(1).expand(5), "scalar": torch.tensor(1.0), "empty": torch.zeros(0, 3),
            "conjugate": torch.ones(2, dtype=torch.complex64).conj()}  # fmt: skip


def _model_folder() -> Harmless:
    files = {
        "model.safetensors": save_safetensors({"w": torch.ones(2, 2)}, metadata={"format": "pt"}),
        "config.json": json.dumps({"model_type": "bert", "architectures": ["BertModel"], "auto_map": {}}).encode(),
        "tokenizer.json": json.dumps({"model": {"vocab": {"größe": 1, "\u4f60": 2}}}).encode(),
        "metrics.json": b'{"accuracy": 0.97}\n',
        "README.md": "# A model\n\nN.B. this is *text*, with ümlauts.\n".encode(),
        "merges.txt": b"#version: 0.2\nt h\nth e\n",
        "labels.txt": b"cat\ndog\nIbis\nVole\n",
        "training_log.txt": b"I started\nSaved\n.\n",
    }
    return Harmless(profile="torch-state-dict", files=files, formats=frozenset({"safetensors", "json", "text"}))


def _state_dicts() -> dict[str, Harmless]:
    small = torch.nn.Linear(2, 2).state_dict()
    values: dict[str, object] = {
        "state-dict": network().state_dict(),
        "plain-dict-of-tensors": dict(small),
        "one-tensor": torch.randn(3, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "list-of-tensors": [torch.ones(1), torch.zeros(2)],
        "every-dtype": every_dtype(),
        "views-of-one-storage": views(),
        "module-metadata": torch.nn.BatchNorm1d(3).state_dict(),
        "many-layers": torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(300))).state_dict(),
        "tied-weights": {"a": small["weight"], "b": small["weight"]},
    }
    cases = {f"torch-{name}": one("torch-state-dict", saved(value), "torch-zip") for name, value in values.items()}
    for protocol in (2, 3, 4, 5):
        content = saved(small, pickle_protocol=protocol)
        cases[f"torch-protocol-{protocol}"] = one("torch-state-dict", content, "torch-zip")
    cases["torch-by-hand"] = one("torch-state-dict", raw_zip(torch_entries()), "torch-zip")
    return cases


def _checkpoints() -> dict[str, Harmless]:
    cases = {
        "checkpoint-with-optimizer": saved(trained()),
        "checkpoint-odd-python": saved(_odd_python()),
        "checkpoint-numpy": saved(_numpy_values()),
        "checkpoint-protocol-4": saved(_odd_python() | _numpy_values(), pickle_protocol=4),
        "checkpoint-protocol-5": saved(_odd_python() | _numpy_values(), pickle_protocol=5),
    }
    return {name: one("torch-checkpoint", content, "torch-zip") for name, content in cases.items()}


def _arrays() -> dict[str, Harmless]:
    structured = np.zeros(3, dtype=[("a", "<f4"), ("b", "<i8", (2,)), ("c", [("d", "S3")])])
    cases = {
        "npy-floats": array(np.arange(6.0).reshape(2, 3)),
        "npy-fortran": array(np.asfortranarray(np.ones((3, 2)))),
        "npy-empty": array(np.zeros((0, 4))),
        "npy-scalar": array(np.float64(1.0)),
        "npy-text": array(np.array(["ab", "c"])),
        "npy-datetime": array(np.array(["2026-01-01"], "M8[D]")),
        "npy-structured": array(structured),
        "npy-objects": array(np.array([1, "a", None, (2, 3), {"k": [1.0]}], dtype=object)),
        "npz": arrays(np.savez, a=np.ones(3), b=np.zeros((2, 2))),
        "npz-compressed": arrays(np.savez_compressed, a=np.random.default_rng(0).random(1000), b=np.arange(5)),
        "npz-large": arrays(np.savez, a=np.zeros(300_000)),
    }
    return {name: one("numpy", content, "numpy") for name, content in cases.items()}


def _pickles() -> dict[str, Harmless]:
    plain = {"a": [1, 2.5, None, True], "b": ("x", b"y", 1 << 100), "c": {"d": {1, 2}, "e": frozenset("f")}}
    cases = {f"pickle-plain-{protocol}": pickle.dumps(plain, protocol) for protocol in range(6)}
    cases |= {f"pickle-numpy-{protocol}": pickle.dumps(_numpy_values(), protocol) for protocol in range(6)}
    cases["pickle-large-frames"] = pickle.dumps([bytes(70_000), "x" * 200_000, list(range(100_000))], 4)
    return {name: one("numpy", content, "pickle") for name, content in cases.items()}


def harmless() -> dict[str, Harmless]:
    """Every harmless subject by name."""
    tensors = {"w": torch.ones(2, 3), "half": torch.ones(4, dtype=torch.float16), "empty": torch.zeros(0)}
    # These modules are written with the tools of this one.
    from tests.artifacts import harmless_containers, harmless_keras

    return {
        **harmless_containers.harmless(),
        **harmless_keras.harmless_hdf5(),
        **_state_dicts(),
        **_checkpoints(),
        **_arrays(),
        **_pickles(),
        "safetensors": one("torch-state-dict", save_safetensors(tensors), "safetensors"),
        "safetensors-empty": one("torch-state-dict", save_safetensors({}), "safetensors"),
        "model-folder": _model_folder(),
    }
