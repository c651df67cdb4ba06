"""Rows from Python: anything that can be iterated over again, as the scan reads it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from interlock.gate import Location, UsageError
from interlock.gate.progress import counted
from interlock.poisoning.batches import Batch, Block, Columns

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Rows = Block | tuple["ArrayLike", Sequence[Any]]
"""A block, or features (rows, ...) and labels, as a `torch.utils.data.DataLoader` yields them."""


class BatchStream:
    """A dataset that Python code makes: batches from a callable that begins again each time.

    ``PoisoningGate().examine(BatchStream(lambda: loader))`` scans a data loader that does not shuffle.

    Args:
        again: Gives all rows from the beginning; called once for each reading. The rows must be the same, in the same
            order, each time: rows are told by their place.
        name: Of the dataset, for people.
        image_shape: Height, width and, for colour, channels, when the features of a row are one image.
        texts: Names of the texts that the blocks carry, for the report.
    """

    def __init__(
        self,
        again: Callable[[], Iterable[Rows]],
        *,
        name: str = "rows",
        image_shape: Sequence[int] | None = None,
        texts: Sequence[str] = (),
    ) -> None:
        shape = None if image_shape is None else tuple(image_shape)
        self._again = again
        self._name = name
        self._columns = Columns(label="label", image_shape=shape, texts=tuple(texts))
        self._first = ""

    @property
    def name(self) -> str:
        """Of the dataset, for people."""
        return self._name

    @property
    def columns(self) -> Columns:
        """With the image shape."""
        return self._columns

    @property
    def files(self) -> tuple[str, ...]:
        """One part, without a name of its own."""
        return ("",)

    def shown(self, file: str) -> str:
        """The name of the dataset, for its one part."""
        return file or self._name

    def where(self, place: int, row: int) -> Location:  # noqa: ARG002 (there is one part)
        """The row of the dataset."""
        return Location(path=self._name, row=row)

    def batches(self) -> Iterator[Batch]:
        """All rows.

        Raises:
            UsageError: A batch has another form, or this reading gives other rows than the first.
        """
        return counted(self._batches(), lambda batch: len(batch.labels))

    def _batches(self) -> Iterator[Batch]:
        seen = hashlib.blake2b(digest_size=16)
        start = 0
        for given in self._again():
            block = self._block(given, start)
            seen.update(block.features.tobytes())
            seen.update(repr(block.labels).encode())
            yield Batch.of(block, start=start, file=0)
            start += len(block.labels)
        self._first = self._first or seen.hexdigest()
        if seen.hexdigest() != self._first:
            raise UsageError(
                "a second reading gave other rows than the first",
                where=self._name,
                next_step="do not shuffle, and make a new iterator on each call",
            )

    def _block(self, given: Rows, start: int) -> Block:
        import numpy as np

        if not isinstance(given, Block):
            if not isinstance(given, tuple | list) or len(given) != 2:
                raise self._wrong(f"a batch is a Block or (features, labels), not {type(given).__name__}", start)
            features, labels = (np.asarray(part) for part in given)
            if features.dtype.kind not in "biuf" or features.ndim < 1 or labels.ndim != 1:
                raise self._wrong(f"features {features.dtype}{features.shape}, labels {labels.shape}", start)
            flat = features.reshape(len(features), math.prod(features.shape[1:])).astype(np.float32)
            given = Block(features=flat, labels=labels.tolist())
        if given.features.ndim != 2 or len(given.features) != len(given.labels):
            raise self._wrong(f"{len(given.labels)} labels for features of shape {given.features.shape}", start)
        shape = self._columns.image_shape
        if shape is not None and given.features.shape[1] != int(np.prod(shape)):
            raise self._wrong(f"{given.features.shape[1]} features are no image of shape {shape}", start)
        return given

    def _wrong(self, what: str, start: int) -> UsageError:
        return UsageError(
            f"a batch cannot be used: {what}",
            where=f"{self._name}, from row {start}",
            next_step="give numbers (rows, ...) and one label a row",
        )
