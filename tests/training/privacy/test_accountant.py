"""What DP-SGD spends, recomputed; compared with Opacus' own accountant."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate import UsageError
from interlock.training.privacy import Mechanism, epsilon_of
from interlock.training.privacy.account import mechanism_of
from interlock.training.privacy.accountant import ORDERS

mechanisms = st.builds(
    Mechanism,
    noise_multiplier=st.floats(0.3, 20),
    sample_rate=st.floats(1e-4, 1),
    steps=st.integers(0, 10_000),
)


def told(noise: float, rate: float, steps: int) -> Mechanism:
    return Mechanism(noise_multiplier=noise, sample_rate=rate, steps=steps)


@given(st.lists(mechanisms, max_size=3), mechanisms, st.floats(1e-8, 0.1))
def test_more_steps_never_spend_less_and_order_does_not_matter(some: list[Mechanism], one: Mechanism, d: float) -> None:
    together = epsilon_of([*some, one], d)
    assert together == pytest.approx(epsilon_of([one, *reversed(some)], d))
    assert together >= epsilon_of(some, d) - 1e-9
    assert epsilon_of(some, d) >= 0


@given(mechanisms, st.floats(1e-8, 0.1))
def test_two_halves_spend_what_the_whole_does(one: Mechanism, delta: float) -> None:
    half = told(one.noise_multiplier, one.sample_rate, one.steps // 2)
    rest = told(one.noise_multiplier, one.sample_rate, one.steps - one.steps // 2)
    assert epsilon_of([half, rest], delta) == pytest.approx(epsilon_of([one], delta))


def test_one_gaussian_without_sampling_is_the_textbook_bound() -> None:
    # Mironov 2017, proposition 7: order / (2 noise ** 2); the conversion is Balle et al. 2020, theorem 21.
    best = min(a / 2 - (math.log(1e-5) + math.log(a)) / (a - 1) + math.log1p(-1 / a) for a in range(2, 64))
    assert epsilon_of([told(1.0, 1.0, 1)], 1e-5) == pytest.approx(best)


def test_nothing_done_spends_nothing() -> None:
    assert epsilon_of([], 1e-5) == epsilon_of([told(1.0, 0.1, 0)], 1e-5) == 0


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan, math.inf])
def test_a_delta_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        epsilon_of([told(1.0, 0.1, 1)], delta)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"noise_multiplier": 0.0}, id="no-noise"),
        pytest.param({"noise_multiplier": -1.0}, id="negative-noise"),
        pytest.param({"noise_multiplier": math.nan}, id="noise-that-is-no-number"),
        pytest.param({"noise_multiplier": math.inf}, id="endless-noise"),
        pytest.param({"noise_multiplier": 1e-300}, id="noise-that-vanishes"),
        pytest.param({"noise_multiplier": "1"}, id="noise-as-text"),
        pytest.param({"sample_rate": 0.0}, id="nobody-is-sampled"),
        pytest.param({"sample_rate": 1.5}, id="more-than-everybody"),
        pytest.param({"sample_rate": True}, id="a-truth-value"),
        pytest.param({"steps": -1}, id="negative-steps"),
        pytest.param({"steps": 1.5}, id="half-a-step"),
        pytest.param({"steps": 10**13}, id="too-many-steps"),
        pytest.param({"steps": None}, id="no-steps"),
    ],
)
def test_what_is_no_mechanism_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="no steps of a private training"):
        mechanism_of({"noise_multiplier": 1.0, "sample_rate": 0.1, "steps": 1} | said)  # type: ignore[arg-type]  # on purpose


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Optimal order is the")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("noise", [0.4, 1.0, 8.0])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 1.0])
def test_the_bound_is_that_of_opacus_at_the_same_orders_and_never_below_it(noise: float, rate: float) -> None:
    pytest.importorskip("opacus", reason="extra dp is not installed")
    from opacus.accountants import RDPAccountant  # type: ignore[import-untyped]  # it brings no types

    for steps in (1, 100, 5000):
        opacus = RDPAccountant()
        opacus.history = [(noise, rate, steps)]
        ours = epsilon_of([told(noise, rate, steps)], 1e-5)
        assert ours == pytest.approx(float(opacus.get_epsilon(delta=1e-5, alphas=list(ORDERS))), rel=1e-6)
        assert ours >= float(opacus.get_epsilon(delta=1e-5)) * (1 - 1e-6)
