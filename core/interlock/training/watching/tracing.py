"""Losses row by row, kept on the accelerator until there are many, then recorded for the poisoning gate.

`interlock.poisoning.models.LossRecorder` has the format and the checks; here is only what a running training needs: no
wait for each batch, and no training that ends because a loss is infinite.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BYTES = 2**30
"""Memory for recorded losses, in the training's own process; later epochs are not recorded."""


class LossTrace:
    """What each row cost, in each epoch.

    Args:
        rows: Of the dataset.
        path: Where `save` writes to.

    Raises:
        UsageError: There are no rows.
    """

    def __init__(self, *, rows: int, path: Path) -> None:
        from interlock.poisoning.models.losses import MAX_EPOCHS, LossRecorder

        self._recorder = LossRecorder(rows=rows, path=path)
        self._most = min(MAX_EPOCHS, max(1, MAX_BYTES // (4 * rows)))
        self._waiting: list[tuple[int, Any, Any]] = []
        self._first: int | None = None
        self._epochs = 0
        self._off = False
        self._unsaved = False

    def add(self, epoch: int, rows: Any, losses: Any) -> None:
        """Keep a batch as it is now; what lies on an accelerator stays there.

        Args:
            epoch: From 0. A resumed run begins with a later one, which becomes the first of the file.
            rows: Indices in the dataset.
            losses: As many.

        Raises:
            UsageError: There is not one loss for each row.
        """
        counts = [getattr(values, "shape", None) or (len(values),) for values in (rows, losses) if _sized(values)]
        if len(counts) != 2 or tuple(counts[0]) != tuple(counts[1]):
            raise UsageError(
                "rows came without one loss for each of them",
                where="losses",
                next_step='compute them with reduction="none", and hand over their mean for backward()',
            )
        if not self._off:
            self._waiting.append((epoch, _copied(rows), _copied(losses)))

    def flush(self) -> str:
        """Record what waits.

        Returns:
            Why no more is recorded, once; empty otherwise.

        Raises:
            UsageError: A row is not one of the dataset's.
        """
        import numpy as np

        waiting, self._waiting = self._waiting, []
        for epoch, rows, losses in _together(waiting):
            if bool((losses < 0).any()):
                self._off = True
                return "a loss is negative: such losses do not say which rows are learned"
            place = self._place(epoch)
            if place is None:
                self._off = True
                return f"no more than {self._most} epochs of a dataset of this size are recorded"
            fit = np.isfinite(losses)  # the others are told as what they are, and stay unrecorded
            self._recorder.record(place, rows[fit], losses[fit])
            self._unsaved = True
        return ""

    def save(self) -> None:
        """Write the file, if there is anything new in it."""
        if self._unsaved:
            self._recorder.save()
            self._unsaved = False

    def _place(self, epoch: int) -> int | None:
        """The column of an epoch; columns of epochs without a batch are made, empty."""
        import numpy as np

        if self._first is None:
            self._first = epoch
        place = epoch - self._first
        if not 0 <= place < self._most:
            return None
        for missing in range(self._epochs, place):
            self._recorder.record(missing, np.empty(0, dtype=np.int64), [])
        self._epochs = max(self._epochs, place + 1)
        return place


def _sized(values: Any) -> bool:
    shape = getattr(values, "shape", None)
    return len(shape) == 1 if shape is not None else hasattr(values, "__len__")


def _copied(values: Any) -> Any:
    """As it is now: the user's loop may write into the same memory for the next batch."""
    if hasattr(values, "detach"):
        return values.detach().clone()
    return values.copy() if hasattr(values, "copy") else list(values)


def _together(waiting: list[tuple[int, Any, Any]]) -> list[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
    """Batches of one epoch as one piece, fetched at once."""
    import numpy as np

    epochs: dict[int, tuple[list[Any], list[Any]]] = {}
    for epoch, rows, losses in waiting:
        pieces = epochs.setdefault(epoch, ([], []))
        pieces[0].append(rows)
        pieces[1].append(losses)
    return [(epoch, _fetched(rows), _fetched(losses).astype(np.float32)) for epoch, (rows, losses) in epochs.items()]


def _fetched(pieces: list[Any]) -> NDArray[Any]:
    import numpy as np

    if all(hasattr(piece, "detach") for piece in pieces):
        import torch

        joined = torch.cat(pieces)
        return np.asarray((joined.float() if joined.is_floating_point() else joined).cpu().numpy())
    return np.concatenate([np.asarray(piece.cpu() if hasattr(piece, "cpu") else piece) for piece in pieces])
