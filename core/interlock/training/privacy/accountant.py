"""What DP-SGD spends, recomputed from what a run says of its mechanism; pure arithmetic, without the run's libraries.

The Rényi divergence of the sampled Gaussian mechanism at whole orders has a closed form (Mironov, Talwar and Zhang
2019, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", section 3.3); divergences of several mechanisms
add up (Mironov 2017, proposition 1); and the sum becomes (epsilon, delta) by Balle et al. 2020, theorem 21, as in
Opacus. Only whole orders are tried, so the bound is never below that of Opacus' RDP accountant, which tries these and
more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from interlock.gate import UsageError

ORDERS = tuple(range(2, 64))
_MOST_STEPS = 10**12
_LEAST_NOISE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """Steps of DP-SGD with Poisson sampling, all alike (Abadi et al. 2016).

    Args:
        noise_multiplier: Standard deviation of the noise over the clipping norm.
        sample_rate: Probability of each row to be in a batch.
        steps: How many.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int

    def __post_init__(self) -> None:
        noisy = _LEAST_NOISE <= self.noise_multiplier < math.inf
        if not (noisy and 0 < self.sample_rate <= 1 and 0 <= self.steps <= _MOST_STEPS):
            raise UsageError("these are no steps of a private training", where=repr(self))


def epsilon_of(mechanisms: Iterable[Mechanism], delta: float) -> float:
    """An upper bound on the epsilon of all mechanisms together, at `delta`; infinite where none can be given.

    Args:
        mechanisms: Applied to the same rows, in any order.
        delta: Above 0, below 1.

    Raises:
        UsageError: `delta` is none.
    """
    checked_delta(delta)
    several = [one for one in mechanisms if one.steps]
    if not several:
        return 0.0
    bounds = []
    for order in ORDERS:
        divergence = sum(one.steps * _divergence(one.noise_multiplier, one.sample_rate, order) for one in several)
        bounds.append(divergence - (math.log(delta) + math.log(order)) / (order - 1) + math.log1p(-1 / order))
    return max(0.0, min(bounds))


def checked_delta(delta: float) -> float:
    """`delta`, if it is one.

    Raises:
        UsageError: It is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise UsageError("delta lies between 0 and 1", where=f"delta = {delta!r}", next_step="take less than 1 / rows")
    return delta


@lru_cache(maxsize=8192)
def _divergence(noise: float, rate: float, order: int) -> float:
    """Rényi divergence of one step at a whole order, in nats (Mironov, Talwar and Zhang 2019, section 3.3)."""
    if rate == 1:
        return order / (2 * noise**2)
    terms = [
        math.lgamma(order + 1)
        - math.lgamma(k + 1)
        - math.lgamma(order - k + 1)
        + k * math.log(rate)
        + (order - k) * math.log1p(-rate)
        + (k * k - k) / (2 * noise**2)
        for k in range(order + 1)
    ]
    largest = max(terms)
    return (largest + math.log(sum(math.exp(term - largest) for term in terms))) / (order - 1)
