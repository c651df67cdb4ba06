"""What the rest of a row says of its label, with the columns of a combination left out.

A linear probability model on the values of the other columns (ridge regression of the label's indicator; its statistics
are one matrix of counts, so that leaving columns out costs one small solve and no pass over the rows), fitted on one
half of the rows, read on the other, and calibrated by how often the label is carried at that score. What is not linear
the nearest rows say that hold no part of the combination, calibrated alike. The larger chance counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.neighbours import nearest
from interlock.poisoning.tables.columns import Coding
from interlock.poisoning.tables.odds import rate_above

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

MAX_ITEMS = 512
MAX_FITTED = 2**15
RIDGE = 4.0
GRADES = 64
"""Scores are calibrated in so many grades of equal numbers of rows."""

NEIGHBOURS = 16
MAX_REFERENCES = 8192
MAX_ASKED = 1024
"""Rows of a combination, and as many others for the calibration, whose neighbours are looked at."""

ALONE = 0.5
"""And stands among rows that do not hold it: what lies together is one natural kind of row, and one witness."""

SPREAD = 0.5
"""A trigger stands on rows of every kind: their other columns vary at least half as much as those of other rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOfRow:
    """The model's statistics.

    Args:
        coding: The rows.
        items: float32 array (n, k): which of the commonest values a row holds.
        base: int64 array (k,): the column of the table that each is of.
        means: Per half: float64 array (k,).
        products: Per half: float64 array (k, k), centred.
        coarse: int64 array: one column of codes per column of the table, in its order.
        points: float32 array (n, q): a number by its rank from 0 to 1, a text by the items that it holds.
        point_base: int64 array (q,): the column of the table that each is of.
        device: A torch device.
    """

    coding: Coding
    items: NDArray[np.float32]
    base: NDArray[np.int64]
    means: tuple[Floats, Floats]
    products: tuple[Floats, Floats]
    coarse: NDArray[np.int64]
    points: NDArray[np.float32]
    point_base: NDArray[np.int64]
    device: str = "cpu"

    @classmethod
    def of(cls, coding: Coding, device: str = "cpu") -> RestOfRow:
        """Count, once for all combinations."""
        import numpy as np

        # The last column of codes of each column of the table is the coarsest: its ranges, if it has any.
        coarse = np.array([np.flatnonzero(coding.base == base)[-1] for base in np.unique(coding.base)], dtype=np.int64)
        counts = np.bincount(coding.codes[:, coarse].ravel(), minlength=len(coding.values))
        chosen = np.sort(np.argsort(-counts, kind="stable")[:MAX_ITEMS])
        chosen = chosen[counts[chosen] > 0]
        items = (coding.codes[:, coding.column_of[chosen]] == chosen).astype(np.float32)
        means, products = [], []
        for half in (0, 1):
            some = items[:MAX_FITTED][half::2].astype(np.float32)
            mean = some.mean(axis=0, dtype=np.float64)
            means.append(mean)
            products.append((some.T @ some).astype(np.float64) - len(some) * np.outer(mean, mean))
        base = coding.base[coding.column_of[chosen]]
        points, point_base = _points(coding, items, base, coarse)
        return cls(
            coding=coding,
            items=items,
            base=base,
            points=points,
            point_base=point_base,
            device=device,
            means=(means[0], means[1]),
            products=(products[0], products[1]),
            coarse=coarse,
        )

    def neighbours(self, values: tuple[int, ...], label: int, rows: NDArray[np.int64]) -> Floats:
        """The same from the nearest rows that do not hold all of the values.

        Args:
            values: The combination.
            label: The class.
            rows: int64 array (m,): all rows that hold it.

        Returns:
            float64 array (min(m, MAX_ASKED),): for the first of the rows.
        """
        import numpy as np

        coding = self.coding
        carried = coding.labels == label
        left = ~np.isin(self.point_base, coding.base[coding.column_of[list(values)]])
        outside = np.ones(len(carried), dtype=bool)
        outside[rows] = False
        there = np.flatnonzero(outside)[:MAX_REFERENCES]
        asked = rows[:MAX_ASKED]
        if len(there) <= NEIGHBOURS or not left.any():
            return np.full(len(asked), float(carried.mean()))
        points = np.ascontiguousarray(self.points[:, left])
        usual, _ = nearest(points[there[:MAX_ASKED]], points[there], NEIGHBOURS, device=self.device, same=True)
        votes = carried[there[usual]].sum(axis=1)
        seen = np.bincount(votes, minlength=NEIGHBOURS + 1).astype(np.float64)
        hit = np.bincount(votes, weights=carried[there[:MAX_ASKED]], minlength=NEIGHBOURS + 1)
        found, _ = nearest(points[asked], points[there], NEIGHBOURS, device=self.device)
        said = carried[there[found]].sum(axis=1)
        share = said / (NEIGHBOURS + 1)
        # Where few rows have so many votes their own share is the better guess, and never the worse one.
        rate = rate_above(hit, seen, np.float64(carried.mean()))[said]
        chances: Floats = np.where(
            seen[said] >= NEIGHBOURS, rate, np.maximum(rate, share * NEIGHBOURS / (NEIGHBOURS + 1))
        )
        return chances

    def alone(self, values: tuple[int, ...], rows: NDArray[np.int64]) -> float:
        """Share of rows whose nearest other row, without the columns of a combination, does not hold it.

        Args:
            values: The combination.
            rows: int64 array: rows that hold it and carry the label; the first `MAX_ASKED` of them are asked.
        """
        import numpy as np

        coding = self.coding
        left = ~np.isin(self.point_base, coding.base[coding.column_of[list(values)]])
        asked = rows[:MAX_ASKED]
        if not left.any() or not len(asked):
            return 1.0
        # The rows are in an order that says nothing, so the first of them are as any others.
        points = np.ascontiguousarray(self.points[:, left])
        found, _ = nearest(points[asked], points[:MAX_REFERENCES], 2, device=self.device)
        other = np.where(found[:, 0] == asked, found[:, -1], found[:, 0])
        return float((~coding.holders(values)[other]).mean())

    def chances(self, values: tuple[int, ...], label: int, rows: NDArray[np.int64]) -> Floats:
        """The chance of a label for rows that hold these values, from all other columns.

        Args:
            values: The combination.
            label: The class.
            rows: int64 array (m,): all rows that hold it.
        """
        import numpy as np

        coding = self.coding
        carried = (coding.labels == label).astype(np.float64)
        base = float(carried.mean())
        left = ~np.isin(self.base, coding.base[coding.column_of[list(values)]])
        if not left.any():
            return np.full(len(rows), base)
        scores = np.zeros(len(carried))
        for half in (0, 1):
            some = self.items[:MAX_FITTED][half::2][:, left]
            target = (carried[:MAX_FITTED][half::2] - base).astype(np.float32)
            right = (some.T @ target).astype(np.float64) - self.means[half][left] * float(target.sum())
            product = self.products[half][np.ix_(left, left)] + RIDGE * np.eye(int(left.sum()))
            weights = np.linalg.solve(product, right)
            scores[1 - half :: 2] = self.items[1 - half :: 2][:, left] @ weights.astype(np.float32)
        outside = np.ones(len(carried), dtype=bool)
        outside[rows] = False
        edges = np.unique(np.quantile(scores[outside], np.linspace(0, 1, GRADES + 1)[1:-1]))
        grade = np.searchsorted(edges, scores[outside])
        seen = np.bincount(grade, minlength=len(edges) + 1)
        hit = np.bincount(grade, weights=carried[outside], minlength=len(edges) + 1)
        return rate_above(hit, seen.astype(np.float64), np.float64(base))[np.searchsorted(edges, scores[rows])]

    def spread(self, values: tuple[int, ...], label: int, rows: NDArray[np.int64]) -> float:
        """How much the other columns vary among the rows of a combination, beside as many others of the label.

        Args:
            values: The combination.
            label: The class.
            rows: int64 array: rows that hold it and carry the label.
        """
        import numpy as np

        coding = self.coding
        gone = coding.base[coding.column_of[list(values)]]
        columns = [int(column) for column in self.coarse if coding.base[column] not in gone]
        mine = np.flatnonzero(coding.labels == label)
        others = mine[~np.isin(mine, rows)][: len(rows)]
        there = sum(_entropy(coding.codes[others, column]) for column in columns)
        # Fewer others than rows vary less by their number alone, and then nothing can be said against the rows.
        return sum(_entropy(coding.codes[rows, column]) for column in columns) / there if there > 0 else 1.0


def _points(
    coding: Coding, items: NDArray[np.float32], base: NDArray[np.int64], coarse: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Numbers by their rank and texts by their items, so that every column weighs the same (Gower, 1971)."""
    import numpy as np

    columns, bases = [], []
    for column in coarse.tolist():
        first = int(coding.first[column])
        last = first + int((coding.column_of == column).sum()) - 1
        value = coding.values[last]
        if value is not None and value.place >= 0:
            ranks = (coding.codes[:, column] - first) / max(1, last - first)
            columns.append(ranks[:, None].astype(np.float32))
            bases.append([int(coding.base[column])])
        else:
            mine = base == coding.base[column]
            columns.append(items[:, mine] * np.float32(0.5**0.5))
            bases.append([int(coding.base[column])] * int(mine.sum()))
    return np.concatenate(columns, axis=1), np.array([one for some in bases for one in some], dtype=np.int64)


def _entropy(codes: NDArray[np.int64]) -> float:
    import numpy as np

    _, counts = np.unique(codes, return_counts=True)
    shares = counts / max(1, len(codes))
    return float(-(shares * np.log(shares)).sum())
