"""Curves, tables and bars of a training among the attachments, checked and measured for drawing.

The shapes are in `interlock.training.watching.curves`. Their numbers come from code that was trained with, so they are
untrusted: whatever does not have the shape, or holds a number that is none, is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interlock.reporting.attachments import number

MAX_POINTS = 1000
MAX_MARKS = 60
MAX_ROWS = 80
MAX_COLUMNS = 12
WIDTH, HEIGHT = 1000.0, 200.0
"""The room that a curve is drawn in; marks and lines keep within it."""

LOGARITHMIC_FROM = 50.0
"""A curve whose highest value is so many times its lowest is drawn in logarithmic height, unless it is ``linear``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveChart:
    """A number over the steps of a training.

    Args:
        line: Places of the means, from 0 to `WIDTH` and from 0 (top) to `HEIGHT`.
        band: Outline of what lies between lows and highs.
        marks: Places of what stood out.
        low: Value at the lower edge.
        high: Value at the upper edge.
        first: Step at the left edge.
        last: Step at the right edge.
        logarithmic: Whether the height is.
    """

    title: str
    axis: str
    unit: str
    line: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...]
    marks: tuple[tuple[float, float], ...]
    low: float
    high: float
    first: float
    last: float
    logarithmic: bool

    @property
    def banded(self) -> bool:
        """Whether there is a band: a short training has as many points as steps."""
        half = len(self.band) // 2
        return self.band[:half] != self.band[: half - 1 : -1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChart:
    """Lines of texts and numbers under headings; a number that is not known is None."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]


def curve(item: Mapping[str, object]) -> CurveChart | None:
    """A curve, or None for what is none."""
    points = _rows(item.get("points"), 4, MAX_POINTS)
    marks = _rows(item.get("marks", []), 2, MAX_MARKS)
    if not points or marks is None or any(low > high for _, low, _, high in points):
        return None
    steps = [point[0] for point in points]
    if steps != sorted(steps):
        return None
    values = [value for point in points for value in point[1:]] + [value for _, value in marks]
    low, high = min(values), max(values)
    logarithmic = item.get("linear") is not True and low > 0 and high > LOGARITHMIC_FROM * low
    room = _Room(steps[0], steps[-1], low, high, logarithmic=logarithmic)
    lows = [room.place(step, bottom) for step, bottom, _, _ in points]
    highs = [room.place(step, top) for step, _, _, top in points]
    return CurveChart(
        title=str(item.get("title", "")),
        axis=str(item.get("axis", "")),
        unit=str(item.get("unit", "")),
        line=tuple(room.place(step, mean) for step, _, mean, _ in points),
        band=(*highs, *reversed(lows)),
        marks=tuple(room.place(step, value) for step, value in marks if steps[0] <= step),
        low=low,
        high=high,
        first=steps[0],
        last=steps[-1],
        logarithmic=logarithmic,
    )


def table(item: Mapping[str, object]) -> TableChart | None:
    """A table, or None for what is none."""
    columns, rows = item.get("columns"), item.get("rows")
    if not isinstance(columns, list) or not 0 < len(columns) <= MAX_COLUMNS or not isinstance(rows, list):
        return None
    if any(not isinstance(row, list) or len(row) != len(columns) for row in rows[:MAX_ROWS]):
        return None
    return TableChart(
        title=str(item.get("title", "")),
        note=str(item.get("note", "")),
        columns=tuple(map(str, columns)),
        rows=tuple(tuple(_cell(cell) for cell in row) for row in rows[:MAX_ROWS]),
    )


class _Room:
    """Where a value lies in the picture."""

    def __init__(self, first: float, last: float, low: float, high: float, *, logarithmic: bool) -> None:
        self._first, self._last = first, last
        self._logarithmic = logarithmic
        self._low, self._high = self._height(low), self._height(high)

    def place(self, step: float, value: float) -> tuple[float, float]:
        """From the left, and from the top; a series of one step or one value lies in the middle."""
        along = (step - self._first) / (self._last - self._first) if self._last > self._first else 0.5
        up = (self._height(value) - self._low) / (self._high - self._low) if self._high > self._low else 0.5
        return round(min(1.0, max(0.0, along)) * WIDTH, 2), round((1 - min(1.0, max(0.0, up))) * HEIGHT, 2)

    def _height(self, value: float) -> float:
        return math.log(value) if self._logarithmic else value


def _rows(values: object, width: int, most: int) -> list[tuple[float, ...]] | None:
    """Lists of so many numbers; None when one is of another kind."""
    if not isinstance(values, list) or len(values) > most:
        return None
    read = [
        tuple(number(one) for one in value) if isinstance(value, list) and len(value) == width else (None,)
        for value in values
    ]
    found = [_whole(row) for row in read]
    return None if any(row is None for row in found) else [row for row in found if row is not None]


def _whole(row: Sequence[float | None]) -> tuple[float, ...] | None:
    # Beyond this, differences of two of them are no numbers any more.
    numbers = tuple(one for one in row if one is not None and abs(one) < 1e300)
    return numbers if len(numbers) == len(row) else None


def _cell(value: object) -> str | float | None:
    if value is None or isinstance(value, str):
        return value
    return number(value)
