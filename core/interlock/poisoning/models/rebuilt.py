"""The trigger, rebuilt from rows that carry it: what they have in common that their nearest clean neighbours lack.

Each number of a row is changed by a factor and a sum: a patch forgets what was there (factor 0), a blended image keeps
a share of it, an added pattern keeps all. Both follow from means and spreads of the carriers and of their neighbours;
what is not beyond chance is left out. A change that differs from row to row (a warp) is no such thing, and then the
rebuilt trigger moves nobody, which the proof says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.neighbours import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BEYOND_CHANCE = 4.0
"""Standard errors; of thousands of pixels about one in ten thousand goes beyond by chance."""

LEAST_CARRIERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A change that turns a row into a carrier.

    Args:
        factors: float32 array (width,): what is kept of each number, from 0 to 1.
        sums: float32 array (width,): what is added.
        low: float32 array (width,): no number goes below.
        high: float32 array (width,): none goes beyond.
    """

    factors: NDArray[np.float32] = field(repr=False)
    sums: NDArray[np.float32] = field(repr=False)
    low: NDArray[np.float32] = field(repr=False)
    high: NDArray[np.float32] = field(repr=False)

    @classmethod
    def of(cls, carriers: NDArray[np.float32], clean: NDArray[np.float32], *, device: str = "cpu") -> Rebuilt:
        """Compare carriers with their nearest neighbours among clean rows.

        Args:
            carriers: float32 array (m, width), at least `LEAST_CARRIERS`.
            clean: float32 array (n, width).
            device: A torch device.
        """
        import numpy as np

        found, _ = nearest(carriers, clean, 1, device=device)
        beside, there = clean[found[:, 0]].astype(np.float64), carriers.astype(np.float64)
        count = len(carriers)
        was, now = beside.std(axis=0), there.std(axis=0)
        kept = np.clip(np.divide(now, was, out=np.ones_like(was), where=was > 1e-6), 0.0, 1.0)
        # The logarithm of a ratio of two spreads of m rows varies by about one in the root of m.
        less = -np.log(np.maximum(kept, 1e-6)) > BEYOND_CHANCE / np.sqrt(count)
        factors = np.where(less, kept, 1.0)
        sums = there.mean(axis=0) - factors * beside.mean(axis=0)
        error = (there - factors * beside).std(axis=0) / np.sqrt(count)
        sums = np.where(less | (np.abs(sums) > BEYOND_CHANCE * error), sums, 0.0)
        return cls(
            factors=factors.astype(np.float32),
            sums=sums.astype(np.float32),
            low=np.minimum(clean.min(axis=0), carriers.min(axis=0)),
            high=np.maximum(clean.max(axis=0), carriers.max(axis=0)),
        )

    @property
    def touched(self) -> NDArray[np.bool_]:
        """Bool array (width,): the numbers that it changes."""
        import numpy as np

        return np.asarray((self.factors < 1) | (self.sums != 0))

    def pasted(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 array (n, width): rows that carry it.

        Args:
            rows: float32 array (n, width).
        """
        import numpy as np

        return np.asarray(np.clip(rows * self.factors + self.sums, self.low, self.high), dtype=np.float32)
