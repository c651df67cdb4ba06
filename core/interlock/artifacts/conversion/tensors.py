"""Where a tensor lies in the file that is converted, and what safetensors calls its dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from interlock.artifacts.layout import TORCH_TYPES, lies_row_by_row
from interlock.artifacts.pickles.kinds import LARGEST, element_count
from interlock.artifacts.source import Buffer

ORDER: Final = (
    "U64", "I64", "F64", "C64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16", "F8_E5M2FNUZ", "F8_E4M3FNUZ",
    "F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL",
)  # fmt: skip
"""The dtypes that safetensors 0.8 writes and torch reads back, in the order in which its writer sorts tensors."""

TORCH: Final[Mapping[str, str]] = {torch: name for torch, name in TORCH_TYPES.items() if name in ORDER}
"""torch's dtypes to safetensors'."""

NUMPY: Final[Mapping[str, str]] = {
    "f8": "F64", "f4": "F32", "f2": "F16", "c8": "C64", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip
"""numpy's dtypes without their byte order to safetensors'."""


ELSEWHERE: Final = "which safetensors does not hold: save it as another dtype, or convert a part without it by --key"
"""End of the sentence on a dtype that is not in `ORDER`."""


class ConversionError(Exception):
    """This file is not converted; `str()` says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that tensors are views of: `size` of them, from `start` of `data` on."""

    data: Buffer
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A view of a storage, checked to lie inside of it.

    Args:
        storage: Key of its `Stored`.
        dtype: safetensors' name; empty with an `oddity`.
        itemsize: Bytes of one element.
        start: Bytes from the start of the storage to the first element.
        shape: Elements along each axis.
        strides: Elements from one to the next along each axis; none is negative.
        oddity: Why it cannot be converted, as the end of a sentence; empty when it can.
    """

    storage: str
    dtype: str
    itemsize: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    oddity: str = ""

    @property
    def size(self) -> int:
        """Bytes of all elements, written one after the other."""
        return element_count(self.shape) * self.itemsize

    @property
    def contiguous(self) -> bool:
        """Whether its elements lie one after the other, in the order in which they are written."""
        return 0 in self.shape or lies_row_by_row(self.shape, self.strides)


def view(
    stored: int,
    *,
    storage: str,
    dtype: str,
    itemsize: int,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    oddity: str = "",
) -> Tensor:
    """A tensor, if it lies inside of its storage.

    Args:
        stored: Bytes of the storage.
        storage: Its key.
        dtype: As for `Tensor`.
        itemsize: As for `Tensor`.
        offset: Elements before the first one.
        shape: Unverified.
        strides: Unverified.
        oddity: As for `Tensor`.

    Raises:
        ConversionError: It does not, or has a negative or absurd size.
    """
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(one) is int and 0 <= one <= LARGEST for one in numbers):
        raise ConversionError(f"a view of the storage {storage!r} has a shape, strides or offset that no tensor has")
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True) if size)
    room = stored // itemsize
    if (last >= room and 0 not in shape) or offset > room:
        raise ConversionError(f"a view reaches out of its storage {storage!r}: element {last:,} of {room:,}")
    if element_count(shape) * itemsize > LARGEST:
        raise ConversionError(f"a view of the storage {storage!r} has more elements than there can be")
    return Tensor(
        storage=storage,
        dtype=dtype,
        itemsize=itemsize,
        start=offset * itemsize,
        shape=shape,
        strides=strides,
        oddity=oddity,
    )
