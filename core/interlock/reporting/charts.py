"""Charts among a gate's attachments (shapes: `interlock.poisoning.charts`, `curves`), checked and measured for drawing.

An attachment quotes what was examined: whatever does not have the shape, or holds a number that is none, is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from interlock.gate import Observation
from interlock.reporting.attachments import items_of, number
from interlock.reporting.curves import CurveChart, TableChart, curve, table

MAX_CHARTS = 24
MAX_BINS = 200
MAX_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One bin; heights from 0 to 1, in logarithmic scale, flagged rows on top of the rest."""

    rest: float
    flagged: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramChart:
    """Bins from left to right; `threshold` is a place from 0 to 1, or None."""

    title: str
    axis: str
    low: float
    high: float
    threshold: float | None
    bins: tuple[Bin, ...]
    most: int
    rest: int
    flagged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One group; `length` is its share of flagged rows over the largest share that is shown."""

    name: str
    rows: int
    flagged: int
    length: float

    @property
    def share(self) -> float:
        """Of the group's rows that are flagged."""
        return self.flagged / self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Groups; how many more have flagged rows, and how many have none."""

    title: str
    bars: tuple[Bar, ...]
    more: int
    none: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteChart:
    """Lines of text as what stands before a phrase, the phrase, and what stands after it."""

    title: str
    lines: tuple[tuple[str, str, str], ...]


Chart = HistogramChart | BarChart | QuoteChart | CurveChart | TableChart


def charts_of(seen: Observation) -> tuple[Chart, ...]:
    """Every chart among the attachments that can be drawn."""
    read = (_chart(item) for item in items_of(seen, "charts", MAX_CHARTS))
    return tuple(chart for chart in read if chart is not None)


def _chart(item: Mapping[str, object]) -> Chart | None:
    kinds = {"histogram": _histogram, "bars": _bars, "quotes": _quotes, "curve": curve, "table": table}
    read = kinds.get(str(item.get("kind")))
    return read(item) if read is not None else None


def _histogram(item: Mapping[str, object]) -> HistogramChart | None:
    rest, flagged = _counts(item.get("rest")), _counts(item.get("flagged"))
    low, high, at = number(item.get("low")), number(item.get("high")), number(item.get("threshold"))
    if not rest or len(rest) != len(flagged) or low is None or high is None or high <= low:
        return None
    most = max(one + other for one, other in zip(rest, flagged, strict=True))
    if not most:
        return None
    bins = []
    for one, other in zip(rest, flagged, strict=True):
        whole = math.log1p(one + other) / math.log1p(most)
        below = whole * one / (one + other) if one + other else 0.0
        bins.append(Bin(rest=below, flagged=whole - below))
    place = (at - low) / (high - low) if at is not None else None
    return HistogramChart(
        title=str(item.get("title", "")),
        axis=str(item.get("axis", "")),
        low=low,
        high=high,
        threshold=place if place is not None and 0 <= place <= 1 else None,
        bins=tuple(bins),
        most=most,
        rest=sum(rest),
        flagged=sum(flagged),
    )


def _bars(item: Mapping[str, object]) -> BarChart | None:
    groups = item.get("bars")
    counted: list[tuple[str, int, int]] = []
    for group in groups[:MAX_LINES] if isinstance(groups, list) else ():
        pair = _counts([group.get("rows"), group.get("flagged")]) if isinstance(group, Mapping) else ()
        if len(pair) == 2 and 0 <= pair[1] <= pair[0] and pair[0]:
            counted.append((str(group.get("name", "")), *pair))
    largest = max((flagged / rows for _, rows, flagged in counted), default=0.0)
    if not largest:
        return None
    left = _counts([item.get("more"), item.get("none")]) or (0, 0)
    bars = tuple(
        Bar(name=name, rows=rows, flagged=flagged, length=flagged / rows / largest) for name, rows, flagged in counted
    )
    return BarChart(title=str(item.get("title", "")), bars=bars, more=left[0], none=left[1])


def _quotes(item: Mapping[str, object]) -> QuoteChart | None:
    lines = item.get("lines")
    parted = [
        (line[0], line[1], line[2])
        for line in (lines[:MAX_LINES] if isinstance(lines, list) else ())
        if isinstance(line, list) and len(line) == 3 and all(isinstance(part, str) for part in line)
    ]
    return QuoteChart(title=str(item.get("title", "")), lines=tuple(parted)) if parted else None


def _counts(value: object) -> tuple[int, ...]:
    """Whole numbers from 0; nothing at all when one of them is none."""
    if not isinstance(value, list) or len(value) > MAX_BINS:
        return ()
    counts = [one for one in value if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**53]
    return tuple(counts) if len(counts) == len(value) else ()
