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
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.tables.columns import MIN_ROWS, Coding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Whole: TypeAlias = NDArray[np.int64]

MAX_WORK = 2**28
"""Rows times pairs of columns that are counted; of wide tables fewer rows are."""

MAX_PAIRS = 192
"""Pairs that a third value is looked for."""

PER_COLUMNS = 16
PER_PAIR = 6
PRIOR = 8
COMMON = 0.5
"""What more rows hold than this is no value that a trigger is told by; one of three may still be such."""

MAX_SHARE = 0.25
"""Rows that hold a trigger are no more than this share of all: beyond it there is no rest to compare them with."""

MAX_OF_LABEL = 0.5
"""Nor are they more than this share of the rows of their label: what most rows of a class share is that class."""

HALF = 0.5
"""Added to every cell of a table (Haldane, 1956)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """How far honest data may be from what is expected: the evidence must survive it (Rosenbaum, 2002, chapter 4).

    Args:
        count: Factor on the expected count.
        odds: Factor on the odds of the label.
    """

    count: float
    odds: float


BEAM = Bias(count=1.2, odds=1.0)
"""For choosing pairs to look further at, which accuses nobody."""

OF_THREE = Bias(count=2.0, odds=2.0)
OF_TWO = Bias(count=4.0, odds=2.5)
"""Two columns have natural interactions with the label that three, beyond all their pairs, hardly ever have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Values that occur together with one label.

    Args:
        values: Places in `Coding.values`, ascending.
        label: Position of the class.
        carriers: Rows that hold them.
        labelled: Those of them that carry the label.
        expected: How many rows of the label should hold them, at most.
        chance: Chance of the label that the values have apart.
        count_decades: Evidence of the count, before correction.
        label_decades: Evidence of the labels, before correction.
    """

    values: tuple[int, ...]
    label: int
    carriers: int
    labelled: int
    expected: float
    chance: float
    count_decades: float
    label_decades: float

    @property
    def decades(self) -> float:
        """The weaker of both."""
        return min(self.count_decades, self.label_decades)


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
        cache = _Cache(self.coding)
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
        counted = _Cells(coding, rows)
        tested, beam, pairs = 0, list[tuple[float, tuple[int, int, int]]](), list[Combination]()
        for i, j in sides:
            some = counted.of(i, j)
            tested += len(some.label)
            beam += some.best(BEAM)
            pairs += some.combinations(OF_TWO)
        beam.sort(key=lambda one: (-one[0], one[1]))
        return tested, beam[:MAX_PAIRS], pairs

    def _third(self, cache: _Cache, one: int, other: int, label: int) -> tuple[int, list[Combination]]:
        """Every third value beside two."""
        import numpy as np

        coding = self.coding
        of_label = _Cube.of(cache, one, other, label)
        everyone = _Cube.of(cache, one, other, None)
        rest = everyone - of_label
        base = float(cache.shares[label])
        expected = of_label.expected() * np.maximum(1, (rest.all_three + 1) / (rest.expected() + 1))
        chance = _apart_chance(of_label, rest, base)
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


class _Cells:
    """Counts two columns against the labels."""

    def __init__(self, coding: Coding, rows: int) -> None:
        import numpy as np

        self.codes, self.labels, self.classes = coding.codes[:rows], coding.labels[:rows], coding.classes
        self.first = coding.first
        self.sizes = np.diff([*coding.first.tolist(), len(coding.values)])
        flat = self.codes * coding.classes + self.labels[:, None]
        self.of_value = np.bincount(flat.ravel(), minlength=len(coding.values) * coding.classes).reshape(
            -1, coding.classes
        )
        self.of_label = np.bincount(self.labels, minlength=coding.classes)

    def of(self, i: int, j: int) -> _Pairs:
        """The cells of two columns that enough rows of one label are in."""
        import numpy as np

        wide = int(self.sizes[j])
        flat = (self.codes[:, i] - self.first[i]) * wide + (self.codes[:, j] - self.first[j])
        table = np.bincount(flat * self.classes + self.labels, minlength=int(self.sizes[i]) * wide * self.classes)
        cells = np.flatnonzero(table >= MIN_ROWS)
        pair, label = np.divmod(cells, self.classes)
        one, other = np.divmod(pair, wide)
        told = (one > 0) & (other > 0)
        cells, pair, label, one, other = cells[told], pair[told], label[told], one[told], other[told]
        one, other = one + self.first[i], other + self.first[j]
        both = table.reshape(-1, self.classes)[pair].sum(axis=1)
        total = self.of_value.sum(axis=1)
        mine, rows = self.of_value, len(self.labels)
        held = table[cells]
        expected = _two_way(held, mine[one, label], mine[other, label], self.of_label[label])
        elsewhere = _two_way(
            both - held, total[one] - mine[one, label], total[other] - mine[other, label], rows - self.of_label[label]
        )
        expected = expected * np.maximum(1, (both - held + 1) / (elsewhere + 1))
        base = self.of_label[label] / rows
        alone, other_alone = total[one] - both, total[other] - both
        odds = (
            log_odds(rate_above(mine[one, label] - held, alone, base))
            + log_odds(rate_above(mine[other, label] - held, other_alone, base))
            - log_odds(base)
        )
        return _Pairs(
            one=one,
            other=other,
            label=label,
            labelled=held,
            carriers=both,
            expected=expected,
            expected_anywhere=_two_way(both, total[one], total[other], np.full(len(one), rows)),
            chance=from_log_odds(odds),
            stands=(np.minimum(alone, other_alone) >= MIN_ROWS)
            & (both <= MAX_SHARE * rows)
            & (held <= MAX_OF_LABEL * self.of_label[label]),
            told=np.maximum(total[one], total[other]) < COMMON * rows,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Cells of two columns, one entry each."""

    one: Whole
    other: Whole
    label: Whole
    labelled: Whole
    carriers: Whole
    expected: Floats
    expected_anywhere: Floats
    chance: Floats
    stands: NDArray[np.bool_]
    told: NDArray[np.bool_]

    def evidence(self, bias: Bias) -> tuple[Floats, Floats]:
        """Decades of count and label."""
        import numpy as np

        count = np.minimum(
            poisson_decades(self.labelled, bias.count * self.expected),
            poisson_decades(self.carriers, bias.count * self.expected_anywhere),
        )
        said = binomial_decades(self.labelled, self.carriers, odds_times(self.chance, bias.odds))
        return np.where(self.stands, count, 0.0), np.where(self.stands, said, 0.0)

    def best(self, bias: Bias) -> list[tuple[float, tuple[int, int, int]]]:
        """The strongest few."""
        import numpy as np

        weaker = np.minimum(*self.evidence(bias))
        order = np.argsort(-weaker, kind="stable")[:PER_COLUMNS]
        return [
            (float(weaker[at]), (int(self.one[at]), int(self.other[at]), int(self.label[at])))
            for at in order
            if weaker[at] > HALF
        ]

    def combinations(self, bias: Bias) -> list[Combination]:
        """Those with any evidence of their own."""
        import numpy as np

        count, said = self.evidence(bias)
        return [
            Combination(
                values=(int(self.one[at]), int(self.other[at])),
                label=int(self.label[at]),
                carriers=int(self.carriers[at]),
                labelled=int(self.labelled[at]),
                expected=float(self.expected[at]),
                chance=float(self.chance[at]),
                count_decades=float(count[at]),
                label_decades=float(said[at]),
            )
            for at in np.flatnonzero((np.minimum(count, said) > HALF) & self.told)
        ]


class _Cache:
    """How often each value stands beside a given one."""

    def __init__(self, coding: Coding) -> None:
        import numpy as np

        self.coding = coding
        self.shares = np.bincount(coding.labels, minlength=coding.classes) / len(coding.labels)
        counts = np.bincount(coding.codes.ravel(), minlength=len(coding.values))
        self.rare = counts < COMMON * len(coding.labels)
        self._held: dict[int, NDArray[np.bool_]] = {}
        self._beside: dict[tuple[int | None, int | None], Floats] = {}

    def held(self, place: int) -> NDArray[np.bool_]:
        """Rows that hold a value."""
        if place not in self._held:
            self._held[place] = self.coding.holders((place,))
        return self._held[place]

    def beside(self, place: int | None, label: int | None) -> tuple[Floats, float]:
        """Counts of every value in the rows of a label that hold `place`, and the number of those rows."""
        import numpy as np

        if (place, label) not in self._beside:
            mine = np.ones(len(self.coding.labels), dtype=bool) if place is None else self.held(place)
            mine = mine if label is None else mine & (self.coding.labels == label)
            self._beside[place, label] = self.counted(mine)
        counts = self._beside[place, label]
        return counts[:-1], float(counts[-1])

    def counted(self, mine: NDArray[np.bool_]) -> Floats:
        """Counts of every value in some rows, and last the number of those rows."""
        import numpy as np

        some = self.coding.codes[mine]
        counts = np.bincount(some.ravel(), minlength=len(self.coding.values)).astype(np.float64)
        return np.append(counts, len(some))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cube:
    """The eight cells of two values and every third one: which of the three a row holds."""

    cells: Floats

    @classmethod
    def of(cls, cache: _Cache, one: int, other: int, label: int | None) -> _Cube:
        import numpy as np

        mine = cache.held(one) & cache.held(other)
        counts = cache.counted(mine if label is None else mine & (cache.coding.labels == label))
        both, both_rows = counts[:-1], counts[-1]
        first, first_rows = cache.beside(one, label)
        second, second_rows = cache.beside(other, label)
        third, rows = cache.beside(None, label)
        only_first, only_second = first - both, second - both
        neither = third - both - only_first - only_second
        outside = rows - first_rows - second_rows + both_rows
        return cls(
            cells=np.stack(
                [
                    both,
                    both_rows - both,
                    only_first,
                    only_second,
                    first_rows - both_rows - only_first,
                    second_rows - both_rows - only_second,
                    neither,
                    outside - neither,
                ]
            )
        )

    def __sub__(self, part: _Cube) -> _Cube:
        return _Cube(cells=self.cells - part.cells)

    @property
    def all_three(self) -> Floats:
        held: Floats = self.cells[0]
        return held

    def apart(self) -> list[Floats]:
        """Rows that hold a value but not all three, for each of the three."""
        _, ab, ac, bc, a, b, c, _ = self.cells
        return [ab + ac + a, ab + bc + b, ac + bc + c]

    def in_pairs(self) -> list[Floats]:
        """Rows that hold exactly two."""
        return [self.cells[1], self.cells[2], self.cells[3]]

    def expected(self) -> Floats:
        """How many rows would hold all three, from those that do not: the largest of four log-linear models."""
        import numpy as np

        _, ab, ac, bc, a, b, c, none = self.cells + HALF
        largest: Floats = np.maximum.reduce(
            [
                none * bc * ac * ab / (a * b * c),
                ab * (ac + bc + c) / (a + b + none),
                ac * (ab + bc + b) / (a + c + none),
                bc * (ab + ac + a) / (b + c + none),
            ]
        )
        return largest


def _apart_chance(of_label: _Cube, rest: _Cube, base: float) -> Floats:
    """The chance of the label from the three values apart, or from any two of them without the third."""
    import numpy as np

    share = np.float64(base)
    shift = [
        log_odds(rate_above(mine, mine + others, share)) - log_odds(share)
        for mine, others in zip(of_label.apart(), rest.apart(), strict=True)
    ]
    odds = log_odds(share) + shift[0] + shift[1] + shift[2]
    sums = (shift[0] + shift[1], shift[0] + shift[2], shift[1] + shift[2])
    for mine, others, two in zip(of_label.in_pairs(), rest.in_pairs(), sums, strict=True):
        # Few rows hold exactly two of them: what these say is drawn to what the two say apart.
        rate = (mine + PRIOR * from_log_odds(log_odds(share) + two)) / (mine + others + PRIOR)
        odds = np.maximum(odds, np.where(mine + others >= MIN_ROWS, log_odds(rate), odds))
    return from_log_odds(odds)


def _two_way(both: Whole, one: Whole, other: Whole, rows: Whole) -> Floats:
    """How many rows would hold both, from those that hold one or none."""
    expected: Floats = (one - both + HALF) * (other - both + HALF) / (rows - one - other + both + HALF)
    return expected


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
