"""Drift beside the accepted snapshot: what changed is named, and what did not is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.poisoning.accepted.comparing import SUBJECT, block, looked_at, profile, rules, scores, stream
from tests.poisoning.scanning import batches, profile_of, tree

from interlock.gate import Level, SubjectError
from interlock.poisoning import Block, Scores, Survey
from interlock.poisoning.accepted.drift import Drift
from interlock.poisoning.accepted.ruler import Tally
from interlock.poisoning.accepted.snapshot import SnapshotProfile
from interlock.poisoning.accepted.two_samples import frechet, gamma_decades, ks_decades, stability, table_decades

NAMES = ("age", "hours", "gain", "noise")


def table(rng: np.random.Generator, rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    features = np.stack(
        [rng.gamma(6, 6, rows), rng.normal(40, 12, rows), np.exp(rng.normal(8, 1, rows)), rng.normal(size=rows)], axis=1
    )
    return features, (features[:, 0] + rng.normal(0, 9, rows) > 36).astype(np.int64)


def made(seed: int, rows: int = 3000) -> Block:
    features, labels = table(np.random.default_rng(seed), rows)
    return block(features, labels, names=NAMES)


@cache
def accepted() -> SnapshotProfile:
    """What most snapshots here are compared with; a whole scan makes it."""
    return profile(stream(made(1)))


def shifted(seed: int) -> Block:
    features, labels = table(np.random.default_rng(seed), 3000)
    return block(features + np.array([0, 7, 0, 0]), labels, names=NAMES)


def missing(seed: int) -> Block:
    features, labels = table(np.random.default_rng(seed), 3000)
    features[np.random.default_rng(seed).random(3000) < 0.2, 1] = np.nan
    return block(features, labels, names=NAMES)


def correlated(seed: int) -> Block:
    """Every column as it was, but two of them follow each other now."""
    rng = np.random.default_rng(seed)
    features, labels = table(rng, 3000)
    features[:, 1] = 40 + 12 * features[:, 3]
    return block(features, labels, names=NAMES)


def relabelled(seed: int) -> Block:
    features, labels = table(np.random.default_rng(seed), 3000)
    labels[np.random.default_rng(seed).random(3000) < 0.4] = 1
    return block(features, labels, names=NAMES)


@pytest.mark.parametrize(
    ("change", "rule", "named"),
    [
        pytest.param(shifted, "feature-drift", "hours", id="a-column-shifts"),
        pytest.param(missing, "feature-drift", "hours", id="values-go-missing"),
        pytest.param(correlated, "distribution-drift", "all features", id="only-a-correlation-is-new"),
        pytest.param(relabelled, "label-drift", "1", id="labels-have-other-shares"),
    ],
)
def test_what_drifted_is_named_and_nobody_accused(change: object, rule: str, named: str) -> None:
    found = scores(looked_at(stream(change(2)), accepted()), "drift")  # type: ignore[operator]
    drifted = next(one for one in found.suspicions if one.rule == rule)
    assert found.alarm
    assert found.flagged == ()
    assert (drifted.name, drifted.level, drifted.rows) == (named, Level.WARNING, ())


@pytest.mark.parametrize("rows", [300, 1500, 6000], ids=["fewer", "half", "twice"])
def test_another_number_of_rows_is_no_drift(rows: int) -> None:
    found = scores(looked_at(stream(made(3, rows)), accepted()), "drift")
    assert found.decades == 0
    assert found.suspicions == ()


def test_copies_of_a_few_rows_are_no_evidence() -> None:
    """Two draws of forty rows differ, however often each row is repeated."""
    few = [np.random.default_rng(seed).normal(size=(40, 3)) for seed in (1, 2)]
    labels = np.arange(4000) % 2
    one, two = (stream(block(np.repeat(rows, 100, axis=0), labels)) for rows in few)
    assert scores(looked_at(two, profile(one)), "drift").decades == 0


def test_columns_of_values_and_texts_and_sources_are_compared() -> None:
    rng = np.random.default_rng(0)

    def of(town: str, length: int, who: str) -> Block:
        towns = np.where(rng.random(800) < 0.5, "north", town).tolist()
        said = ["word " * int(count) for count in rng.poisson(length, 800)]
        labels, features = rng.integers(0, 2, 800), rng.normal(size=(800, 2))
        return block(features, labels, categories={"town": towns}, texts={"said": said}, sources=[who] * 800)

    before = profile(stream(of("south", 20, "anna"), texts=["said"]))
    same = scores(looked_at(stream(of("south", 20, "anna"), texts=["said"]), before), "drift")
    other = scores(looked_at(stream(of("west", 90, "berta"), texts=["said"]), before), "drift")
    assert rules(same) == []
    assert rules(other) == ["feature-drift", "new-sources", "gone-sources"]
    assert other.compared is not None
    assert {one.name: one.value for one in other.compared.measures}["new_source_fraction"] == 1
    assert {'"the length of said"', '"town"'} <= set(other.suspicions[0].evidence.replace("[", ",").split(","))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda one: replace(one, features=one.features[:, :3], names=NAMES[:3]), "4 features", id="width"),
        pytest.param(lambda one: replace(one, names=("year", *NAMES[1:])), "other features: 'age'", id="names"),
        pytest.param(lambda one: replace(one, texts={"said": ["x"] * 3000}), "other texts: 'said'", id="texts"),
    ],
)
def test_snapshots_of_two_forms_are_not_compared(change: object, said: str) -> None:
    with pytest.raises(SubjectError, match=said):
        looked_at(stream(change(made(2))), accepted())  # type: ignore[operator]


def tallied(data: Dataset, cuts: list[int]) -> tuple[Scores, Tally]:
    parts = batches(data, cuts)
    survey = Survey(seed=0, one_scale=True, quantiles=True)
    found = survey.finalize(survey.partial(batches(data)[0]))
    detector = Drift(profile=found, keep=True, image_shape=data.shape)
    ended = detector.finalize(tree(detector, parts))
    assert ended.compared is not None
    assert ended.compared.measured is not None
    return ended, ended.compared.measured[1]


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 1796), max_size=5, unique=True), seed=st.integers(0, 100))
def test_any_split_and_order_measures_the_same(clean: Dataset, cuts: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(clean.labels))
    _, whole = tallied(clean, [])
    _, other = tallied(clean.taken(order), cuts)
    assert (whole.rows, whole.names) == (other.rows, other.names)
    assert (whole.counts == other.counts).all()
    assert (whole.moments[:, 0] == other.moments[:, 0]).all()
    assert np.allclose(whole.moments, other.moments, rtol=1e-9, atol=1e-6)


def test_a_profile_survives_its_document(clean: Dataset) -> None:
    rows = stream(block(clean.images, clean.labels), shape=clean.shape)
    one = profile(rows)
    assert (one.name, one.digest) == (SUBJECT.name, SUBJECT.digest)
    assert type(one).read(one.document(), where="").document() == one.document()
    assert one.classes == dict(zip(map(str, range(10)), np.bincount(clean.labels).tolist(), strict=True))
    assert one.pairs["knn"]
    assert one.distinct == profile_of(batches(clean)).distinct


def test_statistics_agree_with_their_textbooks() -> None:
    same = np.eye(3)
    assert frechet(np.zeros(3), same, np.array([[3.0, 4, 0]]), same[None])[0] == pytest.approx(25)
    assert frechet(np.zeros(3), same, np.zeros((1, 3)), 4 * same[None])[0] == pytest.approx(3)
    assert gamma_decades(10, 10, 20) == 0
    assert 0 < ks_decades(np.array([0.1]), 1000, 1000)[0] < 4.35
    assert stability(np.array([500, 500]), np.array([500, 500])) == 0
    assert stability(np.array([500, 500]), np.array([800, 200])) > 0.25
    assert table_decades(np.array([500, 500]), np.array([500, 500])) == 0


counted = st.lists(st.integers(0, 3000), min_size=2, max_size=12).map(lambda counts: np.array(counts, dtype=np.int64))


@given(before=counted, now=counted, weight=st.floats(0.05, 1.0))
def test_a_test_of_scipy_never_says_less_than_the_bound_that_it_replaced(
    before: NDArray[np.int64], now: NDArray[np.int64], weight: float
) -> None:
    """So that nothing which was told before is silent now, up to the smallest p-value that there is."""
    size = min(len(before), len(now))
    before, now = before[:size], now[:size]
    old, new = int(before.sum()), int(now.sum())
    if not old or not new:
        assert table_decades(before, now, weight=weight) == 0
        return
    shares = [np.cumsum(counts) / counts.sum() for counts in (before, now)]
    distance = np.abs(shares[0] - shares[1]).max(keepdims=True)
    bound = (2 * old * new / (old + new) * distance[0] ** 2 - 1) / np.log(10)
    assert ks_decades(distance, old, new)[0] >= min(bound, 307) - 1e-9
    cells = np.stack([before, now]).astype(np.float64)
    expected = np.outer(cells.sum(axis=1), cells.sum(axis=0)) / cells.sum()
    seen = cells > 0
    likelihood = 2 * weight * float((cells[seen] * np.log(cells[seen] / expected[seen])).sum())
    said = table_decades(before, now, weight=weight)
    assert np.isfinite(said)
    assert said >= min(gamma_decades(likelihood, size - 1, 2 * (size - 1)), 307) - 1e-6


def test_counts_come_to_what_scipy_says_of_the_rows() -> None:
    from scipy.stats import ks_2samp  # type: ignore[import-untyped]  # no stubs are published

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=4000), rng.normal(0.1, 1, size=3000)
    places = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(rows), places, side="right") / len(rows) for rows in (one, other)]
    said = ks_decades(np.abs(shares[0] - shares[1]).max(keepdims=True), 4000, 3000)[0]
    assert said == pytest.approx(-np.log10(ks_2samp(one, other, method="asymp").pvalue), rel=0.05)
