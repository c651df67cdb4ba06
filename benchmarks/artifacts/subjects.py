"""Writes what scanners are compared on: the corpus of the tests, and large files. A process of its own, as it is large.

``python -m benchmarks.artifacts.subjects corpus FOLDER`` writes a folder for each subject, and ``list.json``;
``python -m benchmarks.artifacts.subjects large FOLDER`` writes the large files, each in a folder of its own.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Files = Mapping[str, bytes]
EVERY_PROFILE = "*"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One subject.

    Args:
        name: Of the case in the tests.
        family: Which table row it belongs to.
        hostile: Whether no scanner should let it pass, or every one should.
        profile: Interlock's profile; of hostile ones, every profile has to stop it.
        path: Where it lies.
    """

    name: str
    family: str
    hostile: bool
    profile: str
    path: str


def hostile() -> Iterator[tuple[str, str, Files]]:
    """Family, name and files."""
    from tests.artifacts import (
        corpus,
        corpus_checkpoints,
        corpus_containers,
        corpus_gguf,
        corpus_hf,
        corpus_keras,
        corpus_onnx,
        corpus_profiles,
        corpus_skops,
        corpus_templates,
        corpus_trees,
        tensorflow_models,
    )

    groups: dict[str, Sequence[object]] = {
        "pickle: names and calls": (corpus.gadgets,),
        "pickle: opcode tricks": (corpus.opcode_tricks,),
        "pickle: broken": (corpus.broken_pickles,),
        "pickle: arguments of allowed names": (corpus.wrong_arguments,),
        "pickle: of sklearn, pandas, XGBoost, LightGBM": corpus_profiles.GROUPS,
        "torch zip": (corpus.archives, corpus_checkpoints.odd_zips),
        "torch before 1.6, torch.distributed": (corpus_checkpoints.legacy_files, corpus_checkpoints.checkpoint_folders),
        "joblib": (corpus_checkpoints.joblib_dumps,),
        "compressed, tar": corpus_containers.GROUPS,
        "safetensors, numpy": (corpus.native_formats,),
        "other formats in disguise": (corpus.disguises,),
        "GGUF": corpus_gguf.GROUPS,
        "chat templates": corpus_templates.GROUPS,
        "Hugging Face configuration": corpus_hf.GROUPS,
        "Keras, HDF5": corpus_keras.GROUPS,
        "skops": corpus_skops.GROUPS,
        "XGBoost, LightGBM": corpus_trees.GROUPS,
        "ONNX": corpus_onnx.GROUPS,
        "TensorFlow": tensorflow_models.GROUPS,
    }
    for family, makers in groups.items():
        for make in makers:
            assert callable(make)
            for case in make():
                yield family, case.name, case.files


def harmless() -> Iterator[tuple[str, str, Files, str]]:
    """Family, name, files and profile; what libraries really save."""
    from tests.artifacts import corpus_torchscript, harmless_keras, harmless_skops, tensorflow_models
    from tests.artifacts.harmless import harmless as by_hand
    from tests.artifacts.harmless_hf import harmless_hf
    from tests.artifacts.harmless_onnx import harmless_onnx
    from tests.artifacts.harmless_profiles import harmless_profiles
    from tests.artifacts.harmless_trees import harmless_trees

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = {
            "torch, numpy, pickle, joblib, containers": by_hand(),
            "Hugging Face, GGUF, templates": harmless_hf(),
            "ONNX": harmless_onnx(),
            "TensorFlow": tensorflow_models.harmless_tensorflow(),
            "Keras": harmless_keras.harmless_keras(),
            "skops": harmless_skops.harmless_skops(),
            "TorchScript": corpus_torchscript.harmless_torchscript(),
        }
        pairs = {
            "pickles of sklearn, pandas, XGBoost, LightGBM": harmless_profiles(),
            "XGBoost, LightGBM": {name: (data, "torch-state-dict") for name, (data, _) in harmless_trees().items()},
        }
    for family, cases in groups.items():
        for name, case in cases.items():
            yield family, name, case.files, case.profile
    for family, held in pairs.items():
        for name, (data, profile) in held.items():
            yield family, name, {"": data}, profile


def suffix_of(content: bytes) -> str:
    """A name that scanners which go by names look at; Interlock does not go by names."""
    magics = {
        b"PK": ".pt", b"\x93NUMPY": ".npy", b"\x89HDF": ".h5", b"GGUF": ".gguf", b"{": ".json", b"7z": ".pt",
        b"\x1f\x8b": ".pkl.gz", b"\x42\x5a": ".pkl.bz2", b"\xfd7zXZ": ".pkl.xz",
    }  # fmt: skip
    if content.startswith(b"PK") and b"config.json" in content:
        return ".keras"
    if content[8:9] == b"{":
        return ".safetensors"
    return next((suffix for magic, suffix in magics.items() if content.startswith(magic)), ".pkl")


def write_corpus(folder: Path) -> None:
    """Every subject in a folder of its own."""
    listed = []
    subjects = [(*one, EVERY_PROFILE, True) for one in hostile()] + [(*one, False) for one in harmless()]
    for number, (family, name, files, profile, is_hostile) in enumerate(subjects):
        place = folder / f"{number:04d}"
        single = "" in files
        for inner, content in files.items():
            target = place / inner if inner else place / f"model{_suffix(family, content)}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        path = next(place.iterdir()) if single else place
        listed.append(Listed(name=name, family=family, hostile=is_hostile, profile=profile, path=str(path)))
    (folder / "list.json").write_text(json.dumps([asdict(one) for one in listed]))


def _suffix(family: str, content: bytes) -> str:
    if family == "ONNX":
        return ".onnx"
    return ".skops" if family == "skops" else suffix_of(content)


def write_large(folder: Path) -> None:
    """200 MiB in 50 tensors; 2.7 million opcodes of plain containers; 10 GiB that take no room on the disk."""
    import torch

    for name in ("zip", "opcodes", "sparse"):
        (folder / name).mkdir()
    torch.manual_seed(0)
    torch.save({f"layer.{i}": torch.rand(1 << 20) for i in range(50)}, folder / "zip" / "model.pt")
    rows = [{"id": i, "xs": [i % 7, 1.5, None, True], "s": str(i % 1000)} for i in range(150_000)]
    (folder / "opcodes" / "many.pkl").write_bytes(pickle.dumps(rows, protocol=4))
    size = 10 << 30
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    sparse = folder / "sparse" / "sparse.safetensors"
    sparse.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(sparse, 8 + len(header) + size)


if __name__ == "__main__":
    {"corpus": write_corpus, "large": write_large}[sys.argv[1]](Path(sys.argv[2]))
