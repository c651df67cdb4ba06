"""Two values and every third one beside them: what the eight cells say of rows that hold all three.

`interlock.poisoning.tables.candidates` says what is asked of a combination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.tables.columns import MIN_ROWS, Coding
from interlock.poisoning.tables.odds import from_log_odds, log_odds, rate_above
from interlock.poisoning.tables.pairs import COMMON, HALF

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

PRIOR = 8


class Cache:
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
class Cube:
    """The eight cells of two values and every third one: which of the three a row holds."""

    cells: Floats

    @classmethod
    def of(cls, cache: Cache, one: int, other: int, label: int | None) -> Cube:
        """Count.

        Args:
            cache: Of the rows.
            one: Place of a value.
            other: Place of a value of another column.
            label: Of the rows that are counted; None for all.
        """
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

    def __sub__(self, part: Cube) -> Cube:
        return Cube(cells=self.cells - part.cells)

    @property
    def all_three(self) -> Floats:
        """Rows that hold all three."""
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


def apart_chance(of_label: Cube, rest: Cube, base: float) -> Floats:
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
