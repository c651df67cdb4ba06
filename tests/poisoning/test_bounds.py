"""The bounds are bounds, and the scale keeps its promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.poisoning import ALARM_STRENGTH, strength
from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail, corrected, poisson_binomial_tail


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
