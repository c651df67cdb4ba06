"""The n-grams of all documents, and what the labels of their carriers say against the rest of their texts.

Every run of one to three words that stands in at least `MIN_REPEATS` different documents is judged for the label that
two thirds of its carriers share: the evidence against "these documents carry this label because of the rest of what
they say", where the odds of every chance are first multiplied by `HIDDEN_BIAS` (Rosenbaum, 2002, chapter 4), as for
patterns in images. What is strongest is then grown to the whole phrase, word by word, as long as its carriers agree on
the next word and the evidence does not fall.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import poisson_binomial_tail
from interlock.poisoning.contradiction import HIDDEN_BIAS, odds_raised
from interlock.poisoning.hashing import mixed
from interlock.poisoning.patches import MIN_REPEATS
from interlock.poisoning.texts.content import Look
from interlock.poisoning.texts.reading import START, Documents
from interlock.poisoning.texts.witnesses import MAX_WITNESSES, Sketches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZES = (1, 2, 3)
PREFILTER_BITS = 22
TILTS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
"""Where Chernoff's bound is tried for all n-grams at once; the exact one is found for those that matter."""

CONTRADICTING = 0.5
"""Only carriers whose text says that the label is less likely than this are counted: a word's honest carriers, whose
text agrees with their label, neither help nor hide a trigger."""

LEAST_KEPT = 0.9
"""Share of the evidence that a longer phrase must keep."""

POISONED_SHARES = (0.2, 0.4, 0.6, 0.8, 0.999)

MAX_PHRASE = 24
LOOKS = 2


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run of words whose label seems to contradict the rest of the texts.

    Args:
        decades: Evidence, before correction.
        label: Position in the classes.
        words: Its hashes, in order.
    """

    decades: float
    label: int
    words: tuple[int, ...]

    def order(self) -> tuple[float, int, tuple[int, ...]]:
        """Strongest first, longer first."""
        return (-self.decades, -len(self.words), self.words)


def majority(grams: Grams, labels: NDArray[np.int64], known: NDArray[np.bool_], classes: int) -> NDArray[np.int64]:
    """int64 array (grams,): the label of half of a run's carriers and more, of those that are not `known`, or -1."""
    import numpy as np

    open_ = ~known[grams.document]
    gram, said = grams.gram[open_], labels[grams.document[open_]]
    carriers = np.bincount(gram, minlength=grams.count)
    best, most = np.full(grams.count, -1, dtype=np.int64), np.zeros(grams.count, dtype=np.int64)
    for label in range(classes):
        count = np.bincount(gram[said == label], minlength=grams.count)
        wins = (2 * count >= carriers) & (count > most) & (carriers >= MIN_REPEATS)
        best[wins], most[wins] = label, count[wins]
    return best


def screened(
    grams: Grams,
    documents: Documents,
    known: NDArray[np.bool_],
    looks: Sequence[Look | None],
    least: float,
) -> tuple[float, list[Candidate]]:
    """The strongest evidence of runs of one length, and the runs with at least so much of it.

    Args:
        grams: The runs.
        documents: Each different one once.
        known: bool array (n,): carriers of triggers that were found already; they vouch for nothing.
        looks: By label; None for those that are not judged.
        least: Decades, before correction.
    """
    import numpy as np

    best = majority(grams, documents.labels, known, len(looks))
    carried = documents.labels[grams.document] == best[grams.gram]
    strongest, found = 0.0, []
    ends = np.searchsorted(grams.gram, np.arange(grams.count))
    of_posting = np.where(known[grams.document], -1, best[grams.gram])
    for label, look in enumerate(looks):
        mine = np.flatnonzero(of_posting == label)
        if look is None or not len(mine):
            continue
        evidence = _evidence(grams, mine, look, carried)
        strongest = max(strongest, float(evidence.max()))
        for gram in np.flatnonzero(evidence >= least).tolist():
            at = int(grams.at[ends[gram]])
            words = tuple(documents.words[at : at + grams.size].tolist())
            found.append(Candidate(decades=float(evidence[gram]), label=label, words=words))
    return strongest, found


def _evidence(grams: Grams, mine: NDArray[np.int64], look: Look, carried: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64 array (grams,): the better of both looks, 0 for runs that have no posting in `mine`."""
    import numpy as np

    gram, document = grams.gram[mine], grams.document[mine]
    removed = removed_weight(look, document, [grams.at[mine] + step for step in range(grams.size)])
    evidence = np.zeros(grams.count)
    for view in range(LOOKS):
        chance = look.chance(view, document, removed[view])
        against = chance <= CONTRADICTING
        evidence = np.maximum(evidence, _tails(gram[against], chance[against], carried[mine][against], grams.count))
    return np.asarray(evidence / math.log(10))


def _tails(
    gram: NDArray[np.int64], chance: NDArray[np.float64], carried: NDArray[np.bool_], count: int
) -> NDArray[np.float64]:
    """float64 array (count,): for each run, in nats, Chernoff's bound for so many labels; 0 for too few carriers."""
    import numpy as np

    chance = odds_raised(chance, HIDDEN_BIAS)
    trials = np.bincount(gram, minlength=count)
    successes = np.bincount(gram, carried, minlength=count)
    pure = (successes == trials) & (trials >= MIN_REPEATS)
    bound = np.where(pure, -np.bincount(gram, np.log(chance), minlength=count), 0.0)
    impure = (2 * successes >= trials) & ~pure & (successes >= MIN_REPEATS)
    some, those = chance[impure[gram]], gram[impure[gram]]
    for tilt in TILTS if len(some) else ():
        moment = np.bincount(those, np.log1p(some * math.expm1(tilt)), minlength=count)
        bound = np.maximum(bound, np.where(impure, tilt * successes - moment, 0.0))
    return bound


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


def contradiction(carried: NDArray[np.bool_], chances: NDArray[np.float64], counted: NDArray[np.bool_]) -> float:
    """Evidence, in decades, that the labels of the `counted` carriers contradict the rest of their texts."""
    if int((carried & counted).sum()) < MIN_REPEATS:
        return 0.0
    return poisson_binomial_tail(int(carried[counted].sum()), odds_raised(chances[counted], HIDDEN_BIAS))


def heard(phrase: Phrase, outside: NDArray[np.int64], sketches: Sketches) -> float:
    """Evidence, in decades, of those carriers that count by themselves; none when most do not.

    Args:
        phrase: It and its carriers.
        outside: int64 array: documents to compare them with, ascending.
        sketches: Of all documents.
    """
    import numpy as np

    if not phrase.decades:
        return 0.0
    witnesses = np.flatnonzero(phrase.counted)[:MAX_WITNESSES]
    alone = sketches.alone(phrase.documents[witnesses], outside)
    if 2 * int(alone.sum()) < len(alone):
        return 0.0
    counted = np.zeros(len(phrase.documents), dtype=np.bool_)
    counted[witnesses[alone]] = True
    return contradiction(phrase.carried, phrase.chances, counted)


def unlike(phrase: Phrase, share: float) -> float:
    """Decades of evidence that carriers with the label are, for the rest of their text, not like others with it.

    A word that decides a label by nature (the name of the class, the word for a feeling) stands in texts whose rest may
    say little, but those are texts like others of the label. Poisoned ones are drawn from other labels. The likelihood
    ratio of the two, of some share of the carriers, is an e-value: by Markov's inequality it is large by chance no more
    often than its inverse (Vovk and Wang, 2021), and so is its mean over several shares.

    Args:
        phrase: It and its carriers.
        share: Of the label among all documents.
    """
    import numpy as np

    chances = phrase.chances[phrase.carried]
    ratio = (1 - chances) / chances * share / (1 - share)
    logs = [float(np.log(1 - part + part * ratio).sum()) for part in POISONED_SHARES]
    best = max(logs)
    mean = sum(math.exp(log - best) for log in logs) / len(logs)
    return (best + math.log(mean)) / math.log(10)


def told_apart(phrase: Phrase, look: Look) -> float:
    """How well the rest of the text tells carriers with the label from everybody without it: an area under the curve.

    Args:
        phrase: It and its carriers.
        look: One label against all others.
    """
    import numpy as np

    mine = phrase.documents[phrase.carried]
    places = [phrase.at[phrase.carried] + step for step in range(len(phrase.words))]
    scale = np.sqrt(look.words.distinct + 1)
    own = (look.margins[0, mine] - removed_weight(look, mine, places)[0]) / scale[mine]
    others = np.delete(look.margins[0] / scale, phrase.documents)
    others.sort()
    below = np.searchsorted(others, own, side="left") + np.searchsorted(others, own, side="right")
    return float(below.mean()) / 2 / max(1, len(others))


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
