"""How fast a gate reads, in words for the line that a terminal shows while it works."""

from __future__ import annotations

import time
from collections.abc import Callable

from interlock.gate.progress import Progress, span


class Pace:
    """Rows, rate and remaining time. The first reading finds out how many rows there are, so it has no end in sight.

    Args:
        line: What is done, for people.
        clock: Seconds; replaced in tests.
    """

    def __init__(self, line: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = line
        self._clock = clock
        self._reading = 0
        self._began = clock()
        self._whole: int | None = None

    def heard(self, progress: Progress) -> str:
        """The line to show now.

        Args:
            progress: What the gate says; no rows mean that it begins to read again.
        """
        if not progress.rows and not progress.ended:
            self._reading += 1
            self._began = self._clock()
            return f"{self._line}: reading {self._reading} begins"
        seconds = self._clock() - self._began
        rate = progress.rows / seconds if seconds > 0 else 0.0
        if progress.ended:
            self._whole = progress.rows
            return f"{self._line}: {progress.rows:,} rows in reading {self._reading}{_at(rate)}, comparing"
        of = "" if self._whole is None else f" of {self._whole:,}"
        left = "" if self._whole is None or rate <= 0 else f", {span((self._whole - progress.rows) / rate)} left"
        return f"{self._line}: reading {self._reading}, {progress.rows:,}{of} rows{_at(rate)}{left}"


def _at(rate: float) -> str:
    return f", {rate:,.0f} rows/s" if rate > 0 else ""
