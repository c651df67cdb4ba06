"""How often classes that merely overlap put a row among rows of another class, and what goes beyond it.

Let u be the local share of a row's own class. By exchangeability the rows that carry the label are spread over u with
density u*g(u), where g says how much of the data lies at u. For every g that grows no faster than 1/u towards 0 (every
Beta density does) that density does not fall with u, and with g = 1/u the number of own neighbours among k is uniform:
under an overlap **no count is more frequent than a higher one**. Flipped labels break exactly this, in two ways.

1. *Spike*, over all classes: too many rows have no neighbour of their own class at all, beside those that have a few.
   Sees flips that are spread over the classes, from about 2 % of the rows.
2. *Steady share*, per pair of classes: too many rows of one label lie among rows of another class, and they make up
   the same share of it wherever one looks. The share of an overlapping class changes from place to place, so that the
   votes for it are far more dispersed than a binomial distribution; flips are drawn from their source at one rate, and
   their votes are not. Sees flips of one class into one other, from about 1 % of the rows up to where they are half of
   the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail, corrected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEXT_COUNTS = 6
"""The counts 1 to 6 of own neighbours, against which the count 0 is judged: below a third of 20 neighbours."""

CUTS = (1, 2, 3, 5, 7, 10)
"""Where "low counts" end, up to half of 20 neighbours."""

MAX_DISPERSION = 1.5
"""Variance of the votes for a class over that of a binomial distribution; beyond this it is an overlap.

A share that itself varies as Beta(a, b) gives 1 + (k - 1) / (a + b + 1): 1.5 is a + b = 37 for 20 neighbours, a share
that is the same everywhere within a few percent.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """What the k neighbours of each distinct row say.

    Args:
        labels: int64 array (m,): the row's own label.
        neighbours: int64 array (m, k): labels of its neighbours.
        own: int64 array (m,): how many of the neighbours carry its label.
        rival: int64 array (m,): the other class with the most neighbours.
        rival_votes: int64 array (m,).
        like_rival: int64 array (m,): nearest neighbour that carries `rival`, -1 if none.
        in_place: bool array (m,): rows that are neighbours of others as often as not. The others stand apart, and
            their neighbours say what is dense far away rather than what is near (anti-hubs: Radovanovic, Nanopoulos
            and Ivanovic, 2010); they may be flagged, but prove nothing.
    """

    labels: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    own: NDArray[np.int64]
    rival: NDArray[np.int64]
    rival_votes: NDArray[np.int64]
    like_rival: NDArray[np.int64]
    in_place: NDArray[np.bool_]

    @property
    def outvoted(self) -> NDArray[np.bool_]:
        """Bool array (m,): rows with more neighbours of one other class than of their own: bool array (m,)."""
        outvoted: NDArray[np.bool_] = self.rival_votes > self.own
        return outvoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """Rows beyond what an overlap explains.

    Args:
        label: The label they carry, as its position; -1 for any.
        rival: The class of their neighbours, as its position; -1 for any.
        below: They have fewer own neighbours than this.
        expected: How many such rows an overlap explains, at most.
        decades: Corrected evidence.
    """

    label: int
    rival: int
    below: int
    expected: float
    decades: float


def spike(votes: Votes) -> Excess:
    """Test 1."""
    import numpy as np

    # A label that is at home nowhere, as one of many that nothing explains, has no neighbours of its own by chance.
    rows = np.bincount(votes.labels)
    home = 2 * np.bincount(votes.labels[~votes.outvoted], minlength=len(rows)) > rows
    in_place = votes.in_place & home[votes.labels]
    none = votes.outvoted & (votes.own == 0)
    some = votes.outvoted & (votes.own >= 1) & (votes.own <= NEXT_COUNTS)
    deep, shallow = int((none & in_place).sum()), int((some & in_place).sum())
    decades = binomial_tail(deep, deep + shallow, 1 / (NEXT_COUNTS + 1))
    return Excess(label=-1, rival=-1, below=1, expected=int(some.sum()) / NEXT_COUNTS, decades=decades)


def steady_shares(votes: Votes, classes: int) -> list[Excess]:
    """Test 2: the pairs with a steady share, strongest first.

    Args:
        votes: Of all rows.
        classes: Number of classes.
    """
    import numpy as np

    contested = votes.in_place & (votes.own < votes.neighbours.shape[1])
    pairs, members = np.unique(votes.labels[contested] * classes + votes.rival[contested], return_inverse=True)
    found = []
    for place, pair in enumerate(pairs.tolist()):
        label, rival = divmod(pair, classes)
        excess = _low_counts(votes, np.flatnonzero(contested)[members == place], classes, label, rival)
        if excess.decades >= ALARM_DECADES and _has_a_home(votes, label) and _is_steady(votes, label, rival):
            found.append(excess)
    return sorted(found, key=lambda excess: (-excess.decades, excess.label, excess.rival))


def _low_counts(votes: Votes, rows: NDArray[np.int64], classes: int, label: int, rival: int) -> Excess:
    """The strongest cut of one pair's own counts, against a uniform distribution over all but the highest two.

    The highest two counts are left out, because they hold the class's own interior.
    """
    import numpy as np

    neighbours = votes.neighbours.shape[1]
    ends = neighbours - 1
    counts = np.bincount(votes.own[rows], minlength=ends)[:ends]
    total = int(counts.sum())
    tests = len(CUTS) * classes * (classes - 1)
    best = Excess(label=label, rival=rival, below=CUTS[0], expected=0.0, decades=0.0)
    for cut in CUTS:
        low = int(counts[:cut].sum())
        decades = corrected(binomial_tail(low, total, cut / ends), tests)
        if decades > best.decades:
            expected = (total - low) * cut / (ends - cut)
            best = Excess(label=label, rival=rival, below=cut, expected=expected, decades=decades)
    return best


def _has_a_home(votes: Votes, label: int) -> bool:
    """True when most rows of a class lie among their own: what lies elsewhere is then beside the class, not all of it.

    Without this, labels that nothing in the features explains would all look flipped. A frequent label can have the
    most votes around most of its rows by its frequency alone, so these votes must also go apart: rows at home have
    nearly all of them and rows elsewhere few, where a label that nothing explains has its share everywhere.
    """
    mine = votes.labels == label
    if 2 * int((mine & ~votes.outvoted).sum()) <= int(mine.sum()):
        return False
    return _dispersion(votes.own[mine], votes.neighbours.shape[1]) > MAX_DISPERSION


def _is_steady(votes: Votes, label: int, rival: int) -> bool:
    """True when the votes for `label` among rows of `rival` are hardly more dispersed than a binomial distribution."""
    said = (votes.neighbours[votes.labels == rival] == label).sum(axis=1)
    return 0 < _dispersion(said, votes.neighbours.shape[1]) <= MAX_DISPERSION


def _dispersion(said: NDArray[np.int64], trials: int) -> float:
    """Variance of counts among `trials` over that of a binomial distribution; 0 where all or none are counted."""
    mean = float(said.mean()) if len(said) else 0.0
    return float(said.var()) / (mean * (1 - mean / trials)) if 0 < mean < trials else 0.0
