"""Where a tensor's bytes are, and how they are read: in pieces, so that a model of any size needs little memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.artifacts.limits import Budget
from interlock.artifacts.source import Buffer, stretches
from interlock.artifacts.weights.dtypes import Dtype
from interlock.artifacts.weights.holders import Holder
from interlock.artifacts.weights.views import Runs, is_dense, runs, shows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a model.

    Args:
        name: As it stands in the file, unverified.
        dtype: Of its elements.
        shape: As it stands in the file.
        path: Of the file, or member of one, for findings.
        offset: Of its first byte in what its holder gives.
        length: Bytes that it spans; a view with gaps spans more than its elements.
        holder: What holds its bytes.
        strides: Elements between neighbours, where they are not those of a whole tensor row by row.
        big: The most significant byte comes first.
    """

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    path: str
    offset: int
    length: int
    holder: Holder = field(repr=False)
    strides: tuple[int, ...] = ()
    big: bool = False

    @property
    def runs(self) -> Runs:
        """Its elements, each once.

        Raises:
            LimitPassedError: See `interlock.artifacts.weights.views.runs`.
        """
        return runs(self.shape, self.strides) if self.strides else ((self.length // self.dtype.width, 1),)

    @property
    def count(self) -> int:
        """Numbers that it shows, each once; of a type that is not read, bytes."""
        return math.prod(steps for steps, _ in self.runs) * self.dtype.parts

    @property
    def place(self) -> tuple[int, int, Runs]:
        """Equal for tensors that share their bytes, as tied weights do."""
        return id(self.holder), self.offset, self.runs

    def pieces(self, budget: Budget) -> Iterator[bytes]:
        """Its elements in pieces, as they stand in the file, each once and without what lies between them.

        Raises:
            LimitPassedError: The subject may not have so many bytes, or the time is over.
            SubjectError: The file cannot be read.
        """
        of, first = self.runs, 0
        with self.holder.opened() as data:
            for piece in stretches(data, self.offset, self.offset + self.length):
                budget.spend_bytes(len(piece))
                shown = piece if is_dense(of) else self._shown(piece, first, of)
                first += len(piece) // self.dtype.width
                if shown:
                    yield shown

    def _shown(self, piece: bytes, first: int, of: Runs) -> bytes:
        import numpy as np

        elements = np.frombuffer(piece, np.uint8).reshape(-1, self.dtype.width)
        return elements[shows(of, np.arange(first, first + len(elements)))].tobytes()

    def window(self, data: Buffer, start: int, count: int) -> bytes:
        """The bytes of `count` elements from element `start` on, or of as many as there are, as they stand in the file.

        Args:
            data: What its holder gives.
            start: First element.
            count: How many.
        """
        first = self.offset + start * self.dtype.width
        return b"".join(stretches(data, first, min(first + count * self.dtype.width, self.offset + self.length)))

    def picked(self, data: Buffer, elements: NDArray[Any]) -> bytes:
        """The bytes of elements in any order.

        Args:
            data: What its holder gives.
            elements: Counted from its first one; int64 array (n,).
        """
        import numpy as np

        spanned = np.frombuffer(data, np.uint8, count=self.length, offset=self.offset)
        return bytes(spanned.reshape(-1, self.dtype.width)[elements].tobytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Bytes that no tensor owns, and that are not what the writer of the format puts there.

    Args:
        path: Of the file or member.
        offset: Of the first of them.
        size: How many.
        what: Where they are, in words.
    """

    path: str
    offset: int
    size: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The tensors of one file.

    Args:
        tensors: In the order of the file.
        unread: Those of types whose elements are not looked into; their bytes can be compared.
        hidden: Bytes that no tensor owns.
    """

    tensors: Sequence[Tensor] = ()
    unread: Sequence[Tensor] = ()
    hidden: Sequence[Hidden] = ()

    @classmethod
    def of(cls, tensors: Sequence[Tensor], hidden: Sequence[Hidden] = ()) -> Listing:
        """Tensors of all types, told apart by whether their elements are looked into."""
        return cls(
            tensors=[tensor for tensor in tensors if tensor.dtype.known],
            unread=[tensor for tensor in tensors if not tensor.dtype.known],
            hidden=hidden,
        )
