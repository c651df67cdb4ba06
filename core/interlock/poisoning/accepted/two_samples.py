"""Two samples of one population, or of two: evidence in decades, and how large the difference is.

Evidence alone calls every difference of two large snapshots a drift; size alone calls the chance of two small ones so.
What is called a drift here is both (see `drift`). The tests and the divergence are SciPy's; what is made here is what
they are given, for a profile holds counts and moments, and no rows (docs/adr/0017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

BINS = 10
"""Bins of the population stability index, as usual where it comes from."""

LEAST_EXPECTED = 5
"""Cells of a table that expect fewer rows are taken together (Cochran, 1954)."""


def decades_of(chance: Floats | float) -> Floats:
    """Evidence of a p-value; of one that is too small to be told from 0, that of the smallest number."""
    import numpy as np

    found: Floats = -np.log10(np.maximum(chance, np.finfo(np.float64).tiny))
    return found


def ks_decades(distance: Floats, one: float, other: float) -> Floats:
    """Evidence of two-sample Kolmogorov-Smirnov distances, not corrected for how many were looked at.

    Kolmogorov's limiting distribution (`scipy.stats.kstwobign`). For distances that were only taken at some places it
    is a bound.

    Args:
        distance: float64 array (m,): largest difference of the two distribution functions.
        one: Independent rows of the one sample.
        other: Of the other.
    """
    import numpy as np
    from scipy.stats import kstwobign  # type: ignore[import-untyped]  # no stubs are published

    return decades_of(kstwobign.sf(distance * np.sqrt(one * other / max(1.0, one + other))))


def gamma_decades(value: float, mean: float, variance: float) -> float:
    """Evidence of a positive statistic whose null is a gamma distribution of that mean and variance.

    A sum of squares is matched by its first two moments (Satterthwaite, 1946), which is too short a tail; Chernoff's
    bound is as much too long, and SciPy has no other.
    """
    if value <= mean or mean <= 0 or variance <= 0:
        return 0.0
    shape, ratio = mean * mean / variance, value / mean
    return shape * (ratio - 1 - math.log(ratio)) / math.log(10)


def stability(before: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """The population stability index of two rows of counts, less what chance alone gives.

    (Siddiqi, 2006, "Credit risk scorecards": under 0.1 nothing changed, over 0.25 much did.) Chance gives about one
    degree of freedom over the size of each sample (Yurdakul, 2018, "Statistical properties of population stability
    index").

    Args:
        before: int64 array (b,): rows in each bin.
        now: int64 array (b,), the same bins.
    """
    from scipy.stats import entropy

    old, new = int(before.sum()), int(now.sum())
    if not old or not new:
        return 0.0
    bins = len(before)
    p, q = before + 0.5, now + 0.5
    # Jeffreys' divergence by another name; `entropy` divides counts by their sum.
    return max(0.0, float(entropy(p, q) + entropy(q, p)) - (bins - 1) * (1 / old + 1 / new))


def coarse(before: NDArray[np.int64], now: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neighbouring bins taken together until each holds a tenth of the rows of `before`, or is one value alone."""
    import numpy as np

    at = np.cumsum(before) - before
    place = np.floor(BINS * at / max(1, int(before.sum()))).astype(np.int64)
    _, groups = np.unique(place, return_inverse=True)
    count = int(groups.max(initial=0)) + 1
    made = [np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)]
    for kept, counts in zip(made, (before, now), strict=True):
        np.add.at(kept, groups, counts)
    return made[0], made[1]


def table_of(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts by name as two rows of one table; names that expect too few rows are the last column."""
    import numpy as np

    names = sorted(set(before) | set(now))
    old = np.array([before.get(name, 0) for name in names], dtype=np.int64)
    new = np.array([now.get(name, 0) for name in names], dtype=np.int64)
    smaller = min(int(old.sum()), int(new.sum())) / max(1, int(old.sum() + new.sum()))
    rare = (old + new) * smaller < LEAST_EXPECTED
    if not rare.any():
        return old, new
    rest = [np.array([counts[rare].sum()], dtype=np.int64) for counts in (old, new)]
    return np.concatenate([old[~rare], rest[0]]), np.concatenate([new[~rare], rest[1]])


def table_decades(before: NDArray[np.int64], now: NDArray[np.int64], *, weight: float = 1.0) -> float:
    """Evidence that two rows of counts are of two populations: the likelihood ratio of a 2 x b table, chi-square.

    Args:
        before: int64 array (b,).
        now: int64 array (b,).
        weight: Share of the rows that are independent of the others.
    """
    import numpy as np
    from scipy.stats import chi2, chi2_contingency

    cells = weight * np.stack([before, now]).astype(np.float64)
    cells = cells[:, cells.any(axis=0)]
    if cells.shape[1] < 2 or not cells.any(axis=1).all():
        return 0.0
    statistic, _, freedom, _ = chi2_contingency(cells, correction=False, lambda_="log-likelihood")
    # Of equal rows the statistic may be a hair below 0, of which its own p-value is no number.
    return float(decades_of(chi2.sf(max(0.0, statistic), freedom)))


def frechet(mean: Floats, covariance: Floats, means: Floats, covariances: Floats) -> Floats:
    """Squared Frechet distances of normal distributions (Dowson and Landau, 1982).

    Args:
        mean: float64 array (p,).
        covariance: float64 array (p, p).
        means: float64 array (b, p), of b others.
        covariances: float64 array (b, p, p).

    Returns:
        float64 array (b,).
    """
    import numpy as np

    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ covariances @ root)
    shared = np.sqrt(np.maximum(inner, 0)).sum(axis=1)
    apart = ((means - mean) ** 2).sum(axis=1)
    traces = np.trace(covariance) + np.trace(covariances, axis1=1, axis2=2)
    distances: Floats = np.maximum(apart + traces - 2 * shared, 0.0)
    return distances
