"""The watch on a training, seen from without: it hears what the code says of its losses, and may end the run early.

It looks for losses and gradients that are no numbers, for spikes of both (`interlock.training.watching.spikes`), and
for a training that has stopped to move. All it hears is the code's own word: a code that lies is not caught here, but
what it says is bounded, and cannot grow, crash or slow down whoever listens. What its findings are worth is policy's
to say.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from interlock.gate import Finding, Json, Level, Measure, UsageError
from interlock.gate.documents import canonical_json
from interlock.training.events import Event
from interlock.training.safeguards import IdleSafeguard, Part
from interlock.training.sandbox import Ended, Moment, Stop
from interlock.training.watching.curves import MAX_EPOCHS, Curve, curve_chart, epochs_table
from interlock.training.watching.readings import KINDS, Batches, EpochEnd, Gatekeeper, Reading, Standing, Untraced, read
from interlock.training.watching.series import Series, finding
from interlock.training.watching.traces import looked_at

PATIENCE = 10
"""Steps in a row with a gradient that is no number: a loss scaler skips a few such steps on purpose (Micikevicius et
al., 2018, "Mixed precision training", section 3.2), a lost training has no others any more."""

ATTACHMENT = "training-curves"


class Reaction(Enum):
    """What is done about something that was found."""

    STOP = "stop"
    WARN = "warn"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How the watch answers.

    Args:
        nan: A loss that is no number, or `PATIENCE` gradients in a row.
        spikes: A loss or gradient norm far out of what came before.
        stall_seconds: How long the training may tell nothing before it is ended; None waits for ever. Code that never
            tells anything is ended, too.
        trace: Whether recorded losses are looked at after the run.
        losses: Where recorded losses go after the run, out of the output, so that they are not published with the
            model: they tell which rows it was trained on. None leaves them in the output.

    Raises:
        UsageError: A stall that is no time.
    """

    nan: Reaction = Reaction.STOP
    spikes: Reaction = Reaction.WARN
    stall_seconds: float | None = None
    trace: bool = True
    losses: Path | None = None

    def __post_init__(self) -> None:
        if self.stall_seconds is not None and not 0 < self.stall_seconds < math.inf:
            raise UsageError("a stall is a number of seconds above 0", where=f"stall_seconds={self.stall_seconds}")

    @classmethod
    def named(
        cls, *, on_nan: str = "stop", on_spike: str = "warn", stall_seconds: float | None = None, losses: str = ""
    ) -> WatchOptions:
        """The options as a person writes them.

        Args:
            on_nan: ``stop``, ``warn`` or ``ignore``.
            on_spike: The same.
            stall_seconds: See the class.
            losses: Path of a file; empty leaves recorded losses in the output.

        Raises:
            UsageError: Another word, or a stall that is no time.
        """
        words = {one.value: one for one in Reaction}
        for name, word in (("on_nan", on_nan), ("on_spike", on_spike)):
            if word not in words:
                raise UsageError(f"{name} is one of {', '.join(words)}, not {word!r}", where=name)
        path = Path(losses).absolute() if losses else None
        return cls(nan=words[on_nan], spikes=words[on_spike], stall_seconds=stall_seconds, losses=path)


class WatchSafeguard(IdleSafeguard):
    """Hears `interlock.training.watching.TrainingWatch` and the callbacks.

    Args:
        options: How it answers.
        clock: Seconds; replaced in tests.
    """

    def __init__(self, options: WatchOptions | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options or WatchOptions()
        self._clock = clock
        self._gatekeeper = Gatekeeper()
        self._malformed = 0
        self._losses = Series("loss", patience=1)
        self._norms = Series("gradient norm", patience=PATIENCE)
        self._rates, self._throughput = Curve(), Curve()
        self._first_epochs: list[EpochEnd] = []
        self._last_epochs: deque[EpochEnd] = deque(maxlen=MAX_EPOCHS // 2)
        self._epochs = self._samples = 0
        self._standing: Standing | None = None
        self._untraced = ""
        self._moved: float | None = None
        self._stopped: Stop | None = None

    @property
    def name(self) -> str:
        """``watch``."""
        return "watch"

    def requested(self) -> Mapping[str, Json]:
        """How the watch was set, for policy to judge."""
        return {"watch": self._set()}

    def hear(self, event: Event) -> Stop | None:
        """Take one line, untrusted."""
        if event.kind not in KINDS or not self._gatekeeper.lets(self._clock()):
            return None
        reading = read(event)
        if reading is None:
            self._malformed += 1
            return None
        stop = self._taken(reading)
        self._stopped = self._stopped or stop
        return stop

    def tick(self, moment: Moment) -> Stop | None:
        """End a training that tells nothing for too long."""
        allowed = self._options.stall_seconds
        since = moment.seconds if self._moved is None else self._clock() - self._moved
        if allowed is None or since < allowed:
            return None
        self._stopped = Stop(rule="stalled", message=f"the training told of no step for {allowed:g} seconds")
        return self._stopped

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002 (how it ended is the training gate's to say)
        """Findings, measures and curves; recorded losses are looked at, and moved where they belong."""
        trace = looked_at(out, to=self._options.losses, look=self._options.trace)
        return Part(
            findings=(*self._findings(), *trace.findings),
            measures=(*self._measures(), *trace.measures),
            attachments=self._attachments(),
            configuration=self._set(),
        )

    def _set(self) -> dict[str, Json]:
        options = self._options
        return {
            "nan": options.nan.value,
            "spikes": options.spikes.value,
            "stall_seconds": options.stall_seconds,
            "trace": options.trace,
        }

    def _taken(self, reading: Reading) -> Stop | None:
        if isinstance(reading, Batches):
            return self._batches(reading)
        if isinstance(reading, Standing):
            self._stand(reading)
        elif isinstance(reading, EpochEnd):
            self._epochs += 1
            (self._first_epochs if self._epochs <= MAX_EPOCHS // 2 else self._last_epochs).append(reading)
        elif isinstance(reading, Untraced):
            self._untraced = reading.reason
        return None

    def _batches(self, batches: Batches) -> Stop | None:
        self._moved = self._clock()
        self._samples += batches.samples
        stop = None
        for place in range(batches.entries):
            step = batches.step + place * batches.stride
            if batches.learning_rates:
                rate = batches.learning_rates[place]
                self._rates.add(step, rate)
                self._losses.spikes.rate(rate)
                self._norms.spikes.rate(rate)
            if batches.losses:
                self._losses.heard(step, batches.losses[place])
            if batches.gradient_norms:
                self._norms.heard(step, batches.gradient_norms[place])
            stop = stop or self._reason(step, batches.epoch)
        return stop

    def _reason(self, step: int, epoch: int) -> Stop | None:
        """Why the run should end at this step, by the options."""
        where = f"at step {step}, in epoch {epoch + 1}"
        for series in (self._losses, self._norms):
            if self._options.nan is Reaction.STOP and series.lost:
                return Stop(rule="not-finite", message=f"the {series.what} is not a finite number {where}")
            if self._options.spikes is Reaction.STOP and series.leapt(step):
                return Stop(rule=series.rule, message=f"the {series.what} leapt to {series.marks[-1][1]:.4g} {where}")
        return None

    def _stand(self, standing: Standing) -> None:
        before, self._standing = self._standing, standing
        if before is not None and standing.seconds > before.seconds and standing.samples >= before.samples:
            rate = (standing.samples - before.samples) / (standing.seconds - before.seconds)
            self._throughput.add(standing.step, rate)

    def _findings(self) -> list[Finding]:
        found: list[Finding | None] = []
        for series in (self._losses, self._norms):
            found += [series.finding_of_lost()] if self._options.nan is not Reaction.IGNORE else []
            found += [series.finding_of_spikes()] if self._options.spikes is not Reaction.IGNORE else []
        if self._malformed or self._gatekeeper.refused:
            shapes, rate = self._malformed, self._gatekeeper.refused
            words = f"the code said {shapes} things in another shape and {rate} faster than they are read"
            found.append(finding("watch-refused", Level.WARNING, words))
        if self._untraced:
            words = f"losses were not recorded to the end: {self._untraced}"
            found.append(finding("untraced", Level.NOTE, words))
        if self._moved is None:
            found.append(finding("unwatched", Level.NOTE, "the code told nothing of its losses: nobody watched them"))
        # What ended the run is an error of the training gate already.
        ended = f"training.{self._stopped.rule}" if self._stopped is not None else ""
        return [one for one in found if one is not None and one.rule_id != ended]

    def _measures(self) -> list[Measure]:
        """Only what was heard: nothing that was not measured stands here as zero."""
        found = []
        for series, name in ((self._losses, "loss"), (self._norms, "gradient")):
            if series.count:
                found += [
                    Measure(name=f"{name}_spikes", value=series.spiked),
                    Measure(name=f"{name}_not_finite", value=series.not_finite),
                ]
        if self._losses.curve.last is not None:
            found.append(Measure(name="last_loss", value=self._losses.curve.last))
        if self._samples:
            found.append(Measure(name="samples_seen", value=self._samples, unit="rows"))
        if self._epochs:
            found.append(Measure(name="epochs", value=self._epochs))
        return found

    def _attachments(self) -> tuple[tuple[str, str], ...]:
        curves = (
            curve_chart("Loss", self._losses.curve, marks=self._losses.marks),
            curve_chart("Gradient norm", self._norms.curve, marks=self._norms.marks),
            curve_chart("Learning rate", self._rates, linear=True),
            curve_chart("Throughput", self._throughput, unit="samples/s", linear=True),
        )
        drawn = [curve for curve in curves if curve["points"]]
        epochs = [*self._first_epochs, *self._last_epochs]
        drawn += [epochs_table(epochs, more=self._epochs - len(epochs))] if epochs else []
        return ((ATTACHMENT, canonical_json({"charts": drawn}).decode()),) if drawn else ()
