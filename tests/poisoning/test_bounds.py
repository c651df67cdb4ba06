"""The bounds are bounds, and the scale keeps its promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control  # type: ignore[import-untyped]  # no stubs are published

from interlock.poisoning import ALARM_STRENGTH, strength
from interlock.poisoning.bounds import (
    ALARM_DECADES,
    binomial_tail,
    corrected,
    false_discovery,
    poisson_binomial_tail,
)


def exact(successes: int, chances: list[float]) -> float:
    """The tail itself, by convolution."""
    mass = np.array([1.0])
    for chance in chances:
        mass = np.convolve(mass, [1 - chance, chance])
    return -math.log10(max(float(mass[successes:].sum()), 1e-300))


@given(st.lists(st.floats(0.01, 0.9), min_size=1, max_size=25), st.data())
def test_the_evidence_never_exceeds_that_of_the_exact_tail(chances: list[float], data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, len(chances)))
    assert poisson_binomial_tail(successes, np.array(chances)) <= exact(successes, chances) + 1e-6


@given(st.integers(0, 40), st.floats(0.01, 0.9), st.data())
def test_equal_chances_give_the_binomial_bound(trials: int, chance: float, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    several = poisson_binomial_tail(successes, np.full(trials, chance))
    assert several == pytest.approx(binomial_tail(successes, trials, chance), abs=1e-6)


@given(st.floats(-10, 1000), st.floats(-10, 1000))
def test_more_evidence_is_never_less_strength(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert 0 <= strength(less) <= strength(more) < 1


def test_the_alarm_is_where_the_budget_is_used_up() -> None:
    assert strength(ALARM_DECADES) == ALARM_STRENGTH


def test_looking_at_more_leaves_less_evidence() -> None:
    assert corrected(7.0, 10_000) == pytest.approx(3.0)
    assert corrected(7.0, 0) == 7.0


@given(st.lists(st.floats(0, 12), min_size=1, max_size=30))
def test_the_false_discovery_rate_is_that_of_benjamini_and_hochberg(decades: list[float]) -> None:
    expected = -np.log10(false_discovery_control(10.0 ** -np.array(decades), method="bh"))
    assert false_discovery(np.array(decades)) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_control_of_false_discoveries_follows_the_order_of_the_evidence(decades: list[float], random: Any) -> None:
    adjusted = false_discovery(np.array(decades))
    assert (adjusted >= 0).all()
    assert (adjusted <= decades).all()
    assert max(decades) - adjusted[int(np.argmax(decades))] <= math.log10(len(decades)) + 1e-9
    shuffled = list(range(len(decades)))
    random.shuffle(shuffled)
    assert false_discovery(np.array(decades)[shuffled]).tolist() == adjusted[shuffled].tolist()


def test_evidence_beyond_the_range_of_floating_point_is_kept() -> None:
    assert false_discovery(np.array([5000.0, 5000.0])).tolist() == [5000.0, 5000.0]
    assert false_discovery(np.array([math.inf, 4000.0, 0.0])).tolist() == pytest.approx(
        [math.inf, 4000 - math.log10(1.5), 0.0]
    )
    assert false_discovery(np.empty(0)).tolist() == []


@given(st.lists(st.floats(0, 50), min_size=1, max_size=20), st.integers(0, 19), st.floats(0, 100))
def test_more_evidence_for_one_hypothesis_never_weakens_another(decades: list[float], at: int, more: float) -> None:
    stronger = np.array(decades)
    stronger[at % len(decades)] += more
    assert (false_discovery(stronger) >= false_discovery(np.array(decades)) - 1e-12).all()
