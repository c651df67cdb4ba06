"""The watch on a training, seen from within: what each batch cost, kept for the scan and told to whoever watches.

In the user's own loop, inside of the sandbox or without one::

    watch = TrainingWatch(rows=len(dataset), epochs=10)
    for epoch in range(10):
        for rows, inputs, labels in loader:          # rows: indices in the dataset
            losses = cross_entropy(model(inputs), labels, reduction="none")
            losses.mean().backward()
            norm = clip_grad_norm_(model.parameters(), 1.0)
            watch.batch(epoch=epoch, losses=losses, rows=rows, gradient_norm=norm)
            ...
        watch.epoch(epoch)

It never looks at a tensor of an accelerator before so many batches have come (`FLUSH_EVERY`) or so much time has gone
by (`FLUSH_SECONDS`): a look waits for the accelerator. It decides nothing; what it tells is the code's own word.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from interlock.gate import UsageError
from interlock.training.watching.pending import Pending
from interlock.training.watching.telling import Teller
from interlock.training.watching.tracing import LossTrace

FLUSH_EVERY = 32
"""Batches that may wait on the accelerator before their numbers are fetched."""

FLUSH_SECONDS = 1.0
"""How long they may wait there."""

LOSSES = "losses.npz"
"""The file of recorded losses in the output folder."""


class TrainingWatch:
    """What a training loop reports to.

    Args:
        rows: Of the dataset, when losses are to be recorded row by row; None records none.
        epochs: How many there will be, for people; None when nobody knows.
        steps: Batches of one epoch, for people.
        losses: Where the recorded losses go; ``losses.npz`` in the training's output folder when not given. Outside of
            a sandbox there is no such folder, and nothing is recorded without a path.
        clock: Seconds; replaced in tests.

    Raises:
        UsageError: A dataset without rows.
    """

    def __init__(
        self,
        *,
        rows: int | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        losses: Path | str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        path = _place(losses)
        self._trace = None if rows is None or path is None else LossTrace(rows=rows, path=path)
        self._teller = Teller(epochs=epochs, steps=steps, clock=clock)
        self._pending = Pending()
        self._clock = clock
        self._flushed = clock()
        self._step = 0
        self._epoch = 0
        if rows is not None and rows < 1:
            raise UsageError(f"a dataset of {rows} rows cannot be watched", where="rows")

    def batch(
        self,
        *,
        epoch: int,
        losses: Any = None,
        rows: Any = None,
        step: int | None = None,
        gradient_norm: Any = None,
        learning_rate: float | None = None,
        samples: int | None = None,
    ) -> None:
        """Take one step of the training; cheap, and never waits for an accelerator by itself.

        Args:
            epoch: From 0.
            losses: One number a sample, or one number for all of them: tensor on any device, array, list or float.
            rows: Index in the dataset of each sample; only then are the losses recorded.
            step: Counted over the whole run; by this object when not given.
            gradient_norm: Over all parameters, as ``clip_grad_norm_`` returns it, before clipping.
            learning_rate: Of this step.
            samples: In this batch; taken from `losses` or `rows` when not given.

        Raises:
            UsageError: Rows and losses do not fit each other or the dataset: the call is wrong.
        """
        self._step = self._step + 1 if step is None else step
        if epoch != self._epoch:
            self.flush()
            self._epoch = epoch
        self._pending.add(
            step=self._step,
            losses=losses,
            gradient_norm=gradient_norm,
            learning_rate=learning_rate,
            samples=samples,
            rows=rows,
        )
        if rows is not None and losses is not None:
            self.record(epoch, rows, losses)
        if len(self._pending) >= FLUSH_EVERY or self._clock() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def record(self, epoch: int, rows: Any, losses: Any) -> None:
        """Record losses row by row without telling anything; `batch` does so by itself.

        Args:
            epoch: From 0.
            rows: Index in the dataset of each sample.
            losses: As many.

        Raises:
            UsageError: They do not fit each other or the dataset.
        """
        if self._trace is not None:
            self._trace.add(epoch, rows, losses)

    def epoch(self, epoch: int, **metrics: Any) -> None:
        """End an epoch: its mean loss and the user's own numbers are told, and the recorded losses are saved.

        Args:
            epoch: Which one ended, from 0.
            metrics: The user's own numbers of it, for example ``accuracy=0.93``.
        """
        self.end(epoch, metrics)

    def end(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """End an epoch, as `epoch` does, with numbers of any names."""
        self.flush()
        self._teller.epoch(epoch, {name: float(value) for name, value in metrics.items()})
        if self._trace is not None:
            self._trace.save()

    def flush(self) -> None:
        """Fetch what waits on the accelerator, record it, and tell it when it is time to."""
        points = self._pending.taken()
        self._flushed = self._clock()
        if self._trace is not None and (reason := self._trace.flush()):
            self._teller.untraced(reason)
        if points:
            self._teller.batches(self._epoch, points)

    def close(self) -> None:
        """Tell and save what is left."""
        self.flush()
        self._teller.close(self._epoch)
        if self._trace is not None:
            self._trace.save()

    def __enter__(self) -> TrainingWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _place(losses: Path | str | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where recorded losses go. Each process of a distributed training has a file of its own, merged after the run."""
    if losses is None and "INTERLOCK_OUT" not in environment:
        return None
    path = Path(environment["INTERLOCK_OUT"], LOSSES) if losses is None else Path(losses)
    rank = environment.get("RANK", "0")
    return path if rank == "0" or not rank.isdecimal() else path.with_suffix(f".rank{rank}{path.suffix}")
