"""The detector names contributors whose labels contradict their rows, and forgives that contributors differ."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.poisoning.table_attacks import Table, bad_source, dependent, from_sources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp  # type: ignore[import-untyped]  # no stubs are published
from scipy.stats import betabinom  # type: ignore[import-untyped]  # no stubs are published
from tests.poisoning.scanning import profile_of, same_scores
from tests.poisoning.tables.scanned import excess, passes, rates

from interlock.gate import Level
from interlock.poisoning import Scores
from interlock.poisoning.tables import SourceExcess
from interlock.poisoning.tables.contributors import beta_binomial_tail

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS = 4000


@pytest.fixture(scope="module")
def clean() -> Table:
    return from_sources(dependent(ROWS, 0), sources=12, seed=0)


@pytest.fixture(scope="module")
def poisoned(clean: Table) -> Table:
    return bad_source(clean, "mallory", rate=0.05, wrong=0.8, seed=0)


@pytest.fixture(scope="module")
def whole(poisoned: Table) -> Scores:
    return excess(poisoned)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sources", [2, 40])
def test_honest_contributors_raise_no_alarm(sources: int, seed: int) -> None:
    table = from_sources(dependent(2000, seed), sources=sources, seed=seed)
    assert not excess(table).alarm


@pytest.mark.parametrize(("rate", "wrong"), [(0.02, 1.0), (0.05, 0.6), (0.2, 0.6)])
def test_a_contributor_of_wrong_labels_is_named(clean: Table, rate: float, wrong: float) -> None:
    attacked = bad_source(clean, "mallory", rate=rate, wrong=wrong, seed=3)
    found = excess(attacked)
    assert [one.name for one in found.suspicions if one.level is Level.ERROR] == ["mallory"]
    assert rates(found, attacked)[0] >= 0.6


def test_the_counts_are_exact(poisoned: Table, whole: Scores) -> None:
    (suspicion,) = whole.suspicions
    said = json.loads(suspicion.evidence)
    mine = [at for at, source in enumerate(poisoned.sources) if source == "mallory"]
    assert said["source_rows"] == len(mine)
    assert said["against_content"] == len(suspicion.rows) > 2 * said["expected_at_most"]
    assert sum(said["rows_by_label"].values()) == len(mine)
    assert set(suspicion.rows) <= set(mine)
    assert said["expected_at_most"] / len(mine) < said["posterior_rate"] < said["against_content"] / len(mine)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 1.0])
def test_a_contributor_of_one_class_is_a_remark_and_no_alarm(clean: Table, share: float) -> None:
    rng = np.random.default_rng(0)
    sources = [
        "clinic" if label == "1" and rng.random() < share else source
        for label, source in zip(clean.labels, clean.sources, strict=True)
    ]
    found = excess(replace(clean, sources=tuple(sources)))
    assert not found.alarm
    assert found.flagged == ()
    assert {(remark.level, remark.rows) for remark in found.suspicions} == {(Level.NOTE, ())}
    assert ("clinic", "1") in {(remark.name, remark.label) for remark in found.suspicions}


def test_a_contributor_of_hard_rows_is_no_alarm() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(ROWS, 4)).astype(np.float32)
    chance = 1 / (1 + np.exp(-3 * numbers[:, 0]))
    hard = (np.abs(chance - 0.5) < 0.25) & (rng.random(ROWS) < 0.7)
    table = Table(
        numbers=numbers,
        names=tuple("abcd"),
        labels=tuple("1" if label else "0" for label in rng.random(ROWS) < chance),
        sources=tuple("hard" if here else f"easy {at % 5}" for at, here in enumerate(hard)),
    )
    assert not excess(table).alarm


@FEW
@given(cuts=st.lists(st.integers(0, ROWS), max_size=5))
def test_any_split_gives_the_scores_of_one_pass(poisoned: Table, whole: Scores, cuts: list[int]) -> None:
    found = excess(poisoned, cuts)
    assert whole.alarm
    assert same_scores(found, whole)
    assert found.suspicions == whole.suspicions


@FEW
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, ROWS), max_size=3))
def test_reordering_rows_moves_the_flags_along(poisoned: Table, whole: Scores, seed: int, cuts: list[int]) -> None:
    order = np.random.default_rng(seed).permutation(ROWS)
    moved = excess(poisoned.taken(order), cuts)
    assert moved.decades == whole.decades
    assert tuple(sorted(order[list(moved.flagged)].tolist())) == whole.flagged


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        pytest.param(lambda n: ("only",) * n, "one source", id="one-value"),
        pytest.param(lambda n: tuple(f"user {at}" for at in range(n)), "none of 4000 sources", id="one-row-each"),
        pytest.param(lambda n: (None,) * n, "no row says", id="nothing-given"),
        pytest.param(lambda n: (), "no file has a source column", id="no-column"),
    ],
)
def test_sources_that_cannot_be_judged_are_named(
    clean: Table, sources: Callable[[int], tuple[str | None, ...]], reason: str
) -> None:
    assert reason in excess(replace(clean, sources=sources(ROWS))).unfit


def test_without_a_source_column_it_does_not_look(clean: Table) -> None:
    profile = profile_of(clean.batches(), one_scale=False)
    assert "source column" in SourceExcess(profile=profile, source=None).unfit()


def test_a_contributor_of_nearly_everything_is_compared_with_nothing(clean: Table) -> None:
    few = np.random.default_rng(0).choice(ROWS, 30, replace=False)
    sources = tuple("few" if at in few else "most" for at in range(ROWS))
    parts = replace(clean, sources=sources).batches()
    found = passes(SourceExcess(profile=profile_of(parts, one_scale=False), source="who"), parts)
    assert not found.alarm
    assert found.notes


@given(st.integers(0, 60), st.floats(0.02, 0.98), st.floats(2, 500), st.data())
def test_the_tail_is_that_of_a_beta_binomial_distribution(
    trials: int, rate: float, concentration: float, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, trials))
    decades = beta_binomial_tail(successes, trials, rate, concentration)
    if successes > trials * rate:
        law = betabinom(trials, rate * concentration, (1 - rate) * concentration)
        exact = logsumexp(law.logpmf(np.arange(successes, trials + 1)))
        assert decades == pytest.approx(-exact / math.log(10), abs=1e-6)
    else:
        assert decades == 0.0
