"""Which rows are named: models that did not see a row say it better than its neighbours, and never raise the alarm."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, flipped
from benchmarks.poisoning.cells import of_table
from benchmarks.poisoning.table_attacks import dependent
from benchmarks.poisoning.table_attacks import flipped as flipped_table
from tests.poisoning.conftest import rates
from tests.poisoning.scanning import batches, knn, profile_of, tree

from interlock.poisoning import LabelConsistency, Scan, Scores, scan
from interlock.poisoning.batches import Batch
from interlock.poisoning.labels.belief import Belief
from interlock.poisoning.labels.out_of_fold import Models
from interlock.poisoning.labels.rest import Rest
from interlock.poisoning.labels.second_look import SecondLook

TABLE = dependent(2500, 0)
WRONG = flipped_table(TABLE, rate=0.05, seed=1)


def looked(table: Any) -> Scan:
    return scan(
        of_table(table).source, seed=0, detectors=lambda profile: [LabelConsistency(profile=profile)], one_scale=False
    )


def second(scores: Scores | SecondLook | Rest, parts: list[Batch]) -> Scores:
    assert isinstance(scores, SecondLook)
    return scores.finalize(tree(scores, parts))


def parts_of(cuts: list[int]) -> list[Batch]:
    """The table, split: each part with its own vocabularies."""
    (whole,) = of_table(WRONG).source.batches()
    made = []
    for place, rows in enumerate(np.split(np.arange(len(WRONG.labels)), cuts)):
        texts = {name: replace(coded, codes=coded.codes[rows]) for name, coded in whole.categories.items()}
        if place % 2:
            texts = {
                name: replace(
                    coded,
                    codes=np.where(coded.codes >= 0, len(coded.vocabulary) - 1 - coded.codes, -1),
                    vocabulary=coded.vocabulary[::-1],
                )
                for name, coded in texts.items()
            }
        labels, features = whole.labels[rows], whole.features[rows]
        made.append(replace(whole, start=int(rows[0]), labels=labels, features=features, categories=texts))
    return made


def test_as_many_rows_are_named_as_neighbours_outvote_and_more_of_them_are_wrong(clean: Dataset) -> None:
    poisoned = flipped(clean, rate=0.05, seed=0)
    hit, wrong = rates(knn(poisoned).flagged, poisoned)
    assert hit >= 0.75
    assert wrong <= 0.005 * len(clean.labels)


def test_flips_in_a_table_rank_high_and_raise_no_alarm() -> None:
    ((_, found),) = looked(WRONG).scores
    bad = np.isin(found.rows, WRONG.poisoned)
    above = (found.scores[bad][:, None] > found.scores[~bad]).mean()
    assert above >= 0.75
    assert not found.alarm
    issues = {one.name: one.value for one in found.measures}["label_issues_fraction"]
    ((_, before),) = looked(TABLE).scores
    assert issues > {one.name: one.value for one in before.measures}["label_issues_fraction"]


def test_any_split_of_a_table_gives_the_same_scores() -> None:
    said = []
    for cuts in ([], [1, 700, 1800]):
        parts = parts_of(cuts)
        detector = LabelConsistency(profile=profile_of(parts, one_scale=False))
        said.append(second(detector.finalize(tree(detector, parts)), parts))
    assert (said[0].rows == said[1].rows).all()
    assert said[0].scores == pytest.approx(said[1].scores, rel=1e-4)
    assert said[0].decades == said[1].decades


def test_a_missing_cleanlab_is_said(monkeypatch: pytest.MonkeyPatch, clean: Dataset) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.count", None)
    found = knn(flipped(clean, rate=0.05, seed=0))
    assert found.alarm
    assert any("cleanlab" in note for note in found.notes)
    assert "label_issues_fraction" not in {one.name for one in found.measures}


def test_clean_images_do_not_ask_cleanlab(monkeypatch: pytest.MonkeyPatch, clean: Dataset) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.count", None)
    assert knn(clean).notes == ()


def test_chances_are_of_models_that_did_not_see_the_row() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(600, 5)).astype(np.float32), rng.integers(0, 4, 600)
    neighbours = labels[rng.integers(0, 600, (600, 20))]
    said = Models.of(points, neighbours, labels, 4).chances(points, neighbours)
    assert said.sum(axis=1) == pytest.approx(1)
    assert (said.argmax(axis=1) == labels).mean() < 0.35


@pytest.mark.parametrize(("count", "named"), [(0, []), (1, [2]), (2, [1, 2, 3]), (9, [1, 2, 3])])
def test_rows_of_equal_doubt_are_named_together_and_believed_ones_never(count: int, named: list[int]) -> None:
    labels = np.zeros(9, dtype=np.int64)
    resembles = np.isin(np.arange(9), [1, 2, 3]).astype(np.int64)
    doubt = np.where(np.arange(9) == 2, 0.9, 0.6)
    belief = Belief(resembles=resembles, doubt=doubt)
    assert np.flatnonzero(belief.most_doubtful(labels, count)).tolist() == named


def test_few_rows_of_many_classes_do_not_break_it() -> None:
    rng = np.random.default_rng(0)
    data = Dataset(
        images=rng.normal(size=(130, 3)).astype(np.float32),
        labels=np.arange(130) % 60,
        shape=(1, 3),
        poisoned=np.empty(0, dtype=np.int64),
    )
    assert profile_of(batches(data)).unfit == ""
    assert not knn(data, one_scale=False).alarm
