"""Flips of one class into one other are told from classes that overlap by how their share falls towards the core."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, targeted
from numpy.typing import NDArray
from tests.poisoning.conftest import rates
from tests.poisoning.scanning import knn

from interlock.poisoning.labels.cores import steady_cores

NOBODY = np.empty(0, dtype=np.int64)


def data(features: NDArray[np.float64], labels: NDArray[np.int64]) -> Dataset:
    return Dataset(images=features.astype(np.float32), labels=labels, shape=(1, features.shape[1]), poisoned=NOBODY)


def neighbours_in_a_ring(seed: int, rows: int = 4000, classes: int = 9) -> Dataset:
    """Each class overlaps with the two beside it."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    angle = 2 * np.pi * labels / classes
    centres = 5 * np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], axis=1)
    return data(centres + rng.normal(size=(rows, 4)), labels)


def nested(seed: int, told_apart: float) -> Dataset:
    """Five groups of two classes, of unlike shares, that can be told apart more or less."""
    rng = np.random.default_rng(seed)
    group, shares, centres = rng.integers(0, 5, 4000), rng.uniform(0.1, 0.9, 5), rng.normal(0, 4, (5, 15))
    features = centres[group] + rng.normal(size=(4000, 15))
    odds = told_apart * (features[:, 0] - centres[group, 0]) + np.log(shares / (1 - shares))[group]
    return data(features, 2 * group + (rng.random(4000) < 1 / (1 + np.exp(-odds))))


def soft(seed: int, classes: int, sharpness: float) -> Dataset:
    """Labels drawn from chances that follow from the features, however loosely."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(1900, 10))
    chances = features @ rng.normal(size=(10, classes)) * sharpness + rng.normal(0, 1, classes)
    return data(features, (chances + rng.gumbel(size=chances.shape)).argmax(axis=1))


@pytest.mark.parametrize(("source", "target"), [(3, 4), (4, 3), (0, 8), (2, 6)])
def test_flips_into_a_class_beside_are_found_and_named(source: int, target: int) -> None:
    poisoned = targeted(neighbours_in_a_ring(0), rate=0.03, source=source, target=target, seed=1)
    found = knn(poisoned, one_scale=False)
    assert [(shift.label, shift.resembles) for shift in found.shifts] == [(str(target), str(source))]
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.7
    assert wrong <= 0.01 * len(poisoned.labels)


@pytest.mark.parametrize(
    "made",
    [
        *(pytest.param(neighbours_in_a_ring(seed), id=f"ring-{seed}") for seed in range(3)),
        *(pytest.param(nested(seed, apart), id=f"nested-{apart}-{seed}") for seed in range(2) for apart in (0, 1, 3)),
        *(pytest.param(soft(seed, 4, 0.4), id=f"soft-few-{seed}") for seed in range(2)),
        *(pytest.param(soft(seed, 12, 1.0), id=f"soft-many-{seed}") for seed in range(2)),
    ],
)
def test_classes_that_overlap_are_no_flips(made: Dataset) -> None:
    assert not knn(made, one_scale=False).alarm


def test_fewer_than_four_classes_have_nothing_to_learn_from() -> None:
    chances = np.random.default_rng(0).dirichlet(np.ones(3), 600)
    assert steady_cores(chances, chances.argmax(axis=1)) == []


def test_a_class_that_is_at_home_nowhere_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    content = rng.integers(0, 5, 5000)
    chances = np.full((5000, 6), 0.02)
    chances[np.arange(5000), content] = 0.9
    labels = np.where((content == 0) & (rng.random(5000) < 0.3), 5, content)
    assert {(one.label, one.rival) for one in steady_cores(chances, labels) if one.decades >= 3} == set()
