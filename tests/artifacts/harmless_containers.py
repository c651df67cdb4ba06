"""Harmless containers: compressed streams, tar files and checkpoints, really saved by the libraries that write them."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import torch
from safetensors.numpy import save as save_safetensors
from tests.artifacts import harmless as torch_samples
from tests.artifacts.corpus import raw_zip, torch_entries
from tests.artifacts.corpus_checkpoints import with_descriptors, with_end64
from tests.artifacts.corpus_containers import PACKERS, skippable, tar
from tests.artifacts.harmless import Harmless, one, saved
from torch.distributed.checkpoint.state_dict_saver import save as save_checkpoint

PLAIN = pickle.dumps({"weights": [0.5] * 1000, "name": "größe"})


def _streams() -> dict[str, Harmless]:
    cases = {f"stream-{form}": one("numpy", pack(PLAIN), form) for form, pack in PACKERS.items()}
    noise = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8)
    cases |= {
        f"stream-{form}-of-noise": one("numpy", pack(pickle.dumps(noise, 4)), form) for form, pack in PACKERS.items()
    }
    cases["stream-gzip-in-two"] = one("numpy", gzip.compress(PLAIN[:99]) + gzip.compress(PLAIN[99:]), "gzip")
    cases["stream-zstd-skippable"] = one("numpy", skippable(b"x") + PACKERS["zstd"](PLAIN), "zstd")
    cases["stream-xz-padded"] = one("numpy", PACKERS["xz"](PLAIN) + bytes(8), "xz")
    cases["text-that-starts-like-zlib"] = one("numpy", b"x^2 + 1\nhC and x\n", "text")
    return cases


def _tars() -> dict[str, Harmless]:
    members = [
        ("model/config.json", json.dumps({"model_type": "bert"}).encode()),
        ("model/model.safetensors", save_safetensors({"w": np.ones((2, 2), np.float32)})),
        ("model/" + "long/" * 30 + "größe.txt", b"hello\n"),
    ]
    forms = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}
    cases = {f"tar-{name}": one("numpy", tar(members, form=form), "tar") for name, form in forms.items()}
    cases["tar-ustar"] = one("numpy", tar(members[:2], form=tarfile.USTAR_FORMAT), "tar")
    cases["tar-with-dots"] = one("numpy", tar([(f"./{name}", content) for name, content in members]), "tar")
    cases["tar-gzip"] = one("numpy", gzip.compress(tar(members)), "gzip")
    cases["tar-zstd"] = one("numpy", PACKERS["zstd"](tar(members)), "zstd")
    return cases


def dumped(value: object, **options: Any) -> bytes:
    """What `joblib.dump` writes."""
    out = io.BytesIO()
    joblib.dump(value, out, **options)
    return out.getvalue()


def _joblib() -> dict[str, Harmless]:
    values = {
        "array": np.arange(6.0).reshape(2, 3),
        "many": {"fortran": np.asfortranarray(np.ones((3, 2))), "objects": np.array([1, "x", None, {2}], dtype=object),
                 "text": np.array(["ab", "c"]), "empty": np.zeros((0, 3)), "scalar": np.array(3.0), "plain": (1, "x"),
                 "time": np.array(["2026-01-01"], "M8[D]"), "large": np.ones(300_000), "again": [np.ones(3)] * 2},
    }  # fmt: skip
    formats = {"zlib": "zlib", "gzip": "gzip", "bz2": "bzip2", "lzma": "lzma", "xz": "xz", "lz4": "lz4"}
    cases = {f"joblib-{name}": one("numpy", dumped(value), "pickle") for name, value in values.items()}
    for protocol in (2, 3, 4, 5):
        content = dumped(values["many"], protocol=protocol)
        cases[f"joblib-protocol-{protocol}"] = one("numpy", content, "pickle")
    for method, form in formats.items():
        for name, value in values.items():
            content = dumped(value, compress=(method, 3))
            cases[f"joblib-{method}-{name}"] = one("numpy", content, form)
    cases["joblib-compress-3"] = one("numpy", dumped(values["many"], compress=3), "zlib")
    return cases


def _legacy() -> dict[str, Harmless]:
    """torch's format from before 1.6, which it still writes when asked to."""
    values: dict[str, tuple[str, object]] = {
        "state-dict": ("torch-state-dict", torch_samples.network().state_dict()),
        "every-dtype": ("torch-state-dict", torch_samples.every_dtype()),
        "views": ("torch-state-dict", torch_samples.views()),
        "empty": ("torch-state-dict", {}),
        "checkpoint": ("torch-checkpoint", torch_samples.trained()),
    }
    old: dict[str, Any] = {"_use_new_zipfile_serialization": False}
    cases = {
        f"torch-legacy-{name}": one(profile, saved(value, **old), "torch-legacy")
        for name, (profile, value) in values.items()
    }
    for protocol in (3, 4, 5):
        content = saved(torch_samples.trained(), pickle_protocol=protocol, **old)
        cases[f"torch-legacy-protocol-{protocol}"] = one("torch-checkpoint", content, "torch-legacy")
    return cases


def _distributed() -> dict[str, Harmless]:
    """Folders that `torch.distributed.checkpoint` saves in a single process."""
    trained = torch_samples.trained()
    values: dict[str, dict[str, object]] = {
        "tensors": {"w": torch.ones(2, 3), "b": torch.zeros(3, dtype=torch.bfloat16)},
        "one-tensor": {"w": torch.ones(2, 3)},
        "training": {"model": trained["model"], "optimizer": trained["optimizer"], "epoch": 3, "array": np.arange(3)},
    }
    cases = {}
    for name, value in values.items():
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # It says that there is no process group, which is so.
            warnings.simplefilter("ignore", UserWarning)
            save_checkpoint(value, checkpoint_id=folder, no_dist=True)
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        formats = {"pickle", "torch-zip" if name == "one-tensor" else "torch-zip-row"}
        cases[f"dcp-{name}"] = Harmless(profile="torch-dcp", files=files, formats=frozenset(formats))
    return cases


def _zips() -> dict[str, Harmless]:
    return {
        "zip-with-descriptors": one("torch-state-dict", with_descriptors(), "torch-zip"),
        "zip-with-a-zip64-end": one("torch-state-dict", with_end64(raw_zip(torch_entries())), "torch-zip"),
    }


def harmless() -> dict[str, Harmless]:
    """Every harmless container by name."""
    return {**_streams(), **_tars(), **_joblib(), **_legacy(), **_distributed(), **_zips()}
