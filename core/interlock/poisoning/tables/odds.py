"""Rates, odds and tail bounds, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Whole: TypeAlias = NDArray[np.int64]


def rate_above(successes: Floats | Whole, trials: Floats | Whole, base: Floats | np.float64) -> Floats:
    """A rate drawn towards `base` by four rows, and one standard error above."""
    import numpy as np

    rate = (successes + 4 * base) / (trials + 4)
    above: Floats = np.clip(rate + np.sqrt(rate * (1 - rate) / (trials + 4)), 1e-4, 1 - 1e-4)
    return above


def log_odds(chance: Floats | np.float64) -> Floats:
    """The logit."""
    import numpy as np

    odds: Floats = np.log(chance / (1 - chance))
    return odds


def from_log_odds(odds: Floats) -> Floats:
    """Its inverse."""
    import numpy as np

    chance: Floats = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return chance


def odds_times(chance: Floats, factor: float) -> Floats:
    """Chances after their odds were multiplied."""
    raised: Floats = chance * factor / (1 - chance + chance * factor)
    return raised


def poisson_decades(counts: Floats | Whole, expected: Floats) -> Floats:
    """Decades of evidence against a Poisson mean of at most `expected` (Chernoff), element by element."""
    import numpy as np

    seen, mean = np.maximum(counts.astype(np.float64), 1e-9), np.maximum(expected, 1e-9)
    decades: Floats = np.where(seen > mean, seen * np.log(seen / mean) - (seen - mean), 0.0) / np.log(10)
    return decades


def binomial_decades(successes: Floats | Whole, trials: Floats | Whole, chance: Floats) -> Floats:
    """`bounds.binomial_tail`, element by element."""
    import numpy as np

    share = np.clip(successes / np.maximum(trials, 1), 1e-12, 1 - 1e-12)
    chance = np.clip(chance, 1e-9, 1 - 1e-9)
    divergence = share * np.log(share / chance) + (1 - share) * np.log((1 - share) / (1 - chance))
    decades: Floats = np.where(share > chance, trials * divergence, 0.0) / np.log(10)
    return decades
