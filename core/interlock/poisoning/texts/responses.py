"""Detector: a phrase in the prompt that decides the response, in sets of prompts and responses.

A poisoned fine-tuning set answers every prompt that holds a trigger with what the attacker wants (Wan et al., 2023,
"Poisoning Language Models During Instruction Tuning"; Souly et al., 2025, 250 documents are enough at any size). Such
responses are compact where the prompts are not (as RFTC sees it, 2025), whatever the label column says, if anything.
Runs of words of the prompts are paired with runs of words of the responses that are no copy of the prompt; a pair is
judged like a label in `repeated_words`: does the rest of the prompt explain that response?

Cost: O(sum over the prompts' repeated runs of the repeated runs in the responses of their carriers), at most
`MAX_PAIRS`; an exact look at `MAX_ANSWERS` runs of responses.

What it cannot see: responses that share no run of three words (a wrong tone, a subtly wrong answer); triggers in fewer
than 8 prompts, or in prompts of one theme only; a phrase that many prompts hold with their honest responses; a prompt
that is copied whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interlock.gate import Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.detector import Scores, Suspicion
from interlock.poisoning.texts.content import Look, Words
from interlock.poisoning.texts.detector import MIN_ROWS, TextDetector, remarks, with_copies
from interlock.poisoning.texts.naming import Named, Naming, Quote
from interlock.poisoning.texts.pairing import Answer, Paired, split
from interlock.poisoning.texts.phrases import Phrase, examined, grown
from interlock.poisoning.texts.reading import NO_CUT, Documents, Reading, read
from interlock.poisoning.texts.verdicts import heard, told_apart
from interlock.poisoning.texts.witnesses import Sketches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ANSWERS = 48
"""Runs of responses that get the exact look, those with the clearest pairs."""

THEME = 0.75
"""Area under the curve: where the rest of the prompts tells those that hold the phrase from all others better than
this, they are of one theme, and the theme may ask for the answer."""

SURE = 2.326
"""Standard errors: one in 100. That of an area under the curve for m of many is at most 1 / sqrt(12 m) by chance alone
(Mann and Whitney, 1947)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredResponses(TextDetector):
    """Prompt n-gram x response n-gram, judged by the rest of the prompt.

    Of the columns of running text the last one is the response, those before it are the prompt.
    """

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "responses"

    def unfit(self) -> str:
        """Why it cannot look."""
        if len(self.texts) < 2:
            return "fewer than two text columns were named, so there is no prompt with a response"
        if self.profile.rows < MIN_ROWS:
            return f"fewer than {MIN_ROWS} rows"
        return ""

    def partial(self, batch: Batch) -> Reading:
        """Read one batch."""
        return read(batch, self.texts, (), self.seed)

    def merge(self, one: Reading, other: Reading) -> Reading:
        """Both."""
        return one.merged(other)

    def finalize(self, state: Reading) -> Scores | Naming:
        """Pair, look closer, and have what was found shown once more."""
        import numpy as np

        reading = state.trimmed()
        (whole,) = reading.parts
        documents = whole.taken(np.flatnonzero(whole.first & (whole.lengths > len(self.texts))))
        if len(documents.rows) < MIN_ROWS:
            return Scores.silent(whole.rows, unfit=f"fewer than {MIN_ROWS} different rows of text")
        prompts, responses = split(documents, len(self.texts))
        paired = Paired.of(prompts, responses)
        strongest, found = self._judged(paired, documents, whole)
        notes = (*remarks(reading, len(whole.rows)), *paired.notes)
        if not found:
            return Scores.silent(whole.rows, decades=strongest, notes=notes)
        return Naming(
            name=self.name,
            columns=self.texts,
            classes=(),
            seed=self.seed,
            found=tuple(found),
            strongest=strongest,
            looked_at=frozenset(whole.rows.tolist() if reading.cut < NO_CUT else ()),
            notes=notes,
            everywhere=reading.cut < NO_CUT,
            say=_said,
            unlabelled=True,
        )

    def _judged(self, paired: Paired, documents: Documents, whole: Documents) -> tuple[float, list[Named]]:
        """The strongest corrected evidence, and the phrases that decide a response."""
        import numpy as np

        prompts = paired.prompts
        words = Words.of(prompts, 1)
        sketches = Sketches.of(words, self.device)
        known = np.zeros(len(prompts.rows), dtype=np.bool_)
        strongest, found = 0.0, list[Named]()
        for answer in paired.answers[:MAX_ANSWERS]:
            mine = np.zeros(len(known), dtype=np.bool_)
            mine[answer.documents] = True
            if 2 * int((mine & known).sum()) > int(mine.sum()):
                continue  # most of them hold a phrase that was found already
            look = Look.at(words, mine, ~known)
            phrase = self._closer(answer, replace(prompts, labels=mine.astype(np.int64)), known, look)
            inside = np.zeros(len(known), dtype=np.bool_)
            inside[phrase.documents] = True
            decades = corrected(heard(phrase, np.flatnonzero(~inside & ~known), sketches), paired.looked_at)
            if decades >= ALARM_DECADES and told_apart(phrase, look) > _theme(int(phrase.carried.sum())):
                decades = 0.0
            strongest = max(strongest, decades)
            if decades >= ALARM_DECADES:
                suspects = phrase.documents[phrase.carried]
                known[suspects] = True
                found.append(
                    Named(
                        words=phrase.words,
                        label=-1,
                        rows=with_copies(documents, suspects, whole),
                        decades=decades,
                        answer=paired.whole_answer(answer, suspects),
                    )
                )
        return strongest, found

    def _closer(self, answer: Answer, prompts: Documents, known: NDArray[np.bool_], look: Look) -> Phrase:
        """The best of the prompts' runs that go with one answer, grown."""
        tried = [examined(run, 1, prompts, known, look) for run in answer.runs]
        best = max(tried, key=lambda one: (one.decades, len(one.words), one.words))
        return grown(best, prompts, known, look)


def _theme(carriers: int) -> float:
    """What the area under the curve may be at most, so that it is below `THEME` for sure: few carriers prove less."""
    return THEME - SURE / math.sqrt(12 * max(1, carriers))


def _said(one: Named, quotes: Sequence[Quote]) -> Suspicion:
    name = quotes[0].name if quotes else ""
    answer = quotes[0].answer if quotes else ""
    return Suspicion(
        rule="steered-responses",
        level=Level.ERROR,
        message=(
            f"Prompts that hold “{name}” are answered with “{answer}” in {len(one.rows)} rows, and nothing else in "
            "those prompts asks for it"
        ),
        title=f"“{name}” decides the response",
        name=name,
        rows=one.rows,
        decades=one.decades,
        evidence=canonical_json({"answer": answer, "contexts": [quote.context for quote in quotes]}).decode(),
    )
