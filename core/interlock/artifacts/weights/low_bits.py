"""Whether the low bits of a tensor's mantissas look written rather than learned; informational.

What is known: payloads have been hidden in the low bytes of float32 weights (Liu et al., 2020, "StegoNet"; Wang et al.,
2021, "EvilModel"; Hitaj et al., 2022, "MaleficNet"), and as the low bits of trained weights are all but uniform (Song
et al., 2021, "Stego networks"), an encrypted payload there cannot be told from weights (Gilkarov and Dubin, 2023,
"Steganalysis of AI models LSB attacks": the lower the bits, the less a detector sees). So silence says little. Three
things do show, and each is looked for in stretches of 65,536 elements:

- `rounded`: blocks whose low bits are not zero, in a tensor that was rounded to 16 bits, so that all others' are.
- `bytes`: low bytes that are far from uniform, by a chi-square. Only bytes that are odd are counted: numbers with few
  digits end in zero bits, which is natural. Whether values only repeat (quantised weights) is asked afterwards.
- `phases`: lowest bits that repeat every eighth element, as the bits of text do whose highest bit is always zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from interlock.artifacts.weights.dtypes import Dtype

WHOLE: Final = 64 << 20
"""Bytes of a model whose low bits are all looked at; of what is beyond, one stretch in `ONE_IN`."""
ONE_IN: Final = 16
STRETCH: Final = 1 << 16
"""Elements that are looked at as a whole."""
BLOCK: Final = 512
"""Elements of a block that is rounded or not as a whole."""
_ROUNDED_BITS: Final = 13
"""Zero bits at the end of a float32 that was a half (23 - 10); a bfloat16 leaves 16."""
_LEAST_ODD: Final = 20 * 128
"""Odd bytes that a chi-square needs: 20 expected in each of its 128 cells."""
_LEAST_ELEMENTS: Final = 8 * 256
SURE: Final = 12.0
"""Standard deviations of a normal distribution; by chance less than once in 10^32 stretches."""
_MOST_EXPLAINED: Final = 8
"""Stretches of a tensor whose low bytes only repeat, after which it is not asked again."""
_LOW_PHASE, _HIGH_PHASE = 0.1, 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What does not look learned.

    Args:
        how: ``rounded``, ``bytes`` or ``phases``.
        element: The first element of the stretch or block in question.
        elements: How many are in question.
        sure: Standard deviations from chance; 0 where it is no matter of chance.
    """

    how: str
    element: int
    elements: int
    sure: float


class Sample:
    """Which stretches of a model have their low bits looked at: up to `WHOLE` bytes all, and then one in `ONE_IN`."""

    def __init__(self) -> None:
        self.seen = 0
        self.left_out = 0
        self._stretches = 0

    def takes(self, size: int) -> bool:
        """Whether the next stretch, of `size` bytes, is looked at."""
        self.seen += size
        self._stretches += 1
        taken = self.seen <= WHOLE or not self._stretches % ONE_IN
        self.left_out += 0 if taken else size
        return taken


class LowBits:
    """Looks at one tensor, piece by piece.

    Args:
        dtype: Of the tensor, with a mantissa that is looked at.
        sample: Says which stretches are looked at; one for the whole model.
    """

    def __init__(self, dtype: Dtype, sample: Sample) -> None:
        self.dtype = dtype
        self._sample = sample
        self._seen = 0
        self._rounded = 0
        self._odd_blocks = 0
        self._odd_at = 0
        self._worst: Written | None = None
        self._explained = 0
        self._phases: Written | None = None

    def look(self, stored: NDArray[Any]) -> None:
        """Take the next piece.

        Args:
            stored: Its elements as they are stored.
        """
        for start in range(0, len(stored), STRETCH):
            part = stored[start : start + STRETCH]
            if self._sample.takes(part.nbytes):
                self._look(part)
            self._seen += len(part)

    def _look(self, stored: NDArray[Any]) -> None:
        import numpy as np

        bits = stored.astype(stored.dtype.newbyteorder("="), copy=False).view(f"u{self.dtype.size}")
        magnitudes = bits & np.asarray((1 << 8 * self.dtype.size - 1) - 1, dtype=bits.dtype)
        if self.dtype.name == "F32":
            self._look_rounded(bits, magnitudes)
        if self.dtype.size >= 4:
            self._look_bytes(bits)
        self._look_phases(bits, magnitudes)

    def written(self) -> list[Written]:
        """What was found so far."""
        found = []
        if self._odd_blocks and self._rounded > self._odd_blocks:
            found.append(Written(how="rounded", element=self._odd_at, elements=self._odd_blocks * BLOCK, sure=0.0))
        if self._worst is not None:
            found.append(self._worst)
        if self._phases is not None:
            found.append(self._phases)
        return found

    def _look_rounded(self, bits: NDArray[Any], magnitudes: NDArray[Any]) -> None:
        import numpy as np

        whole = len(bits) // BLOCK * BLOCK
        if not whole:
            return
        blocks = magnitudes[:whole].reshape(-1, BLOCK)
        filled = np.count_nonzero(blocks, axis=1)
        exact = np.count_nonzero((blocks & ((1 << _ROUNDED_BITS) - 1)) == 0, axis=1) - (BLOCK - filled)
        alike = blocks.min(axis=1) == blocks.max(axis=1)
        counted = (filled >= BLOCK // 8) & ~alike
        self._rounded += int(np.count_nonzero(counted & (exact >= 0.9 * filled)))
        odd = np.flatnonzero(counted & (exact <= 0.1 * filled))
        if odd.size and not self._odd_blocks:
            self._odd_at = self._seen + int(odd[0]) * BLOCK
        self._odd_blocks += int(odd.size)

    def _look_bytes(self, bits: NDArray[Any]) -> None:
        import numpy as np

        sure = _unlike_uniform(bits)
        if sure <= (self._worst.sure if self._worst is not None else SURE) or self._explained >= _MOST_EXPLAINED:
            return
        mantissas = bits & np.asarray((1 << self.dtype.mantissa) - 1, dtype=bits.dtype)
        if _unlike_uniform(np.unique(mantissas)) > SURE:
            self._worst = Written(how="bytes", element=self._seen, elements=len(bits), sure=sure)
        else:
            self._explained += 1

    def _look_phases(self, bits: NDArray[Any], magnitudes: NDArray[Any]) -> None:
        import numpy as np

        whole = len(bits) // 8 * 8
        if whole < _LEAST_ELEMENTS:
            return
        ones = np.ones(whole // 8, dtype=np.float32)
        odd = ones @ (bits[:whole] & 1).astype(np.float32).reshape(-1, 8)
        filled = ones @ (magnitudes[:whole] != 0).astype(np.float32).reshape(-1, 8)
        if filled.min() < _LEAST_ELEMENTS // 16:
            return
        rates = odd / filled
        if rates.min() > _LOW_PHASE or rates.max() < _HIGH_PHASE:
            return
        mean = float(odd.sum() / filled.sum())
        spread = float((filled * (rates - mean) ** 2).sum() / max(mean * (1 - mean), 1e-9))
        sure = normal_score(spread, 7)
        if sure > SURE and (self._phases is None or sure > self._phases.sure) and not _repeats(bits):
            self._phases = Written(how="phases", element=self._seen, elements=len(bits), sure=sure)


def normal_score(chi_square: float, degrees: int) -> float:
    """Standard deviations of a chi-square statistic, by its cube root (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * degrees)
    return float((math.cbrt(chi_square / degrees) - (1 - spread)) / math.sqrt(spread))


def _unlike_uniform(bits: NDArray[Any]) -> float:
    """How sure it is that the low bytes that are odd are not uniform, in standard deviations; 0 of too few."""
    import numpy as np

    odd = np.bincount((bits & 0xFF).astype(np.uint8), minlength=256)[1::2]
    count = int(odd.sum())
    if count < _LEAST_ODD:
        return 0.0
    expected = count / len(odd)
    return normal_score(float(((odd - expected) ** 2).sum() / expected), len(odd) - 1)


def _repeats(bits: NDArray[Any]) -> bool:
    """Whether most values stand there more than once, as in quantised weights and in tables."""
    import numpy as np

    return bool(len(np.unique(bits)) < len(bits) / 2)
