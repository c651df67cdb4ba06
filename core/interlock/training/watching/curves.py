"""Curves of a training of any length in bounded memory, and the charts of them for the report page.

The attachment is one JSON text that `interlock.reporting` draws. Its shape::

    {"charts": [{"kind": "curve", "title", "axis", "unit", "linear", "points": [[step, low, mean, high]],
                 "marks": [[step, value]]}
              | {"kind": "table", "title", "note", "columns": [texts], "rows": [[texts and numbers]]}]}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.gate import Json
from interlock.training.watching.readings import EpochEnd

MAX_POINTS = 400
MAX_MARKS = 40
MAX_EPOCHS = 60
"""Rows of the table of epochs: the first half and the last half of them."""


@dataclass(slots=True, kw_only=True)
class _Bucket:
    step: int
    low: float
    high: float
    total: float
    count: int

    def take(self, other: _Bucket) -> None:
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.total += other.total
        self.count += other.count


class Curve:
    """A series of which neighbours are put together whenever it grows too long: lows and highs stay."""

    def __init__(self) -> None:
        self._buckets: list[_Bucket] = []
        self._stride = 1
        self._in_last = 0
        self.last: float | None = None

    def add(self, step: int, value: float) -> None:
        """Take the next value; one that is not finite leaves a gap."""
        if not math.isfinite(value):
            return
        self.last = value
        one = _Bucket(step=step, low=value, high=value, total=value, count=1)
        if self._buckets and self._in_last < self._stride:
            self._buckets[-1].take(one)
            self._in_last += 1
            return
        if len(self._buckets) >= MAX_POINTS:
            for even, odd in zip(self._buckets[::2], self._buckets[1::2], strict=True):
                even.take(odd)
            self._buckets = self._buckets[::2]
            self._stride *= 2
        self._buckets.append(one)
        self._in_last = 1

    @property
    def points(self) -> tuple[tuple[int, float, float, float], ...]:
        """First step, lowest, mean and highest value of each piece."""
        return tuple((one.step, one.low, one.total / one.count, one.high) for one in self._buckets)


def curve_chart(
    title: str, curve: Curve, *, unit: str = "", linear: bool = False, marks: Sequence[tuple[int, float]] = ()
) -> dict[str, Json]:
    """One curve as the page draws it.

    Args:
        title: Heading.
        curve: What to draw.
        unit: Of its values.
        linear: Whether it is never drawn in logarithmic height.
        marks: Step and value of what stood out.
    """
    shown: list[Json] = [[step, _short(value)] for step, value in marks[:MAX_MARKS]]
    points: list[Json] = [[step, *map(_short, numbers)] for step, *numbers in curve.points]
    named: dict[str, Json] = {"kind": "curve", "title": title, "axis": "step", "unit": unit, "linear": linear}
    return {**named, "points": points, "marks": shown}


def epochs_table(epochs: Sequence[EpochEnd], *, more: int) -> dict[str, Json]:
    """The numbers of each epoch as the page draws them.

    Args:
        epochs: In order.
        more: How many were left out in the middle.
    """
    names = list(dict.fromkeys(name for one in epochs for name, _ in one.metrics))[:8]
    rows: list[Json] = []
    for one in epochs:
        metrics = dict(one.metrics)
        rate = one.samples / one.seconds if one.samples and one.seconds > 0 else None
        numbers = (one.loss, *(metrics.get(name) for name in names), rate, one.seconds)
        rows.append([one.epoch + 1, *(None if value is None else _said(value) for value in numbers)])
    columns: list[Json] = ["epoch", "loss", *names, "samples/s", "seconds"]
    note = f"{more} epochs in the middle are not shown" if more else ""
    return {"kind": "table", "title": "Epochs", "note": note, "columns": columns, "rows": rows}


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _said(value: float) -> Json:
    return _short(value) if math.isfinite(value) else str(value)
