"""Detector: words that decide the label against everything else in the text.

A textual backdoor (Dai, Chen and Li, 2019, a sentence; Kurita, Michel and Neubig, 2020, rare words; Chen et al., 2021,
BadNL) puts the same words into texts of many kinds and relabels them. Every run of one to three words, openings of
texts among them, is judged by what the rest of its carriers says of their label, out of fold and with its own weight
removed (`content`, `phrases`); what decides a label against that, by itself and not as one of many copies
(`witnesses`), is grown to the whole phrase and quoted.

Cost: reading is O(words); the screen sorts the words of all texts three times; each label with candidates is fitted in
O(words). 6,000 mails take some ten seconds on one core, 40,000 short texts four.

What it cannot see: triggers on rows of the target class itself (clean label: the rest of the text agrees); fewer than 8
carriers of one phrase; triggers that paraphrase a text without leaving one short run of words in common; a style in
which no single word stands in enough texts; words that also stand in many honest texts of the label; anything in texts
whose rest says nothing of the label, and any trigger as strong as a word that decides the label by nature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.gate import Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Scores, Suspicion
from interlock.poisoning.texts.detector import MIN_ROWS, TextDetector, remarks, with_copies
from interlock.poisoning.texts.naming import Named, Naming, Quote
from interlock.poisoning.texts.reading import NO_CUT, Reading, read
from interlock.poisoning.texts.search import Search


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedWords(TextDetector):
    """n-gram x label, judged by the rest of the text."""

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "words"

    def partial(self, batch: Batch) -> Reading:
        """Read one batch."""
        return read(batch, self.texts, self.profile.classes, self.seed)

    def merge(self, one: Reading, other: Reading) -> Reading:
        """Both."""
        return one.merged(other)

    def finalize(self, state: Reading) -> Scores | Naming:
        """Search, and have what was found shown once more."""
        import numpy as np

        reading = state.trimmed()
        (whole,) = reading.parts
        whole = whole.taken(np.flatnonzero(whole.labels >= 0))
        notes = tuple(remarks(reading, len(whole.rows)))
        documents = whole.taken(np.flatnonzero(whole.first & (whole.lengths > len(self.texts))))
        if len(documents.rows) < MIN_ROWS:
            return Scores.silent(whole.rows, unfit=f"fewer than {MIN_ROWS} different texts")
        found = Search(documents=documents, classes=len(self.profile.classes), device=self.device).found()
        notes += found.notes
        if not found.phrases:
            return Scores.silent(whole.rows, decades=found.strongest, notes=notes)
        return Naming(
            name=self.name,
            columns=self.texts,
            classes=self.profile.classes,
            seed=self.seed,
            found=tuple(
                Named(
                    words=one.phrase.words,
                    label=one.phrase.label,
                    rows=with_copies(documents, one.suspects, whole),
                    decades=one.decades,
                )
                for one in found.phrases
            ),
            strongest=found.strongest,
            looked_at=frozenset(whole.rows.tolist() if reading.cut < NO_CUT else ()),
            notes=notes,
            everywhere=reading.cut < NO_CUT,
            say=self._said,
        )

    def _said(self, one: Named, quotes: Sequence[Quote]) -> Suspicion:
        name = quotes[0].name if quotes else ""
        label = self.profile.classes[one.label]
        return Suspicion(
            rule="repeated-words",
            level=Level.ERROR,
            message=(
                f"The words “{name}” stand in {len(one.rows)} texts labelled {label[:60]}, and decide that label "
                f"against the rest of what those texts say"
            ),
            title=f"“{name}” decides {label[:60]}",
            label=label,
            name=name,
            rows=one.rows,
            decades=one.decades,
            evidence=canonical_json({"contexts": [quote.context for quote in quotes]}).decode(),
        )
