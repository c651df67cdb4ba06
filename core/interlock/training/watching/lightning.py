"""The watch for users of Lightning: a callback for the ``Trainer`` of ``lightning`` or ``pytorch_lightning``.

Imported only by training code that uses it. It adds nothing to what `TrainingWatch` says; it only knows where Lightning
keeps losses, gradients and rates.
"""

# ruff: noqa: ARG002 (the arguments are the library's)
from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.training.watching.inside import TrainingWatch

if TYPE_CHECKING or "pytorch_lightning" not in sys.modules:
    from lightning.pytorch import Callback, LightningModule, Trainer
else:  # a callback of one package is none for the other
    from pytorch_lightning import Callback, LightningModule, Trainer


class InterlockCallback(Callback):  # type: ignore[misc]  # mypy does not follow the library
    """Tells the watch what each batch costs.

    A ``training_step`` that returns ``{"loss": ..., "losses": ..., "rows": ...}`` has its losses recorded row by row.

    Args:
        rows: Of the dataset, when losses are to be recorded row by row.
        losses: Where they go, see `TrainingWatch`.
        gradient_norm: Whether the norm of all gradients is measured before each step of an optimizer.
    """

    def __init__(
        self, *, rows: int | None = None, losses: Path | str | None = None, gradient_norm: bool = True
    ) -> None:
        self._rows = rows
        self._losses = losses
        self._measured = gradient_norm
        self._norm: Any = None
        self._watch: TrainingWatch | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, with what the trainer knows of the length of the run."""
        steps = trainer.num_training_batches
        self._watch = TrainingWatch(
            rows=self._rows,
            losses=self._losses,
            epochs=trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None,
            steps=int(steps) if steps not in (0, float("inf")) else None,
        )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Measure the gradients, on their device; by now they are unscaled and not yet clipped."""
        if self._measured:
            import torch

            found = [one.grad for one in pl_module.parameters() if one.grad is not None]
            self._norm = torch.nn.utils.get_total_norm(found) if found else None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tell what the batch cost."""
        if self._watch is None:
            return
        told = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
        rows = told.get("rows") if self._rows is not None else None
        losses = told.get("losses") if rows is not None else None
        self._watch.batch(
            epoch=trainer.current_epoch,
            losses=told.get("loss") if losses is None else losses,
            rows=rows,
            gradient_norm=self._norm,
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None,
            samples=first_size(batch),
        )
        self._norm = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the epoch, with the metrics that were logged."""
        if self._watch is not None:
            numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self._watch.end(trainer.current_epoch, numbers)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell and save what is left."""
        if self._watch is not None:
            self._watch.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Tell and save what there is of a training that breaks off."""
        if self._watch is not None:
            self._watch.close()


def first_size(batch: Any) -> int | None:
    """How many samples a batch has: the length of the first tensor in it; None when there is none."""
    if getattr(batch, "shape", None):
        return int(batch.shape[0])
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((size for part in parts if (size := first_size(part)) is not None), None)
