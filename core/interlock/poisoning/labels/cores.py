"""A label that stands among the rows of another class at one rate, however surely these are of that class.

Where classes overlap, the share of rows that carry the one label falls the deeper one goes into the other class; flips
are drawn from their source at one rate, and their share does not (the anchor points of Liu and Tao, 2016,
"Classification with noisy labels by importance reweighting", whose noise rate is read at the most certain rows). The
rows that resemble a class are ordered, out of fold, by the chance of the label over that of the class and cut into
thirds: core, middle and rim. Two nulls are found in the same data. *No fall*: from rim to core the label gets rarer by
the square root of what all other pairs fall by together, at least. *Stands out*: its share of the core is no more than
twice the largest of any other pair's. The weaker evidence of the two counts.

What it cannot see: flips in datasets of fewer than `MIN_CLASSES` classes, where there are no other pairs to learn from
(labels that the features do not determine have a floor of nature, which is no different from one of an attacker); flips
of classes that are not at home somewhere; flips into several pairs at once that hide each other; a handful.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import binomial_tail, corrected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

MIN_CLASSES = 4
PARTS = 3
MIN_CORE = 20
HOME = 0.5
TWICE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """How often rows that resemble a class carry one other label.

    Args:
        label: The label, as its position.
        rival: The class, as its position.
        rows: Of the core, and as many of the rim.
        core: Those in the core that carry the label.
        rim: Those in the rim.
        expected: Of all rows that resemble the class, how many an overlap lets carry the label.
        decades: Corrected evidence that this is no overlap.
    """

    label: int
    rival: int
    rows: int
    core: int
    rim: int
    expected: float = 0.0
    decades: float = 0.0

    @property
    def rate(self) -> float:
        """The share of the core that carries the label, drawn a little up where the core is small."""
        return (self.core + 1) / (self.rows + 2)


def steady_cores(chances: Floats, labels: Codes) -> list[Core]:
    """Every pair of classes, strongest first.

    Args:
        chances: float64 array (m, classes): of each label, out of fold.
        labels: int64 array (m,): as they are.
    """
    import numpy as np

    classes = chances.shape[1]
    resembles = chances.argmax(axis=1)
    carried = np.bincount(labels, minlength=classes)
    home = np.bincount(labels[resembles == labels], minlength=classes) > HOME * carried
    if int((carried > 0).sum()) < MIN_CLASSES:
        return []
    pairs = [core for one in range(classes) for core in _cores(chances, labels, np.flatnonzero(resembles == one), one)]
    judged = [
        _judged(pair, [other for other in pairs if other is not pair])
        for pair in pairs
        if home[pair.label] and home[pair.rival]
    ]
    return sorted(judged, key=lambda one: (-one.decades, one.label, one.rival))


def _cores(chances: Floats, labels: Codes, rows: Codes, resembled: int) -> list[Core]:
    import numpy as np

    size = len(rows) // PARTS
    if size < MIN_CORE:
        return []
    found = []
    for label in range(chances.shape[1]):
        if label == resembled:
            continue
        order = np.argsort(chances[rows, label] / chances[rows, resembled], kind="stable")
        carried = labels[rows[order]] == label
        core, rim = int(carried[:size].sum()), int(carried[-size:].sum())
        found.append(Core(label=label, rival=resembled, rows=size, core=core, rim=rim))
    return found


def _judged(pair: Core, others: list[Core]) -> Core:
    fall = math.sqrt((sum(one.rim for one in others) + 1) / (sum(one.core for one in others) + 1))
    most = min(0.5, TWICE * max((one.rate for one in others), default=0.5))
    steady = binomial_tail(pair.core, pair.core + pair.rim, 1 / (1 + max(1.0, fall)))
    apart = binomial_tail(pair.core, pair.rows, most)
    decades = max(0.0, corrected(min(steady, apart), len(others) + 1))
    return replace(pair, expected=most * PARTS * pair.rows, decades=decades)
