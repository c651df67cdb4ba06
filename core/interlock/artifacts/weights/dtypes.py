"""Types of tensors' elements, and how their bytes become numbers.

Names are those of safetensors. bfloat16 and the 8-bit floats are decoded by their bits (IEEE 754-2019; Micikevicius et
al., 2022, "FP8 Formats for Deep Learning"; OCP Microscaling Formats 1.0 for E8M0), because numpy has no such types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtype:
    """One type of element.

    Args:
        name: As safetensors calls it.
        size: Bytes of one number; a complex number is two.
        code: numpy's type of the stored bits, without byte order.
        numbers: The elements are floating point, so their values are measured; of others only the bytes are compared.
        mantissa: Bits of the stored mantissa, where its low bits are looked at; else 0.
        largest: The largest finite number.
        parts: Numbers of one element; of a complex one two.
    """

    name: str
    size: int
    code: str
    numbers: bool = True
    mantissa: int = 0
    largest: float = 0.0
    parts: int = 1

    @property
    def width(self) -> int:
        """Bytes of one element."""
        return self.size * self.parts

    @property
    def known(self) -> bool:
        """Whether its elements are looked at."""
        return DTYPES.get(self.name) == self


_FLOATS: Final = (
    Dtype(name="F64", size=8, code="f8", mantissa=52, largest=1.7976931348623157e308),
    Dtype(name="F32", size=4, code="f4", mantissa=23, largest=3.4028234663852886e38),
    Dtype(name="F16", size=2, code="f2", mantissa=10, largest=65504.0),
    Dtype(name="BF16", size=2, code="u2", mantissa=7, largest=3.3895313892515355e38),
    Dtype(name="C64", size=4, code="f4", parts=2, largest=3.4028234663852886e38),
    Dtype(name="C128", size=8, code="f8", parts=2, largest=1.7976931348623157e308),
    Dtype(name="F8_E4M3", size=1, code="u1", largest=448.0),
    Dtype(name="F8_E5M2", size=1, code="u1", largest=57344.0),
    Dtype(name="F8_E4M3FNUZ", size=1, code="u1", largest=240.0),
    Dtype(name="F8_E5M2FNUZ", size=1, code="u1", largest=57344.0),
    Dtype(name="F8_E8M0", size=1, code="u1", largest=2.0**127),
)
_WHOLE: Final = tuple(
    Dtype(name=f"{letter}{8 * size}", size=size, code=f"{letter.lower()}{size}", numbers=False)
    for letter in "IU"
    for size in (1, 2, 4, 8)
)

DTYPES: Final[Mapping[str, Dtype]] = {
    dtype.name: dtype for dtype in (*_FLOATS, *_WHOLE, Dtype(name="BOOL", size=1, code="u1", numbers=False))
}
"""Every type whose elements are looked at, by name; what is not here is told as not looked into."""


def opaque(name: str, width: int = 1) -> Dtype:
    """A type whose elements are not looked at, only their bytes.

    Args:
        name: As the file calls it, unverified.
        width: Bytes of one element, where they are whole ones.
    """
    return Dtype(name=name, size=1, code="u1", numbers=False, parts=width)


# Bits of exponent, bits of mantissa, bias, and what the codes without a number mean (FP8 Formats, table 1).
_SMALL: Final = {
    "F8_E4M3": (4, 3, 7),
    "F8_E5M2": (5, 2, 15),
    "F8_E4M3FNUZ": (4, 3, 8),
    "F8_E5M2FNUZ": (5, 2, 16),
}


def stored(raw: bytes, dtype: Dtype, *, big: bool = False) -> NDArray[Any]:
    """Bytes as the numbers that are stored, without a copy.

    Args:
        raw: Whole elements.
        dtype: Their type.
        big: The most significant byte comes first.
    """
    import numpy as np

    return np.frombuffer(raw, dtype=np.dtype(dtype.code).newbyteorder(">" if big else "<"))


def values(bits: NDArray[Any], dtype: Dtype) -> NDArray[np.float32] | NDArray[np.float64]:
    """What stored numbers are worth.

    Args:
        bits: From `stored`.
        dtype: Its type; whole numbers lose what their floating-point type cannot hold.

    Returns:
        float64 array for 64-bit types, else float32, of the same length.
    """
    import numpy as np

    if dtype.name == "BF16":
        wide: NDArray[np.float32] = (bits.astype(np.uint32) << 16).view(np.float32)
        return wide
    if dtype.name in _SMALL or dtype.name == "F8_E8M0":
        small: NDArray[np.float32] = _table(dtype.name)[bits]
        return small
    if dtype.size == 8:
        double: NDArray[np.float64] = bits.astype(np.float64, copy=False)
        return double
    single: NDArray[np.float32] = bits.astype(np.float32, copy=False)
    return single


@cache
def _table(name: str) -> NDArray[np.float32]:
    """The 256 numbers of an 8-bit type."""
    import numpy as np

    codes = np.arange(256)
    if name == "F8_E8M0":  # only an exponent; 0xFF is no number (OCP Microscaling 1.0, 5.4.1)
        return np.where(codes == 255, np.nan, 2.0 ** (codes.astype(np.float64) - 127)).astype(np.float32)
    exponent_bits, mantissa_bits, bias = _SMALL[name]
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    numbers = np.where(
        exponent == 0, mantissa * 2.0 ** (1 - bias), (1 + mantissa) * 2.0 ** (exponent.astype(np.float64) - bias)
    )
    numbers *= sign
    if name == "F8_E4M3":  # no infinity; only S.1111.111 is no number
        numbers[[0x7F, 0xFF]] = np.nan
    elif name == "F8_E5M2":  # as IEEE 754 has it
        numbers[[0x7C, 0xFC]] = np.inf, -np.inf
        numbers[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]] = np.nan
    else:  # FNUZ: negative zero is the only one that is no number
        numbers[0x80] = np.nan
    return numbers.astype(np.float32)
