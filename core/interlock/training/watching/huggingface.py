"""The watch for users of Hugging Face: a callback for the ``Trainer`` of ``transformers``.

Imported only by training code that uses it. A ``TrainerCallback`` is shown losses only when the trainer logs, so the
trainer is asked to log more often; what it logs is what is told.
"""

# ruff: noqa: ARG002 (the arguments are the library's)
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from interlock.training.watching.inside import TrainingWatch

EVERY = 10
"""Steps between two logs that are asked for."""


class InterlockCallback(TrainerCallback):  # type: ignore[misc]  # mypy does not follow the library
    """Tells the watch what each logged step costs.

    Args:
        rows: Of the dataset, when losses are to be recorded row by row with `record`.
        losses: Where they go, see `TrainingWatch`.
        every: The trainer logs at least every so many steps; a log waits for the accelerator.
    """

    def __init__(self, *, rows: int | None = None, losses: Path | str | None = None, every: int = EVERY) -> None:
        self._rows = rows
        self._losses = losses
        self._every = every
        self._epoch = 0
        self._logged = 0
        self._watch: TrainingWatch | None = None

    def record(self, *, rows: Any, losses: Any) -> None:
        """Record losses row by row; call it in ``compute_loss`` of a trainer of your own.

        Args:
            rows: Index in the dataset of each sample of the batch.
            losses: As many.

        Raises:
            UsageError: They do not fit each other or the dataset.
        """
        if self._watch is not None:
            self._watch.record(self._epoch, rows, losses)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Begin, and let losses that are no numbers through: the trainer would log their average instead."""
        args.logging_nan_inf_filter = False
        epochs = max(1, round(state.num_train_epochs))
        self._logged = state.global_step
        self._watch = TrainingWatch(
            rows=self._rows, losses=self._losses, epochs=epochs, steps=max(1, state.max_steps // epochs)
        )

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Count the epochs from 0."""
        self._epoch = int((state.epoch or 0) + 1e-6)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Ask for a log."""
        if state.global_step % self._every == 0:
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Tell what was logged of the training; logs of an evaluation hold no loss of it."""
        if self._watch is None or not logs or "loss" not in logs:
            return
        steps, self._logged = state.global_step - self._logged, state.global_step
        a_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self._watch.batch(
            epoch=self._epoch,
            step=state.global_step,
            losses=float(logs["loss"]),
            gradient_norm=logs.get("grad_norm"),
            learning_rate=logs.get("learning_rate"),
            samples=steps * a_step,
        )

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Tell the epoch, with the numbers of the last evaluation."""
        if self._watch is not None:
            last: Mapping[str, Any] = next((one for one in reversed(state.log_history) if "eval_loss" in one), {})
            numbers = {name: float(value) for name, value in last.items() if isinstance(value, int | float)}
            self._watch.end(self._epoch, numbers)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Tell and save what is left."""
        if self._watch is not None:
            self._watch.close()
