"""Texts as sequences of hashed words, in a state that is bounded and merges exactly.

A word is a run of letters and digits in lower case, one sign of a script that writes no spaces, or one punctuation
mark; invisible characters are left out (`interlock.poisoning.texts.hidden` looks for them). Words are kept as 32-bit
hashes: what they were is read again only for the few phrases that are named. When a dataset has more words than
`MAX_WORDS`, the documents with the smallest content hashes are kept (bottom-k sampling: Cohen and Kaplan, 2007), which
are the same ones however rows were split and ordered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.hashing import first_of_each, mixed, multipliers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_WORDS = 2**24
"""Words that are kept in all: 64 MiB, and 1 to 2 GiB of work."""

MAX_DOCUMENT_WORDS = 4096
"""Of one document; the rest is not read for statistics, and a note says so."""

START = 0
"""The hash of no word; stands before every text, so that openings are phrases too."""

_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]+"
)
_ASCII_WORD = re.compile(r"\w+|[^\w\s]", re.ASCII)
_WORD = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Rows as hashed words.

    Args:
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes, -1 where there is none.
        keys: uint64 array (n,): content hashes.
        lengths: int64 array (n,): words of each row.
        words: uint32 array (sum of `lengths`,): their hashes, row after row.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    keys: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    words: NDArray[np.uint32] = field(repr=False)

    @property
    def starts(self) -> NDArray[np.int64]:
        """int64 array (n,): where each row's words begin."""
        import numpy as np

        return np.cumsum(self.lengths) - self.lengths

    def taken(self, places: NDArray[np.int64]) -> Documents:
        """Only these, in this order."""
        import numpy as np

        lengths = self.lengths[places]
        ends = np.cumsum(lengths)
        at = np.arange(int(lengths.sum())) + np.repeat(self.starts[places] - (ends - lengths), lengths)
        return Documents(
            rows=self.rows[places],
            labels=self.labels[places],
            keys=self.keys[places],
            lengths=lengths,
            words=self.words[at],
        )

    @property
    def places(self) -> NDArray[np.int64]:
        """int64 array (sum of `lengths`,): to which row each word belongs."""
        import numpy as np

        return np.repeat(np.arange(len(self.rows)), self.lengths)

    @property
    def first(self) -> NDArray[np.bool_]:
        """A bool array (n,): False for all but the first of equal rows with one label; they must be in order."""
        return first_of_each(self.keys, self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read so far.

    Args:
        parts: Documents; joined only when all are there, or when there are too many words.
        size: Words in `parts`.
        cut: Documents whose key is this or more were left out for want of room; 2**64 - 1 when none was.
        seen: Rows that were read.
        shortened: Rows of which only the first words were read.
    """

    parts: tuple[Documents, ...]
    size: int
    cut: int
    seen: int
    shortened: int

    def merged(self, other: Reading) -> Reading:
        """Both."""
        both = Reading(
            parts=self.parts + other.parts,
            size=self.size + other.size,
            cut=min(self.cut, other.cut),
            seen=self.seen + other.seen,
            shortened=self.shortened + other.shortened,
        )
        return both if both.size <= MAX_WORDS and self.cut == other.cut else both.trimmed()

    def trimmed(self) -> Reading:
        """With documents in one order, and no more of them than there is room for."""
        whole = joined(self.parts)
        keys, ends = whole.keys, whole.lengths.cumsum()
        over = keys[ends > MAX_WORDS]
        cut = min(self.cut, int(over[0])) if len(over) else self.cut
        kept = whole.taken((keys < cut).nonzero()[0]) if cut < NO_CUT else whole
        return Reading(parts=(kept,), size=int(kept.lengths.sum()), cut=cut, seen=self.seen, shortened=self.shortened)


NO_CUT = 2**64 - 1


def joined(parts: Sequence[Documents]) -> Documents:
    """All of them in one order for one content, whatever order they came in."""
    import numpy as np

    whole = Documents(
        rows=np.concatenate([part.rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        keys=np.concatenate([part.keys for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
        words=np.concatenate([part.words for part in parts]),
    )
    return whole.taken(np.lexsort((whole.rows, whole.labels, whole.keys)))


def words_of(text: str) -> list[str]:
    """The words of one text."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    text = _INVISIBLE.sub("", text)
    return _WORD.findall(text.lower())


def word_hash(word: str, seed: int) -> int:
    """32 bits, never `START`."""
    digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4, salt=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") or 1


def read(batch: Batch, columns: Sequence[str], classes: Sequence[str], seed: int) -> Reading:
    """The words of a batch.

    Args:
        batch: Its `texts` hold every one of `columns`.
        columns: Whose texts follow each other.
        classes: The labels' names.
        seed: Of the hashes.
    """
    import numpy as np

    known = _Codes()
    rows: list[list[int]] = []
    shortened = 0
    for place in range(len(batch.labels)):
        line, cut = _line(batch.texts, columns, place, known)
        shortened += cut
        rows.append(line)
    table = np.array([START, *(word_hash(word, seed) for word in known)], dtype=np.uint32)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    words = table[flat]
    documents = Documents(
        rows=batch.rows,
        labels=batch.codes(classes),
        keys=sequence_hashes(words, lengths, seed),
        lengths=lengths,
        words=words,
    )
    return Reading(parts=(documents,), size=len(words), cut=NO_CUT, seen=len(rows), shortened=shortened)


class _Codes(dict[str, int]):
    """A number from 1 for every word, given when it is first asked for."""

    def __missing__(self, word: str) -> int:
        code = self[word] = len(self) + 1
        return code


def _line(
    texts: Mapping[str, Sequence[str]], columns: Sequence[str], place: int, known: _Codes
) -> tuple[list[int], bool]:
    """One row's words by their place in `known`, from 1, and whether it was too long."""
    line: list[int] = []
    cut = False
    for column in columns:
        found = words_of(texts[column][place])
        cut |= len(found) > MAX_DOCUMENT_WORDS
        line.append(0)
        line += map(known.__getitem__, found[:MAX_DOCUMENT_WORDS])
    return line, cut


def sequence_hashes(words: NDArray[np.uint32], lengths: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """uint64 array (n,): one hash per sequence of words."""
    import numpy as np

    longest = int(lengths.max(initial=0))
    within = np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    terms = mixed(words.astype(np.uint64) + np.uint64(1)) * multipliers(max(1, longest), seed)[within]
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)])
    ends = np.cumsum(lengths)
    return mixed(sums[ends] - sums[ends - lengths] + lengths.astype(np.uint64))
