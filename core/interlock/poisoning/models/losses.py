"""What each row cost a training, epoch by epoch: recorded in the user's own training step, and read by the scan.

In the training step::

    recorder = LossRecorder(rows=len(dataset), path="losses.npz")
    for epoch in range(epochs):
        for rows, inputs, labels in loader:          # rows: indices in the dataset as the scan reads it
            losses = cross_entropy(model(inputs), labels, reduction="none")
            recorder.record(epoch, rows, losses.detach())
            ...
        recorder.save()

and then ``interlock gate data-poisoning DATASET --with-training --losses losses.npz``. The file is one npz with the
array ``losses``, float32 (rows, epochs), NaN where nothing was recorded. It is an input like any other, so it is
checked: it may not hold pickles, and its size follows from the dataset.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import SubjectError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_EPOCHS = 1000
MAX_BYTES = 4 * 2**30
LEAST_EPOCHS = 3
"""Fewer say nothing of how a loss went down."""

LEAST_RECORDED = 0.9
"""Share of the losses that must be there."""

SMALLEST = 1e-4
"""Losses below this are alike: the row is learned."""

COLUMNS = 64
"""Epochs are averaged to at most so many."""

_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,  # a shape that nothing stands behind
    NotImplementedError,  # an unknown compression
    RuntimeError,  # an encrypted member
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and numpy raise over damaged files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRecord:
    """Losses that a training recorded.

    Args:
        losses: float32 array (rows of the dataset, epochs), NaN where nothing was recorded.
    """

    losses: NDArray[np.float32] = field(repr=False)

    @classmethod
    def read(cls, path: Path | str) -> LossRecord:
        """Read what `LossRecorder` wrote.

        Args:
            path: Of the npz file; unverified bytes.

        Raises:
            UsageError: There is no such file.
            SubjectError: It is no such record.
        """
        import numpy as np

        where = str(path)
        if not Path(path).is_file():
            raise UsageError("there is no such file of losses", where=where, next_step="record it with LossRecorder")
        try:
            with zipfile.ZipFile(path) as archive:
                sizes = {info.filename: info.file_size for info in archive.infolist()}
            if sizes.get("losses.npy", MAX_BYTES + 1) > MAX_BYTES:
                raise SubjectError("the file has no array losses of a usable size", where=where)
            with np.load(path, allow_pickle=False) as arrays:
                losses = arrays["losses"]
        except _UNREADABLE as error:
            raise SubjectError(
                f"the losses cannot be read ({error})", where=where, next_step="write them with LossRecorder"
            ) from error
        if not isinstance(losses, np.ndarray):  # a member that is no array comes as bytes
            raise SubjectError("the losses are no array", where=where, next_step="write them with LossRecorder")
        if losses.ndim != 2 or losses.dtype.kind != "f" or not 0 < losses.shape[1] <= MAX_EPOCHS:
            raise SubjectError(
                f"losses are a float array of rows and 1 to {MAX_EPOCHS} epochs, not {losses.dtype} {losses.shape}",
                where=where,
            )
        if bool((losses < 0).any()) or bool(np.isinf(losses).any()):
            raise SubjectError("a loss is negative or infinite", where=where)
        return cls(losses=losses.astype(np.float32))

    def unfit(self, rows: int) -> str:
        """Why these losses cannot be of a dataset with so many rows; empty when they can."""
        import numpy as np

        if len(self.losses) != rows:
            return f"losses of {len(self.losses)} rows were given for a dataset of {rows}"
        if self.losses.shape[1] < LEAST_EPOCHS:
            return f"losses of {self.losses.shape[1]} epochs were given; {LEAST_EPOCHS} are needed"
        recorded = float(np.isfinite(self.losses).mean())
        if recorded < LEAST_RECORDED:
            return f"only {recorded:.0%} of the losses were recorded; {LEAST_RECORDED:.0%} are needed"
        return ""

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 array (n, epochs) of these rows; what was not recorded is the epoch's median."""
        import numpy as np

        chosen = self.losses[rows]
        middle = np.nan_to_num(np.nanmedian(self.losses, axis=0))
        return np.where(np.isnan(chosen), middle, chosen).astype(np.float32)


class LossRecorder:
    """Keeps what each row cost in each epoch, for a later scan.

    Args:
        rows: Of the dataset.
        path: Where `save` writes to.

    Raises:
        UsageError: There are no rows.
    """

    def __init__(self, *, rows: int, path: Path | str) -> None:
        if rows < 1:
            raise UsageError(f"losses of {rows} rows cannot be recorded", where="rows")
        self._rows = rows
        self._path = Path(path)
        self._epochs: list[NDArray[np.float32]] = []

    def record(self, epoch: int, rows: Any, losses: Any) -> None:
        """Keep the losses of some rows; a later one of the same row and epoch counts.

        Args:
            epoch: From 0; no more than one beyond the last.
            rows: Indices in the dataset, whole numbers: an array, a tensor or a list.
            losses: As many, none of them negative; a tensor may be on any device, but detached.

        Raises:
            UsageError: They do not fit the dataset or each other.
        """
        import numpy as np

        where, costs = np.asarray(_plain(rows)), np.asarray(_plain(losses), dtype=np.float32)
        if not 0 <= epoch <= min(len(self._epochs), MAX_EPOCHS - 1):
            raise UsageError(f"epoch {epoch} follows {len(self._epochs)} epochs", where="epoch")
        if where.ndim != 1 or costs.shape != where.shape or (where.size and where.dtype.kind not in "iu"):
            raise UsageError("rows and losses are two lists of one length, rows whole numbers", where="rows")
        if where.size and (int(where.min()) < 0 or int(where.max()) >= self._rows):
            raise UsageError(f"a row is not one of the {self._rows} of the dataset", where="rows")
        if not bool((costs >= 0).all() and np.isfinite(costs).all()):
            raise UsageError("a loss is negative, missing or infinite", where="losses")
        if epoch == len(self._epochs):
            self._epochs.append(np.full(self._rows, np.nan, dtype=np.float32))
        self._epochs[epoch][where] = costs

    def save(self) -> Path:
        """Write the file, whole or not at all: a reader never sees half of it.

        Returns:
            Where it is.

        Raises:
            UsageError: Nothing was recorded.
        """
        import numpy as np

        if not self._epochs:
            raise UsageError("no loss was recorded", where=str(self._path))
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as out:
                np.savez_compressed(out, losses=np.stack(self._epochs, axis=1))
                out.flush()
                os.fsync(out.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return self._path


def loss_space(losses: NDArray[np.float32]) -> NDArray[np.float32]:
    """Losses as points of a space: logarithms, epoch by epoch, in units of their spread.

    Args:
        losses: float32 array (n, epochs).

    Returns:
        float32 array (n, at most `COLUMNS`).
    """
    import numpy as np

    logs = np.log(np.maximum(losses.astype(np.float64), SMALLEST))
    parts = np.array_split(logs, min(COLUMNS, logs.shape[1]), axis=1)
    columns = np.stack([part.mean(axis=1) for part in parts], axis=1)
    points = (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-6)
    return np.asarray(points, dtype=np.float32)


def _plain(values: Any) -> Any:
    """A tensor as an array, whatever device it is on."""
    return values.cpu().numpy() if hasattr(values, "cpu") else values
