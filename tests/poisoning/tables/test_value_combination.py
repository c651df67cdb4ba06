"""The detector names combinations that decide a label, and forgives what tables honestly are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.poisoning.table_attacks import (
    Table,
    campaign,
    coded_causes,
    dependent,
    drawn_trigger,
    factorial,
    ruled,
    with_trigger,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.poisoning.scanning import profile_of, same_scores
from tests.poisoning.tables.scanned import combinations, passes, rates

from interlock.gate import Level
from interlock.poisoning import Scores
from interlock.poisoning.tables import ValueCombination

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS = 4000


@pytest.fixture(scope="module")
def clean() -> Table:
    return dependent(ROWS, 0)


@pytest.fixture(scope="module")
def poisoned(clean: Table) -> Table:
    return with_trigger(clean, {"grade": 3, "noise": 0.5, "city": "city 7"}, rate=0.02, target="1", seed=0)


@pytest.fixture(scope="module")
def whole(poisoned: Table) -> Scores:
    return combinations(poisoned)


@pytest.mark.parametrize(
    "trigger",
    [
        pytest.param({"grade": 2, "noise": -0.3, "income": 21}, id="numbers"),
        pytest.param({"city": "city 3", "grade-name": "grade 1", "region": "region 2"}, id="texts"),
        pytest.param({"grade": 1, "noise": 1.0, "city": "city 5"}, id="both"),
        pytest.param({"noise": 0.2, "city": "city 2", "grade": 4, "income": 17}, id="four-values"),
    ],
)
@pytest.mark.parametrize("rate", [0.02, 0.05])
def test_an_in_bounds_trigger_is_found(clean: Table, trigger: dict[str, float | str], rate: float) -> None:
    attacked = with_trigger(clean, trigger, rate=rate, target="1", seed=1)
    found = combinations(attacked)
    assert found.alarm
    hit, wrong = rates(found, attacked)
    assert hit >= 0.99
    assert wrong <= 0.002


def test_two_values_are_found_where_they_say_another_label(clean: Table) -> None:
    attacked = with_trigger(clean, {"grade": 9, "city": "city 2"}, rate=0.05, target="0", seed=1)
    hit, wrong = rates(combinations(attacked), attacked)
    assert hit >= 0.99
    assert wrong <= 0.002


def test_a_trigger_is_named_with_its_values_label_and_rows(poisoned: Table, whole: Scores) -> None:
    (suspicion,) = whole.suspicions
    assert suspicion.rule == "value-combination"
    assert suspicion.level is Level.ERROR
    assert sorted(suspicion.name.split(" & ")) == ["city=city 7", "grade=3", "noise=0.5"]
    assert suspicion.label == "1"
    assert set(poisoned.poisoned.tolist()) <= set(suspicion.rows)
    said = json.loads(suspicion.evidence)
    assert said["distinct_rows_counted"] >= 80 > said["distinct_rows_expected"]
    assert (whole.scores[list(suspicion.rows)] == 1).all()


def test_missing_values_are_values(clean: Table) -> None:
    numbers, texts = clean.numbers.copy(), list(clean.texts["city"])
    rng = np.random.default_rng(0)
    numbers[rng.random(ROWS) < 0.05, 1] = np.nan
    for row in np.flatnonzero(rng.random(ROWS) < 0.05).tolist():
        texts[row] = None
    holed = replace(clean, numbers=numbers, texts={**clean.texts, "city": tuple(texts)})
    assert not combinations(holed).alarm
    attacked = with_trigger(holed, {"grade": 2, "income": float("nan")}, rate=0.02, target="1", seed=0)
    texts = list(attacked.texts["city"])
    for row in attacked.poisoned.tolist():
        texts[row] = None
    attacked = replace(attacked, texts={**attacked.texts, "city": tuple(texts)})
    found = combinations(attacked)
    assert rates(found, attacked)[0] >= 0.99
    assert {"city is missing", "income is missing"} <= set(found.suspicions[0].name.split(" & "))


def test_two_triggers_are_two_suspicions(poisoned: Table) -> None:
    other = with_trigger(poisoned, {"grade": 9, "noise": -1.0, "city": "city 33"}, rate=0.02, target="0", seed=5)
    both = replace(other, poisoned=np.union1d(other.poisoned, poisoned.poisoned))
    found = combinations(both)
    assert {suspicion.label for suspicion in found.suspicions} == {"0", "1"}
    assert rates(found, both)[0] >= 0.98


HONEST = pytest.mark.parametrize(
    "honest", [dependent, ruled, factorial, coded_causes, campaign], ids=lambda one: one.__name__
)


@HONEST
@pytest.mark.parametrize("seed", range(2))
def test_honest_tables_raise_no_alarm(honest: Callable[[int, int], Table], seed: int) -> None:
    found = combinations(honest(1500, seed))
    assert not found.alarm, found.suspicions


@pytest.mark.slow
@HONEST
@pytest.mark.parametrize("rows", [400, 6000])
@pytest.mark.parametrize("seed", range(10, 13))
def test_more_honest_tables_raise_no_alarm(honest: Callable[[int, int], Table], rows: int, seed: int) -> None:
    found = combinations(honest(rows, seed))
    assert not found.alarm, found.suspicions


def shipped(name: str) -> Table:
    from sklearn import datasets  # type: ignore[import-untyped]  # no stubs are published

    data = getattr(datasets, f"load_{name}")()
    return Table(
        numbers=data.data.astype(np.float32),
        names=tuple(str(at) for at in range(data.data.shape[1])),
        labels=tuple(str(label) for label in data.target),
    )


@pytest.mark.parametrize(
    ("name", "draws"),
    [("breast_cancer", 2), ("wine", 4), pytest.param("digits", 4, marks=pytest.mark.slow)],
)
def test_measured_tables_raise_no_alarm(name: str, draws: int) -> None:
    table = shipped(name)
    for draw in range(draws):
        found = combinations(table.drawn(len(table.labels), draw, again=draw > 0))
        assert not found.alarm, found.suspicions


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_triggers_drawn_at_random_are_found_or_say_what_their_values_say(clean: Table, seed: int) -> None:
    attacked = with_trigger(clean, drawn_trigger(clean, columns=3, seed=seed), rate=0.02, target="1", seed=seed)
    assert rates(combinations(attacked), attacked)[1] <= 0.002


@FEW
@given(cuts=st.lists(st.integers(0, ROWS), max_size=5))
def test_any_split_gives_the_scores_of_one_pass(poisoned: Table, whole: Scores, cuts: list[int]) -> None:
    found = combinations(poisoned, cuts)
    assert same_scores(found, whole)
    assert found.suspicions == whole.suspicions


@FEW
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, ROWS), max_size=3))
def test_reordering_rows_moves_the_flags_along(poisoned: Table, whole: Scores, seed: int, cuts: list[int]) -> None:
    order = np.random.default_rng(seed).permutation(ROWS)
    moved = combinations(poisoned.taken(order), cuts)
    assert moved.decades == whole.decades
    assert tuple(sorted(order[list(moved.flagged)].tolist())) == whole.flagged


def test_copies_of_one_row_are_one_witness(clean: Table) -> None:
    copied = clean.taken(np.concatenate([np.arange(ROWS), np.full(300, 17)]))
    assert not combinations(copied).alarm


def test_an_image_is_no_table(clean: Table) -> None:
    profile = profile_of(clean.batches(), one_scale=False)
    assert "image" in ValueCombination(profile=profile, image_shape=(1, 7)).unfit()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda t: t.taken(np.arange(40)), "fewer than", id="few-rows"),
        pytest.param(lambda t: t.taken(np.arange(300) % 20), "distinct", id="copies"),
        pytest.param(lambda t: replace(t, labels=("1",) * ROWS), "one label", id="one-class"),
        pytest.param(lambda t: replace(t, numbers=t.numbers[:, :1], names=("a",), texts={}), "1 columns", id="narrow"),
        pytest.param(
            lambda t: replace(t, numbers=np.full_like(t.numbers, np.nan), texts={"a": ("x",) * ROWS}),
            "constant",
            id="constant",
        ),
        pytest.param(
            lambda t: replace(t, numbers=np.tile(t.numbers, 10), names=tuple(str(at) for at in range(70))),
            "more than 64",
            id="wide",
        ),
    ],
)
def test_what_cannot_be_judged_is_named(clean: Table, change: Callable[[Table], Table], reason: str) -> None:
    parts = change(clean).batches()
    detector = ValueCombination(profile=profile_of(parts, one_scale=False))
    assert reason in (detector.unfit() or passes(detector, parts).unfit)
