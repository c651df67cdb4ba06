"""Harmless containers: compressed streams, tar files and checkpoints, really saved by the libraries that write them."""

from __future__ import annotations

import gzip
import json
import pickle
import tarfile

import numpy as np
from safetensors.numpy import save as save_safetensors
from tests.artifacts.corpus_containers import PACKERS, skippable, tar
from tests.artifacts.harmless import Harmless, one

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


def harmless() -> dict[str, Harmless]:
    """Every harmless container by name."""
    return {**_streams(), **_tars()}
