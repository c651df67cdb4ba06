"""Detector 1 sees wrong labels and forgives classes that overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, flipped, targeted
from tests.poisoning.conftest import rates
from tests.poisoning.scanning import batches, knn, profile_of, same_scores, shuffled, tree

from interlock.poisoning import LabelConsistency
from interlock.poisoning.labels.drawn import Drawn
from interlock.poisoning.labels.rest import Rest
from interlock.poisoning.labels.votes import counted
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.overlap import spike, steady_shares

NOBODY = np.empty(0, dtype=np.int64)


def blobs(overlap: float, seed: int, rows: int = 1200, classes: int = 4) -> Dataset:
    """Round clouds whose centres are `1 / overlap` apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    centres = np.eye(classes, 6) / overlap
    images = (centres[labels] + rng.normal(size=(rows, 6))).astype(np.float32)
    return Dataset(images=images, labels=labels, shape=(1, 6), poisoned=NOBODY)


@pytest.mark.parametrize("seed", range(10))
def test_clean_digits_raise_no_alarm(clean: Dataset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    draw = clean.taken(rng.choice(len(clean.labels), len(clean.labels), replace=bool(seed % 2)))
    assert knn(draw, one_scale=seed % 3 > 0).flagged == ()


@pytest.mark.parametrize("overlap", [0.05, 0.2, 0.4, 0.7, 2.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_classes_that_overlap_raise_no_alarm(overlap: float, seed: int) -> None:
    found = knn(blobs(overlap, seed), one_scale=False)
    assert not found.alarm, found.shifts


@pytest.mark.parametrize("shares", [(0.34, 0.33, 0.33), (0.5, 0.3, 0.2), (0.55, 0.45), (0.8, 0.2)])
def test_labels_that_nothing_explains_raise_no_alarm(clean: Dataset, shares: tuple[float, ...]) -> None:
    """Whatever the frequencies: the most frequent label has the most votes around most of its rows."""
    found, _ = nearest(clean.images, clean.images, 20, same=True)
    for seed in range(40):
        drawn = np.random.default_rng(seed).choice(len(shares), len(clean.labels), p=shares)
        votes = counted(found, drawn, len(shares))
        strongest = max(one.decades for one in (spike(votes), *steady_shares(votes, len(shares))))
        assert strongest < 3, seed


def test_more_rows_than_are_asked_are_all_judged(monkeypatch: pytest.MonkeyPatch, clean: Dataset) -> None:
    for room in ("label_consistency", "labels.votes"):
        monkeypatch.setattr(f"interlock.poisoning.{room}.MAX_REFERENCES", 900)
    poisoned = flipped(clean, rate=0.05, seed=0)
    found = knn(poisoned)
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.6
    assert wrong <= 0.005 * len(clean.labels)
    other, order = shuffled(poisoned, 1)
    assert tuple(sorted(order[list(knn(other, [300, 900]).flagged)].tolist())) == found.flagged
    assert not knn(clean).alarm


def test_the_counts_of_a_later_comparison_add_up(clean: Dataset) -> None:
    poisoned = targeted(clean, rate=0.02, source=1, target=6, seed=0)
    pairs = {(one.label, one.resembles): one for one in knn(poisoned).pairs}
    assert sum(one.resembling for one in pairs.values()) == len(np.unique(clean.images, axis=0))
    assert pairs["6", "1"].resembling >= 0.9 * len(poisoned.poisoned)
    assert pairs["6", "1"].rows == int((poisoned.labels == 6).sum())


@pytest.mark.parametrize("seed", range(3))
def test_flipped_labels_are_found(clean: Dataset, seed: int) -> None:
    poisoned = flipped(clean, rate=0.05, seed=seed)
    hit, wrong = rates(knn(poisoned).flagged, poisoned)
    assert hit >= 0.65
    assert wrong <= 0.005 * len(clean.labels)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.03])
def test_flips_of_one_class_into_another_name_the_pair(clean: Dataset, rate: float, seed: int) -> None:
    poisoned = targeted(clean, rate=rate, source=1, target=6, seed=seed)
    found = knn(poisoned)
    assert found.alarm
    assert ("6", "1") in {(shift.label, shift.resembles) for shift in found.shifts}
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.9
    assert wrong <= 0.005 * len(clean.labels)


def test_a_neighbour_that_agrees_with_the_content_is_shown(clean: Dataset) -> None:
    poisoned = targeted(clean, rate=0.01, source=1, target=6, seed=0)
    shift = knn(poisoned).shifts[0]
    assert {poisoned.labels[pair.row] for pair in shift.pairs} == {6}
    assert {poisoned.labels[pair.neighbour] for pair in shift.pairs} == {1}


def test_copies_of_a_row_do_not_vouch_for_its_label(clean: Dataset) -> None:
    poisoned = flipped(clean, rate=0.05, seed=0)
    rows = np.concatenate([np.arange(len(clean.labels)), np.repeat(poisoned.poisoned, 24)])
    copied = poisoned.taken(rows)
    assert rates(knn(copied).flagged, copied)[0] >= 0.65


def test_many_copies_of_few_rows_are_too_few_rows(clean: Dataset) -> None:
    found = knn(clean.taken(np.arange(200) % 30))
    assert found.unfit
    assert not found.alarm


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_units_do_not_matter(factor: float) -> None:
    data = flipped(blobs(0.1, 0), rate=0.05, seed=0)
    scaled = Dataset(
        images=(data.images * np.array([factor, 1, 1, 1, 1, 1])).astype(np.float32),
        labels=data.labels,
        shape=data.shape,
        poisoned=data.poisoned,
    )
    assert rates(knn(scaled, one_scale=False).flagged, scaled)[0] >= 0.6


def test_one_row_of_absurd_values_blinds_nobody(clean: Dataset) -> None:
    poisoned = flipped(clean, rate=0.05, seed=0)
    poisoned.images[3] = np.array([1e30, -1e30] * 32)
    poisoned.images[4] = np.inf
    poisoned.images[5] = np.nan
    assert rates(knn(poisoned).flagged, poisoned)[0] >= 0.65


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda d: d.taken(np.arange(30)), "fewer than", id="few-rows"),
        pytest.param(lambda d: d.taken(np.flatnonzero(d.labels == 3)), "one label", id="one-class"),
        pytest.param(
            lambda d: Dataset(images=d.images * 0, labels=d.labels, shape=d.shape, poisoned=d.poisoned),
            "constant",
            id="constant-features",
        ),
        pytest.param(
            lambda d: Dataset(images=d.images, labels=np.arange(len(d.labels)), shape=d.shape, poisoned=d.poisoned),
            "no class label",
            id="every-row-its-own-label",
        ),
    ],
)
def test_what_cannot_be_judged_is_named(clean: Dataset, change: object, reason: str) -> None:
    data: Dataset = change(clean)  # type: ignore[operator]  # a lambda from the list above
    assert reason in LabelConsistency(profile=profile_of(batches(data))).unfit()


@pytest.fixture
def few_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("label_consistency", "labels.drawn", "labels.second_look"):
        monkeypatch.setattr(f"interlock.poisoning.{room}.JUDGED", 900)


@pytest.mark.usefixtures("few_judged")
def test_what_a_draw_of_the_rows_says_is_named_in_all_of_them(clean: Dataset) -> None:
    poisoned = flipped(clean, rate=0.05, seed=0)
    found = knn(poisoned)
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.6
    assert wrong <= 0.01 * len(clean.labels)
    assert found.rows.tolist() == list(range(len(clean.labels)))
    (shift,) = found.shifts
    assert 0 < shift.expected < 0.05 * len(clean.labels)


@pytest.mark.usefixtures("few_judged")
def test_flips_of_one_pair_are_named_in_all_rows() -> None:
    poisoned = targeted(blobs(0.2, 0, rows=2500, classes=5), rate=0.06, source=1, target=3, seed=0)
    found = knn(poisoned, one_scale=False)
    hit, wrong = rates(found.flagged, poisoned)
    assert [(one.label, one.resembles) for one in found.shifts] == [("3", "1")]
    assert hit >= 0.9
    assert wrong <= 0.002 * len(poisoned.labels)


@pytest.mark.usefixtures("few_judged")
@pytest.mark.parametrize("cuts", [[1, 300, 900], [1796], [100, 200, 300, 400, 1500]])
def test_which_rows_are_drawn_depends_on_no_order_and_no_split(clean: Dataset, cuts: list[int]) -> None:
    poisoned = flipped(clean, rate=0.05, seed=0)
    found = knn(poisoned)
    assert same_scores(knn(poisoned, cuts), found)
    other, order = shuffled(poisoned, 1)
    assert tuple(sorted(order[list(knn(other, cuts).flagged)].tolist())) == found.flagged


@pytest.mark.usefixtures("few_judged")
def test_without_an_alarm_only_the_draw_is_judged(clean: Dataset) -> None:
    found = knn(clean)
    assert not found.alarm
    assert 900 <= len(found.rows) < len(clean.labels)


@pytest.mark.usefixtures("few_judged")
def test_an_excess_over_the_accepted_snapshot_is_named_in_all_rows(clean: Dataset) -> None:
    poisoned = targeted(clean, rate=0.03, source=1, target=6, seed=0)
    parts = batches(poisoned, [600])
    detector = LabelConsistency(profile=profile_of(parts), accepted=knn(clean).pairs)
    found: Any = detector.finalize(tree(detector, parts))
    assert isinstance(found, Rest)
    suspicions = [one for one in found.finalize(tree(found, parts)).suspicions if one.rule == "label-excess"]
    assert [one.label for one in suspicions] == ["6"]
    hit, wrong = rates(suspicions[0].rows, poisoned)
    assert hit >= 0.85
    assert wrong <= 0.01 * len(clean.labels)


@pytest.mark.usefixtures("few_judged")
def test_neighbours_alone_name_the_rest_where_there_are_many_classes(
    monkeypatch: pytest.MonkeyPatch, clean: Dataset
) -> None:
    monkeypatch.setattr("interlock.poisoning.label_consistency.MAX_CLASSES", 9)
    poisoned = flipped(clean, rate=0.05, seed=0)
    hit, wrong = rates(knn(poisoned).flagged, poisoned)
    assert hit >= 0.6
    assert wrong <= 0.01 * len(clean.labels)


def test_no_more_is_held_however_many_rows_come(monkeypatch: pytest.MonkeyPatch, clean: Dataset) -> None:
    monkeypatch.setattr("interlock.poisoning.labels.drawn.JUDGED", 50)
    monkeypatch.setattr("interlock.poisoning.label_consistency.JUDGED", 50)
    parts = batches(clean, list(range(60, 1700, 60)))
    detector = LabelConsistency(profile=profile_of(parts))
    state = detector.partial(parts[0])
    for part in parts[1:]:
        state = detector.merge(state, detector.partial(part))
        assert sum(len(one.points) for one in state) <= 2 * 50 + 60


def test_copies_of_a_row_are_no_reason_to_sort_everything_anew(monkeypatch: pytest.MonkeyPatch, clean: Dataset) -> None:
    monkeypatch.setattr("interlock.poisoning.labels.drawn.JUDGED", 50)
    monkeypatch.setattr("interlock.poisoning.label_consistency.JUDGED", 50)
    joins: list[int] = []
    whole = Drawn.joined

    def counted_joins(parts: tuple[Drawn, ...]) -> Drawn:
        joins.append(len(parts))
        return whole(parts)

    monkeypatch.setattr(Drawn, "joined", counted_joins)
    copies = clean.taken(np.arange(400) % 10)
    parts = batches(copies, list(range(10, 400, 10)))
    detector = LabelConsistency(profile=profile_of(parts))
    state = detector.partial(parts[0])
    for part in parts[1:]:
        state = detector.merge(state, detector.partial(part))
    assert len(joins) <= 5
    assert sum(len(one.rows) for one in state) == 400
