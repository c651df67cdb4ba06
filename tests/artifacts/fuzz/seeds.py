"""The seeds of mutants: every hostile and every harmless file of the corpus, by the format that the scan sees in it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.artifacts import corpus_onnx, corpus_torchscript, harmless_containers, tensorflow_models
from tests.artifacts.corpus import hostile
from tests.artifacts.corpus_profiles import fine, written
from tests.artifacts.fuzz.engine import Seed
from tests.artifacts.harmless import harmless
from tests.artifacts.harmless_hf import harmless_hf
from tests.artifacts.harmless_keras import harmless_hdf5, harmless_keras
from tests.artifacts.harmless_onnx import harmless_onnx
from tests.artifacts.harmless_profiles import harmless_profiles
from tests.artifacts.harmless_skops import harmless_skops
from tests.artifacts.harmless_trees import harmless_trees
from tests.artifacts.looking import record_of

LARGEST = 128 << 10
"""Bytes of a seed; larger ones take the time of many mutants."""


def quick_seeds() -> list[Seed]:
    """Every hostile file, and what takes no training to make."""
    return _seeds(_quick())


def all_seeds() -> list[Seed]:
    """Every file of the corpus: takes about a minute, as models are trained for it."""
    return _seeds((*_quick(), *_trained()))


def _quick() -> Iterator[tuple[str, str, bytes]]:
    groups = (*corpus_onnx.GROUPS, *tensorflow_models.GROUPS)
    for case in (*hostile(), *(case for group in groups for case in group())):
        for name, data in case.files.items():
            yield f"{case.name}/{name}", "", data
    for name, data in corpus_torchscript.hostile_archives().items():
        yield name, "", data
    for name, (value, profile) in fine().items():
        yield name, profile, written(value)
    harmless_ones = {**harmless(), **harmless_containers.harmless(), **harmless_hf(), **harmless_onnx(),
                     **harmless_hdf5(), **tensorflow_models.harmless_tensorflow()}  # fmt: skip
    for title, made in harmless_ones.items():
        for name, data in made.files.items():
            yield f"{title}/{name}", made.profile, data


def _trained() -> Iterator[tuple[str, str, bytes]]:
    models = {**harmless_keras(), **harmless_skops(), **corpus_torchscript.harmless_torchscript()}
    for title, made in models.items():
        for name, data in made.files.items():
            yield f"{title}/{name}", made.profile, data
    for name, (data, profile) in harmless_profiles().items():
        yield name, profile, data
    for name, (data, _) in harmless_trees().items():
        yield name, "torch-state-dict", data


def _seeds(cases: Iterator[tuple[str, str, bytes]] | tuple[tuple[str, str, bytes], ...]) -> list[Seed]:
    found: dict[bytes, Seed] = {}
    for name, profile, data in cases:
        if data and len(data) <= LARGEST and data not in found:
            family = record_of(data, profile or "torch-checkpoint").formats.get("model", "unknown")
            found[data] = Seed(name=name, family=family, profile=profile, data=data)
    return list(found.values())
