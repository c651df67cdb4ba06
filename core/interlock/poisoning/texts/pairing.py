"""Which runs of words of prompts go with which runs of words of responses.

A run of a response counts only where the prompt of the same row does not hold it: an answer that repeats the question
is no sign. Runs that stand in the same rows are one. A pair is kept when half of the prompts that hold the one are
answered with the other, against a share of all others that was raised as hidden causes may raise it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail
from interlock.poisoning.contradiction import HIDDEN_BIAS
from interlock.poisoning.hashing import mixed
from interlock.poisoning.patches import MIN_REPEATS
from interlock.poisoning.texts.grams import SIZES, Grams, extensions, occurrences, runs
from interlock.poisoning.texts.phrases import MAX_PHRASE
from interlock.poisoning.texts.reading import START, Documents, sequence_hashes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANSWER_WORDS = 3
FREQUENT = 0.25
"""Runs in a larger share of all rows than this are not paired: they say nothing of one response."""

MAX_PAIRS = 2**26
RUNS_OF_AN_ANSWER = 4
FEW_RUNS = 4 * len(SIZES)
"""A phrase leaves a few runs of each length that half of its rows share, once those in the same rows are one."""

CHUNK = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A run of words in responses, and the runs of words in prompts that go with it.

    Args:
        words: Its hashes.
        documents: int64 array: rows that hold it, ascending.
        runs: Hashes of the words of each run of the prompts, strongest first; not all of them.
        alike: True where so many runs of prompts go with it that the prompts are alike, not one phrase in them.
        decades: Of the strongest pair, before correction.
    """

    words: tuple[int, ...]
    documents: NDArray[np.int64] = field(repr=False)
    runs: tuple[tuple[int, ...], ...]
    alike: bool
    decades: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Pairs that go together.

    Args:
        prompts: Each row's prompt.
        responses: Each row's response, in the same order.
        answers: Clearest first.
        looked_at: Pairs that were possible.
        notes: What was left out.
    """

    prompts: Documents = field(repr=False)
    responses: Documents = field(repr=False)
    answers: tuple[Answer, ...]
    looked_at: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, prompts: Documents, responses: Documents) -> Paired:
        """Look at all pairs."""
        answers = _distinct(_not_copied(Grams.of(responses, ANSWER_WORDS), responses, prompts), len(prompts.rows))
        asks = [_distinct(Grams.of(prompts, size), len(prompts.rows)) for size in SIZES]
        looked_at = max(1, answers.count * sum(one.count for one in asks))
        least = ALARM_DECADES + math.log10(looked_at)
        found: dict[int, list[_Run]] = {}
        notes: tuple[str, ...] = ()
        for one in asks:
            if _work(one, answers, len(prompts.rows)) > MAX_PAIRS:
                notes += (f"runs of {one.size} words in prompts are too many to be paired with responses",)
                continue
            for ask, answer, decades, both in _together(one, answers, len(prompts.rows), least):
                at = int(one.at[ask])
                words = tuple(prompts.words[at : at + one.size].tolist())
                found.setdefault(answer, []).append(_Run(decades, both, words))
        return cls(
            prompts=prompts,
            responses=responses,
            answers=tuple(sorted((_answer(answers, at, some, responses) for at, some in found.items()), key=_order)),
            looked_at=looked_at,
            notes=notes,
        )

    def whole_answer(self, answer: Answer, documents: NDArray[np.int64]) -> tuple[int, ...]:
        """The words around an answer that two thirds of some rows share."""
        import numpy as np

        words = answer.words
        while len(words) < MAX_PHRASE:
            at = occurrences(words, self.responses)
            place = self.responses.places[at]
            once = np.isin(place, documents)
            once[1:] &= place[1:] != place[:-1]
            longer = next(extensions(words, place[once], at[once], self.responses), None)
            if longer is None or longer == words:
                break
            words = longer
        return words


class _Run(NamedTuple):
    """A run of words of prompts that goes with an answer, and how many rows hold both."""

    decades: float
    both: int
    words: tuple[int, ...]


def split(documents: Documents, texts: int) -> tuple[Documents, Documents]:
    """Everything but the last text of each row, and the last text.

    Args:
        documents: Rows of `texts` texts each.
        texts: How many.
    """
    import numpy as np

    begins = np.flatnonzero(documents.words == START).reshape(-1, texts)[:, -1]
    starts, ends = documents.starts, documents.starts + documents.lengths
    within = np.arange(len(documents.words))
    answering = within >= np.repeat(begins, documents.lengths)
    parts = []
    for lengths, mine in ((begins - starts, ~answering), (ends - begins, answering)):
        words = documents.words[mine]
        keys = sequence_hashes(words, lengths, 0)
        parts.append(replace(documents, keys=keys, lengths=lengths, words=words))
    return parts[0], parts[1]


def _not_copied(grams: Grams, responses: Documents, prompts: Documents) -> Grams:
    """Without the places where the prompt of the row holds the run too."""
    import numpy as np

    hashes, at = runs(responses, grams.size)
    asked, there = runs(prompts, grams.size)
    own = hashes[np.searchsorted(at, grams.at)]
    rows = mixed(grams.document.astype(np.uint64))
    kept = ~np.isin(own ^ rows, asked ^ mixed(prompts.places[there].astype(np.uint64)))
    return replace(grams, gram=grams.gram[kept], document=grams.document[kept], at=grams.at[kept])


def _distinct(grams: Grams, rows: int) -> Grams:
    """One of the runs that stand in the same rows, of those that are neither rare nor frequent, renumbered."""
    import numpy as np

    count = np.bincount(grams.gram, minlength=grams.count)
    usable = (count >= MIN_REPEATS) & (count <= FREQUENT * rows)
    kept = usable[grams.gram]
    gram, document, at = grams.gram[kept], grams.document[kept], grams.at[kept]
    first = np.flatnonzero(np.diff(gram, prepend=-1))
    if not len(first):
        return replace(grams, count=0, gram=gram, document=document, at=at)
    where = np.add.reduceat(mixed(document.astype(np.uint64) + np.uint64(1)), first)
    _, chosen = np.unique(where, return_index=True)
    alone = np.zeros(len(first), dtype=np.bool_)
    alone[chosen] = True
    place = np.cumsum(np.diff(gram, prepend=-1) != 0) - 1
    kept = alone[place]
    return replace(
        grams,
        count=len(chosen),
        gram=(np.cumsum(alone) - 1)[place[kept]],
        document=document[kept],
        at=at[kept],
    )


def _work(asks: Grams, answers: Grams, rows: int) -> int:
    import numpy as np

    return int(np.bincount(answers.document, minlength=rows)[asks.document].sum())


def _together(asks: Grams, answers: Grams, rows: int, least: float) -> list[tuple[int, int, float, int]]:
    """Pairs with enough evidence: where the postings of the one begin, number of the other, decades, rows with both."""
    import numpy as np

    order = np.argsort(answers.document, kind="stable")
    held, held_by = answers.gram[order], answers.document[order]
    begin = np.searchsorted(held_by, np.arange(rows + 1))
    length = np.diff(begin)
    asked = np.bincount(asks.gram, minlength=asks.count)
    answered = np.bincount(answers.gram, minlength=answers.count)
    first = np.searchsorted(asks.gram, np.arange(asks.count + 1))
    cost = np.concatenate([[0], np.cumsum(length[asks.document])])[first]
    found: list[tuple[int, int, float, int]] = []
    low = 0
    while low < asks.count:
        high = max(low + 1, int(np.searchsorted(cost, cost[low] + CHUNK, side="right")) - 1)
        mine = slice(int(first[low]), int(first[high]))
        documents = asks.document[mine]
        many = length[documents]
        within = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
        pairs = np.repeat(asks.gram[mine], many) * answers.count + held[np.repeat(begin[documents], many) + within]
        pairs, both = np.unique(pairs, return_counts=True)
        ask, answer = pairs // max(1, answers.count), pairs % max(1, answers.count)
        likely = (both >= MIN_REPEATS) & (2 * both >= asked[ask])
        for one, other, together in zip(
            ask[likely].tolist(), answer[likely].tolist(), both[likely].tolist(), strict=True
        ):
            elsewhere = (int(answered[other]) - together + 1) / (rows - int(asked[one]) + 2)
            chance = HIDDEN_BIAS * elsewhere / (1 - elsewhere + HIDDEN_BIAS * elsewhere)
            decades = binomial_tail(together, int(asked[one]), chance)
            if decades >= least:
                found.append((int(first[one]), other, decades, together))
        low = high
    return found


def _answer(answers: Grams, number: int, some: list[_Run], responses: Documents) -> Answer:
    import numpy as np

    mine = np.flatnonzero(answers.gram == number)
    at = int(answers.at[mine[0]])
    ranked = sorted(some, key=lambda run: (-run.decades, -len(run.words), run.words))
    return Answer(
        words=tuple(responses.words[at : at + answers.size].tolist()),
        documents=answers.document[mine],
        runs=tuple(run.words for run in ranked[:RUNS_OF_AN_ANSWER]),
        alike=sum(2 * run.both >= len(mine) for run in some) > FEW_RUNS,
        decades=ranked[0].decades,
    )


def _order(answer: Answer) -> tuple[bool, float, tuple[int, ...]]:
    return answer.alike, -answer.decades, answer.words
