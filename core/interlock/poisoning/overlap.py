"""How often classes that merely overlap put a row among rows of another class, and what goes beyond it.

Both tests read one histogram: for each pair of classes (the label a row carries, the class its neighbours carry most)
how many rows have 0, 1, 2, ... neighbours of their own class among k.

The null: let u be the local share of a row's own class. By exchangeability the rows that carry the label are spread
over u with density u*g(u), where g says how much of the data lies at u. For every g that grows no faster than 1/u
towards 0 (every Beta density does) that density does not fall with u, and with g = 1/u the histogram is flat: **no
count is more frequent than a higher one**. Flipped labels break exactly this.

1. *Spike*: the count 0 against the counts 1 to 6, over all pairs, per label, and per pair. Sees flips that are rare
   where they lie, whatever the overlap elsewhere.
2. *Lonely pair*: low counts against all counts, per pair, judged against the other pairs of the same dataset, because
   one natural class can lie oddly against another. By Renyi's representation the gaps between the largest of many
   values with an exponential tail are exponential (Renyi, 1953; the tail's scale as in Hill, 1975), so a pair that
   stands out among the pairs has a p-value. Sees flips of one class into one other, up to where they are half of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail, corrected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Histogram = NDArray[np.int32]

NEXT_COUNTS = 6
"""The counts 1 to 6 of own neighbours, against which the count 0 is judged: below a third of 20 neighbours."""

CUTS = (1, 2, 3, 5, 7, 10)
"""Where "low counts" end, up to half of 20 neighbours."""

TAIL_PAIRS = 10
"""How many of the next pairs give the tail's scale."""

STANDING_OUT = 3
"""So many pairs at most may stand out together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """Rows beyond what an overlap explains.

    Args:
        label: Position of the label they carry, -1 for any.
        rival: Position of the class of their neighbours, -1 for any.
        below: They have fewer own neighbours than this.
        expected: How many such rows an overlap explains, at most.
        decades: Corrected evidence.
    """

    label: int
    rival: int
    below: int
    expected: float
    decades: float


def spikes(histogram: Histogram) -> list[Excess]:
    """Test 1, strongest first; one entry per group of pairs with any row at count 0.

    Args:
        histogram: int32 array (classes, classes, k + 1) of rows by label, rival and own neighbours.
    """
    import numpy as np

    classes = len(histogram)
    none = histogram[:, :, 0]
    some = histogram[:, :, 1 : NEXT_COUNTS + 1].sum(axis=2)
    tests = 1 + classes + classes * (classes - 1)

    def judged(deep: int, shallow: int, label: int, rival: int) -> Excess:
        tail = binomial_tail(deep, deep + shallow, 1 / (NEXT_COUNTS + 1))
        return Excess(label=label, rival=rival, below=1, expected=shallow / NEXT_COUNTS, decades=corrected(tail, tests))

    labels = np.flatnonzero(none.sum(axis=1)).tolist()
    pairs = [(int(label), int(rival)) for label, rival in np.argwhere(none)]
    found = [
        judged(int(none.sum()), int(some.sum()), -1, -1),
        *(judged(int(none[label].sum()), int(some[label].sum()), label, -1) for label in labels),
        *(judged(int(none[pair]), int(some[pair]), *pair) for pair in pairs),
    ]
    return sorted(found, key=lambda excess: (-excess.decades, excess.label, excess.rival))


def lonely_pairs(histogram: Histogram) -> list[Excess]:
    """Test 2: the pairs that stand out together, strongest first; empty where too few pairs give a scale."""
    import numpy as np

    classes, counts = len(histogram), histogram.shape[2]
    number = classes * (classes - 1)
    if number < 2 * TAIL_PAIRS:
        return []
    pairs = [(int(label), int(rival)) for label, rival in np.argwhere(histogram[:, :, : CUTS[-1]].any(axis=2))]
    tails = [_low_counts(histogram[pair], counts - 2) for pair in pairs]
    order = sorted(range(len(pairs)), key=lambda place: (-tails[place][0], place))
    # The pairs without a row in question are part of the tail, at nothing.
    values = [tails[place][0] for place in order] + [0.0] * (STANDING_OUT + TAIL_PAIRS + 1)
    gaps = [_gap(values, leaders) for leaders in range(1, STANDING_OUT + 1)]
    leaders = max(range(STANDING_OUT), key=lambda place: gaps[place]) + 1
    apart = corrected(gaps[leaders - 1], STANDING_OUT)
    found = []
    for place in order[:leaders]:
        tail, below, expected = tails[place]
        decades = min(apart, corrected(tail, len(CUTS) * number))
        label, rival = pairs[place]
        found.append(Excess(label=label, rival=rival, below=below, expected=expected, decades=decades))
    return [excess for excess in found if excess.decades >= ALARM_DECADES] or found[:1]


def _low_counts(counts: NDArray[np.int32], ends: int) -> tuple[float, int, float]:
    """The strongest cut of one pair: decades, the cut, and how many rows below it the flat histogram explains."""
    total = int(counts[:ends].sum())
    best = (0.0, CUTS[0], 0.0)
    for cut in CUTS:
        low = int(counts[:cut].sum())
        tail = binomial_tail(low, total, cut / ends)
        if tail > best[0]:
            best = (tail, cut, (total - low) * cut / (ends - cut))
    return best


def _gap(values: list[float], leaders: int) -> float:
    """Decades of evidence that the `leaders` largest values do not belong to the exponential tail of the others."""
    tail = values[leaders : leaders + TAIL_PAIRS + 1]
    scale = sum(value - tail[-1] for value in tail[:-1]) / TAIL_PAIRS
    # Decades of a true p-value have the scale 1 / ln 10; below that there is nothing to learn from the others.
    scale = max(scale, 1 / math.log(10))
    return leaders * (values[leaders - 1] - values[leaders]) / scale / math.log(10)
