"""Content hashes of rows and of image patches, vectorised: multilinear hashing modulo 2**64.

(Lemire and Kaser, 2014, "Strongly universal string hashing is fast".) The multipliers come from the seed. The hashes
order, sample and group rows; no trust rests on them, digests are made in `interlock.evidence`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


HASHED_VALUES = 2**17
"""Values that are hashed at once: what fits into a processor's cache."""


def multipliers(count: int, seed: int) -> NDArray[np.uint64]:
    """uint64 array (count,) of odd numbers drawn by `seed`."""
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, 2**63, size=count, dtype=np.uint64)
    return (drawn << np.uint64(1)) | np.uint64(1)


def mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every input bit over the whole word (the finaliser of SplitMix64, Steele et al., 2014)."""
    import numpy as np

    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def first_of_each(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Bool array (n,): False for each line that equals the one before it.

    Args:
        columns: Arrays (n,), in one order.
    """
    import numpy as np

    first = np.ones(len(columns[0]), dtype=np.bool_)
    first[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return first


def text_hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """uint64 array (len(texts) + 1,): 64 bits of a digest of each text, never 0; the last is 0, for what is missing."""
    import numpy as np

    digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]
    return np.array([int.from_bytes(digest, "little") or 1 for digest in digests] + [0], dtype=np.uint64)


def row_hashes(rows: NDArray[np.float32] | NDArray[np.uint8], seed: int) -> NDArray[np.uint64]:
    """uint64 array (n,): one hash per row of equal content; all NaN are equal, and so are both zeros.

    Args:
        rows: float32 or uint8 array (n, d).
        seed: Of the multipliers.
    """
    import numpy as np

    words: NDArray[np.uint32] | NDArray[np.uint8]
    factors = multipliers(rows.shape[1], seed)
    # One more than each word times its factor, so that zeros count: their sum is the product and the factors' sum.
    whole = factors.sum(dtype=np.uint64)
    hashes = np.empty(len(rows), dtype=np.uint64)
    step = max(1, HASHED_VALUES // max(1, rows.shape[1]))
    for at in range(0, len(rows), step):
        block = rows[at : at + step]
        if block.dtype == np.uint8:
            words = block.view(np.uint8)
        else:
            plain = block + np.float32(0)  # of both zeros, the positive one
            np.copyto(plain, np.float32(np.nan), where=np.isnan(plain))
            words = plain.view(np.uint32)
        hashes[at : at + step] = words.astype(np.uint64) @ factors
    return mixed(hashes + whole)
