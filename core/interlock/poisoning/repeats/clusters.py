"""Clusters of copies, and what clean data says of them.

*Conflicts.* Copies of one content that carry several labels are label noise, unless they are more than noise explains.
Noise has a ceiling in the data itself: copies are nearer to each other than any two different contents, so that they
should disagree no more often than the nearest different contents do. The evidence must survive odds that are raised by
a hidden cause (Rosenbaum, 2002). Each content counts once, by the share of its pairs of copies that disagree (a number
from 0 to 1: Hoeffding's bound needs no more).

*Bursts.* How often a content repeats is judged within its class, by a tail that is never lighter than a power law: for
every size s below the burst, a share S(s) of the contents repeats at least s times, and the heaviest power law that
these shares allow, the one with the smallest exponent ln(1/S(s)) / ln(s), is the null. Tables of few values, retweets,
classes that were sampled up and rows that were drawn with replacement all have such tails; a few contents that stand
high above all others of their class do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import binomial_tail, corrected
from interlock.poisoning.contradiction import HIDDEN_BIAS, odds_raised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_COPIES = 8
"""What repeats less often is no burst."""

PURE = 0.9
"""A content has one label when this share of its copies has: the row that was copied may have its own."""

MOST = 0.25
"""What this share of a class's contents does is the way of the class, and no burst."""

UNSEEN = 7
"""The largest count that was seen as none, at one in a thousand (Poisson: -ln 0.001)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Which rows are copies of each other.

    Args:
        of: int64 array (n,): the cluster of each row, from 0.
        labels: int64 array (n,): the row's label.
        plain: bool array (n,): contents that nobody wonders about.
        classes: Number of classes.
    """

    of: NDArray[np.int64]
    labels: NDArray[np.int64]
    plain: NDArray[np.bool_]
    classes: int

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64 array: rows of each cluster."""
        import numpy as np

        return np.bincount(self.of)

    def purest(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Each cluster's label (-1 when no label is that of nearly all), and the share of its pairs that disagree."""
        import numpy as np

        pairs, counts = np.unique(self.of * self.classes + self.labels, return_counts=True)
        cluster, label = np.divmod(pairs, self.classes)
        sizes = self.sizes
        agreeing = np.bincount(cluster, weights=counts * (counts - 1.0), minlength=len(sizes))
        whole = np.maximum(sizes * (sizes - 1.0), 1)
        only = np.full(len(sizes), -1, dtype=np.int64)
        clear = counts >= PURE * sizes[cluster]
        only[cluster[clear]] = label[clear]
        return only, np.where(sizes > 1, 1 - agreeing / whole, 0.0)


def joined(of: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters after joining pairs of them: the smallest number of each joined cluster, numbered from 0.

    Args:
        of: int64 array (n,): clusters of the rows.
        pairs: int64 array (p, 2): clusters that are one.
    """
    import numpy as np

    root = np.arange(int(of.max(initial=-1)) + 1)
    while len(pairs):
        low = np.minimum(root[pairs[:, 0]], root[pairs[:, 1]])
        before = root.copy()
        np.minimum.at(root, root[pairs[:, 0]], low)
        np.minimum.at(root, root[pairs[:, 1]], low)
        root = root[root]
        if (root == before).all():
            break
    return np.asarray(np.unique(root[of], return_inverse=True)[1].reshape(-1))


def conflicts(disagreeing: NDArray[np.float64], ceiling: float) -> float:
    """Decades of evidence that copies disagree more often than label noise explains.

    Args:
        disagreeing: float64 array: of each content that repeats, the share of its pairs of copies that disagree.
        ceiling: How often the nearest different contents disagree, between 0 and 1, exclusive.
    """
    import numpy as np

    chance = float(odds_raised(np.array([min(ceiling, 1 - 1e-6)]), HIDDEN_BIAS)[0])
    return binomial_tail_of_shares(float(disagreeing.sum()), len(disagreeing), chance)


def binomial_tail_of_shares(total: float, trials: int, chance: float) -> float:
    """`binomial_tail` for numbers from 0 to 1 instead of successes: Hoeffding's theorem 1 holds for these too."""
    share = total / max(1, trials)
    if trials == 0 or share <= chance:
        return 0.0
    divergence = share * math.log(share / chance)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - chance))
    return trials * divergence / math.log(10)


def burst(sizes: NDArray[np.int64]) -> tuple[float, int]:
    """Decades of evidence that some contents of a class repeat as no others do, and from which size on.

    Args:
        sizes: int64 array: how often each content of the class repeats, at least 1 each.
    """
    import numpy as np

    values, counts = np.unique(sizes, return_counts=True)
    larger = np.cumsum(counts[::-1])[::-1]
    best = (0.0, 0)
    judged = 0
    for at, value in enumerate(values.tolist()):
        if value < MIN_COPIES or larger[at] > MOST * len(sizes):
            continue
        judged += 1
        chance = _tail(values[:at], larger[:at] - larger[at], value, len(sizes) - int(larger[at]))
        best = max(best, (binomial_tail(int(larger[at]), len(sizes), min(chance, 1 - 1e-9)), value))
    return corrected(best[0], judged), best[1]


def _tail(values: NDArray[np.int64], larger: NDArray[np.int64], size: int, contents: int) -> float:
    """How often a content repeats `size` times under the heaviest power law that the smaller sizes allow."""
    import numpy as np

    at = np.concatenate([[2], values[values >= 2]])
    seen = np.concatenate([[larger[values >= 2].max(initial=0)], larger[values >= 2]]).astype(np.float64)
    most = np.minimum((seen + 3 * np.sqrt(seen) + UNSEEN) / (contents + UNSEEN), 1.0)
    exponent = float((np.log(1 / most) / np.log(at)).min())
    chance = float(size) ** -max(exponent, 0.0)
    return float(odds_raised(np.array([min(chance, 1 - 1e-9)]), HIDDEN_BIAS)[0])
