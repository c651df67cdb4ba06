"""What two models got right on the same rows, and how much of the difference is chance.

Everything is paired: the rows are the same, so rows on which both agree say nothing of the difference. Nothing is
random but the resampling, whose seed is fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

RESAMPLES = 1000
_SEED = 20_261_127
_LEAST_P = 1e-300
_AT_ONCE = 20
_NORMAL_95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""

_LARGEST_RATIO = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much worse the new model is than the accepted one.

    Args:
        drop: Positive is worse. In units of the metric; for errors of a regression, in parts of the accepted error.
        low: Lower end of the 95 % interval of `drop`.
        high: Upper end.
        p: How likely a drop as large is if neither model is better, from 0 to 1; one-sided.
    """

    drop: float
    low: float
    high: float
    p: float


def right_and_wrong(new: Flags, accepted: Flags) -> Difference:
    """Of shares of rows that were got right: the exact test of McNemar (1947) over the rows where the models differ.

    The interval is that of Agresti and Min (2005, Statistics in Medicine 24, section 4), which adds half a row to each
    of the four cells and so stays honest for few rows.

    Args:
        new: bool array (n,), n > 0: which rows the new model got right.
        accepted: bool array (n,): which the accepted one did.
    """
    from scipy.stats import binom  # type: ignore[import-untyped]  # no stubs are published

    rows = len(new)
    lost, won = int((accepted & ~new).sum()), int((new & ~accepted).sum())
    p = float(binom.sf(lost - 1, lost + won, 0.5))
    mean = (lost - won) / (rows + 2)
    spread = math.sqrt(max(0.0, lost + won + 1 - (rows + 2) * mean**2)) / (rows + 2)
    return Difference(
        drop=(lost - won) / rows,
        low=max(-1.0, mean - _NORMAL_95 * spread),
        high=min(1.0, mean + _NORMAL_95 * spread),
        p=min(1.0, max(p, _LEAST_P)),
    )


def macro_f1_drop(truth: Codes, new: Codes, accepted: Codes, classes: int) -> Difference:
    """Of macro-F1: the paired bootstrap (Efron and Tibshirani 1993, chapter 13) over rows.

    Rows with the same label and the same two answers are interchangeable, so their counts are drawn, which is the same
    distribution and does not grow with the rows.

    Args:
        truth: int64 array (n,): classes from 0.
        new: int64 array (n,): what the new model said; anything outside of the classes is wrong.
        accepted: int64 array (n,): what the accepted one said.
        classes: How many there are.
    """
    import numpy as np

    cells, counts = np.unique(np.stack([truth, new, accepted]), axis=1, return_counts=True)
    rows = len(truth)
    draw = np.random.default_rng(_SEED)
    drops = []
    for _ in range(0, RESAMPLES, _AT_ONCE):
        drawn = draw.multinomial(rows, counts / rows, size=_AT_ONCE).astype(np.float64)
        drops.append(_macro_f1(drawn, cells[0], cells[2], classes) - _macro_f1(drawn, cells[0], cells[1], classes))
    once = counts[None, :].astype(np.float64)
    drop = _macro_f1(once, cells[0], cells[2], classes) - _macro_f1(once, cells[0], cells[1], classes)
    return _resampled(float(drop[0]), np.concatenate(drops))


def error_drop(new: Floats, accepted: Floats) -> Difference:
    """Of the mean of absolute errors, as a part of the accepted model's mean: the paired bootstrap over rows.

    Args:
        new: float64 array (n,), n > 0: absolute errors of the new model.
        accepted: float64 array (n,): those of the accepted one.
    """
    import numpy as np

    draw = np.random.default_rng(_SEED)
    drops = np.empty(RESAMPLES)
    for place in range(RESAMPLES):
        chosen = draw.integers(len(new), size=len(new))
        drops[place] = _rise(float(new[chosen].mean()), float(accepted[chosen].mean()))
    return _resampled(_rise(float(new.mean()), float(accepted.mean())), drops)


def _rise(new: float, accepted: float) -> float:
    """The rise of an error in parts of what it was; bounded, because a perfect model has no error to compare with."""
    if new == accepted:
        return 0.0
    ratio = (new - accepted) / accepted if accepted > 0 else math.inf
    return max(-_LARGEST_RATIO, min(_LARGEST_RATIO, ratio))


def _resampled(drop: float, drops: Floats) -> Difference:
    import numpy as np

    low, high = (float(end) for end in np.quantile(drops, [0.025, 0.975]))
    p = (int((drops <= 0).sum()) + 1) / (len(drops) + 1)
    return Difference(drop=drop, low=min(low, drop), high=max(high, drop), p=p)


def _macro_f1(counts: Floats, truth: Codes, said: Codes, classes: int) -> Floats:
    """Macro-F1 of each row of `counts`, float64 (b, cells), over cells with a label and an answer."""
    import numpy as np

    each = np.arange(classes)
    is_label, is_answer = (truth[:, None] == each).astype(float), (said[:, None] == each).astype(float)
    right = counts @ (is_label * is_answer)
    both = counts @ is_label + counts @ is_answer
    scores = np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
    mean: Floats = scores.mean(axis=1)
    return mean
