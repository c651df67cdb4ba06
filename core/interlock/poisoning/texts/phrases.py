"""A phrase: its carriers, what their labels say against the rest of their texts, and how it grows.

Evidence is that against "these documents carry this label because of the rest of what they say", where the odds of
every chance are first multiplied by `HIDDEN_BIAS` (Rosenbaum, 2002, chapter 4), as for patterns in images. A run of
words is grown word by word, as long as its carriers agree on the next word and those that drop out say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import poisson_binomial_tail
from interlock.poisoning.contradiction import HIDDEN_BIAS, odds_raised
from interlock.poisoning.patches import MIN_REPEATS
from interlock.poisoning.texts.content import LOOKS, Look
from interlock.poisoning.texts.grams import extensions, occurrences
from interlock.poisoning.texts.reading import Documents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONTRADICTING = 0.5
"""Only carriers whose text says that the label is less likely than this are counted: a word's honest carriers, whose
text agrees with their label, neither help nor hide a trigger."""

LEAST_KEPT = 0.9
"""Share of the evidence that a longer phrase must keep."""

MAX_PHRASE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A run of words, its carriers, and what their labels say against the rest of their texts.

    Args:
        words: Hashes, in order.
        label: Position in the classes.
        documents: int64 array (m,): its carriers that are not known already, ascending.
        at: int64 array (m,): where it begins.
        chances: float64 array (m,): of the label by the rest of the text, in the look that speaks clearer.
        carried: bool array (m,): True where the carrier has the label.
        counted: bool array (m,): True where the rest of the text contradicts the label.
        decades: Evidence, before correction.
    """

    words: tuple[int, ...]
    label: int
    documents: NDArray[np.int64] = field(repr=False)
    at: NDArray[np.int64] = field(repr=False)
    chances: NDArray[np.float64] = field(repr=False)
    carried: NDArray[np.bool_] = field(repr=False)
    counted: NDArray[np.bool_] = field(repr=False)
    decades: float

    @classmethod
    def of(
        cls,
        *,
        words: tuple[int, ...],
        label: int,
        documents: NDArray[np.int64],
        at: NDArray[np.int64],
        carried: NDArray[np.bool_],
        chances: Sequence[NDArray[np.float64]],
    ) -> Phrase:
        """By the look in which the labels contradict the texts more clearly."""
        counted = [chance <= CONTRADICTING for chance in chances]
        decades = [contradiction(carried, chance, those) for chance, those in zip(chances, counted, strict=True)]
        clearer = max(range(len(chances)), key=decades.__getitem__)
        return cls(
            words=words,
            label=label,
            documents=documents,
            at=at,
            chances=chances[clearer],
            carried=carried,
            counted=counted[clearer],
            decades=decades[clearer],
        )


def removed_weight(
    look: Look, documents: NDArray[np.int64], places: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """float64 array (2, m): what the words at `places` weigh in whole and trimmed texts, each different word once."""
    import numpy as np

    fold = look.words.fold[documents]
    buckets = [look.words.buckets[place] for place in places]
    low, high = look.kept[0, documents], look.kept[1, documents]
    total = np.zeros((LOOKS, len(documents)))
    for step, bucket in enumerate(buckets):
        again = np.zeros(len(documents), dtype=np.bool_)
        for before in buckets[:step]:
            again |= before == bucket
        weight = np.where(again, 0.0, look.weights[fold, bucket])
        total[0] += weight
        total[1] += np.where((weight > low) & (weight < high), weight, 0.0)
    return total


def contradiction(carried: NDArray[np.bool_], chances: NDArray[np.float64], counted: NDArray[np.bool_]) -> float:
    """Evidence, in decades, that the labels of the `counted` carriers contradict the rest of their texts."""
    if int((carried & counted).sum()) < MIN_REPEATS:
        return 0.0
    return poisson_binomial_tail(int(carried[counted].sum()), odds_raised(chances[counted], HIDDEN_BIAS))


def examined(words: tuple[int, ...], label: int, documents: Documents, known: NDArray[np.bool_], look: Look) -> Phrase:
    """One phrase, exactly."""
    at = occurrences(words, documents)
    place = documents.places[at]
    usable = ~known[place]
    usable[1:] &= place[1:] != place[:-1]
    at, place = at[usable], place[usable]
    removed = removed_weight(look, place, [at + step for step in range(len(words))])
    carried = documents.labels[place] == label
    chances = [look.chance(view, place, removed[view]) for view in range(LOOKS)]
    return Phrase.of(words=words, label=label, documents=place, at=at, carried=carried, chances=chances)


def grown(phrase: Phrase, documents: Documents, known: NDArray[np.bool_], look: Look) -> Phrase:
    """The whole phrase around one that was found: longer, as long as those that drop out say nothing by themselves."""
    while len(phrase.words) < MAX_PHRASE:
        longer = [
            one
            for words in _extensions(phrase, documents)
            if _no_loss(phrase, one := examined(words, phrase.label, documents, known, look))
        ]
        if not longer:
            break
        phrase = max(longer, key=lambda one: (one.decades, one.words))
    return phrase


def _no_loss(phrase: Phrase, longer: Phrase) -> bool:
    import numpy as np

    dropped = ~np.isin(phrase.documents, longer.documents)
    alone = contradiction(phrase.carried[dropped], phrase.chances[dropped], phrase.counted[dropped])
    return alone < 1.0 and longer.decades >= LEAST_KEPT * phrase.decades


def _extensions(phrase: Phrase, documents: Documents) -> Iterator[tuple[int, ...]]:
    yield from extensions(phrase.words, phrase.documents[phrase.carried], phrase.at[phrase.carried], documents)
