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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Scores, Suspicion
from interlock.poisoning.survey import Profile
from interlock.poisoning.texts.naming import Named, Naming, Quote
from interlock.poisoning.texts.reading import (
    MAX_DOCUMENT_WORDS,
    MAX_WORDS,
    NO_CUT,
    Documents,
    Reading,
    read,
)
from interlock.poisoning.texts.search import Search

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedWords:
    """n-gram x label, judged by the rest of the text.

    Args:
        profile: Of the whole dataset.
        texts: Columns of running text.
        seed: Of the hashes.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    texts: tuple[str, ...] = ()
    seed: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "words"

    def unfit(self) -> str:
        """Why it cannot look."""
        if not self.texts:
            return "no text column was named"
        if self.profile.unfit:
            return self.profile.unfit
        if self.profile.labelled < MIN_ROWS:
            return f"fewer than {MIN_ROWS} labelled rows"
        return ""

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
            return silent(whole, unfit=f"fewer than {MIN_ROWS} different texts")
        found = Search(documents=documents, classes=len(self.profile.classes), device=self.device).found()
        notes += found.notes
        if not found.phrases:
            return silent(whole, decades=found.strongest, notes=notes)
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


def remarks(reading: Reading, looked_at: int) -> list[str]:
    """What the statistics left out."""
    notes = []
    if reading.cut < NO_CUT:
        notes.append(
            f"more than {MAX_WORDS} words: {looked_at} of {reading.seen} rows, chosen by content hash, were searched "
            "for phrases"
        )
    if reading.shortened:
        notes.append(f"only the first {MAX_DOCUMENT_WORDS} words of {reading.shortened} longer texts were read")
    return notes


def silent(whole: Documents, *, decades: float = 0.0, notes: tuple[str, ...] = (), unfit: str = "") -> Scores:
    """Nothing found."""
    import numpy as np

    rows = np.sort(whole.rows)
    return Scores(rows=rows, scores=np.zeros(len(rows), dtype=np.float32), decades=decades, notes=notes, unfit=unfit)


def with_copies(documents: Documents, places: NDArray[np.int64], whole: Documents) -> tuple[int, ...]:
    """Rows of some documents, and of those that equal them in text and label."""
    import numpy as np

    first = np.flatnonzero(whole.first)
    number = np.cumsum(whole.first) - 1
    wanted = np.isin(whole.rows[first], documents.rows[places])
    return tuple(sorted(whole.rows[wanted[number]].tolist()))
