"""The neighbour graph read for density: what is beyond the tails is measured and named, and nobody is accused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, targeted
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.poisoning.scanning import knn, shuffled

from interlock.gate import Level
from interlock.poisoning import BatchStream, Block, PoisoningGate, Scores
from interlock.poisoning.detector import Suspicion

NOBODY = np.empty(0, dtype=np.int64)


def clouds(seed: int, rows: int = 2000) -> Dataset:
    """Round clouds of unlike sizes, whose rows thin out as a power law."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    images = np.eye(3, 6)[labels] * 12 + rng.standard_t(3, size=(rows, 6)) * np.array([0.3, 1, 3])[labels][:, None]
    return Dataset(images=images.astype(np.float32), labels=labels, shape=(1, 6), poisoned=NOBODY)


def crowded(data: Dataset, rows: int, seed: int) -> Dataset:
    """Some rows replaced with near copies of one."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(data.labels), rows, replace=False))
    images, labels, centre = data.images.copy(), data.labels.copy(), int(rng.integers(len(data.labels)))
    noise = rng.normal(0, 0.02 * data.images.std(), (rows, images.shape[1]))
    images[chosen], labels[chosen] = data.images[centre] + noise, data.labels[centre]
    return Dataset(images=images.astype(np.float32), labels=labels, shape=data.shape, poisoned=chosen)


def value(found: Scores, name: str) -> float:
    return next(float(one.value) for one in found.measures if one.name == name)


def remark(found: Scores, rule: str) -> Suspicion:
    return next(one for one in found.suspicions if one.rule == rule)


@pytest.mark.parametrize("seed", range(6))
def test_clean_rows_are_within_the_tails(clean: Dataset, seed: int) -> None:
    drawn = clean.taken(np.random.default_rng(seed).choice(len(clean.labels), 1400, replace=bool(seed % 2)))
    for found in (knn(drawn), knn(clouds(seed), one_scale=False)):
        assert value(found, "density_isolated_fraction") <= 0.002
        assert value(found, "density_crowded_fraction") == 0


@pytest.mark.parametrize("rows", [8, 20, 50])
def test_near_copies_are_crowded_and_not_flagged(clean: Dataset, rows: int) -> None:
    data = crowded(clean, rows, seed=rows)
    found = knn(data)
    told = remark(found, "crowded-rows")
    assert set(data.poisoned.tolist()) <= set(told.rows)
    assert len(told.rows) <= rows + 2
    assert value(found, "density_crowded_fraction") == pytest.approx(len(told.rows) / len(data.labels), rel=0.02)
    assert told.level is Level.NOTE
    assert found.flagged == ()


def test_rows_far_from_everything_come_first(clean: Dataset) -> None:
    images = clean.images.copy()
    images[[7, 1000]] = 16 - images[[7, 1000]]
    data = Dataset(images=images, labels=clean.labels, shape=clean.shape, poisoned=NOBODY)
    found = knn(data)
    ranked = np.array(json.loads(remark(found, "isolated-rows").evidence)["most"])
    assert set(ranked[:2].tolist()) == {7, 1000}
    assert found.flagged == ()


def test_remarks_are_not_flagged_beside_an_alarm(clean: Dataset) -> None:
    data = crowded(targeted(clean, rate=0.03, source=1, target=6, seed=0), 15, seed=1)
    found = knn(data)
    assert found.alarm
    assert set(data.poisoned.tolist()) <= set(remark(found, "crowded-rows").rows)
    assert not set(data.poisoned.tolist()) & set(found.flagged)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_splits_and_order_change_nothing(seed: int, cuts: list[int]) -> None:
    data = crowded(clouds(0), 20, seed=0)
    other, order = shuffled(data, seed)
    one, two = knn(data, one_scale=False), knn(other, cuts, one_scale=False)
    assert one.measures == two.measures
    told = remark(two, "crowded-rows").rows
    assert tuple(sorted(order[list(told)].tolist())) == remark(one, "crowded-rows").rows


def test_policy_gets_the_measures(clean: Dataset) -> None:
    block = Block(features=clean.images, labels=clean.labels.tolist())
    seen = PoisoningGate("label").examine(BatchStream(lambda: [block], image_shape=clean.shape))
    names = [one.name for one in seen.measures]
    assert names.count("density_isolated_fraction") == names.count("density_crowded_fraction") == 1
