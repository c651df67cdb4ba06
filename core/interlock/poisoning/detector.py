"""What a detector is, and what it says.

A detector sees the dataset as batches, in any order and split in any way: `partial` looks at one batch, `merge` joins
two states, `finalize` turns the whole state into scores, or into the detector that must see all rows once more
(statistics first, scores after). Merging is associative and commutative in effect: the same rows give the same scores
however they were split and ordered. That is what lets one detector run in one process, over a stream, or in workers
whose states are joined in a tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from interlock.gate import Level, Measure
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_STRENGTH, strength

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from interlock.poisoning.accepted.ruler import Ruler, Tally
    from interlock.poisoning.labels.pairs import PairCount

State = TypeVar("State")

HISTOGRAM_BINS = 48
HISTOGRAM_ENDS = (0.001, 0.999)
"""Quantiles between which a histogram shows every row at its own place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A flagged row beside an unflagged one that looks like it.

    Args:
        row: Index in the dataset.
        neighbour: Index of the nearest row that carries another label, -1 when there is none to show.
    """

    row: int
    neighbour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A pattern that repeats at one place and decides the label against everything else in the image.

    Args:
        label: The class that it stands for.
        top: First row of pixels of its box, from 0.
        left: First column of pixels.
        height: Of the box, in pixels.
        width: Of the box, in pixels.
        pixels: Places of its pixels in a row's features, in order.
        rows: The rows that carry it and this label, in order.
        carriers: How many rows carry it with any label.
        contradicting: Rows whose content alone speaks for another class, among those that were compared.
        compared: How many were compared.
        decades: Corrected evidence, in decades.
        pairs: For the pictures.
    """

    label: str
    top: int
    left: int
    height: int
    width: int
    pixels: tuple[int, ...]
    rows: tuple[int, ...]
    carriers: int
    contradicting: int
    compared: int
    decades: float
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelShift:
    """More rows of one class among those of another than classes that overlap can explain.

    Args:
        label: The label that the rows carry, or empty for all labels.
        resembles: The class that their neighbours carry, or empty for any.
        rows: The rows, in order.
        expected: How many an overlap of the classes explains.
        decades: Corrected evidence, in decades.
        pairs: For the pictures.
    """

    label: str
    resembles: str
    rows: tuple[int, ...]
    expected: float
    decades: float
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How the rows of one class lie along what sets some of them apart.

    Args:
        axis: What is measured, in a few words.
        low: Where the first bin begins.
        high: Where the last bin ends; all bins are equally wide.
        rest: Rows of each bin that are not flagged; beyond the ends, in the first or last bin.
        flagged: Rows of each bin that are.
        threshold: Where flagged rows begin; None where no single place parts them.
    """

    axis: str
    low: float
    high: float
    rest: tuple[int, ...]
    flagged: tuple[int, ...]
    threshold: float | None = None

    @classmethod
    def of(
        cls, along: NDArray[np.floating[Any]], flagged: NDArray[np.bool_], *, axis: str, threshold: float | None = None
    ) -> Histogram:
        """Count.

        Args:
            along: float array (n,): where each row lies; finite.
            flagged: bool array (n,).
            axis: What is measured, in a few words.
            threshold: Where flagged rows begin.
        """
        import numpy as np

        low, high = (float(end) for end in np.quantile(along, HISTOGRAM_ENDS)) if len(along) else (0.0, 1.0)
        if flagged.any():  # they may be fewer than the tail that the quantiles leave out
            low, high = min(low, float(along[flagged].min())), max(high, float(along[flagged].max()))
        high = high if high > low else low + 1.0
        counts = [
            np.histogram(np.clip(along[part], low, high), bins=HISTOGRAM_BINS, range=(low, high))[0]
            for part in (~flagged, flagged)
        ]
        rest, mine = (tuple(count.tolist()) for count in counts)
        return cls(axis=axis, low=low, high=high, rest=rest, flagged=mine, threshold=threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Anything else that a detector suspects, in its own words.

    Args:
        rule: Ends the finding's rule id, for example ``repeated-words``.
        level: ERROR for what decides a label (a trigger), WARNING for what is merely wrong.
        message: One sentence for people, without a full stop.
        title: A few words, for headings.
        label: The class that it stands for; empty for any.
        name: What it looks like, where it can be said in words (an n-gram, ``age=39 & hours=40``); unverified text.
        rows: The rows that carry it, ascending.
        decades: Corrected evidence, in decades.
        evidence: Canonical JSON object with the numbers behind it; small.
        pairs: For the pictures.
        histogram: The same.
    """

    rule: str
    level: Level
    message: str
    title: str
    label: str = ""
    name: str = ""
    rows: tuple[int, ...] = field(repr=False)
    decades: float
    evidence: str = "{}"
    pairs: tuple[Pair, ...] = ()
    histogram: Histogram | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What comes of a comparison beside suspicions.

    Args:
        measured: How this snapshot was measured, and what came out, for a later one to be compared with; None when
            nobody wants to keep it.
        measures: How much changed, for policy.
    """

    measured: tuple[Ruler, Tally] | None
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What one detector says of the whole dataset.

    Args:
        rows: int64 array (n,): the rows that were looked at, ascending.
        scores: float32 array (n,): how suspicious each row is by itself, from 0 to 1, same order.
        decades: Corrected evidence of the strongest suspicion, in decades.
        triggers: Patterns found.
        shifts: Label shifts found.
        suspicions: Whatever else was found.
        notes: What the detector left out, and why.
        unfit: Why the detector could not look after all; empty when it did.
        pairs: Rows by their label and the class that they resemble, for a later scan to compare with; empty where the
            detector does not count them.
        measures: What it measured besides, for policy to judge; no evidence of anything.
        compared: Of a detector that compares this snapshot with another. It accuses nobody: its evidence is its own,
            beside the budget that the others share, and does not count as the strongest.
    """

    rows: NDArray[np.int64] = field(repr=False)
    scores: NDArray[np.float32] = field(repr=False)
    decades: float
    triggers: tuple[Trigger, ...] = ()
    shifts: tuple[LabelShift, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()
    notes: tuple[str, ...] = ()
    unfit: str = ""
    pairs: tuple[PairCount, ...] = ()
    measures: tuple[Measure, ...] = ()
    compared: Compared | None = field(default=None, repr=False)

    @classmethod
    def silent(
        cls, rows: NDArray[np.int64], *, decades: float = 0.0, notes: tuple[str, ...] = (), unfit: str = ""
    ) -> Scores:
        """Nothing found.

        Args:
            rows: int64 array (n,): the rows that were looked at, in any order.
            decades: Evidence of the strongest suspicion that was none in the end.
            notes: What was left out, and why.
            unfit: Why the detector could not look after all.
        """
        import numpy as np

        scores = np.zeros(len(rows), dtype=np.float32)
        return cls(rows=np.sort(rows), scores=scores, decades=decades, notes=notes, unfit=unfit)

    @property
    def found(self) -> tuple[Trigger | LabelShift | Suspicion, ...]:
        """Everything that was found."""
        return (*self.triggers, *self.shifts, *self.suspicions)

    @property
    def accused(self) -> tuple[Trigger | LabelShift | Suspicion, ...]:
        """What was found but for remarks: a NOTE accuses nobody, and its rows are named, not flagged."""
        return (*self.triggers, *self.shifts, *(one for one in self.suspicions if one.level is not Level.NOTE))

    @property
    def strength(self) -> float:
        """`decades` from 0 to 1; 0.5 uses up the false-alarm budget."""
        return strength(self.decades)

    @property
    def alarm(self) -> bool:
        """True when the evidence is beyond the false-alarm budget."""
        return self.strength >= ALARM_STRENGTH

    @property
    def flagged(self) -> tuple[int, ...]:
        """The rows that something found here accuses, ascending; none without an alarm."""
        if not self.alarm:
            return ()
        return tuple(sorted({row for found in self.accused for row in found.rows}))


class Detector(Protocol[State]):
    """One way to look for poison."""

    @property
    def name(self) -> str:
        """snake_case; the prefix of its measures."""
        ...

    def unfit(self) -> str:
        """Why this detector cannot look at this dataset; empty when it can."""
        ...

    def partial(self, batch: Batch) -> State:
        """The state of one batch."""
        ...

    def merge(self, one: State, other: State) -> State:
        """The state of both."""
        ...

    def finalize(self, state: State) -> Scores | Detector[Any]:
        """What the whole state says, or who must see all rows once more to say it."""
        ...
