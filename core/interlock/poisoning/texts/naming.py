"""What was found in hashes, said in words: the rows are shown once more, and the phrase is quoted in context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Scores, Suspicion
from interlock.poisoning.texts.grams import occurrences
from interlock.poisoning.texts.reading import START, Documents, read, word_hash, words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONTEXTS = 3
CONTEXT_WORDS = 6
MAX_QUOTE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A phrase that was found, before it is said in words.

    Args:
        words: Its hashes.
        label: Position in the classes, or -1 where the answer counts.
        rows: Rows that are suspected, ascending.
        decades: Corrected evidence.
        answer: Hashes of the words of the response that go with it; empty where labels count.
    """

    words: tuple[int, ...]
    label: int
    rows: tuple[int, ...] = field(repr=False)
    decades: float
    answer: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A phrase in one row.

    Args:
        name: Its words.
        context: Some words around it, the phrase in brackets.
        answer: The words of the response that go with it.
    """

    name: str
    context: str
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """What was quoted so far.

    Args:
        quotes: By place of the phrase and row.
        more: By place of the phrase: rows that the statistics left out and that carry it with its label.
        seen: int64 arrays: the rows that were shown.
    """

    quotes: Mapping[tuple[int, int], Quote]
    more: frozenset[tuple[int, int]]
    seen: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Sees all rows once more.

    Args:
        name: Of the detector.
        columns: The texts, as they were read.
        classes: The labels' names.
        seed: Of the hashes.
        found: The phrases.
        strongest: Corrected evidence.
        looked_at: Rows in the statistics, when not all rows were; else empty.
        notes: What was left out.
        everywhere: True when rows were left out of the statistics, and are now searched.
        say: Makes a suspicion of a phrase, its rows and its quotes.
        unlabelled: True when rows without a label were looked at too.
    """

    name: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    seed: int
    found: tuple[Named, ...] = field(repr=False)
    strongest: float
    looked_at: frozenset[int] = field(repr=False)
    notes: tuple[str, ...]
    everywhere: bool
    say: Callable[[Named, Sequence[Quote]], Suspicion] = field(repr=False)
    unlabelled: bool = False

    def unfit(self) -> str:
        """Never."""
        return ""

    def partial(self, batch: Batch) -> Quotes:
        """Quote what was found in these rows."""
        labels = batch.codes(self.classes)
        quotes: dict[tuple[int, int], Quote] = {}
        more: set[tuple[int, int]] = set()
        wanted = {(row, place) for place, one in enumerate(self.found) for row in one.rows[:CONTEXTS]}
        for row, place in sorted(wanted):
            if batch.start <= row < batch.start + len(batch.labels):
                quote = self._quoted(batch, row - batch.start, self.found[place])
                if quote is not None:
                    quotes[place, row] = quote
        if self.everywhere:
            documents = read(batch, self.columns, self.classes, self.seed).parts[0]
            for place, one in enumerate(self.found):
                more |= {(place, row) for row in _carriers(documents, one, labels) if row not in self.looked_at}
        return Quotes(quotes=quotes, more=frozenset(more), seen=(batch.rows[(labels >= 0) | self.unlabelled],))

    def _quoted(self, batch: Batch, at: int, one: Named) -> Quote | None:
        texts = [words_of(batch.texts[column][at]) for column in self.columns]
        where = self._where(texts, one.words)
        if where is None:
            return None
        words, begin, end = where
        answer = self._where(texts[-1:], one.answer) if one.answer else None
        quote = _quote(words, begin, end)
        return (
            quote if answer is None else replace(quote, answer=" ".join(answer[0][answer[1] : answer[2]])[:MAX_QUOTE])
        )

    def _where(self, texts: Sequence[list[str]], wanted: tuple[int, ...]) -> tuple[list[str], int, int] | None:
        """The first of some texts that holds a phrase, and from which word to which."""
        for words in texts:
            hashes = [START, *(word_hash(word, self.seed) for word in words)]
            for begin in range(len(hashes) - len(wanted) + 1):
                if tuple(hashes[begin : begin + len(wanted)]) == wanted:
                    return words, max(0, begin - 1), begin + len(wanted) - 1
        return None

    def merge(self, one: Quotes, other: Quotes) -> Quotes:
        """Both."""
        return Quotes(quotes={**one.quotes, **other.quotes}, more=one.more | other.more, seen=one.seen + other.seen)

    def finalize(self, state: Quotes) -> Scores:
        """Say it."""
        import numpy as np

        rows = np.sort(np.concatenate(state.seen))
        scores = np.zeros(len(rows), dtype=np.float32)
        said = []
        for place, one in enumerate(self.found):
            extra = {row for at, row in state.more if at == place}
            whole = replace(one, rows=tuple(sorted({*one.rows, *extra})))
            quotes = [state.quotes[key] for key in sorted(state.quotes) if key[0] == place]
            said.append(self.say(whole, quotes))
            scores[np.searchsorted(rows, np.array(whole.rows, dtype=np.int64))] = 1.0
        return Scores(rows=rows, scores=scores, decades=self.strongest, suspicions=tuple(said), notes=self.notes)


def _carriers(documents: Documents, one: Named, labels: NDArray[np.int64]) -> list[int]:
    """Rows that hold the phrase and carry its label, or hold its answer too."""
    import numpy as np

    places = np.unique(documents.places[occurrences(one.words, documents)])
    if one.answer:
        mine = np.intersect1d(places, documents.places[occurrences(one.answer, documents)])
    else:
        mine = places[labels[places] == one.label]
    return [int(row) for row in documents.rows[mine]]


def _quote(words: Sequence[str], begin: int, end: int) -> Quote:
    name = " ".join(words[begin:end])
    before = " ".join(words[max(0, begin - CONTEXT_WORDS) : begin])
    after = " ".join(words[end : end + CONTEXT_WORDS])
    return Quote(
        name=name[:MAX_QUOTE], context=f"{before[-MAX_QUOTE:]} [{name[:MAX_QUOTE]}] {after[:MAX_QUOTE]}".strip()
    )
