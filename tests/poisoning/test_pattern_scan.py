"""Hidden patterns: blends, sinusoids, patches and covers are found; clean data of many kinds stays silent."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from benchmarks.poisoning.attacks import (
    Dataset,
    adaptive_blend,
    badnets,
    blend,
    digits,
    fashion_mnist,
    flipped,
    noise_image,
    random_patch,
    sig,
    targeted,
    two_triggers,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.poisoning.conftest import rates
from tests.poisoning.scanning import batches, profile_of, shuffled, tree

from interlock.gate import Level
from interlock.poisoning import Scores
from interlock.poisoning.patterns import PatternScan
from interlock.poisoning.patterns.content import likeness
from interlock.poisoning.patterns.pursuit import Pursuit
from interlock.poisoning.patterns.sampling import room_per_class
from interlock.poisoning.patterns.sharpness import TAIL_SEPARATION, separation, too_sharp
from interlock.poisoning.patterns.views import MAX_WIDTH, views

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CUTS = st.lists(st.integers(0, 1797), max_size=6)
NOBODY = np.empty(0, dtype=np.int64)


def scan(data: Dataset, cuts: tuple[int, ...] = (), *, image: bool = True, seed: int = 0) -> Scores:
    """All readings, the states of each merged in a tree."""
    parts = batches(data, cuts)
    profile = profile_of(parts, one_scale=image, seed=seed)
    found: object = PatternScan(profile=profile, image_shape=data.shape if image else None, seed=seed)
    while not isinstance(found, Scores):
        found = found.finalize(tree(pickle.loads(pickle.dumps(found)), parts))  # type: ignore[attr-defined]  # a detector
    return found


def blended(data: Dataset, rate: float, seed: int) -> Dataset:
    return blend(data, noise_image(data, seed), alpha=0.2, rate=rate, target=seed % 10, seed=seed)


def waved(data: Dataset, rate: float, seed: int) -> Dataset:
    return sig(data, delta=20 / 255, frequency=6, rate=rate, target=seed % 10, seed=seed)


def covered(data: Dataset, rate: float, seed: int) -> Dataset:
    trigger = noise_image(data, seed)
    return adaptive_blend(data, trigger, alpha=0.2, rate=rate, cover=rate, target=seed % 10, seed=seed)


def patched(data: Dataset, rate: float, seed: int) -> Dataset:
    top = data.shape[0] - 3 - seed % 2
    return badnets(data, random_patch(data, 3, seed), rate=rate, target=seed % 10, top=top, left=top, seed=seed)


def paired(data: Dataset, rate: float, seed: int) -> Dataset:
    return two_triggers(data, side=3, rate=rate, targets=(seed % 10, (seed + 1) % 10), seed=seed)


ATTACKS: dict[str, Callable[[Dataset, float, int], Dataset]] = {
    "patch": patched,
    "blend": blended,
    "sinusoid": waved,
    "two-triggers": paired,
}


@pytest.fixture(scope="module")
def fashion() -> Dataset:
    try:
        return fashion_mnist()
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")


@pytest.mark.parametrize("rate", [0.01, 0.05])
@pytest.mark.parametrize("attack", [blended, waved], ids=["blend", "sinusoid"])
def test_faint_patterns_in_digits_are_found(
    attack: Callable[[Dataset, float, int], Dataset], rate: float, clean: Dataset
) -> None:
    poisoned = attack(clean, rate, 3)
    found = scan(poisoned)
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.99
    assert wrong == 0
    (suspicion,) = found.suspicions
    assert (suspicion.rule, suspicion.level, suspicion.label) == ("hidden-pattern", Level.ERROR, "3")
    assert json.loads(suspicion.evidence)["content"] == ("own" if attack is waved else "other")
    assert found.scores[list(suspicion.rows)].min() > 0.2


@pytest.mark.parametrize("seed", range(4))
def test_clean_digits_raise_no_alarm(seed: int, clean: Dataset) -> None:
    rows = np.random.default_rng(seed).choice(1797, 1400, replace=bool(seed % 2))
    found = scan(clean.taken(rows))
    assert not found.alarm
    assert len(found.rows) == 1400


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: flipped(data, rate=0.05, seed=0), id="flips"),
        pytest.param(lambda data: targeted(data, rate=0.03, source=1, target=0, seed=0), id="targeted-flips"),
        pytest.param(lambda data: data.taken(np.repeat(np.arange(900), 2)), id="every-row-twice"),
        pytest.param(lambda data: data.taken(np.r_[0:1797, [5] * 60]), id="one-row-60-times"),
    ],
)
def test_wrong_labels_and_copies_are_no_pattern(change: Callable[[Dataset], Dataset], clean: Dataset) -> None:
    assert not scan(change(clean)).alarm


def clouds(seed: int) -> Dataset:
    """Classes of several honest clouds of points, each as wide as it likes."""
    rng = np.random.default_rng(seed)
    points, labels = [], []
    for label in range(5):
        parts = int(rng.integers(1, 6))
        centres = rng.normal(size=(parts, 20)) * rng.choice([1, 3, 6])
        widths = rng.gamma(2, 0.5, size=(parts, 20))
        cloud = rng.choice(parts, 500, p=rng.dirichlet(np.ones(parts)))
        points.append(centres[cloud] + rng.normal(size=(500, 20)) * widths[cloud])
        labels += [label] * 500
    images = np.vstack(points).astype(np.float32)
    return Dataset(images=images, labels=np.array(labels), shape=(20,), poisoned=NOBODY)


@pytest.mark.parametrize("seed", range(3))
def test_honest_subclasses_of_tables_raise_no_alarm(seed: int) -> None:
    assert not scan(clouds(seed), image=False).alarm


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_clean_tables_raise_no_alarm(name: str) -> None:
    from sklearn import datasets  # type: ignore[import-untyped]  # no stubs are published

    table = getattr(datasets, f"load_{name}")()
    images = table.data.astype(np.float32)
    data = Dataset(images=images, labels=table.target.astype(np.int64), shape=images.shape[1:], poisoned=NOBODY)
    assert not scan(data, image=False).alarm


def test_categories_written_as_numbers_are_not_looked_at() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 900)
    chosen = np.eye(12)[(labels * 3 + rng.geometric(0.4, 900)) % 12]
    images = np.hstack([chosen, rng.poisson(2, size=(900, 6))]).astype(np.float32)
    data = Dataset(images=images, labels=labels, shape=(18,), poisoned=NOBODY)
    assert "one value" in scan(data, image=False).unfit


def test_a_pattern_that_all_classes_carry_alike_decides_nothing(clean: Dataset) -> None:
    rows = np.random.default_rng(0).choice(1797, 360, replace=False)
    images = clean.images.copy()
    images[rows] = 0.8 * images[rows] + 0.2 * noise_image(clean, 0).ravel()
    found = scan(Dataset(images=images, labels=clean.labels, shape=clean.shape, poisoned=NOBODY))
    assert not found.alarm


POISONED = blended(digits(), 0.02, 4)


@pytest.fixture(scope="module")
def whole() -> Scores:
    return scan(POISONED)


@FEW
@given(cuts=CUTS, seed=st.integers(0, 2**16))
def test_any_split_and_order_gives_the_scores_of_one_pass(whole: Scores, cuts: list[int], seed: int) -> None:
    other, order = shuffled(POISONED, seed)
    moved = scan(other, tuple(cuts))
    assert whole.alarm
    assert moved.decades == pytest.approx(whole.decades, rel=1e-4)
    assert tuple(sorted(order[list(moved.flagged)].tolist())) == whole.flagged
    assert np.allclose(moved.scores, whole.scores[order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_any_seed_comes_to_the_same_alarm(seed: int) -> None:
    assert scan(POISONED, seed=seed).alarm


@pytest.mark.parametrize(
    ("rows", "labels", "reason"),
    [
        pytest.param(30, [0, 1], "fewer than 40 rows", id="few-rows"),
        pytest.param(100, [0], "one label", id="one-class"),
        pytest.param(0, [0], "no rows", id="no-rows"),
    ],
)
def test_what_it_cannot_look_at_is_said(rows: int, labels: list[int], reason: str) -> None:
    images = np.random.default_rng(0).normal(size=(rows, 9)).astype(np.float32)
    data = Dataset(images=images, labels=np.resize(labels, rows), shape=(3, 3), poisoned=NOBODY)
    assert reason in PatternScan(profile=profile_of(batches(data)), image_shape=(3, 3)).unfit()


def test_missing_and_infinite_values_are_average_ones(clean: Dataset) -> None:
    images = clean.images.copy()
    images[::7, 3], images[1::11, 5] = np.nan, np.inf
    found = scan(Dataset(images=images, labels=clean.labels, shape=clean.shape, poisoned=NOBODY))
    assert np.isfinite(found.scores).all()
    assert not found.alarm


def test_small_classes_are_left_out_and_said_to_be(clean: Dataset) -> None:
    rows = np.flatnonzero((clean.labels != 9) | (np.arange(1797) < 100))
    (note,) = scan(clean.taken(rows)).notes
    assert "1 classes of fewer than 40" in note


@pytest.mark.parametrize("fall", [lambda u: u, lambda u: -np.log1p(-u), lambda u: u**2], ids=["flat", "exp", "steep"])
def test_a_tail_is_never_too_sharp(fall: Callable[[np.ndarray], np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    strongest = 0.0
    for _ in range(200):
        along = np.r_[rng.normal(scale=0.01, size=500), 5 * fall(rng.random(60))]
        members = along > 1
        for _ in range(20):
            members = along > (along[members].mean() + along[~members].mean()) / 2
        strongest = max(strongest, too_sharp(along, members))
    assert strongest < 3
    assert separation(np.r_[np.zeros(9), np.linspace(0.5, 1.5, 999)], np.arange(1008) > 8) < TAIL_SEPARATION + 0.01


def test_rows_of_noise_cannot_vouch_for_themselves() -> None:
    import torch

    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 400)).astype(np.float32))
    assert max(too_sharp(group.along, group.members) for group in Pursuit(rows).groups()[1]) < 3


def test_a_random_draw_fits_and_a_subclass_does_not() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(2000, 30)) * np.linspace(3, 1, 30)).astype(np.float32)
    assert likeness(0.8 * rows[:40] + 1, rows[40:], np.random.default_rng(1)).fits
    assert not likeness(rows[:40] * np.linspace(0.2, 2, 30, dtype=np.float32), rows[40:], np.random.default_rng(1)).fits


def test_small_classes_leave_their_room_to_others() -> None:
    assert room_per_class((10, 100_000, 100_000), 64) == 4096
    assert room_per_class((1000,) * 10, 784) == 1000
    assert room_per_class((6000,) * 10, 784) == 1638


@pytest.mark.parametrize(
    ("width", "shape", "columns"),
    [
        pytest.param(784, (28, 28), [784], id="grey"),
        pytest.param(3072, (32, 32, 3), [1024] * 3, id="colour-by-channel"),
        pytest.param(40_000 * 3, (200, 200, 3), [29 * 29] * 3, id="large-image-reduced"),
        pytest.param(5000, None, [MAX_WIDTH], id="wide-rows-hashed"),
    ],
)
def test_wide_rows_are_looked_at_in_bounded_views(
    width: int, shape: tuple[int, ...] | None, columns: list[int]
) -> None:
    chosen = views(width, shape, 0)
    assert [view.columns for view in chosen] == columns
    rows = np.ones((2, width), dtype=np.float32)
    assert [view.of(rows).shape for view in chosen] == [(2, count) for count in columns]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "rate"),
    [("patch", 0.003), ("blend", 0.003), ("sinusoid", 0.01), ("sinusoid", 0.05), ("two-triggers", 0.01)],
)
def test_hidden_patterns_on_fashion_mnist_are_found(attack: str, rate: float, fashion: Dataset) -> None:
    poisoned = ATTACKS[attack](fashion, rate, 3)
    hit, wrong = rates(scan(poisoned).flagged, poisoned)
    assert hit >= 0.99
    assert wrong <= math.floor(0.001 * len(fashion.labels))


@pytest.mark.slow
def test_a_blend_with_cover_samples_on_fashion_mnist_is_found(fashion: Dataset) -> None:
    poisoned = covered(fashion, 0.01, 3)
    hit, wrong = rates(scan(poisoned).flagged, poisoned)
    assert hit >= 0.8
    assert wrong <= 0.005 * len(fashion.labels)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_clean_fashion_mnist_raises_no_alarm(seed: int, fashion: Dataset) -> None:
    rows = np.random.default_rng(seed).choice(len(fashion.labels), 3000, replace=bool(seed % 2))
    assert not scan(fashion.taken(rows)).alarm
