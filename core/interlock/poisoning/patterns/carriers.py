"""The second reading of the pattern scan: who carries the patterns that were found.

A pattern decides a label when its carriers have one label far more often than the classes' sizes explain. A pattern
that all classes carry alike (a border, a watermark of the camera) decides nothing, and is let go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.gate import Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail
from interlock.poisoning.detector import Histogram, Pair, Scores, Suspicion
from interlock.poisoning.patterns.views import View, seen
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = 12
UNCERTAIN_SHARE = (0.4, 0.6)
"""When about half a class carries a pattern, which half does is a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A direction along which a class falls apart.

    Args:
        view: Which view of the rows.
        label: Position of the class among the profile's.
        direction: float32 array (columns of the view,).
        centres: float64 array (classes,): where the rest of each class lies along it.
        distance: How far the carriers lie from there.
        threshold: Where carriers begin.
        share: Of the class, in the sample.
        separation: Ashman's D.
        origin: ``own`` when the carriers' content is that of their class, ``other`` when it is that of other classes.
        decades: Corrected evidence.
    """

    view: int
    label: int
    direction: NDArray[np.float32] = field(repr=False)
    centres: NDArray[np.float64] = field(repr=False)
    distance: float
    threshold: float
    share: float
    separation: float
    origin: str
    decades: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Projections:
    """Rows along the splits.

    Args:
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes.
        along: float32 array (n, splits): each less the centre of the row's class, divided by the split's distance.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    along: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternCarriers:
    """Scores every row along the splits that were found.

    Args:
        profile: Of the whole dataset.
        views: What the rows are looked at as.
        splits: Strongest first.
        notes: Of the first reading.
    """

    profile: Profile = field(repr=False)
    views: tuple[View, ...]
    splits: tuple[Split, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "pattern_scan"

    def unfit(self) -> str:
        """Never: the first reading could look."""
        return ""

    def partial(self, batch: Batch) -> tuple[Projections, ...]:
        """Project one batch."""
        import numpy as np

        mine = batch.labelled(self.profile.classes)
        labels, points = mine.labels, seen(mine.features, self.profile, self.views)
        starts = np.cumsum([0, *(view.columns for view in self.views)])
        along = np.empty((len(labels), len(self.splits)), dtype=np.float32)
        for at, split in enumerate(self.splits):
            columns = points[:, starts[split.view] : starts[split.view + 1]]
            along[:, at] = (columns @ split.direction - split.centres[labels]) / split.distance
        return (Projections(rows=mine.rows, labels=labels, along=along),)

    def merge(self, one: tuple[Projections, ...], other: tuple[Projections, ...]) -> tuple[Projections, ...]:
        """Both; they are joined only when all are there."""
        return one + other

    def finalize(self, state: tuple[Projections, ...]) -> Scores:
        """Count carriers by label, and name those of patterns that decide one."""
        import numpy as np

        rows = np.concatenate([part.rows for part in state])
        order = np.argsort(rows)
        rows = rows[order]
        labels = np.concatenate([part.labels for part in state])[order]
        along = np.concatenate([part.along for part in state])[order]
        scores = np.zeros(len(rows), dtype=np.float32)
        taken = np.zeros(len(rows), dtype=bool)
        found: list[Suspicion] = []
        for at, split in enumerate(self.splits):
            mine = labels == split.label
            carries = along[:, at] > split.threshold / split.distance
            evidence = min(split.decades, self._concentration(along[:, at] > 0.5, labels, split))
            new = carries & mine & ~taken
            if evidence < ALARM_DECADES or 2 * int(new.sum()) < int((carries & mine).sum()):
                # What an earlier split explains adds its rows and no suspicion of its own.
                found = self._joined(found, rows, new, carries & mine, evidence)
            else:
                found.append(self._suspicion(split, rows, along[:, at], mine, evidence))
            if evidence >= ALARM_DECADES:
                taken |= carries & mine
                scores = np.where(mine, np.maximum(scores, np.clip(along[:, at], 0, 1)), scores)
        decades = max((one.decades for one in found), default=0.0)
        return Scores(rows=rows, scores=scores, decades=decades, suspicions=tuple(found), notes=self.notes)

    def _concentration(self, carries: NDArray[np.bool_], labels: NDArray[np.int64], split: Split) -> float:
        """Decades of evidence against "its carriers have this label as often as all rows do"."""
        hits, everyone = int((carries & (labels == split.label)).sum()), int(carries.sum())
        if hits == everyone:
            return math.inf
        return binomial_tail(hits, everyone, self.profile.class_rows[split.label] / sum(self.profile.class_rows))

    def _joined(
        self,
        found: list[Suspicion],
        rows: NDArray[np.int64],
        new: NDArray[np.bool_],
        carriers: NDArray[np.bool_],
        evidence: float,
    ) -> list[Suspicion]:
        if evidence < ALARM_DECADES:
            return found
        members = set(rows[carriers].tolist())
        for place, old in enumerate(found):
            if members & set(old.rows):
                more = tuple(sorted({*old.rows, *rows[new].tolist()}))
                return [*found[:place], replace(old, rows=more), *found[place + 1 :]]
        return found

    def _suspicion(
        self,
        split: Split,
        rows: NDArray[np.int64],
        along: NDArray[np.float32],
        mine: NDArray[np.bool_],
        decades: float,
    ) -> Suspicion:
        label = self.profile.classes[split.label]
        threshold = split.threshold / split.distance
        carries = along > threshold
        members = rows[carries & mine]
        elsewhere = int((carries & ~mine).sum())
        content = "their own class" if split.origin == "own" else "other classes"
        message = (
            f"{len(members)} rows labelled {label[:60]!r} share a faint pattern that sets them apart from their class "
            f"more sharply (D {split.separation:.1f}) than a tail can be; without it they vary as rows of {content} do"
        )
        low, high = UNCERTAIN_SHARE
        if low <= split.share <= high:
            message += "; about half the class carries it, and which half is not certain"
        evidence = canonical_json(
            {
                "label": label[:60],
                "separation": round(split.separation, 3),
                "share_of_class": round(split.share, 6),
                "content": split.origin,
                "carriers_of_other_labels": elsewhere,
            }
        ).decode()
        return Suspicion(
            rule="hidden-pattern",
            level=Level.ERROR,
            message=message,
            title=f"a faint pattern in {len(members)} rows of {label[:60]}",
            label=label,
            rows=tuple(members.tolist()),
            decades=decades,
            evidence=evidence,
            pairs=tuple(Pair(row=row, neighbour=-1) for row in members[:PICTURES].tolist()),
            histogram=Histogram.of(
                along[mine],
                carries[mine],
                axis=f"rows labelled {label[:60]} along the pattern: 0 is the class, 1 are the carriers",
                threshold=threshold,
            ),
        )
