"""Tail bounds and the one scale on which every detector states how strong its evidence is.

Evidence is counted in decades: minus the decimal logarithm of an upper bound on a p-value, after correction for how
many hypotheses were looked at. The bounds are Chernoff's (Hoeffding, 1963, "Probability inequalities for sums of
bounded random variables", theorem 1): they hold for every sample size, so small groups need no approximation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

ALARM_DECADES = 3.0
"""The false-alarm budget of one detector on one clean dataset: 1 in 1,000."""

ALARM_STRENGTH = 0.5
"""The strength at which the budget is used up; a detector flags rows from here on."""


def strength(decades: float) -> float:
    """Corrected evidence on a scale from 0 to 1, where 0.5 is the false-alarm budget.

    Args:
        decades: Minus log10 of the corrected p-value bound; 3 gives 0.5, 12 gives 0.8, 27 gives 0.9.
    """
    return max(0.0, decades) / (max(0.0, decades) + ALARM_DECADES)


def corrected(decades: float, looked_at: int) -> float:
    """Bonferroni: the evidence that is left after choosing the best of `looked_at` hypotheses."""
    return decades - math.log10(max(1, looked_at))


def false_discovery(decades: Floats) -> Floats:
    """Evidence after control of the false discovery rate over several hypotheses (Benjamini and Hochberg, 1995).

    Reject what comes to at least d decades: then at most one in 10**d of the rejected is expected to be true, for
    p-values that are independent or positively dependent.

    Args:
        decades: float64 array (m,): minus log10 of a p-value bound of each; infinite where nothing is left of it.

    Returns:
        float64 array (m,): minus log10 of the adjusted p-values, same order, never negative and never more than before.
        Reckoned in decades throughout, so that evidence of thousands of them loses nothing.
    """
    import numpy as np

    count = len(decades)
    order = np.argsort(-decades, kind="stable")
    # The k-th strongest of m is multiplied with m / k, and nothing weaker may come out stronger.
    less = decades[order] - np.log10(count / np.arange(1, count + 1))
    adjusted = np.empty(count)
    adjusted[order] = np.maximum.accumulate(less[::-1])[::-1]
    positive: Floats = np.maximum(adjusted, 0.0)
    return positive


def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """Decades of evidence against "each trial succeeds with probability at most `chance`".

    Args:
        successes: Seen successes.
        trials: Number of trials.
        chance: Between 0 and 1, exclusive.
    """
    if trials == 0 or successes <= trials * chance:
        return 0.0
    share = successes / trials
    divergence = share * math.log(share / chance)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - chance))
    return trials * divergence / math.log(10)


def poisson_binomial_tail(successes: int, chances: Floats) -> float:
    """Decades of evidence against "trial i succeeds with probability at most `chances[i]`, independently".

    Args:
        successes: Seen successes.
        chances: float64 array (trials,), each between 0 and 1, exclusive.
    """
    import numpy as np

    if len(chances) == 0 or successes <= float(chances.sum()):
        return 0.0
    if successes >= len(chances):
        return float(-np.log10(chances).sum())
    low, high = 0.0, 60.0
    for _ in range(60):  # bisection on the derivative of a convex function, to double precision
        tilt = (low + high) / 2
        lifted = chances * math.exp(tilt)
        low, high = (tilt, high) if float((lifted / (1 - chances + lifted)).sum()) < successes else (low, tilt)
    log_moment = float(np.log1p(chances * math.expm1(low)).sum())
    return max(0.0, (low * successes - log_moment) / math.log(10))
