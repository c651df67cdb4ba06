"""Pairs and triples of values that occur together, in rows of one label, more often than their parts allow.

Two things are asked of every combination S of values and every label y.

1. *Count*: how many rows hold S, beside what is expected from the rows that hold only some of its values. None of
   those can be poisoned by it. For three values that is the largest of four log-linear expectations: no three-way
   interaction, and either pair as one value beside the third (Bishop, Fienberg and Holland, 1975, chapter 3); the
   second kind is what a functional dependency obeys. It is asked of all rows (a rule that honestly makes a label of two
   values gathers them in its rows, but makes no more of them) and of the rows of y, where what rows of other labels
   show beyond their own expectation is forgiven (a dependency has nothing to do with the label).
2. *Label*: how many of the rows that hold S carry y, beside what the same values say when they stand apart: the sum of
   their log odds, or any pair's if that is more.

The weaker of both counts. A dependency between columns fails the first, an honest subgroup the second.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.poisoning.tables.columns import MIN_ROWS, Coding
from interlock.poisoning.tables.odds import binomial_decades, odds_times, poisson_decades
from interlock.poisoning.tables.pairs import MAX_OF_LABEL, MAX_SHARE, Bias, Cells, Combination
from interlock.poisoning.tables.triples import Cache, Cube, apart_chance

MAX_WORK = 2**28
"""Rows times pairs of columns that are counted; of wide tables fewer rows are."""

MAX_PAIRS = 192
"""Pairs that a third value is looked for."""

PER_PAIR = 6

BEAM = Bias(count=1.2, odds=1.0)
"""For choosing pairs to look further at, which accuses nobody."""

OF_THREE = Bias(count=2.0, odds=2.0)
OF_TWO = Bias(count=4.0, odds=2.5)
"""Two columns have natural interactions with the label that three, beyond all their pairs, hardly ever have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found.

    Args:
        combinations: Strongest first.
        tested: How many combinations were counted.
    """

    combinations: tuple[Combination, ...]
    tested: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Counts combinations.

    Args:
        coding: The rows, in an order that is as good as random.
    """

    coding: Coding

    def find(self) -> Found:
        """All pairs of columns, and every value beside the best pairs."""
        tested, beam, pairs = self._pairs()
        triples: dict[tuple[int, ...], Combination] = {}
        cache = Cache(self.coding)
        for _, (one, other, label) in beam:
            count, found = self._third(cache, one, other, label)
            tested += count
            for combination in found:
                triples[(*combination.values, combination.label)] = combination
        ordered = sorted([*pairs, *triples.values()], key=lambda c: (-c.decades, len(c.values), c.values, c.label))
        return Found(combinations=tuple(ordered), tested=tested)

    def _pairs(self) -> tuple[int, list[tuple[float, tuple[int, int, int]]], list[Combination]]:
        """How many were counted, those worth a third value, and those that stand by themselves."""
        coding = self.coding
        width = coding.codes.shape[1]
        sides = [(i, j) for i in range(width) for j in range(i + 1, width) if coding.base[i] != coding.base[j]]
        rows = min(len(coding.labels), max(2**12, MAX_WORK // max(1, len(sides))))
        counted = Cells(coding, rows)
        tested, beam, pairs = 0, list[tuple[float, tuple[int, int, int]]](), list[Combination]()
        for i, j in sides:
            some = counted.of(i, j)
            tested += len(some.label)
            beam += some.best(BEAM)
            pairs += some.combinations(OF_TWO)
        beam.sort(key=lambda one: (-one[0], one[1]))
        return tested, beam[:MAX_PAIRS], pairs

    def _third(self, cache: Cache, one: int, other: int, label: int) -> tuple[int, list[Combination]]:
        """Every third value beside two."""
        import numpy as np

        coding = self.coding
        of_label = Cube.of(cache, one, other, label)
        everyone = Cube.of(cache, one, other, None)
        rest = everyone - of_label
        base = float(cache.shares[label])
        expected = of_label.expected() * np.maximum(1, (rest.all_three + 1) / (rest.expected() + 1))
        chance = apart_chance(of_label, rest, base)
        carriers = of_label.all_three + rest.all_three
        count = np.minimum(
            poisson_decades(of_label.all_three, OF_THREE.count * expected),
            poisson_decades(everyone.all_three, OF_THREE.count * everyone.expected()),
        )
        said = binomial_decades(of_label.all_three, carriers, odds_times(chance, OF_THREE.odds))
        column = coding.base[coding.column_of]
        fit = (of_label.all_three >= MIN_ROWS) & (column != column[one]) & (column != column[other])
        fit[coding.first] = False
        fit &= cache.rare[one].astype(int) + cache.rare[other] + cache.rare >= 2
        fit &= carriers <= MAX_SHARE * len(coding.labels)
        fit &= of_label.all_three <= MAX_OF_LABEL * base * len(coding.labels)
        tested = int(fit.sum())
        # A value that never stands apart is no part of a combination: it is the same thing as the others.
        fit &= np.minimum.reduce([a + b for a, b in zip(of_label.apart(), rest.apart(), strict=True)]) >= MIN_ROWS
        weaker = np.where(fit, np.minimum(count, said), 0.0)
        best = [int(place) for place in np.argsort(-weaker, kind="stable")[:PER_PAIR] if weaker[place] > 0]
        return tested, [
            Combination(
                values=tuple(sorted((one, other, place))),
                label=label,
                carriers=int(carriers[place]),
                labelled=int(of_label.all_three[place]),
                expected=float(expected[place]),
                chance=float(chance[place]),
                count_decades=float(count[place]),
                label_decades=float(said[place]),
            )
            for place in best
        ]
