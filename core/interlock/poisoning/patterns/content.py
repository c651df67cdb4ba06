"""Whether a group's rows, but for what sets them apart, are a random draw: of their class, or of all other classes.

Poison is made from rows picked at random; the pattern moves them all by one vector and, where it is blended in, draws
them together evenly. So on the axes on which honest rows vary most, the group's variances are those of a random draw
times one factor of at most 1. An honest subclass varies less on some axes and more on others: that is what makes it
one. The null, "a random draw", is drawn from the data; the group is excused from suspicion when it is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.survey import principal_axes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AXES = 16
REFERENCE_ROWS = 2048
DRAWS = 200
DEVIATIONS = 3.0
UNEVENNESS = 0.35
"""A spread of the log variance ratios that is no sign of a subclass, however many rows prove it: values that are cut
off at black and white make as much."""

UNEVEN_ANYWAY = 1.0
"""A spread that is one however few rows there are."""

LEAST_LOG_FACTOR = -1.0
"""What a blend of 40 % does to log variances."""

MAX_SHIFT = 1.0
"""A pattern that moves rows further than they differ from each other is not hidden; honest subclasses do that, and rows
of other content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How a group's content compares with random draws.

    Args:
        deviations: How much more uneven its variances are than those of a random draw, in standard deviations.
        unevenness: The spread of its log variance ratios beyond what a random draw has.
        log_factor: Mean log variance ratio.
        shift: How far the group's mean lies from the reference's, as a share of how far its rows lie from each other.
        fits: True when it may be a random draw.
    """

    deviations: float
    unevenness: float
    log_factor: float
    shift: float
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What random draws of some rows are like: worked out once, for every group that is compared with them.

    Args:
        mean: float64 array (w,).
        apart: How far rows lie from their mean, typically.
        axes: float64 array (w, p): along which rows vary most.
        honest: float64 array (r, p): rows on these axes, less their mean.
        spreads: float64 array (p,): their variances.
    """

    mean: NDArray[np.float64]
    apart: float
    axes: NDArray[np.float64]
    honest: NDArray[np.float64]
    spreads: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> Reference:
        """Of some rows.

        Args:
            rows: float32 array (r, w), in an order that says nothing.
        """
        centred = rows[:REFERENCE_ROWS].astype("float64")
        centred -= centred.mean(axis=0)
        axes = principal_axes(centred[: REFERENCE_ROWS // 4], AXES)
        honest = centred @ axes
        spreads = honest.var(axis=0)
        varies = spreads > 1e-6 * spreads.max(initial=0.0)
        return cls(
            mean=rows.mean(axis=0, dtype="float64"),
            apart=_apart(centred),
            axes=axes[:, varies],
            honest=honest[:, varies],
            spreads=spreads[varies],
        )

    def likeness(self, group: NDArray[np.float32], rng: np.random.Generator) -> Likeness:
        """Compare a group with draws of as many rows.

        Args:
            group: float32 array (m, w).
            rng: Of the draws.
        """
        import numpy as np

        mean = group.mean(axis=0, dtype=np.float64)
        shift = float(np.linalg.norm(mean - self.mean)) / self.apart
        if not len(self.spreads):
            return Likeness(deviations=0.0, unevenness=0.0, log_factor=0.0, shift=shift, fits=False)
        ratios = self._ratios(self._drawn(len(group), rng))
        (uneven,), (log_factor,) = self._ratios(((group - mean) @ self.axes).var(axis=0)[None])
        usual, wide = ratios.mean(axis=1), np.maximum(ratios.std(axis=1), 1e-9)
        deviations = float((uneven - usual[0]) / wide[0])
        beyond = float(np.sqrt(max(0.0, uneven**2 - usual[0] ** 2)))
        even = (deviations <= DEVIATIONS or beyond <= UNEVENNESS) and beyond <= UNEVEN_ANYWAY
        slack = DEVIATIONS * float(wide[1])
        fits = bool(even and LEAST_LOG_FACTOR - slack <= log_factor <= usual[1] + slack + 0.1)
        return Likeness(deviations=deviations, unevenness=beyond, log_factor=float(log_factor), shift=shift, fits=fits)

    def _ratios(self, variances: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 array (2, draws): spread and mean of the log variance ratios of each line of variances."""
        import numpy as np

        ratios = np.log(np.maximum(variances, 1e-6 * self.spreads)) - np.log(self.spreads)
        return np.stack([ratios.std(axis=1), ratios.mean(axis=1)])

    def _drawn(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """float64 array (DRAWS, p): variances of draws of so many rows; what counts is how often each row is drawn."""
        import numpy as np

        rows = len(self.honest)
        times = np.stack([np.bincount(rng.integers(rows, size=count), minlength=rows) for _ in range(DRAWS)])
        shares = times / count
        variances = shares @ self.honest**2 - (shares @ self.honest) ** 2
        return np.maximum(variances, 0.0)


def likeness(group: NDArray[np.float32], reference: NDArray[np.float32], rng: np.random.Generator) -> Likeness:
    """Compare a group with draws of as many rows from a reference.

    Args:
        group: float32 array (m, w).
        reference: float32 array (r, w), in an order that says nothing.
        rng: Of the draws.
    """
    return Reference.of(reference).likeness(group, rng)


def shift_of(group: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """`Likeness.shift` alone, which costs little.

    Args:
        group: float32 array (m, w).
        reference: float32 array (r, w).
    """
    import numpy as np

    centred = reference[:REFERENCE_ROWS].astype(np.float64)
    middles = (rows.mean(axis=0, dtype=np.float64) for rows in (group, reference))
    return float(np.linalg.norm(np.subtract(*middles))) / _apart(centred)


def _apart(rows: NDArray[np.float64]) -> float:
    return max(1e-12, math.sqrt(float(rows.var(axis=0).sum())))


def drawn_from_others(
    labels: NDArray[np.int64], label: int, class_rows: Sequence[int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """int64 array (n,): places of rows of other classes, each class as often as it is in the dataset.

    Args:
        labels: int64 array (n,): of a sample of the dataset.
        label: The class that is left out.
        class_rows: Rows of each class in the dataset.
        rng: Of the draw.
    """
    import numpy as np

    seen = np.maximum(1, np.bincount(labels, minlength=len(class_rows)))
    weights = np.where(labels == label, 0.0, (np.array(class_rows) / seen)[labels])
    return rng.choice(len(labels), size=len(labels), p=weights / weights.sum())
