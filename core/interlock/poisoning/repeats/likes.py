"""Small sketches that near-equal contents share: of an image by its low frequencies, of a text by its shingles.

An image is told by the signs of its lowest 8 by 8 cosine frequencies but the first (perceptual hash: Zauner, 2010); a
text by the smallest hashes of its runs of characters (MinHash: Broder, 1997; in one pass over the text by one
permutation: Li, Owen and Zhang, 2012, its empty bins filled from the next one, Shrivastava and Li, 2014). Rows that
agree on a band of their sketch (locality-sensitive hashing: Indyk and Motwani, 1998) are looked at, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from interlock.poisoning.hashing import mixed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FREQUENCIES = 8
BANDS = 4
"""The bits of an image in four bands of 16; near images agree on two of them."""

MAX_DIFFERING = 4
"""Bits of 63 in which near images differ at most."""

SHINGLE = 5
BINS = 64
TEXT_BANDS = 16
MAX_TEXT = 20_000
"""Characters of a text that are sketched."""


def picture_sketches(features: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """uint64 array (n,): 63 signs of low frequencies.

    Args:
        features: float32 array (n, d), finite.
        shape: Height, width and, for colour, channels.
    """
    import numpy as np

    height, width, channels = (*shape, 1)[:3]
    down, right = _cosines(height), _cosines(width)
    grey = features if channels == 1 else features.reshape(-1, height * width, channels).mean(axis=2)
    # float64: a sign must not hang on the size of the batch.
    waves = np.einsum("uy,vx->yxuv", down, right).reshape(height * width, -1)
    power = grey.astype(np.float64) @ waves
    power = np.rint(power / (np.abs(power[:, 1:]).max(axis=1, initial=1e-12)[:, None] + 1e-12) * 2**20)
    signs = (power[:, 1:] > 0).astype(np.uint64)
    return np.asarray((signs << np.arange(1, signs.shape[1] + 1, dtype=np.uint64)).sum(axis=1, dtype=np.uint64))


def _cosines(length: int) -> NDArray[np.float64]:
    """float64 array (FREQUENCIES, length)."""
    import numpy as np

    places = (np.arange(length) + 0.5) / length
    return np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * places)


def normal(text: str) -> str:
    """A text as it is compared: one case, one space between words, no more than `MAX_TEXT` characters."""
    return re.sub(r"\s+", " ", text[:MAX_TEXT].lower()).strip()


def shingles(text: str) -> NDArray[np.uint64]:
    """uint64 array: hashes of the runs of `SHINGLE` characters of a normal text, ascending, each once."""
    import numpy as np

    return np.unique(_runs([text])[0])


def _runs(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all runs of characters of all texts, and how many each text has (at least one)."""
    import numpy as np

    padded = [text.ljust(SHINGLE, "\0") for text in texts]
    letters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in padded], dtype=np.int64)
    runs = np.zeros(max(0, len(letters) - SHINGLE + 1), dtype=np.uint64)
    for at in range(SHINGLE):
        runs = runs * np.uint64(0x100000001B3) + letters[at : at + len(runs)] + np.uint64(1)
    ends = np.cumsum(lengths)
    inside = np.ones(len(runs), dtype=np.bool_)
    for back in range(1, SHINGLE):
        late = ends - back
        inside[late[late < len(inside)]] = False
    return mixed(runs)[inside], lengths - SHINGLE + 1


def text_sketches(texts: Sequence[str]) -> NDArray[np.uint32]:
    """uint32 array (n, BINS): the smallest hash of each bin.

    Args:
        texts: Normal texts.
    """
    import numpy as np

    none = np.uint32(2**32 - 1)
    made = np.full((len(texts), BINS), none, dtype=np.uint32)
    if not len(texts):
        return made
    runs, counts = _runs(texts)
    text = np.repeat(np.arange(len(texts)), counts)
    bin_of = (runs & np.uint64(BINS - 1)).astype(np.int64)
    np.minimum.at(made.ravel(), text * BINS + bin_of, (runs >> np.uint64(32)).astype(np.uint32))
    # An empty bin takes what the next full one has, and how far it is.
    for _ in range(1, BINS):
        empty = made == none
        if not empty.any():
            break
        following = np.roll(made, -1, axis=1)
        moved = np.where(following == none, none, following + np.uint32(0x9E3779B1))
        made = np.where(empty, moved, made)
    return made


def near_pictures(sketches: NDArray[np.uint64]) -> NDArray[np.int64]:
    """int64 array (p, 2): places of images that agree on two bands, first before second, the nearest pairs first."""
    import numpy as np

    width = np.uint64(64 // BANDS)
    bands = [sketches >> np.uint64(at) * width & np.uint64(2**16 - 1) for at in range(BANDS)]
    pairs = [
        _in_buckets((bands[one] << width | bands[other]), sketches) for one, other in combinations(range(BANDS), 2)
    ]
    found = np.unique(np.concatenate(pairs), axis=0)
    differing = (sketches[found[:, 0]] ^ sketches[found[:, 1]]).view(np.uint8).reshape(len(found), 8)
    bits = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
    apart = bits[differing].sum(axis=1, dtype=np.int64)
    order = np.argsort(apart, kind="stable")
    return found[order[: int((apart <= MAX_DIFFERING).sum())]]


def near_texts(sketches: NDArray[np.uint32]) -> NDArray[np.int64]:
    """int64 array (p, 2): places of texts that agree on a band, first before second, each pair once."""
    import numpy as np

    wide, pairs = BINS // TEXT_BANDS, [np.zeros((0, 2), dtype=np.int64)]
    whole = mixed(sketches.astype(np.uint64).sum(axis=1, dtype=np.uint64))
    for band in range(TEXT_BANDS):
        key = np.full(len(sketches), band, dtype=np.uint64)
        for at in range(band * wide, (band + 1) * wide):
            key = mixed(key + sketches[:, at].astype(np.uint64))
        pairs.append(_in_buckets(key, whole))
    return np.unique(np.concatenate(pairs), axis=0)


def _in_buckets(keys: NDArray[np.uint64], rest: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs within each bucket: neighbours in the order of the rest, and each with the first."""
    import numpy as np

    order = np.lexsort((rest, keys))
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    first = np.maximum.accumulate(np.where(np.concatenate([[True], ~same]), np.arange(len(keys)), 0))
    at = np.flatnonzero(same) + 1
    pairs = np.stack(
        [np.concatenate([order[at - 1], order[first[at]]]), np.concatenate([order[at], order[at]])], axis=1
    )
    pairs.sort(axis=1)
    return np.asarray(pairs[pairs[:, 0] != pairs[:, 1]])
