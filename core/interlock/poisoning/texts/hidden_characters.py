"""Detector: characters that nobody sees, on rows of one label.

Zero-width characters, bidi controls, tags, unusual spaces and look-alike letters make triggers that no reader notices
(Boucher et al., 2022). Data from the web is full of them for honest reasons, so that a sign alone is no alarm. Two
things are: signs where nobody would put them (inside a word of Latin letters, an override in a text without a letter
that is written from the right), at a rate that the other labels do not know; and any sign whose carriers' label
contradicts what their texts say, judged as `repeated_words` judges words.

Cost: one look at each text for characters beyond ASCII; a second pass over the words only when a sign repeats.

What it cannot see: signs in fewer than 8 rows; signs where they belong (a joiner in Persian) on rows that are of the
label anyway; look-alikes outside the table (Latin against Cyrillic, Greek, Armenian, Cherokee, full-width and
mathematical letters); signs out of place that all labels share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail, corrected
from interlock.poisoning.contradiction import HIDDEN_BIAS
from interlock.poisoning.detector import Scores, Suspicion
from interlock.poisoning.patches import MIN_REPEATS
from interlock.poisoning.texts.content import LOOKS, Look, Words
from interlock.poisoning.texts.detector import MIN_ROWS, TextDetector, remarks
from interlock.poisoning.texts.phrases import Phrase
from interlock.poisoning.texts.reading import Documents, Reading, read
from interlock.poisoning.texts.signs import ANY, Mark, marks, shown
from interlock.poisoning.texts.verdicts import heard, unlike
from interlock.poisoning.texts.witnesses import Sketches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONTEXTS = 3
MAX_MARKS = 256
"""Different signs that are judged, the most frequent ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Which rows hold which signs.

    Args:
        rows: Rows that carry a label, in parts.
        holders: int64 arrays (m, 3), in parts: row, label, code of the sign.
        contexts: By code: the first few rows and what stands there.
    """

    rows: tuple[NDArray[np.int64], ...]
    holders: tuple[NDArray[np.int64], ...]
    contexts: Mapping[int, tuple[tuple[int, str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenCharacters(TextDetector):
    """Signs that nobody sees x label."""

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "hidden"

    def partial(self, batch: Batch) -> Marked:
        """Look at the characters of one batch."""
        import numpy as np

        labels = batch.codes(self.profile.classes)
        holders: list[tuple[int, int, int]] = []
        contexts: dict[int, tuple[tuple[int, str], ...]] = {}
        for place in np.flatnonzero(labels >= 0).tolist():
            held = {
                mark: text for column in self.texts for text in [batch.texts[column][place]] for mark in marks(text)
            }
            for mark in sorted(held, key=lambda one: one.code):
                holders.append((batch.start + place, int(labels[place]), mark.code))
                if len(contexts.get(mark.code, ())) < CONTEXTS:
                    quote = (batch.start + place, shown(held[mark], mark))
                    contexts[mark.code] = (*contexts.get(mark.code, ()), quote)
        found = np.array(holders, dtype=np.int64).reshape(-1, 3)
        return Marked(rows=(batch.rows[labels >= 0],), holders=(found,), contexts=contexts)

    def merge(self, one: Marked, other: Marked) -> Marked:
        """Both."""
        contexts = {
            code: tuple(sorted({*one.contexts.get(code, ()), *other.contexts.get(code, ())})[:CONTEXTS])
            for code in {*one.contexts, *other.contexts}
        }
        return Marked(rows=one.rows + other.rows, holders=one.holders + other.holders, contexts=contexts)

    def finalize(self, state: Marked) -> Scores | Judged:
        """Silence, or the second look."""
        import numpy as np

        rows = np.sort(np.concatenate(state.rows))
        holders = np.concatenate(state.holders)
        holders = holders[np.lexsort((holders[:, 2], holders[:, 0]))]
        codes, counts = np.unique(holders[:, 2], return_counts=True)
        order = np.lexsort((codes, -counts))
        often = [int(codes[at]) for at in order if counts[at] >= MIN_REPEATS][:MAX_MARKS]
        if not often:
            return Scores.silent(rows)
        return Judged(detector=self, rows=rows, holders=holders, codes=tuple(often), contexts=state.contexts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Sees all rows once more: their words.

    Args:
        detector: Whose second look this is.
        rows: int64 array (n,): rows that carry a label, ascending.
        holders: int64 array (m, 3): row, label, code of the sign.
        codes: Signs that repeat.
        contexts: By code.
    """

    detector: HiddenCharacters
    rows: NDArray[np.int64] = field(repr=False)
    holders: NDArray[np.int64] = field(repr=False)
    codes: tuple[int, ...]
    contexts: Mapping[int, tuple[tuple[int, str], ...]] = field(repr=False)

    @property
    def name(self) -> str:
        """As before."""
        return self.detector.name

    def unfit(self) -> str:
        """Never."""
        return ""

    def partial(self, batch: Batch) -> Reading:
        """Read one batch."""
        own = self.detector
        return read(batch, own.texts, own.profile.classes, own.seed)

    def merge(self, one: Reading, other: Reading) -> Reading:
        """Both."""
        return one.merged(other)

    def finalize(self, state: Reading) -> Scores:
        """Judge each sign."""
        import numpy as np

        reading = state.trimmed()
        (whole,) = reading.parts
        whole = whole.taken(np.flatnonzero(whole.labels >= 0))
        documents = whole.taken(np.flatnonzero(whole.first))
        if len(documents.rows) < MIN_ROWS:
            return Scores.silent(whole.rows, unfit=f"fewer than {MIN_ROWS} different texts")
        judges = _Content(documents=documents, classes=len(self.detector.profile.classes), device=self.detector.device)
        looked_at = len(self.codes) * len(self.detector.profile.classes) * (LOOKS + 1)
        strongest, said = 0.0, []
        named = np.zeros(0, dtype=np.int64)
        for code in sorted(self.codes, key=lambda one: (Mark.of(one).sign == ANY, one)):
            # What is named already must not be named once more as "any".
            mine = self._holders(code, named if Mark.of(code).sign == ANY else named[:0])
            decades, label = self._evidence(code, mine, judges)
            decades = corrected(decades, looked_at)
            strongest = max(strongest, decades)
            if decades >= ALARM_DECADES:
                said.append(self._said(code, mine, label, decades))
                named = np.union1d(named, mine[mine[:, 1] == label, 0])
        said = _without_repeats(said)
        scores = np.zeros(len(self.rows), dtype=np.float32)
        for one in said:
            scores[np.searchsorted(self.rows, np.array(one.rows))] = 1.0
        return Scores(
            rows=self.rows,
            scores=scores,
            decades=max(0.0, strongest),
            suspicions=tuple(said),
            notes=tuple(remarks(reading, len(whole.rows))),
        )

    def _holders(self, code: int, without: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 array (m, 3): who holds a sign, but for some rows."""
        import numpy as np

        mine = self.holders[self.holders[:, 2] == code]
        return np.asarray(mine[~np.isin(mine[:, 0], without)])

    def _evidence(self, code: int, mine: NDArray[np.int64], judges: _Content) -> tuple[float, int]:
        """Decades for one sign, before correction, and the label that it stands for."""
        import numpy as np

        profile = self.detector.profile
        counts = np.bincount(mine[:, 1], minlength=len(profile.classes))
        label = int(counts.argmax())
        best = (judges.decades(mine[:, 0], label), label)
        for candidate in np.flatnonzero(counts >= MIN_REPEATS).tolist() if Mark.of(code).out_of_place else ():
            others = int(counts.sum() - counts[candidate])
            elsewhere = profile.labelled - profile.class_rows[candidate]
            chance = (others + 1) / (elsewhere + 2)
            chance = HIDDEN_BIAS * chance / (1 - chance + HIDDEN_BIAS * chance)
            best = max(best, (binomial_tail(int(counts[candidate]), profile.class_rows[candidate], chance), candidate))
        return best

    def _said(self, code: int, mine: NDArray[np.int64], label: int, decades: float) -> Suspicion:
        mark, name = Mark.of(code), self.detector.profile.classes[label]
        rows = tuple(mine[mine[:, 1] == label, 0].tolist())
        return Suspicion(
            rule="hidden-characters",
            level=Level.ERROR,
            message=(
                f"{len(rows)} texts labelled {name[:60]} hold {mark.name}, and {len(mine) - len(rows)} texts of all "
                "other labels do"
            ),
            title=f"Hidden characters stand for {name[:60]}",
            label=name,
            name=mark.name,
            rows=rows,
            decades=decades,
            evidence=canonical_json({"contexts": [quote for _, quote in self.contexts.get(code, ())]}).decode(),
        )


def _without_repeats(said: list[Suspicion]) -> list[Suspicion]:
    """Strongest first; none whose rows a stronger one names already."""
    kept: list[Suspicion] = []
    for one in sorted(said, key=lambda each: (-each.decades, each.name)):
        if not any(set(one.rows) <= set(other.rows) for other in kept):
            kept.append(one)
    return kept


class _Content:
    """What the words of texts say of their labels; fitted when first asked."""

    def __init__(self, *, documents: Documents, classes: int, device: str) -> None:
        self._documents = documents
        self._words = Words.of(documents, classes)
        self._sketches = Sketches.of(self._words, device)
        self._looks: dict[int, Look] = {}

    def decades(self, rows: NDArray[np.int64], label: int) -> float:
        """Evidence that rows carry a label against what their texts say."""
        import numpy as np

        labels = self._documents.labels
        if label not in self._looks:
            self._looks[label] = Look.at(self._words, labels == label, np.ones(len(labels), dtype=np.bool_))
        look = self._looks[label]
        inside = np.isin(self._documents.rows, rows)
        carriers = np.flatnonzero(inside)
        nothing = np.zeros(len(carriers))
        chances = [look.chance(view, carriers, nothing) for view in range(LOOKS)]
        group = Phrase.of(
            words=(), label=label, documents=carriers, at=carriers, carried=labels[carriers] == label, chances=chances
        )
        decades = heard(group, np.flatnonzero(~inside), self._sketches)
        return min(decades, unlike(group, float((labels == label).mean()))) if decades else 0.0
