"""Runs of words: which documents hold them, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.hashing import mixed
from interlock.poisoning.patches import MIN_REPEATS
from interlock.poisoning.texts.reading import START, Documents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZES = (1, 2, 3)
PREFILTER_BITS = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Grams:
    """The runs of one length that stand in enough documents.

    Args:
        size: Words of a run.
        count: How many runs there are.
        gram: int64 array (m,): ascending.
        document: int64 array (m,): ascending for each run, each document once.
        at: int64 array (m,): where in the words its first occurrence in the document begins.
    """

    size: int
    count: int
    gram: NDArray[np.int64] = field(repr=False)
    document: NDArray[np.int64] = field(repr=False)
    at: NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, documents: Documents, size: int) -> Grams:
        """Group equal runs.

        Args:
            documents: Each different one once.
            size: Words of a run.
        """
        import numpy as np

        hashes, at = runs(documents, size)
        bits = min(PREFILTER_BITS, len(hashes).bit_length() + 1)
        few = (hashes >> np.uint64(64 - bits)).astype(np.int64)
        enough = np.bincount(few, minlength=2**bits)[few] >= MIN_REPEATS
        hashes, at = hashes[enough], at[enough]
        order = np.argsort(hashes, kind="stable")  # positions, and so documents, stay ascending within a run
        hashes, at = hashes[order], at[order]
        document = documents.places[at]
        new_gram = np.ones(len(hashes), dtype=np.bool_)
        new_gram[1:] = hashes[1:] != hashes[:-1]
        fresh = new_gram.copy()
        fresh[1:] |= document[1:] != document[:-1]
        gram, document, at = (np.cumsum(new_gram) - 1)[fresh], document[fresh], at[fresh]
        known = np.bincount(gram) >= MIN_REPEATS if len(gram) else np.zeros(0, dtype=np.bool_)
        kept = known[gram]
        number = np.cumsum(known) - 1
        return cls(
            size=size,
            count=int(known.sum()),
            gram=number[gram[kept]],
            document=document[kept],
            at=at[kept],
        )


def runs(documents: Documents, size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A hash for every run of words within one text, and where it begins, ascending."""
    import numpy as np

    words, places = documents.words, documents.places
    last = len(words) - size + 1
    if last <= 0:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    spread = mixed(words.astype(np.uint64) + np.uint64(1))
    hashes = spread[:last].copy()
    inside = places[:last] == places[size - 1 :]
    for step in range(1, size):
        hashes = mixed(hashes * np.uint64(3) + spread[step : step + last])
        inside &= words[step : step + last] != START
    if size == 1:
        inside &= words != START
    at = np.flatnonzero(inside)
    return hashes[at], at


def occurrences(words: Sequence[int], documents: Documents) -> NDArray[np.int64]:
    """int64 array: where a run of words begins, within one document, ascending."""
    import numpy as np

    flat = documents.words
    if len(flat) < len(words):
        return np.zeros(0, dtype=np.int64)
    at = np.flatnonzero(flat[: len(flat) - len(words) + 1] == words[0])
    for step, word in enumerate(words[1:], start=1):
        at = at[flat[at + step] == word]
    places = documents.places
    return np.asarray(at[places[at] == places[at + len(words) - 1]])


def extensions(
    run: tuple[int, ...], mine: NDArray[np.int64], at: NDArray[np.int64], documents: Documents
) -> Iterator[tuple[int, ...]]:
    """With the word that two thirds of the carriers have before it, and with the one that they have after it.

    Args:
        run: Hashes of its words.
        mine: int64 array (m,): its carriers.
        at: int64 array (m,): where it begins in each.
        documents: All documents.
    """
    import numpy as np

    places = documents.places
    for step, before in ((-1, True), (len(run), False)):
        if before and run[0] == START:
            continue
        there = np.clip(at + step, 0, len(places) - 1)
        inside = (at + step == there) & (places[there] == mine)
        if not inside.any():
            continue
        words, counts = np.unique(documents.words[there[inside]], return_counts=True)
        word = int(words[counts.argmax()])
        if 3 * int(counts.max()) >= 2 * len(mine) and (word != START or before):
            yield (word, *run) if before else (*run, word)
