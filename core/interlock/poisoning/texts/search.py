"""The search for phrases that decide a label: screen all runs of words, look closer, set aside what was found, repeat.

What was found no longer teaches, so that a second trigger, or the other words of a style, are judged by texts that
neither holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.texts.content import LOOKS, Look, Words
from interlock.poisoning.texts.grams import SIZES, Grams
from interlock.poisoning.texts.phrases import Phrase, examined, grown
from interlock.poisoning.texts.reading import Documents
from interlock.poisoning.texts.screening import Candidate, majority, screened
from interlock.poisoning.texts.verdicts import heard, unlike
from interlock.poisoning.texts.witnesses import Sketches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDS = 4
MAX_EXAMINED = 64
"""Candidates of one round that turned out natural before the rest is given up, and said so."""

FALSE_FLAGS = 0.001
"""Share of all rows that may be flagged although they carry a trigger's words by chance."""

MAX_FITTED = 2**28
"""Words x classes that are weighed in one round; the labels with the fewest candidates are left out, and said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisive:
    """A phrase that decides a label.

    Args:
        phrase: It and its carriers.
        suspects: int64 array: the carriers that are held to be poison, ascending.
        decades: Corrected evidence.
    """

    phrase: Phrase
    suspects: NDArray[np.int64] = field(repr=False)
    decades: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to.

    Args:
        phrases: That decide a label, strongest first of each round.
        strongest: Corrected evidence of the strongest run of words, whether it stood the closer look or not.
        looked_at: Hypotheses.
        notes: What was left out.
    """

    phrases: tuple[Decisive, ...]
    strongest: float
    looked_at: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Over documents with labels.

    Args:
        documents: Each different one once, in order.
        classes: How many labels there are.
        device: A torch device.
    """

    documents: Documents = field(repr=False)
    classes: int
    device: str = "cpu"

    def found(self) -> Found:
        """Look."""
        import numpy as np

        words = Words.of(self.documents, self.classes)
        sketches = Sketches.of(words, self.device)
        grams = [Grams.of(self.documents, size) for size in SIZES]
        looked_at = max(1, sum(one.count for one in grams) * self.classes * LOOKS)
        known = np.zeros(len(self.documents.rows), dtype=np.bool_)
        phrases: list[Decisive] = []
        strongest, notes = 0.0, set[str]()
        for _ in range(ROUNDS):
            looks, left_out = self._looks(words, grams, known)
            notes |= left_out
            # A run of a sentence is weak while the rest of the sentence vouches for it, and is judged when it is grown.
            least = math.log10(looked_at)
            screens = [screened(one, self.documents, known, looks, least) for one in grams]
            candidates = sorted((one for _, some in screens for one in some), key=Candidate.order)
            fresh, best, given_up = self._closer(candidates, looks, known, sketches, looked_at)
            quiet = max((top for top, _ in screens), default=0.0) if not candidates else 0.0
            strongest = max(strongest, best, 0.0, corrected(quiet, looked_at))
            if given_up:
                notes.add(f"{given_up} more phrases were not looked at more closely")
            if not fresh:
                break
            phrases += fresh
        return Found(phrases=tuple(phrases), strongest=strongest, looked_at=looked_at, notes=tuple(sorted(notes)))

    def _looks(
        self, words: Words, grams: Sequence[Grams], known: NDArray[np.bool_]
    ) -> tuple[list[Look | None], set[str]]:
        """A model for each label that any run of words could decide."""
        import numpy as np

        labels = self.documents.labels
        runs = np.zeros(self.classes, dtype=np.int64)
        for one in grams:
            best = majority(one, labels, known, self.classes)
            runs += np.bincount(best[best >= 0], minlength=self.classes)
        wanted = [label for label in np.argsort(-runs, kind="stable").tolist() if runs[label]]
        room = max(1, MAX_FITTED // max(1, len(words.bucket)))
        looks: list[Look | None] = [None] * self.classes
        for label in wanted[:room]:
            looks[label] = Look.at(words, labels == label, ~known)
        left_out = len(wanted) - room
        return looks, {f"{left_out} labels with few words of their own were not looked at"} if left_out > 0 else set()

    def _closer(
        self,
        candidates: Sequence[Candidate],
        looks: Sequence[Look | None],
        known: NDArray[np.bool_],
        sketches: Sketches,
        looked_at: int,
    ) -> tuple[list[Decisive], float, int]:
        """Phrases that stand the closer look, the strongest evidence, and how many were given up.

        `known` gains the carriers of those phrases.
        """
        accepted: list[Decisive] = []
        strongest, refused = 0.0, 0
        for place, candidate in enumerate(candidates):
            look = looks[candidate.label]
            if look is None:
                continue
            phrase = examined(candidate.words, candidate.label, self.documents, known, look)
            if corrected(phrase.decades, looked_at) < 0:
                continue  # most of its carriers hold a phrase that was found already
            phrase = grown(phrase, self.documents, known, look)
            decades = corrected(self._witnessed(phrase, known, sketches), looked_at)
            decades = min(decades, unlike(phrase, float((self.documents.labels == phrase.label).mean())))
            strongest = max(strongest, decades)
            if decades >= ALARM_DECADES:
                suspects = phrase.documents[self._suspect(phrase)]
                accepted.append(Decisive(phrase=phrase, suspects=suspects, decades=decades))
                known[suspects] = True
            elif (refused := refused + 1) >= MAX_EXAMINED:
                return accepted, strongest, len(candidates) - place - 1
        return accepted, strongest, 0

    def _witnessed(self, phrase: Phrase, known: NDArray[np.bool_], sketches: Sketches) -> float:
        """Evidence of those carriers that count by themselves; none when most do not."""
        import numpy as np

        inside = np.zeros(len(known), dtype=np.bool_)
        inside[phrase.documents] = True
        return heard(phrase, np.flatnonzero(~inside & ~known), sketches)

    def _suspect(self, phrase: Phrase) -> NDArray[np.bool_]:
        """A bool array (m,): the carriers that are held to be poison.

        Carriers with another label tell how many with this one are natural, if the phrase were indifferent. When that
        is next to nobody, every carrier of the label is suspect. Otherwise those are whose text speaks against it: the
        posterior of a mixture of natural carriers, whose text is like that of others with the label, and poisoned ones,
        whose text is like that of others without it.
        """
        import numpy as np

        share = float((self.documents.labels == phrase.label).mean())
        others, mine = int((~phrase.carried).sum()), int(phrase.carried.sum())
        natural = others * share / max(1e-9, 1 - share)
        if natural <= max(1.0, FALSE_FLAGS * len(self.documents.rows)):
            return phrase.carried
        poison = max(0.0, 1 - natural / mine)
        odds = poison * (1 - phrase.chances) / (1 - share)
        against = (1 - poison) * phrase.chances / share
        return np.asarray(phrase.carried & (odds >= against))
