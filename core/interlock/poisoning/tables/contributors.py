"""What each contributor's rows look like beside everybody else's: counts, and tails of Beta-binomial distributions.

Honest contributors differ: one sees harder cases, one only cases of one class. Two expectations answer for that, both
from everybody else's rows: how often rows *of the same label* go against their content (one hospital may send cases of
one class only), and how often rows *of the same content* do (it may send the hard ones). What is left may still vary
from one honest contributor to the next as a Beta distribution, whose concentration is estimated from the others
(Skellam, 1948, "A probability distribution derived from the binomial distribution by regarding the probability of
success as variable between the sets of trials").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Whole: TypeAlias = NDArray[np.int64]

FEW_CONTRIBUTORS = 8
CONCENTRATION = 50.0
"""Of honest rates between contributors where too few of them show it: a rate of 10 % is then 10 +- 4 %."""

CONCENTRATIONS = (10.0, 200.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """Rows by contributor, label, the label that content says, and how surely it does.

    Args:
        source: int64 array (m,): place of the contributor.
        label: int64 array (m,): what the rows carry.
        content: int64 array (m,): what most of their neighbours carry.
        sure: int64 array (m,): how many neighbours do.
        rows: int64 array (m,): how many rows.
    """

    source: Whole
    label: Whole
    content: Whole
    sure: Whole
    rows: Whole

    @property
    def against(self) -> Whole:
        """Rows whose label is not what content says."""
        import numpy as np

        return np.where(self.label != self.content, self.rows, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributors:
    """One entry per contributor.

    Args:
        rows: int64 array (s,): rows that were compared.
        against: int64 array (s,): those whose label goes against their content.
        expected: float64 array (s,): how many that should be, by the larger of both expectations.
        concentration: float64 array (s,): of honest rates, from the other contributors.
        decades: float64 array (s,): evidence of an excess, before correction.
    """

    rows: Whole
    against: Whole
    expected: Floats
    concentration: Floats
    decades: Floats = field(repr=False)

    @property
    def posterior(self) -> Floats:
        """float64 array (s,): posterior mean of each contributor's rate of labels against content."""
        rate = self.expected / self.rows.clip(1)
        mean: Floats = (self.against + self.concentration * rate) / (self.rows + self.concentration)
        return mean


def compared(strata: Strata, sources: int, classes: int) -> Contributors:
    """Every contributor beside all others.

    Args:
        strata: Of the whole dataset.
        sources: Number of contributors.
        classes: Number of classes.
    """
    import numpy as np

    rows = _sums(strata.source, strata.rows, sources)
    against = _sums(strata.source, strata.against, sources)
    by_label = _expected(strata, strata.label, sources)
    by_content = _expected(strata, strata.content + classes * strata.sure, sources)
    expected = np.maximum(by_label, by_content)
    rate = np.clip(expected / rows.clip(1), 1e-4, 1 - 1e-4)
    concentration = _concentrations(rows, against, rate)
    decades = np.array(
        [
            beta_binomial_tail(int(k), int(n), float(p), float(c))
            for k, n, p, c in zip(against, rows, rate, concentration, strict=True)
        ]
    )
    return Contributors(rows=rows, against=against, expected=expected, concentration=concentration, decades=decades)


def _expected(strata: Strata, kind: Whole, sources: int) -> Floats:
    """Rows against content, if each contributor's rows of a kind went against it as often as everybody else's."""
    import numpy as np

    kinds, kind = np.unique(kind, return_inverse=True)
    # One entry for each contributor and kind.
    pairs, pair = np.unique(strata.source * len(kinds) + kind, return_inverse=True)
    source, kind_of = np.divmod(pairs, len(kinds))
    rows: Whole = _sums(pair, strata.rows, len(pairs))
    against: Whole = _sums(pair, strata.against, len(pairs))
    all_rows, all_against = _sums(kind_of, rows, len(kinds)), _sums(kind_of, against, len(kinds))
    overall = float(against.sum() + 0.5) / float(rows.sum() + 1)
    rate = (all_against[kind_of] - against + 2 * overall) / (all_rows[kind_of] - rows + 2)
    expected: Floats = np.bincount(source, weights=rows * rate, minlength=sources).astype(np.float64)
    return expected


def _concentrations(rows: Whole, against: Whole, rate: Floats) -> Floats:
    """Concentration of the rates of all other contributors, by their second moment."""
    import numpy as np

    if len(rows) < FEW_CONTRIBUTORS:
        return np.full(len(rows), CONCENTRATION)
    binomial = rows * rate * (1 - rate)
    square = (against - rows * rate) ** 2
    more = binomial * (rows - 1)
    # E[square] = binomial + more * rho; each contributor is left out of what it is judged by.
    excess: Floats = square - binomial
    room: Floats = more.astype(np.float64)
    rho: Floats = (excess.sum() - excess) / np.maximum(room.sum() - room, 1e-9)
    found: Floats = np.clip(1 / np.maximum(rho, 1e-9) - 1, *CONCENTRATIONS)
    return found


def beta_binomial_tail(successes: int, trials: int, rate: float, concentration: float) -> float:
    """Decades of a Beta-binomial tail: at least so many successes, when the chance itself varies around `rate`.

    Args:
        successes: Seen.
        trials: In all.
        rate: Mean of the chance, between 0 and 1, exclusive.
        concentration: Sum of both parameters of its Beta distribution; infinite gives the binomial distribution.
    """
    import torch

    if successes <= trials * rate:
        return 0.0
    alpha, beta = rate * concentration, (1 - rate) * concentration
    seen = torch.arange(successes, trials + 1, dtype=torch.float64)
    left = trials - seen

    def log_beta(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.lgamma(one) + torch.lgamma(other) - torch.lgamma(one + other)

    ways = math.lgamma(trials + 1) - torch.lgamma(seen + 1) - torch.lgamma(left + 1)
    nobody = torch.tensor(0.0, dtype=torch.float64)
    terms = ways + log_beta(seen + alpha, left + beta) - log_beta(nobody + alpha, nobody + beta)
    return max(0.0, -float(torch.logsumexp(terms, dim=0)) / math.log(10))


def _sums(places: Whole, counts: Whole, length: int) -> Whole:
    import numpy as np

    # Counts in float64 are exact up to 2**53 rows.
    return np.bincount(places, weights=counts, minlength=length).astype(np.int64)
