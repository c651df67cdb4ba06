"""Which pair of classes has more rows of one label among rows of the other than the accepted snapshot had.

Classes that overlap put rows among those of others in every snapshot, and how many is a matter of the data: a single
snapshot cannot say whether 200 pullovers among coats are natural. Two can. What is compared is a count per pair of
classes, so that flips of one class into one other are found where no row by itself looks wrong (Northcutt, Jiang and
Chuang, 2021, "Confident learning": label noise depends on the class).

Three things are taken out first. A class that has grown outvotes others where it merely overlaps with them: votes are
weighed by how frequent their class was in the accepted snapshot over how frequent it is now (as for a shift of priors:
Saerens, Latinne and Decaestecker, 2002), and flips are seen better for it, as they thin out the one class and swell the
other. The other two come from the pairs themselves. Another number of rows puts neighbours nearer or farther
and changes all pairs alike: the ratio of most pairs is no excess. And neighbours are shared, so that counts vary more
than independent rows would: the evidence is divided by how much most pairs vary beyond chance (the genomic control of
Devlin and Roeder, 1999).

What it cannot see: flips spread evenly over all pairs, which are a change of ratio (the detectors of one snapshot see
those); what the accepted snapshot held already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.gate import Json, Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail, corrected
from interlock.poisoning.detector import Suspicion
from interlock.poisoning.labels import PairCount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_INFLATION = 1.25
"""Counts of neighbours vary at least so much more than counts of independent rows (variance over variance)."""

MEDIAN_CHI_SQUARE = 0.4549
"""Of one degree of freedom."""

MIN_PAIRS = 8
"""Fewer pairs cannot say what most of them do."""

MIN_COUNT = 5
OPPOSITE = 0.5
"""Flips of a into b also outvote rows of a: of two opposite pairs the weaker counts when it has half the excess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """One pair with an excess.

    Args:
        label: The label that the rows carry.
        resembles: The class that their neighbours carry.
        seen: How many there are.
        expected: How many the accepted snapshot leads to expect.
        decades: Corrected evidence.
    """

    label: str
    resembles: str
    seen: int
    expected: float
    decades: float

    @property
    def excess(self) -> int:
        """How many rows too many."""
        return round(self.seen - self.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resembling:
    """Rows and what they resemble.

    Args:
        rows: int64 array (m,): indices in the dataset, any order.
        labels: int64 array (m,): positions in `classes`.
        resembles: int64 array (m,): likewise; the label itself for a row that nobody outvotes.
        scores: float array (m,): how little of its own class is around a row.
        classes: Labels as text.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    resembles: NDArray[np.int64]
    scores: NDArray[np.float32]
    classes: Sequence[str]


def weighed(
    neighbours: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str], before: Iterable[PairCount]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What each row resembles, if every class were as frequent as it was.

    Args:
        neighbours: int64 array (m, k): labels of each row's neighbours, as positions in `classes`.
        labels: int64 array (m,): likewise.
        classes: Labels as text.
        before: Of the accepted snapshot.

    Returns:
        int64 array (m,) of positions in `classes`, a row's own label where no other class has more votes; and float32
        array (m,): the share of the votes that is not for its own, 0 for such a row.
    """
    import numpy as np

    count = len(classes)
    then = {pair.label: pair.rows for pair in before}
    old = np.array([then.get(name, 0) for name in classes], dtype=np.float64)
    new = np.bincount(labels, minlength=count).astype(np.float64)
    both = (old > 0) & (new > 0)
    weights = np.ones(count)
    weights[both] = (old[both] / old[both].sum()) / (new[both] / new[both].sum())
    resembles, scores = labels.copy(), np.zeros(len(labels), dtype=np.float32)
    step = max(1, 2**22 // count)
    for at in range(0, len(labels), step):
        said, mine = neighbours[at : at + step], labels[at : at + step]
        lines = np.arange(len(said))
        cells = (lines[:, None] * count + said).ravel()
        table = np.bincount(cells, weights=weights[said].ravel(), minlength=len(said) * count).reshape(-1, count)
        # In the order in which neighbours come the sums differ in their last bits; a tie must stay one.
        own, most = np.round(table[lines, mine], 9), np.round(table.max(axis=1), 9)
        lost = most > own
        resembles[at : at + step] = np.where(lost, np.round(table, 9).argmax(axis=1), mine)
        scores[at : at + step] = np.where(lost, 1 - own / table.sum(axis=1), 0)
    return resembles, scores


def beyond(before: Iterable[PairCount], now: Iterable[PairCount]) -> tuple[Beyond, ...]:
    """The pairs whose excess is beyond the false-alarm budget, strongest first.

    Args:
        before: Of the accepted snapshot.
        now: Of this one, counted alike.
    """
    return tuple(pair for pair in compared(before, now) if pair.decades >= ALARM_DECADES)


def compared(before: Iterable[PairCount], now: Iterable[PairCount]) -> tuple[Beyond, ...]:
    """Every pair of classes that both snapshots have, strongest first; opposite pairs as `OPPOSITE` says."""
    import numpy as np

    old = {(pair.label, pair.resembles): pair for pair in before}
    known = {label for label, _ in old}
    new = [p for p in now if p.label != p.resembles and {p.label, p.resembles} <= known]
    new = [pair for pair in new if old[pair.label, pair.label].rows]
    if not new:
        return ()
    then = np.array([_count(old, pair) for pair in new], dtype=np.float64)
    there = np.array([old[pair.label, pair.label].rows for pair in new], dtype=np.float64)
    here = np.array([pair.rows for pair in new], dtype=np.float64)
    seen = np.array([pair.resembling for pair in new], dtype=np.float64)
    ratio = _ratio(then, then / there * here, seen)
    chance = ratio * here / (there + ratio * here)
    inflation = _inflation(seen, then + seen, chance)
    tests = len(known) * (len(known) - 1)
    found = [
        Beyond(
            label=pair.label,
            resembles=pair.resembles,
            seen=pair.resembling,
            expected=float(expected),
            decades=corrected(binomial_tail(pair.resembling, int(k + pair.resembling), float(p)) / inflation, tests),
        )
        for pair, expected, k, p in zip(new, ratio * then / there * here, then, chance, strict=True)
    ]
    return tuple(sorted(_without_echoes(found), key=lambda one: (-one.decades, one.label, one.resembles)))


def accused(pairs: Sequence[Beyond], seen: Resembling, *, against: str, rule: str) -> tuple[Suspicion, ...]:
    """For each pair its rows with the least of their own class around them, as many as are too many.

    Args:
        pairs: With an excess.
        seen: The rows.
        against: What was compared with, for people.
        rule: Of the suspicion.
    """
    import numpy as np

    places = {name: place for place, name in enumerate(seen.classes)}
    found = []
    for pair in pairs:
        mine = (seen.labels == places[pair.label]) & (seen.resembles == places[pair.resembles])
        rows, scores = seen.rows[mine], seen.scores[mine]
        if pair.excess < 1 or not len(rows):
            continue
        least = np.sort(scores)[::-1][min(pair.excess, len(scores)) - 1]
        chosen = tuple(sorted(rows[scores >= least].tolist()))  # of equal rows all or none, whatever their order
        evidence: dict[str, Json] = {
            "resembles": pair.resembles,
            "seen": pair.seen,
            "expected": round(pair.expected, 2),
        }
        found.append(
            Suspicion(
                rule=rule,
                level=Level.WARNING,
                message=(
                    f"{pair.seen} rows labelled {pair.label!r} lie among rows of {pair.resembles!r}; {against} leads "
                    f"to expect {pair.expected:.1f}"
                ),
                title=f"{pair.label} among {pair.resembles}",
                label=pair.label,
                rows=chosen,
                decades=pair.decades,
                evidence=canonical_json(evidence).decode(),
            )
        )
    return tuple(found)


def _count(counts: dict[tuple[str, str], PairCount], pair: PairCount) -> int:
    there = counts.get((pair.label, pair.resembles))
    return there.resembling if there is not None else 0


def _ratio(then: NDArray[np.float64], expected: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much more of all pairs there is now, for each pair; never less than one.

    The lower weighted median of the pairs' ratios where there are enough of them, which a few attacked ones do not
    move; else, for each pair, the ratio of all others together.
    """
    import numpy as np

    usable = (then + seen >= MIN_COUNT) & (then > 0)
    if usable.sum() < MIN_PAIRS:
        others = (seen.sum() - seen + 1) / (expected.sum() - expected + 1)
        floored: NDArray[np.float64] = np.maximum(1.0, others)
        return floored
    ratios, weights = seen[usable] / expected[usable], (then + seen)[usable]
    order = np.argsort(ratios)
    half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return np.full(len(seen), max(1.0, float(ratios[order][half])))


def _inflation(seen: NDArray[np.float64], together: NDArray[np.float64], chance: NDArray[np.float64]) -> float:
    """How much more the pairs vary than binomial counts, by their median; an excess in a few does not count."""
    import numpy as np

    usable = together >= MIN_COUNT
    if usable.sum() < MIN_PAIRS:
        return LEAST_INFLATION
    k, n, p = seen[usable], together[usable], chance[usable]
    squares = (k - n * p) ** 2 / (n * p * (1 - p))
    return max(LEAST_INFLATION, float(np.median(squares)) / MEDIAN_CHI_SQUARE)


def _without_echoes(found: Sequence[Beyond]) -> list[Beyond]:
    excess = {(one.label, one.resembles): one.seen - one.expected for one in found}
    return [
        one
        for one in found
        if excess[one.label, one.resembles] >= OPPOSITE * excess.get((one.resembles, one.label), 0.0)
    ]
