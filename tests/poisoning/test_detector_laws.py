"""Splitting, merging and reordering change nothing; poison never silences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, digits, flipped, square
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.poisoning.scanning import batches, knn, pattern, profile_of, same_scores, shuffled

from interlock.poisoning import Scores, Survey

FEW = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CUTS = st.lists(st.integers(0, 1797), max_size=6)


def poisoned() -> Dataset:
    patched = badnets(digits(), square(3, 16), rate=0.03, target=0, top=5, left=5, seed=0)
    both = flipped(patched, rate=0.03, seed=1)
    # Values with fractions, so that sums depend on their order if anything ever sums in the order of arrival.
    noise = np.random.default_rng(0).normal(scale=0.01, size=both.images.shape).astype(np.float32)
    images = np.where(both.images % 16 == 0, both.images, both.images + noise).astype(np.float32)
    return Dataset(images=images, labels=both.labels, shape=both.shape, poisoned=both.poisoned)


DATA = poisoned()
DETECTORS = pytest.mark.parametrize("detect", [knn, pattern], ids=["knn", "pattern"])
Detect = Callable[..., Scores]


@pytest.fixture(scope="module")
def whole() -> dict[Detect, Scores]:
    return {knn: knn(DATA), pattern: pattern(DATA)}


@DETECTORS
@FEW
@given(cuts=CUTS)
def test_any_split_gives_the_scores_of_one_pass(detect: Detect, whole: dict[Detect, Scores], cuts: list[int]) -> None:
    assert whole[detect].alarm
    assert same_scores(detect(DATA, cuts), whole[detect])


@DETECTORS
@FEW
@given(seed=st.integers(0, 2**16), cuts=CUTS)
def test_reordering_rows_moves_the_flags_along(
    detect: Detect, whole: dict[Detect, Scores], seed: int, cuts: list[int]
) -> None:
    other, order = shuffled(DATA, seed)
    moved = detect(other, cuts)
    assert moved.decades == whole[detect].decades
    assert tuple(sorted(order[list(moved.flagged)].tolist())) == whole[detect].flagged
    assert (moved.scores == whole[detect].scores[order]).all()


@FEW
@given(cuts=st.lists(st.integers(1, 1796), min_size=2, max_size=2, unique=True), seed=st.integers(0, 3))
def test_merging_surveys_is_associative_and_commutative(cuts: list[int], seed: int) -> None:
    survey = Survey(seed=seed, one_scale=True)
    one, two, three = (survey.partial(part) for part in batches(DATA, cuts))
    left = survey.merge(survey.merge(one, two), three)
    right = survey.merge(survey.merge(three, two), one)
    assert (left.rows, left.labels, left.incomplete) == (right.rows, right.labels, right.incomplete)
    for name in ("keys", "sample", "lowest", "highest"):
        assert (getattr(left, name) == getattr(right, name)).all()


@pytest.mark.parametrize("seed", range(2))
def test_any_seed_comes_to_the_same_alarm(seed: int) -> None:
    assert knn(DATA, seed=seed).alarm
    assert pattern(DATA, seed=seed).alarm


def test_equal_seeds_give_equal_scores(whole: dict[Detect, Scores]) -> None:
    assert same_scores(knn(DATA), whole[knn])
    assert same_scores(pattern(DATA), whole[pattern])


@pytest.mark.parametrize("seed", range(2))
def test_more_poison_of_one_kind_never_silences_the_alarm(seed: int) -> None:
    clean = digits()
    strengths = [
        pattern(badnets(clean, square(3, 16), rate=rate, target=0, top=5, left=5, seed=seed)).strength
        for rate in (0.0, 0.01, 0.05, 0.2)
    ]
    assert strengths[0] < 0.5
    assert min(strengths[1:]) >= 0.7


def test_the_profile_does_not_depend_on_the_order_of_rows() -> None:
    other, _ = shuffled(DATA, 5)
    one, two = profile_of(batches(DATA)), profile_of(batches(other, [100, 700]))
    assert one.classes == two.classes
    for name in ("centre", "low", "high", "scale", "axes"):
        assert (getattr(one, name) == getattr(two, name)).all()
