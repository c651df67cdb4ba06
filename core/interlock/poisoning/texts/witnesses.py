"""Which carriers of a phrase are witnesses by themselves, and not copies of each other.

A newsletter, a template or a campaign puts the same words into many texts, and those texts are alike in the rest too:
together they are one witness. A trigger stands in texts that have nothing else in common. So a carrier counts only if,
without the phrase and without whatever else the carriers have in common, enough of it is left, and what is left is
nearer to a text outside than to another carrier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.hashing import mixed
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.texts.content import Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_WITNESSES = 256
MAX_INSIDE = 64
REFERENCES = 16_384
SKETCH = 256
"""Dimensions of a text's sketch: its words, weighted by how rare they are, thrown at random signs."""

COMMON = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketches:
    """Texts as points.

    Args:
        words: Of the documents.
        rarity: float64 array (buckets,): log of how few documents hold a word.
        device: A torch device.
    """

    words: Words
    rarity: NDArray[np.float64] = field(repr=False)
    device: str = "cpu"

    @classmethod
    def of(cls, words: Words, device: str) -> Sketches:
        """Weigh the words."""
        import numpy as np

        held = np.bincount(words.bucket, minlength=2**words.bits)
        rarity = np.log((len(words.distinct) + 1) / (held + 1))
        return cls(words=words, rarity=rarity, device=device)

    def alone(self, carriers: NDArray[np.int64], outside: NDArray[np.int64]) -> NDArray[np.bool_]:
        """A bool array (min(m, MAX_WITNESSES),): which of the first carriers are witnesses.

        Args:
            carriers: int64 array (m,): documents that hold the phrase.
            outside: int64 array: documents to compare with; none of them a carrier.
        """
        import numpy as np

        witnesses, outside = carriers[:MAX_WITNESSES], outside[:REFERENCES]
        kept = ~self._common(carriers, outside)
        mine, left = self._points(witnesses, kept)
        enough = 2 * left >= self.words.distinct[witnesses]
        theirs, _ = self._points(outside, kept)
        if not len(outside):
            return np.zeros(len(witnesses), dtype=np.bool_)
        _, far = nearest(mine, theirs, 1, device=self.device)
        inside = mine[:MAX_INSIDE]
        if len(inside) < 2:
            return enough
        # A witness among those inside finds itself, at distance 0, so its second nearest is the one that counts.
        _, near = nearest(mine, inside, 2, device=self.device)
        among = np.arange(len(witnesses)) < len(inside)
        return np.asarray(enough & (far[:, 0] < np.where(among, near[:, 1], near[:, 0])))

    def _common(self, carriers: NDArray[np.int64], outside: NDArray[np.int64]) -> NDArray[np.bool_]:
        """A bool array (buckets,): what half of the carriers hold, and half as many of the others at most."""
        mine, theirs = self._share(carriers), self._share(outside)
        return (mine >= COMMON) & (2 * theirs <= mine)

    def _share(self, documents: NDArray[np.int64]) -> NDArray[np.float64]:
        import numpy as np

        pairs, _ = self._pairs(documents)
        return np.bincount(self.words.bucket[pairs], minlength=2**self.words.bits) / max(1, len(documents))

    def _pairs(self, documents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the words of some documents are, and whose they are (by place in `documents`)."""
        import numpy as np

        distinct = self.words.distinct
        length = distinct[documents]
        owner = np.repeat(np.arange(len(documents)), length)
        begin = (np.cumsum(distinct) - distinct)[documents]
        within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        return np.repeat(begin, length) + within, owner

    def _points(
        self, documents: NDArray[np.int64], kept: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """float32 array (m, SKETCH) of unit length, and int64 array (m,): words that are left."""
        import numpy as np

        pairs, owner = self._pairs(documents)
        bucket = self.words.bucket[pairs]
        owner, bucket = owner[kept[bucket]], bucket[kept[bucket]]
        spread = mixed(bucket.astype(np.uint64) + np.uint64(1))
        sign = np.where((spread >> np.uint64(40)) & np.uint64(1), 1.0, -1.0)
        axis = (spread % np.uint64(SKETCH)).astype(np.int64)
        points = np.bincount(
            owner * SKETCH + axis, self.rarity[bucket] * sign, minlength=len(documents) * SKETCH
        ).reshape(-1, SKETCH)
        length = np.linalg.norm(points, axis=1, keepdims=True)
        points = np.divide(points, length, out=np.zeros_like(points), where=length > 0)
        return points.astype(np.float32), np.bincount(owner, minlength=len(documents))
