"""What a training said of itself, as checked values: bounded lists of numbers, and nothing else.

Every line is the code's own word. A line of another shape is refused whole; `Gatekeeper` refuses those that come faster
than any honest watch speaks. NaN and infinities are kept, because they are what is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.gate import Json
from interlock.training.events import Event

MAX_STEP = 2**53
MAX_ENTRIES = 256
MAX_METRICS = 16
MAX_NAME = 64
RATE = 60.0
"""Lines a second that are read for as long as it takes."""

BURST = 240.0
"""Lines that may come at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """Some steps in a row.

    Args:
        epoch: From 0.
        step: The first of them.
        stride: Steps that one entry stands for.
        losses: One an entry; empty when the code told none.
        gradient_norms: The same.
        learning_rates: The same.
        samples: In all of them together.
    """

    epoch: int
    step: int
    stride: int
    losses: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    learning_rates: tuple[float, ...]
    samples: int

    @property
    def entries(self) -> int:
        """How many there are."""
        return max(len(self.losses), len(self.gradient_norms), len(self.learning_rates))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the training has come; what the code does not know is None."""

    epoch: int
    epochs: int | None
    step: int
    steps: int | None
    loss: float | None
    samples: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnd:
    """An epoch that ended, with the user's own numbers of it."""

    epoch: int
    loss: float | None
    samples: int
    seconds: float
    metrics: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Untraced:
    """Why losses were not recorded any more."""

    reason: str


Reading = Batches | Standing | EpochEnd | Untraced

KINDS = ("metrics", "progress", "epoch", "untraced")
"""The kinds of event that belong to the watch; others are somebody else's."""


def read(event: Event) -> Reading | None:
    """The values in an event of `KINDS`; None when it has not their shape."""
    return {"metrics": _batches, "progress": _standing, "epoch": _epoch_end, "untraced": _untraced}[event.kind](event)


class Gatekeeper:
    """Lets lines through at a bounded rate (a token bucket).

    Attributes:
        refused: How many it kept out.
    """

    def __init__(self) -> None:
        self._room = BURST
        self._last: float | None = None
        self.refused = 0

    def lets(self, now: float) -> bool:
        """Whether one more line may pass now, in seconds of any steady clock."""
        if self._last is not None:
            self._room = min(BURST, self._room + max(0.0, now - self._last) * RATE)
        self._last = now
        if self._room < 1:
            self.refused += 1
            return False
        self._room -= 1
        return True


def _batches(event: Event) -> Batches | None:
    epoch, step, stride = _whole(event, "epoch"), _whole(event, "step"), _whole(event, "stride")
    samples = _whole(event, "samples")
    lists = [_numbers(event.fields.get(name)) for name in ("losses", "gradient_norms", "learning_rates")]
    if epoch is None or step is None or not stride or samples is None:
        return None
    losses, norms, rates = lists
    if losses is None or norms is None or rates is None:
        return None
    if len({len(values) for values in (losses, norms, rates) if values}) != 1:
        return None
    return Batches(
        epoch=epoch,
        step=step,
        stride=stride,
        losses=losses,
        gradient_norms=norms,
        learning_rates=rates,
        samples=samples,
    )


def _standing(event: Event) -> Standing | None:
    epoch, step, samples = _whole(event, "epoch"), _whole(event, "step"), _whole(event, "samples")
    seconds = _seconds(event)
    if epoch is None or step is None or samples is None or seconds is None:
        return None
    return Standing(
        epoch=epoch,
        epochs=_whole(event, "epochs") or None,
        step=step,
        steps=_whole(event, "steps") or None,
        loss=event.number("loss"),
        samples=samples,
        seconds=seconds,
    )


def _epoch_end(event: Event) -> EpochEnd | None:
    epoch, samples, seconds = _whole(event, "epoch"), _whole(event, "samples"), _seconds(event)
    metrics = event.fields.get("metrics", {})
    if epoch is None or samples is None or seconds is None or not isinstance(metrics, Mapping):
        return None
    named = Event(kind="epoch", fields=metrics)
    found = [
        (name[:MAX_NAME], number) for name in list(metrics)[:MAX_METRICS] if (number := named.number(name)) is not None
    ]
    return EpochEnd(epoch=epoch, loss=event.number("loss"), samples=samples, seconds=seconds, metrics=tuple(found))


def _untraced(event: Event) -> Untraced | None:
    reason = event.fields.get("reason")
    return Untraced(reason=reason[:200]) if isinstance(reason, str) else None


def _whole(event: Event, name: str) -> int | None:
    value = event.fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_STEP:
        return None
    return value


def _seconds(event: Event) -> float | None:
    value = event.number("seconds")
    return value if value is not None and 0 <= value < 1e9 else None


def _numbers(values: Json) -> tuple[float, ...] | None:
    """A list of numbers; empty when there is none, None when something in it is no number."""
    if values is None:
        return ()
    if not isinstance(values, list) or len(values) > MAX_ENTRIES:
        return None
    listed = Event(kind="list", fields={str(place): value for place, value in enumerate(values)})
    found = [listed.number(str(place)) for place in range(len(values))]
    return None if any(number is None for number in found) else tuple(number for number in found if number is not None)
