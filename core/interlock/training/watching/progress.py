"""How far a training is, in one line for people: what its code says of itself, and what it has used up of its budget.

The line is untrusted text about numbers that the code told; whoever shows it makes control characters visible. Nothing
is decided here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from interlock.gate.progress import span
from interlock.training.events import Event
from interlock.training.safeguards import IdleSafeguard
from interlock.training.sandbox import Moment
from interlock.training.watching.readings import Gatekeeper, Standing, read

EVERY = 0.5
"""Seconds between two lines."""

Used = tuple[str, float, float]
"""Name of a budget, what is used up, and its bound."""


class ProgressSafeguard(IdleSafeguard):
    """Hears how far the training is, and says it.

    Args:
        say: Gets a line about twice a second; see `Seldom` for logs.
        wall_seconds: The longest that the run may take.
        used: What the run has used up of its other budgets after so many seconds.
        clock: Seconds; replaced in tests.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        wall_seconds: float,
        used: Callable[[float], Iterable[Used]] = lambda _: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._wall = wall_seconds
        self._used = used
        self._clock = clock
        self._gatekeeper = Gatekeeper()
        self._standing: Standing | None = None
        self._heard_at = 0.0
        self._rate = 0.0
        self._next = 0.0

    @property
    def name(self) -> str:
        """``progress``."""
        return "progress"

    def hear(self, event: Event) -> None:
        """Take how far the code says it is."""
        if event.kind != "progress" or not self._gatekeeper.lets(self._clock()):
            return
        reading = read(event)
        if isinstance(reading, Standing):
            self._rate = _rate(self._standing, reading)
            self._standing = reading
            self._heard_at = self._clock()

    def tick(self, moment: Moment) -> None:
        """Say where it is."""
        if moment.seconds >= self._next:
            self._next = moment.seconds + EVERY
            self._say(self.line(moment.seconds))

    def line(self, seconds: float) -> str:
        """Where the training is after so many seconds."""
        parts = [] if self._standing is None else _said(self._standing, self._rate)
        parts.append(f"{span(seconds)} of {span(self._wall)}")
        parts += [f"{name.replace('_', ' ')} {used:.3g} of {bound:.3g}" for name, used, bound in self._used(seconds)]
        left = None if self._standing is None else _left(self._standing)
        if left is not None:
            parts.append(f"about {span(left - (self._clock() - self._heard_at))} left")
        return ", ".join(parts)


class Seldom:
    """Says at most one line in so many seconds: the last one there was.

    Args:
        say: Gets the lines.
        seconds: Between two of them.
        clock: Seconds; replaced in tests.
    """

    def __init__(
        self, say: Callable[[str], None], seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._seconds = seconds
        self._clock = clock
        self._next = clock() + seconds

    def __call__(self, line: str) -> None:
        """Say it, if the last one is long enough ago; a run that is over before then says none."""
        if self._clock() >= self._next:
            self._next = self._clock() + self._seconds
            self._say(line)


def _said(standing: Standing, rate: float) -> list[str]:
    epochs = f"/{standing.epochs}" if standing.epochs else ""
    parts = [f"epoch {standing.epoch + 1}{epochs}"]
    if standing.steps:
        parts.append(f"step {max(0, standing.step - 1) % standing.steps + 1}/{standing.steps}")
    elif standing.step:
        parts.append(f"step {standing.step:,}")
    if standing.loss is not None:
        parts.append(f"loss {standing.loss:.4g}")
    if rate > 0:
        parts.append(f"{rate:,.0f} samples/s")
    return parts


def _rate(before: Standing | None, now: Standing) -> float:
    """Samples a second since the last word, or since the beginning."""
    samples, seconds = (0, 0.0) if before is None else (before.samples, before.seconds)
    rate = (now.samples - samples) / (now.seconds - seconds) if now.seconds > seconds else 0.0
    return rate if math.isfinite(rate) and rate > 0 else 0.0


def _left(standing: Standing) -> float | None:
    """Seconds until the last step, if the code knows how many there are."""
    if not standing.epochs or not standing.steps or not standing.step:
        return None
    left = standing.epochs * standing.steps - standing.step
    return max(0.0, standing.seconds * left / standing.step)
