"""Numbers about one tensor, in one pass and in bounded memory.

Sums are taken in float64 of a few numbers at a time. Whether one of them is no finite number shows in their sum of
squares, so only then they are looked at a second time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.artifacts.weights.dtypes import Dtype, stored, values
from interlock.gate.values import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from interlock.artifacts.limits import Budget
    from interlock.artifacts.weights.low_bits import LowBits
    from interlock.artifacts.weights.tensor import Tensor

HALF_OUTLIER: Final = 1e4
"""How far above the ordinary elements one of a 16-bit or 8-bit float has to be to count as absurd."""
_AT_ONCE: Final = 1 << 15
"""Numbers whose float64 fit into a processor's cache."""
_WIDE: Final = frozenset({"F64", "F32", "BF16", "C64", "C128"})


@dataclass(slots=True, kw_only=True)
class Statistics:
    """What one pass over a tensor counted.

    Args:
        dtype: Of its elements.
        count: Numbers; a complex number is two.
        nan: Elements that are no number.
        infinite: Elements that are plus or minus infinity.
        total: Sum of the finite elements.
        squares: Sum of their squares; infinite where float64 cannot hold it.
        low: Smallest finite element.
        high: Largest finite element.
        large: Finite elements whose square their own type cannot hold.
        ordinary_squares: Sum of squares of all other finite elements, and `squares` where there are no large ones.
        shut: The last element seen that is infinite or large.
        mixed: Such elements differ, or one is positive.
        same: Every element has the same bits.
        first: The bits of the first element.
    """

    dtype: Dtype
    count: int = 0
    nan: int = 0
    infinite: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    large: int = 0
    ordinary_squares: float = 0.0
    shut: float | None = None
    mixed: bool = False
    same: bool = True
    first: bytes = b""

    @property
    def finite(self) -> int:
        """Elements that are finite numbers."""
        return self.count - self.nan - self.infinite

    @property
    def norm(self) -> float:
        """The L2 norm of the finite elements; infinite where float64 cannot hold its square."""
        return math.sqrt(self.squares)

    @property
    def rms(self) -> float:
        """Root of the mean square of the finite elements."""
        return math.sqrt(self.squares / self.finite) if self.finite else 0.0

    @property
    def largest(self) -> float:
        """The largest magnitude of a finite element."""
        return max(abs(self.low), abs(self.high)) if self.finite else 0.0

    @property
    def mask(self) -> bool:
        """Nothing but zeros and one very negative number, or minus infinity."""
        return not self.mixed and self.shut is not None and not self.nan and not self.ordinary_squares

    @property
    def absurd(self) -> bool:
        """A finite element whose square its own type cannot hold.

        For half precision and less that begins at 256, which honest weights may reach, so there it also has to be
        `HALF_OUTLIER` times the RMS of the elements below. A flipped high bit of the exponent does either.
        """
        if not self.large or self.mask:
            return False
        ordinary = self.finite - self.large
        if self.dtype.name in _WIDE or not ordinary:
            return self.dtype.name in _WIDE
        return self.largest > HALF_OUTLIER * math.sqrt(self.ordinary_squares / ordinary)

    @property
    def constant(self) -> bool:
        """More than one element, and every one has the same bits."""
        return self.same and self.count > 1

    def document(self) -> dict[str, Json]:
        """For the evidence of a finding; what JSON cannot hold is left out."""
        numbers: dict[str, float] = {}
        if self.dtype.numbers and self.finite:
            mean = self.total / self.finite
            numbers = {"norm": self.norm, "rms": self.rms, "mean": mean, "low": self.low, "high": self.high}
        return {
            "dtype": self.dtype.name,
            "elements": self.count,
            "nan": self.nan,
            "infinite": self.infinite,
            **{name: float(f"{number:.6g}") for name, number in numbers.items() if math.isfinite(number)},
        }


def measured(tensor: Tensor, budget: Budget, low_bits: LowBits | None = None) -> Statistics:
    """Read a tensor once.

    Args:
        tensor: Where its bytes are, unverified.
        budget: What may be spent.
        low_bits: Looks at the same pieces; None where nobody asks.

    Raises:
        LimitPassedError: The subject may not have so many bytes, or the time is over.
    """
    found = Statistics(dtype=tensor.dtype)
    for piece in tensor.pieces(budget):
        bits = stored(piece, tensor.dtype, big=tensor.big)
        _same(found, piece, bits)
        found.count += len(bits)
        if tensor.dtype.numbers:
            for start in range(0, len(bits), _AT_ONCE):
                _add(found, values(bits[start : start + _AT_ONCE], tensor.dtype))
        if low_bits is not None:
            low_bits.look(bits)
    return found


def _same(found: Statistics, piece: bytes, bits: NDArray[Any]) -> None:
    size = found.dtype.size
    found.first = found.first or piece[:size]
    if found.same:
        whole = bits if bits.dtype.kind != "f" else bits.view(f"u{size}")
        found.same = piece[:size] == found.first and piece[-size:] == found.first and bool((whole == whole[0]).all())


def _add(found: Statistics, numbers: NDArray[np.float32] | NDArray[np.float64]) -> None:
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        wide = numbers.astype(np.float64, copy=False)
        squares = float(np.dot(wide, wide))
        if not math.isfinite(squares):
            finite = np.isfinite(wide)
            _add_others(found, wide[~finite])
            wide = wide[finite]
            squares = float(np.dot(wide, wide))
        if not wide.size:
            return
        found.total += float(wide.sum())
        found.squares += squares
        low, high = float(wide.min()), float(wide.max())
        found.low, found.high = min(found.low, low), max(found.high, high)
        limit = math.sqrt(found.dtype.largest)
        if max(-low, high) > limit:
            large = np.abs(wide) > limit
            found.large += int(np.count_nonzero(large))
            _add_shut(found, float(wide[large].min()), float(wide[large].max()))
            rest = wide[~large]
            squares = float(np.dot(rest, rest))
        found.ordinary_squares += squares


def _add_others(found: Statistics, others: NDArray[np.float64]) -> None:
    import numpy as np

    nan = int(np.count_nonzero(np.isnan(others)))
    found.nan += nan
    found.infinite += len(others) - nan
    if nan < len(others):
        _add_shut(found, float(np.nanmin(others)), float(np.nanmax(others)))


def _add_shut(found: Statistics, low: float, high: float) -> None:
    """Note infinite or large elements that lie between `low` and `high`."""
    found.mixed |= low != high or low > 0 or found.shut not in (None, low)
    found.shut = low
