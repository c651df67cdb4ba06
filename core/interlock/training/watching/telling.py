"""What a training says of itself, made small and said seldom: ten lines a second, none longer than a pipe takes.

The shapes of the lines are what `interlock.training.watching.readings` reads on the other side::

    metrics   epoch, step, stride, losses[], gradient_norms[], learning_rates[], samples
    progress  epoch, epochs, step, steps, loss, samples, seconds
    epoch     epoch, loss, samples, seconds, metrics{}
    untraced  reason

One entry of a list stands for `stride` steps, of which it is the largest loss and gradient norm and the last rate.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping

from interlock.training.events import tell
from interlock.training.watching.pending import Point

EVERY = 0.1
"""Seconds between two lines of metrics."""

PROGRESS_EVERY = 0.5
"""Seconds between two lines of progress."""

MAX_ENTRIES = 48
"""In one list of a line: three lists of so many numbers stay below a line's 4096 bytes."""

MAX_METRICS = 16


class Teller:
    """Gathers points and says them when it is time to. Only the first process of a distributed training speaks.

    Args:
        epochs: How many there will be; None when nobody knows.
        steps: Batches of one epoch.
        clock: Seconds.
    """

    def __init__(self, *, epochs: int | None, steps: int | None, clock: Callable[[], float]) -> None:
        self._epochs = epochs
        self._steps = steps
        self._clock = clock
        self._began = self._told = clock()
        self._progress = -math.inf
        self._epoch_began = self._began
        self._points: list[Point] = []
        self._samples = 0
        self._of_epoch = Mean()
        self._alarmed = False
        self._quiet = os.environ.get("RANK", "0") != "0"

    def batches(self, epoch: int, points: list[Point]) -> None:
        """Take points in order, and say them if the last line is old enough."""
        self._points += points
        self._samples += sum(point.samples for point in points)
        self._of_epoch.add(points)
        # The first number that is none is said at once; a training that is lost says it no oftener than others.
        alarm = not self._alarmed and any(_bad(point) for point in points)
        self._alarmed |= alarm
        if alarm or self._clock() - self._told >= EVERY:
            self._say(epoch)

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Say what is left of an epoch, then its numbers."""
        self._say(epoch)
        now = self._clock()
        loss, samples = self._of_epoch.taken()
        numbers = {name[:64]: _short(value) for name, value in list(metrics.items())[:MAX_METRICS]}
        seconds, self._epoch_began = now - self._epoch_began, now
        self._tell("epoch", epoch=epoch, loss=_short(loss), samples=samples, seconds=round(seconds, 3), metrics=numbers)

    def untraced(self, reason: str) -> None:
        """Say why losses are not recorded any more."""
        self._tell("untraced", reason=reason)

    def close(self, epoch: int) -> None:
        """Say what is left."""
        self._say(epoch)

    def _say(self, epoch: int) -> None:
        points, self._points = self._points, []
        if not points:
            return
        now = self._told = self._clock()
        stride = -(-len(points) // MAX_ENTRIES)
        groups = [points[start : start + stride] for start in range(0, len(points), stride)]
        self._tell(
            "metrics",
            epoch=epoch,
            step=points[0].step,
            stride=stride,
            losses=_series(groups, lambda point: point.loss, worst),
            gradient_norms=_series(groups, lambda point: point.gradient_norm, worst),
            learning_rates=_series(groups, lambda point: point.learning_rate, lambda values: list(values)[-1]),
            samples=sum(point.samples for point in points),
        )
        if now - self._progress >= PROGRESS_EVERY:
            self._progress = now
            self._tell(
                "progress",
                epoch=epoch,
                epochs=self._epochs,
                step=points[-1].step,
                steps=self._steps,
                loss=_short(self._of_epoch.now),
                samples=self._samples,
                seconds=round(now - self._began, 3),
            )

    def _tell(self, kind: str, **fields: object) -> None:
        if not self._quiet:
            tell(kind, **{name: value for name, value in fields.items() if value is not None})


class Mean:
    """The mean loss of the points so far, weighted by their samples."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._weight = 0
        self._samples = 0

    def add(self, points: Iterable[Point]) -> None:
        """Take points; those without a loss only count their samples."""
        for point in points:
            self._samples += point.samples
            if point.loss is not None:
                self._sum += point.loss * max(1, point.samples)
                self._weight += max(1, point.samples)

    @property
    def now(self) -> float | None:
        """The mean; None before the first loss."""
        return self._sum / self._weight if self._weight else None

    def taken(self) -> tuple[float | None, int]:
        """The mean and how many samples there were; begins anew."""
        now, samples = self.now, self._samples
        self._sum, self._weight, self._samples = 0.0, 0, 0
        return now, samples


def worst(values: Iterable[float]) -> float:
    """The largest; NaN is worse than any."""
    found = list(values)
    return math.nan if any(map(math.isnan, found)) else max(found)


def _series(
    groups: list[list[Point]], of: Callable[[Point], float | None], pooled: Callable[[Iterable[float]], float]
) -> list[float] | None:
    """One number a group; None unless every step has one."""
    values = [[of(point) for point in group] for group in groups]
    if any(value is None for group in values for value in group):
        return None
    return [_short(pooled(value for value in group if value is not None)) for group in values]  # type: ignore[misc]


def _short(value: float | None) -> float | None:
    """Six digits that count: a line is short."""
    return value if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _bad(point: Point) -> bool:
    return any(value is not None and not math.isfinite(value) for value in (point.loss, point.gradient_norm))
