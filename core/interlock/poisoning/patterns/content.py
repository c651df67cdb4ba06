"""Whether a group's rows, but for what sets them apart, are a random draw: of their class, or of all other classes.

Poison is made from rows picked at random; the pattern moves them all by one vector and, where it is blended in, draws
them together evenly. So on the axes on which honest rows vary most, the group's variances are those of a random draw
times one factor of at most 1. An honest subclass varies less on some axes and more on others: that is what makes it
one. The null, "a random draw", is drawn from the data; the group is excused from suspicion when it is rejected.
"""

from __future__ import annotations

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


def likeness(group: NDArray[np.float32], reference: NDArray[np.float32], rng: np.random.Generator) -> Likeness:
    """Compare a group with draws of as many rows from a reference.

    Args:
        group: float32 array (m, w).
        reference: float32 array (r, w), in an order that says nothing.
        rng: Of the draws.
    """
    import numpy as np

    centred = reference[:REFERENCE_ROWS].astype(np.float64)
    centred -= centred.mean(axis=0)
    shift = float(np.linalg.norm(group.mean(axis=0, dtype=np.float64) - reference.mean(axis=0, dtype=np.float64)))
    shift /= max(1e-12, float(np.sqrt(centred.var(axis=0).sum())))
    axes = principal_axes(centred[: REFERENCE_ROWS // 4], AXES)
    honest, suspect = centred @ axes, (group.astype(np.float64) - group.mean(axis=0, dtype=np.float64)) @ axes
    spreads = honest.var(axis=0)
    varies = spreads > 1e-6 * spreads.max(initial=0.0)
    if not varies.any():
        return Likeness(deviations=0.0, unevenness=0.0, log_factor=0.0, shift=shift, fits=False)
    honest, suspect, base = honest[:, varies], suspect[:, varies], np.log(spreads[varies])

    def compared(rows: NDArray[np.float64]) -> tuple[float, float]:
        ratios = np.log(np.maximum(rows.var(axis=0), 1e-6 * np.exp(base))) - base
        return float(ratios.std()), float(ratios.mean())

    drawn = np.array([compared(honest[rng.integers(len(honest), size=len(suspect))]) for _ in range(DRAWS)])
    uneven, log_factor = compared(suspect)
    usual, wide = drawn.mean(axis=0), np.maximum(drawn.std(axis=0), 1e-9)
    deviations = float((uneven - usual[0]) / wide[0])
    beyond = float(np.sqrt(max(0.0, uneven**2 - usual[0] ** 2)))
    even = (deviations <= DEVIATIONS or beyond <= UNEVENNESS) and beyond <= UNEVEN_ANYWAY
    slack = DEVIATIONS * float(wide[1])
    fits = even and LEAST_LOG_FACTOR - slack <= log_factor <= usual[1] + slack + 0.1
    return Likeness(deviations=deviations, unevenness=beyond, log_factor=log_factor, shift=shift, fits=fits)


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
