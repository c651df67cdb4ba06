"""Pictures that are decoded once: a scan reads its rows several times, and decoding is most of what that costs.

The first whole reading leaves the pixels in an unnamed file of this process, one byte each, exactly as they were
decoded; later readings take them from there. Where there is no room for that, every reading decodes again.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from interlock.gate import Location
from interlock.gate.progress import counted
from interlock.poisoning.batches import Batch, BatchSource, Columns, Source

MAX_SPOOL_BYTES = 16 * 2**30


@contextmanager
def spooled(source: BatchSource, *, here: bool) -> Iterator[BatchSource]:
    """`source`, or the same rows from a spool when it holds pictures; the spool is gone after.

    Args:
        source: The dataset.
        here: True when this process reads all rows itself.
    """
    if not here or not isinstance(source, Source) or not source.encoded:
        yield source
        return
    with tempfile.TemporaryFile(prefix="interlock-pixels-") as file:
        yield Spool(source, file)


class Spool:
    """The rows of a dataset of pictures.

    Args:
        source: The dataset.
        file: An empty file that nobody else can open.
    """

    def __init__(self, source: Source, file: IO[bytes]) -> None:
        self._source = source
        self._file = file
        self._ends: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """As the dataset."""
        return self._source.name

    @property
    def columns(self) -> Columns:
        """As the dataset."""
        return self._source.columns

    @property
    def files(self) -> tuple[str, ...]:
        """As the dataset."""
        return self._source.files

    def shown(self, file: str) -> str:
        """As the dataset."""
        return self._source.shown(file)

    def where(self, place: int, row: int) -> Location:
        """As the dataset."""
        return self._source.where(place, row)

    def batches(self) -> Iterator[Batch]:
        """All rows: decoded in the first whole reading, from the spool in those after it.

        Raises:
            SubjectError: As `Source.batches`.
            UnsafeSubjectError: As `Source.batches`.
        """
        if self._ends is None:
            return self._decoded()
        return counted(self._kept(self._ends), lambda batch: len(batch.labels))

    def _decoded(self) -> Iterator[Batch]:
        ends: list[int] | None = []
        self._file.seek(0)
        self._file.truncate()
        for batch in self._source.batches():
            ends = self._keep(batch, ends)
            yield batch
        if ends is not None:
            self._ends = tuple(ends)

    def _keep(self, batch: Batch, ends: list[int] | None) -> list[int] | None:
        """The ends of what is kept with this batch; None when there is no room."""
        import numpy as np

        if ends is None:
            return None
        pixels = np.nan_to_num(batch.features).astype(np.uint8)
        content = pickle.dumps((replace(batch, features=batch.features[:0]), pixels), pickle.HIGHEST_PROTOCOL)
        end = (ends[-1] if ends else 0) + len(content)
        if end > MAX_SPOOL_BYTES:
            return None
        try:
            self._file.write(content)
            self._file.flush()
        except OSError:  # the disk is full: the spool saves time, and nothing depends on it
            return None
        return [*ends, end]

    def _kept(self, ends: tuple[int, ...]) -> Iterator[Batch]:
        import numpy as np

        start = 0
        for end in ends:
            content = os.pread(self._file.fileno(), end - start, start)
            batch, pixels = pickle.loads(content)  # noqa: S301 (this process wrote it, and nobody else can)
            features = pixels.astype(np.float32)
            features[[one.row - batch.start for one in batch.unread]] = np.nan
            yield replace(batch, features=features)
            start = end
