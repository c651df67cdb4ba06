"""After an alarm: the rows that were not among those that were judged, named as those were.

Whether labels are wrong was decided on a sample. A row of the rest is named by a finding when it carries the label, is
believed to be of the class, and is no less doubtful than the rows that the finding names already.

Cost: one reading, one product of the rows with the landmarks of the kernel, and neighbours for those whose label is not
what the kernel says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from interlock.gate import Level
from interlock.poisoning.batches import Batch, Labelled
from interlock.poisoning.detector import LabelShift, Scores, Suspicion
from interlock.poisoning.labels.belief import Belief
from interlock.poisoning.labels.out_of_fold import Models
from interlock.poisoning.labels.votes import NEIGHBOURS, counted
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.overlap import Votes
from interlock.poisoning.survey import Profile, projected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Found = TypeVar("Found", LabelShift, Suspicion)

SURE = 0.5
"""Rows of whose label the kernel says more are not asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubted:
    """Rows of a state.

    Args:
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes.
        resembles: int64 array (n,): what they are believed to be.
        doubt: float32 array (n,): how doubtful their label is.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    resembles: NDArray[np.int64]
    doubt: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The rest of label consistency for a dataset that is larger than what is judged.

    Args:
        profile: Of the whole dataset.
        seed: Of the content hash.
        device: A torch device.
        scores: What was found among the rows that were judged.
        last: Content hash and label of the last of those rows; the rest comes after it.
        references: float32 array (r, p): rows that are asked for their labels.
        said: int64 array (r,): these labels.
        models: What was learned from them; None where there are too many classes for it.
    """

    profile: Profile = field(repr=False)
    seed: int
    device: str
    scores: Scores = field(repr=False)
    last: tuple[int, int]
    references: NDArray[np.float32] = field(repr=False)
    said: NDArray[np.int64] = field(repr=False)
    models: Models | None = field(repr=False)

    @property
    def name(self) -> str:
        """The detector that it ends."""
        return "knn"

    def unfit(self) -> str:
        """Always fit."""
        return ""

    def partial(self, batch: Batch) -> tuple[Doubted, ...]:
        """Believe or doubt the rows of one batch."""
        import numpy as np

        classes, (last, label) = self.profile.classes, self.last
        mine, keys = batch.labelled(classes), batch.keys(classes, self.seed)
        beyond = (keys > last) | ((keys == last) & (mine.labels > label))
        rows, labels = mine.rows[beyond], mine.labels[beyond]
        resembles, doubt = labels.copy(), np.zeros(len(rows), dtype=np.float32)
        if len(rows):
            asked, belief = self._believed(mine, beyond)
            # Products differ in their last bits with the rows beside them.
            resembles[asked], doubt[asked] = belief.resembles, np.round(belief.doubt, 5)
        return (Doubted(rows=rows, labels=labels, resembles=resembles, doubt=doubt),)

    def merge(self, one: tuple[Doubted, ...], other: tuple[Doubted, ...]) -> tuple[Doubted, ...]:
        """Both; they are joined only when all are there."""
        return one + other

    def finalize(self, state: tuple[Doubted, ...]) -> Scores:
        """Add to each finding the rows that it names."""
        import numpy as np

        rest = Doubted(
            rows=np.concatenate([part.rows for part in state]),
            labels=np.concatenate([part.labels for part in state]),
            resembles=np.concatenate([part.resembles for part in state]),
            doubt=np.concatenate([part.doubt for part in state]),
        )
        rows = np.concatenate([self.scores.rows, rest.rows])
        order, larger = np.argsort(rows), len(rows) / len(self.scores.rows)
        return replace(
            self.scores,
            rows=rows[order],
            scores=np.concatenate([self.scores.scores, rest.doubt])[order],
            shifts=tuple(
                replace(self._with_more(one, one.resembles, rest), expected=one.expected * larger)
                for one in self.scores.shifts
            ),
            suspicions=tuple(
                one if one.level is Level.NOTE else self._with_more(one, json.loads(one.evidence)["resembles"], rest)
                for one in self.scores.suspicions
            ),
        )

    def _believed(self, mine: Labelled, beyond: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Belief]:
        """The rows of the rest whose label is in question, by their places among it, and what they may be."""
        import numpy as np

        labels, points = mine.labels[beyond], projected(mine.features[beyond], self.profile)
        asked = np.arange(len(labels))
        if self.models is None:
            votes = self._votes(points, labels)
            doubt = np.where(votes.outvoted, 1 - votes.own / NEIGHBOURS, 0.0)
            return asked, Belief(resembles=np.where(votes.outvoted, votes.rival, labels), doubt=doubt)
        words = self.models.ridge.of_strangers(points)
        own = words[asked, labels]
        asked = np.flatnonzero((own < SURE) | (own < words.max(axis=1)))
        votes = self._votes(points[asked], labels[asked])
        said = self.models.of_strangers(words[asked], votes.neighbours)
        return asked, Belief.of(said, votes.labels, votes.own / NEIGHBOURS)

    def _votes(self, points: NDArray[np.float32], labels: NDArray[np.int64]) -> Votes:
        near, _ = nearest(points, self.references, NEIGHBOURS, device=self.device)
        return counted(near, labels, len(self.profile.classes), self.said)

    def _with_more(self, one: Found, resembles: str, rest: Doubted) -> Found:
        """A finding with the rows of the rest that it names."""
        import numpy as np

        named = np.array(one.rows, dtype=np.int64)
        known = self.scores.scores[np.searchsorted(self.scores.rows, named)]
        known = known[known > 0]
        if not len(known):
            return one
        places = {name: place for place, name in enumerate(self.profile.classes)}
        mine: NDArray[np.bool_] = (rest.resembles != rest.labels) & (rest.doubt >= known.min())
        if one.label:
            mine &= rest.labels == places[one.label]
        if resembles:
            mine &= rest.resembles == places[resembles]
        return replace(one, rows=tuple(sorted({*one.rows, *rest.rows[mine].tolist()})))
