"""Two columns against the labels: which cells hold more rows of a label than the columns apart explain.

`interlock.poisoning.tables.candidates` says what is asked of a combination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.tables.columns import MIN_ROWS, Coding
from interlock.poisoning.tables.odds import (
    binomial_decades,
    from_log_odds,
    log_odds,
    odds_times,
    poisson_decades,
    rate_above,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Whole: TypeAlias = NDArray[np.int64]

PER_COLUMNS = 16
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


class Cells:
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

    def of(self, i: int, j: int) -> Pairs:
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
        expected = two_way(held, mine[one, label], mine[other, label], self.of_label[label])
        elsewhere = two_way(
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
        return Pairs(
            one=one,
            other=other,
            label=label,
            labelled=held,
            carriers=both,
            expected=expected,
            expected_anywhere=two_way(both, total[one], total[other], np.full(len(one), rows)),
            chance=from_log_odds(odds),
            stands=(np.minimum(alone, other_alone) >= MIN_ROWS)
            & (both <= MAX_SHARE * rows)
            & (held <= MAX_OF_LABEL * self.of_label[label]),
            told=np.maximum(total[one], total[other]) < COMMON * rows,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
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


def two_way(both: Whole, one: Whole, other: Whole, rows: Whole) -> Floats:
    """How many rows would hold both, from those that hold one or none."""
    expected: Floats = (one - both + HALF) * (other - both + HALF) / (rows - one - other + both + HALF)
    return expected
