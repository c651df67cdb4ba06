"""How likely each text carries a label, by everything in it but a phrase.

A multinomial naive Bayes of one label against all others over hashed words (presence, not counts), fitted out of fold:
a text is judged by texts that are not it nor a copy of it. The model is linear, so that a phrase's own weight is simply
taken away. Two looks are taken: at the whole text without the phrase, and at the text without the few words that speak
loudest for the label and the few that speak loudest against it, so that several inserted words cannot vouch for each
other. Margins become chances by how often texts with such a margin carry the label (binned and made monotone), which
also tells what overlap and wrong labels there are anyway.

(Rennie, Shih, Teevan and Karger, 2003, one-versus-rest complement weights; Zadrozny and Elkan, 2002, for calibration.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.hashing import mixed
from interlock.poisoning.texts.reading import Documents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOKS = 2
"""At the whole text, and at the trimmed one."""

FOLDS = 5
BUCKET_BITS = 18
MAX_WEIGHTS = 2**26
"""Folds x classes x buckets; with very many classes words share buckets."""

SHORTEST = 4
TRIMMED = 8
"""Loudest words that are taken away at either end: a sentence. Of shorter texts, at most one word in `SHORTEST`."""

PSEUDO_COUNT = 0.1
BIN_ROWS = 64
MAX_BINS = 64
LEAST_CHANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The distinct hashed words of each document.

    Args:
        bits: Buckets are 2**bits.
        buckets: int64 array (words,): bucket of every word of every document.
        document: int64 array (pairs,): ascending.
        bucket: int64 array (pairs,): the distinct buckets of each document.
        distinct: int64 array (n,): how many there are.
        fold: int64 array (n,): by content, so that copies share a fold.
    """

    bits: int
    buckets: NDArray[np.int64] = field(repr=False)
    document: NDArray[np.int64] = field(repr=False)
    bucket: NDArray[np.int64] = field(repr=False)
    distinct: NDArray[np.int64] = field(repr=False)
    fold: NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, documents: Documents, classes: int) -> Words:
        """Hash the words of all documents."""
        import numpy as np

        # Buckets far beyond the number of words would cost more than the words.
        bits = min(BUCKET_BITS, len(documents.words).bit_length() + 1)
        while bits > 8 and FOLDS * classes * 2**bits > MAX_WEIGHTS:
            bits -= 1
        buckets = (mixed(documents.words.astype(np.uint64)) >> np.uint64(64 - bits)).astype(np.int64)
        pairs = (documents.places << bits) | buckets
        pairs.sort()
        pairs = pairs[np.diff(pairs, prepend=-1) != 0]
        document = pairs >> bits
        return cls(
            bits=bits,
            buckets=buckets,
            document=document,
            bucket=pairs & (2**bits - 1),
            distinct=np.bincount(document, minlength=len(documents.rows)),
            fold=(mixed(documents.keys) % np.uint64(FOLDS)).astype(np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One label against all others.

    Args:
        words: Of the documents.
        weights: float32 array (FOLDS, buckets): log-odds of each word, fitted without that fold.
        margins: float64 array (2, n): of the whole and of the trimmed text.
        kept: float64 array (2, n): weights between these two are in the trimmed text.
        edges: Two float64 arrays (bins - 1,): between the bins of scaled margins.
        chances: Two float64 arrays (bins,): how often texts of the bin carry the label; ascending.
    """

    words: Words
    weights: NDArray[np.float32] = field(repr=False)
    margins: NDArray[np.float64] = field(repr=False)
    kept: NDArray[np.float64] = field(repr=False)
    edges: tuple[NDArray[np.float64], NDArray[np.float64]] = field(repr=False)
    chances: tuple[NDArray[np.float64], NDArray[np.float64]] = field(repr=False)

    @classmethod
    def at(cls, words: Words, mine: NDArray[np.bool_], usable: NDArray[np.bool_]) -> Look:
        """Fit.

        Args:
            words: Of the documents.
            mine: bool array (n,): documents that carry the label.
            usable: bool array (n,): documents that may teach.
        """
        import numpy as np

        weights = _weights(words, mine, usable)
        each = weights[words.fold[words.document], words.bucket].astype(np.float64)
        whole: NDArray[np.float64] = np.bincount(words.document, each, minlength=len(mine)).astype(np.float64)
        loudest, kept = _loudest(words, each)
        margins = np.stack([whole, whole - loudest])
        scaled = margins / np.sqrt(words.distinct + 1)
        fits = [_calibrated(scaled[look][usable], mine[usable]) for look in range(LOOKS)]
        return cls(
            words=words,
            weights=weights,
            margins=margins,
            kept=kept,
            edges=(fits[0][0], fits[1][0]),
            chances=(fits[0][1], fits[1][1]),
        )

    def chance(self, look: int, documents: NDArray[np.int64], removed: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely documents carry the label.

        Args:
            look: 0 for the whole text, 1 for the trimmed one.
            documents: int64 array (m,).
            removed: float64 array (m,): weight of what is taken away.
        """
        import numpy as np

        margins = self.margins[look, documents] - removed
        scaled = margins / np.sqrt(self.words.distinct[documents] + 1)
        chances = self.chances[look][np.searchsorted(self.edges[look], scaled)]
        return np.asarray(np.clip(chances, LEAST_CHANCE, 1 - 1e-6))


def _weights(words: Words, mine: NDArray[np.bool_], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    import numpy as np

    buckets = 2**words.bits
    weights = np.zeros((FOLDS, buckets), dtype=np.float32)
    place = words.fold[words.document] * buckets + words.bucket
    taught = usable[words.document]
    of_all = np.bincount(place[taught], minlength=FOLDS * buckets).reshape(FOLDS, buckets)
    own = taught & mine[words.document]
    of_mine = np.bincount(place[own], minlength=FOLDS * buckets).reshape(FOLDS, buckets)
    vocabulary = PSEUDO_COUNT * max(1, int((of_all.sum(axis=0) > 0).sum()))
    for fold in range(FOLDS):
        every = of_all.sum(axis=0) - of_all[fold]
        with_label = of_mine.sum(axis=0) - of_mine[fold]
        others = every - with_label
        odds = np.log(with_label + PSEUDO_COUNT) - np.log(with_label.sum() + vocabulary)
        odds -= np.log(others + PSEUDO_COUNT) - np.log(others.sum() + vocabulary)
        weights[fold] = np.where(every > 0, odds, 0.0)
    return weights


def _loudest(words: Words, each: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Summed weight of each document's loudest words, at both ends, and the weights between which all others lie."""
    import numpy as np

    n = len(words.distinct)
    order = np.lexsort((each, words.document))  # stable, so that equal weights stay in order of their buckets
    ranked = each[order]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(words.distinct) - words.distinct, words.distinct)
    length = words.distinct[words.document]
    cut = np.minimum(TRIMMED, length // SHORTEST)
    low, high = rank == cut - 1, rank == length - cut
    kept = np.stack([np.full(n, -np.inf), np.full(n, np.inf)])
    kept[0, words.document[low]], kept[1, words.document[high]] = ranked[low], ranked[high]
    loud = (rank < cut) | (rank >= length - cut)
    return np.bincount(words.document[loud], ranked[loud], minlength=n).astype(np.float64), kept


def _calibrated(
    scaled: NDArray[np.float64], mine: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of bins with equally many rows, and how often rows of each carry the label: never less than lower bins."""
    import numpy as np

    bins = int(np.clip(len(scaled) // BIN_ROWS, 2, MAX_BINS))
    edges = np.quantile(scaled, np.linspace(0, 1, bins + 1)[1:-1]) if len(scaled) else np.zeros(bins - 1)
    at = np.searchsorted(edges, scaled)
    seen = np.bincount(at, minlength=bins)
    carried = np.bincount(at, mine, minlength=bins)
    share = float(mine.mean()) if len(mine) else 0.5
    return edges, np.maximum.accumulate((carried + share) / (seen + 1))
