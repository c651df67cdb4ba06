"""Spikes of a loss or a gradient norm: far out of what came just before, and as high as where the training came from.

The rule is a one-sided Hampel identifier (Davies and Gather, 1993, "The identification of multiple outliers") over the
logarithms of the last values, since both numbers change by factors; its scale is that of their differences, since a
loss that falls is no noise. Batches of a training that has nearly learned everything vary by large
factors, too, and harm nobody, so a spike must also reach `HEIGHT` times the highest level that the medians have had:
it undoes what was learned (what Chowdhery et al., 2022, "PaLM", section 5.1, call a spike and answer by starting
again).

A learning rate that rises by half within a window begins the statistics anew: a restart of its schedule raises losses.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from itertools import pairwise

WINDOW = 64
"""Values that a new one is compared with."""

LEAST = 24
"""So many are needed first."""

RECENT = 16
"""Of them, those whose median a new one is compared with."""

DEVIATIONS = 6.0
MAD_TO_DEVIATION = 1.4826
LEAST_DEVIATION = 0.05
"""Of a logarithm: losses that hardly vary may change by a third."""

FACTOR = 2.0
"""A spike is at least so many times the median."""

HEIGHT = 0.25
FLOOR = 1e-12
REFRESHED = 8
"""Values after which medians are taken anew; a value that would be a spike is always compared with new ones."""

RISE = 1.5


class Spikes:
    """Looks at one number of a training, step by step."""

    def __init__(self) -> None:
        self._logs: deque[float] = deque(maxlen=WINDOW)
        self._rates: deque[float] = deque(maxlen=WINDOW)
        self._level = -math.inf
        self._bar = math.inf
        self._since = 0

    def rate(self, learning_rate: float) -> None:
        """Take the learning rate of the step to come."""
        if not math.isfinite(learning_rate):
            return
        self._rates.append(learning_rate)
        if learning_rate > RISE * min(self._rates):
            self._rates.clear()
            self._rates.append(learning_rate)
            self._logs.clear()

    def heard(self, value: float) -> bool:
        """Whether a finite value is a spike; a spike does not join what later ones are compared with."""
        log = math.log(max(value, FLOOR))
        if len(self._logs) < LEAST:
            self._bar, self._since = math.inf, REFRESHED
        elif self._since >= REFRESHED or log > self._bar:
            self._refresh()
        self._since += 1
        if log > self._bar:
            return True
        self._logs.append(log)
        return False

    def _refresh(self) -> None:
        """Find anew what a value has to pass."""
        logs = list(self._logs)
        middle = statistics.median(logs[-RECENT:])
        # Differences of neighbours, since a loss that falls is no noise; they vary by the root of 2 more than values.
        steps = statistics.median(abs(after - before) for before, after in pairwise(logs))
        deviation = max(MAD_TO_DEVIATION * steps / math.sqrt(2), LEAST_DEVIATION)
        self._level = max(self._level, middle)
        self._since = 0
        self._bar = max(middle + DEVIATIONS * deviation, middle + math.log(FACTOR), self._level + math.log(HEIGHT))
