"""Several detectors, one false-alarm budget.

Each detector gives the evidence of its strongest suspicion against its own null. Eight that each raise a false alarm
on one clean dataset in a thousand would together raise one on a hundred and twenty-five. So the evidence of all that
looked is adjusted for the false discovery rate, which on a clean dataset is the chance of any alarm at all; and since
they look at the same rows, by the form that holds however they depend on each other (Benjamini and Yekutieli, 2001).
It costs a lone finding among eight detectors 1.3 decades, and less the more of them agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from interlock.gate import Level
from interlock.poisoning.bounds import ALARM_DECADES, false_discovery
from interlock.poisoning.detector import LabelShift, Scores, Suspicion, Trigger

_Found = TypeVar("_Found", Trigger, LabelShift, Suspicion)


def fused(scores: Sequence[Scores]) -> tuple[Scores, ...]:
    """What each detector says after the others were heard.

    Args:
        scores: Of the detectors that looked.

    Returns:
        The same with less evidence, for the whole and for each thing found; what falls below the budget is left out.
    """
    import numpy as np

    if not scores:
        return ()
    any_dependence = math.log10(sum(1 / rank for rank in range(1, len(scores) + 1)))
    adjusted = false_discovery(np.array([found.decades for found in scores], dtype=np.float64) - any_dependence)
    return tuple(_weakened(found, float(left)) for found, left in zip(scores, adjusted, strict=True))


def _weakened(found: Scores, left: float) -> Scores:
    loss = found.decades - left if math.isfinite(found.decades) else 0.0
    return replace(
        found,
        decades=left,
        triggers=_kept(found.triggers, loss),
        shifts=_kept(found.shifts, loss),
        suspicions=_kept(found.suspicions, loss),
    )


def _kept(found: Sequence[_Found], loss: float) -> tuple[_Found, ...]:
    less = (replace(one, decades=one.decades - loss) for one in found)
    return tuple(one for one in less if one.decades >= ALARM_DECADES or _is_remark(one))


def _is_remark(found: Trigger | LabelShift | Suspicion) -> bool:
    """Whether it accuses nobody, and so is told however weak it is."""
    return isinstance(found, Suspicion) and found.level is Level.NOTE
