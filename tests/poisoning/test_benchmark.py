"""The benchmark judges as its targets say, keeps what it measured, and draws its page from that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning import __main__ as benchmark
from benchmarks.poisoning.attacks import Dataset, badnets, square, targeted
from benchmarks.poisoning.cells import Cell, Family, Goal, of_images
from benchmarks.poisoning.measure import _ranked, _rates, measured
from benchmarks.poisoning.rendering import page
from benchmarks.poisoning.shipped import PLACES, Shipped
from benchmarks.poisoning.verdicts import line

RECORD: dict[str, Any] = {
    "cell": "static | digits | patch",
    "seed": 0,
    "trained": False,
    "tpr": 1.0,
    "fpr": 0.0,
    "fpr_untouched": 0.0,
    "tpr_ranked": 1.0,
    "named": None,
    "strongest": 0.9,
    "cpu": 1.0,
    "detectors": {},
    "peers": {},
}


def cell(**changes: Any) -> Cell:
    options: dict[str, Any] = {
        "family": Family.STATIC,
        "data": "digits",
        "attack": "patch",
        "goal": Goal(tpr=0.99, fpr=0.001),
    }
    return Cell(**(options | {"make": lambda seed: pytest.fail("made")} | changes))


@pytest.mark.parametrize(
    ("changes", "goal", "met", "why"),
    [
        pytest.param({}, Goal(tpr=0.99, fpr=0.001), True, "", id="reached"),
        pytest.param({"tpr": 0.98}, Goal(tpr=0.99, fpr=0.001), False, "TPR short by up to 1.0 points", id="tpr"),
        pytest.param({"fpr_untouched": 0.01}, Goal(tpr=0.9, fpr=0.005), False, "FPR over by up to 0.50", id="fpr"),
        pytest.param({"fpr": 0.01}, Goal(tpr=0.9, fpr=0.005), True, "", id="cover-samples-are-no-false-alarms"),
        pytest.param({"tpr": 0.5}, Goal(tpr=0.9, fpr=0.01, ranked=True), True, "", id="ranking-counts-where-it-may"),
        pytest.param({"named": False}, Goal(tpr=0.9, fpr=0.01, named=True), False, "not named", id="not-named"),
        pytest.param({"tpr": 0.0, "strongest": 0.0}, Goal(tpr=0.9, fpr=0.01), False, "silent in 1 of 1", id="silent"),
        pytest.param({"tpr": None, "strongest": 0.4}, Goal(), True, "", id="clean"),
        pytest.param({"tpr": None, "strongest": 0.6}, Goal(), False, "false alarm of knn", id="false-alarm"),
    ],
)
def test_a_target_is_judged_and_a_miss_is_explained(changes: dict[str, Any], goal: Goal, met: bool, why: str) -> None:
    one = RECORD | {"detectors": {"knn": {"strength": 0.6}}} | changes
    said = line(cell(goal=goal, why="a reason"), [one], can_train=True)
    assert said.met == int(met)
    assert why in said.why
    assert ("a reason" in said.why) is not met


def test_a_peer_must_be_beaten_where_the_target_says_so() -> None:
    goal = Goal(fpr=0.01, beats="cleanlab")
    less, more = (RECORD | {"peers": {"cleanlab": {"tpr_ranked": share}}} for share in (0.9, 1.0))
    assert line(cell(goal=goal), [less], can_train=True).met == 1
    assert "points less than cleanlab" in line(cell(goal=goal), [more], can_train=True).why


def test_a_miss_without_training_says_that_none_was_allowed() -> None:
    one = RECORD | {"tpr": 0.0}
    assert "--with-training" in line(cell(trains=True), [one], can_train=True).why
    assert "cannot train" in line(cell(trains=True), [one], can_train=False).why


def test_rates_count_rows_that_carry_the_trigger_under_their_own_label_apart(clean: Dataset) -> None:
    made = replace(of_images(clean), poisoned=np.array([0, 1]), touched=np.array([0, 1, 2]))
    found = _rates([0, 2], made)
    assert found["tpr"] == 0.5
    assert found["fpr"] == pytest.approx(1 / (1797 - 2))
    assert found["fpr_untouched"] == 0


def test_of_rows_with_equal_scores_a_share_is_drawn(clean: Dataset) -> None:
    made = replace(of_images(clean), poisoned=np.array([0, 1]))
    assert _ranked(np.zeros(1797), made) == pytest.approx(0.01)
    assert _ranked(np.eye(1, 1797)[0], made) == pytest.approx(0.505)
    assert _ranked(np.arange(1797.0)[::-1], made) == 1


@pytest.mark.slow
def test_a_cell_is_measured_as_a_user_would_and_beside_peers(clean: Dataset) -> None:
    patch = square(3, clean.white)
    attacked = cell(
        make=lambda seed: of_images(badnets(clean, patch, rate=0.05, target=0, top=5, left=5, seed=seed), clean),
        peers=("pyod-ecod", "cleanlab"),
    )
    one = measured(attacked, 0, train=False, with_peers=True)
    assert json.loads(json.dumps(one)) == one
    assert one["tpr"] >= 0.99
    assert one["fpr"] <= 0.001
    assert set(one["peers"]) == {"pyod-ecod", "cleanlab"}
    assert one["peers"]["pyod-ecod"]["fpr"] > 0.01
    text = page([line(attacked, [one], can_train=False)], ["nothing"], "versions")
    assert "1 of 1 targets reached" in text
    assert "| digits | patch | **100.0 / 0.00** |" in text


def test_a_pair_of_classes_is_named(clean: Dataset) -> None:
    flips = cell(make=lambda seed: of_images(targeted(clean, rate=0.02, source=1, target=6, seed=seed), pair=(6, 1)))
    assert measured(flips, 0, train=False, with_peers=False)["named"] is True


def test_what_was_measured_survives_a_run_that_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "cells.jsonl"
    assert benchmark.stored(place) == []
    benchmark.store(place, RECORD)
    with place.open("a") as file:
        file.write('{"cell": "cut off')
    assert benchmark.stored(place) == [RECORD]
    assert "not whole" in capsys.readouterr().err
    benchmark.store(place, RECORD | {"seed": 1})
    assert [one["seed"] for one in benchmark.stored(place)] == [0, 1]


def test_data_is_searched_in_folders_and_missed_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERLOCK_BENCHMARK_DATA", raising=False)
    (tmp_path / "unpacked" / PLACES["adult"]).mkdir(parents=True)
    shipped = Shipped((tmp_path,))
    assert shipped.find("adult") == tmp_path / "unpacked" / PLACES["adult"]
    assert shipped.find("mails") is None
    assert shipped.missing == [
        f"mails left out: no {PLACES['mails']} in the folders of INTERLOCK_BENCHMARK_DATA; see shipped.py"
    ]
