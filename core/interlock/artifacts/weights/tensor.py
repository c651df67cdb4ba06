"""Where a tensor's bytes are, and how they are read: in pieces, so that a model of any size needs little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from interlock.artifacts.limits import Budget
from interlock.artifacts.source import Buffer, stretches
from interlock.artifacts.weights.dtypes import Dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a model.

    Args:
        name: As it stands in the file, unverified.
        dtype: Of its elements.
        shape: As it stands in the file.
        path: Of the file, or member of one, for findings.
        offset: Of its first byte in `data`.
        length: Bytes that it spans; a view with gaps spans more than its elements.
        data: What holds its bytes.
        strides: Elements between neighbours, where they are not those of a whole tensor row by row.
        big: The most significant byte comes first.
    """

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    path: str
    offset: int
    length: int
    data: Buffer = field(repr=False)
    strides: tuple[int, ...] = ()
    big: bool = False

    @property
    def count(self) -> int:
        """Numbers that it spans."""
        return self.length // self.dtype.size

    @property
    def place(self) -> tuple[int, int, int]:
        """Equal for tensors that share their bytes, as tied weights do."""
        return id(self.data), self.offset, self.length

    def pieces(self, budget: Budget) -> Iterator[bytes]:
        """Its bytes in pieces of whole elements.

        Raises:
            LimitPassedError: The subject may not have so many bytes, or the time is over.
        """
        for piece in stretches(self.data, self.offset, self.offset + self.length):
            budget.spend_bytes(len(piece))
            yield piece

    def window(self, start: int, count: int) -> bytes:
        """The bytes of `count` numbers from number `start` on, or of as many as there are."""
        first = self.offset + start * self.dtype.size
        return b"".join(stretches(self.data, first, min(first + count * self.dtype.size, self.offset + self.length)))


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
        unread: Names of those whose elements are not looked into, with their types.
        hidden: Bytes that no tensor owns.
    """

    tensors: Sequence[Tensor] = ()
    unread: Sequence[tuple[str, str]] = ()
    hidden: Sequence[Hidden] = ()
