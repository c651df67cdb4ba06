"""Detector: a contributor whose labels contradict the content of its rows more than anybody else's.

Two passes. The first keeps a sample of rows (those with the smallest content hashes) and counts rows by contributor.
The second asks for every row what the nearest sampled rows *of other contributors* carry (leave-source-out neighbours,
so that a contributor cannot vouch for itself), and counts by contributor, label and content. The excess over everybody
else is judged by a Beta-binomial tail (`contributors`), and the false discovery rate is controlled over contributors
(Benjamini and Hochberg, 1995).

A contributor that merely sends other classes than the others is named, but is no alarm.

Cost: n * 8,192 distances on at most 64 axes.

What it cannot see: contributors of fewer than 20 rows; a contributor without whom too little is left to compare with;
wrong labels that its content cannot tell (classes that overlap everywhere); many who conspire and are most of the data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Scores
from interlock.poisoning.hashing import first_of_each
from interlock.poisoning.survey import Profile, projected
from interlock.poisoning.tables.source_content import MIN_ROWS, ContentOfSources, owners_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REFERENCES = 8192
MAX_SOURCES = 2**16
"""Contributors that are judged, those with most rows first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleState:
    """Counts by contributor and label, and a sample of rows.

    Args:
        seen: int64 array: labelled rows.
        sources: uint64 array (s,), ascending: hashes of the contributors' names; 0 where none is given.
        rows: int64 array (s, c): their rows of each class.
        keys: uint64 array (r,), ascending: content hashes of the sampled rows.
        labels: int64 array (r,).
        owners: uint64 array (r,): hashes of their contributors.
        points: float32 array (r, p): their places on the principal axes.
        named: True when a batch said who contributed its rows.
    """

    seen: NDArray[np.int64] = field(repr=False)
    sources: NDArray[np.uint64]
    rows: NDArray[np.int64]
    keys: NDArray[np.uint64] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    owners: NDArray[np.uint64] = field(repr=False)
    points: NDArray[np.float32] = field(repr=False)
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceExcess:
    """Counts contributors and samples rows.

    Args:
        profile: Of the whole dataset.
        source: Name of the column that says who contributed a row; None when nobody kept it.
        seed: Of the content hash.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    source: str | None
    seed: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "source_excess"

    def unfit(self) -> str:
        """Why it cannot look."""
        if self.source is None:
            return "no source column was named, so nobody knows who contributed a row"
        if self.profile.unfit:
            return self.profile.unfit
        if not self.profile.varying:
            return "every feature is constant, so the content of a row says nothing of its label"
        return ""

    def partial(self, batch: Batch) -> SampleState:
        """Count and sample one batch."""
        import numpy as np

        mine = batch.labelled(self.profile.classes)
        labels, owners = mine.labels, owners_of(batch)[mine.known]
        sources, place = np.unique(owners, return_inverse=True)
        classes = len(self.profile.classes)
        counts = np.bincount(place * classes + labels, minlength=len(sources) * classes).reshape(-1, classes)
        keys, first = _first(batch.keys(self.profile.classes, self.seed), labels, owners)
        return SampleState(
            seen=mine.rows,
            sources=sources,
            rows=counts.astype(np.int64),
            keys=keys,
            labels=labels[first],
            owners=owners[first],
            points=projected(mine.features[first], self.profile),
            named=batch.sources is not None,
        )

    def merge(self, one: SampleState, other: SampleState) -> SampleState:
        """Both; associative and commutative, but for the order of `seen`."""
        import numpy as np

        sources, place = np.unique(np.concatenate([one.sources, other.sources]), return_inverse=True)
        rows = np.zeros((len(sources), one.rows.shape[1]), dtype=np.int64)
        np.add.at(rows, place, np.concatenate([one.rows, other.rows]))
        labels = np.concatenate([one.labels, other.labels])
        owners = np.concatenate([one.owners, other.owners])
        keys, first = _first(np.concatenate([one.keys, other.keys]), labels, owners)
        return SampleState(
            seen=np.concatenate([one.seen, other.seen]),
            sources=sources,
            rows=rows,
            keys=keys,
            labels=labels[first],
            owners=owners[first],
            points=np.concatenate([one.points, other.points])[first],
            named=one.named or other.named,
        )

    def finalize(self, state: SampleState) -> Scores | ContentOfSources:
        """Who is to be judged; the rows must be seen once more for it."""
        import numpy as np

        totals = state.rows.sum(axis=1)
        given = state.sources != 0
        order = np.lexsort((state.sources, -totals))
        judged = order[(given & (totals >= MIN_ROWS))[order]][:MAX_SOURCES]
        reason = ""
        if not state.named:
            reason = f"no file has a source column {self.source!r}"
        elif int(given.sum()) < 2:
            reason = "every row comes from one source" if given.any() else "no row says where it comes from"
        elif not len(judged):
            reason = f"none of {int(given.sum())} sources gave {MIN_ROWS} labelled rows or more"
        if reason:
            return Scores.silent(state.seen, unfit=reason)
        return ContentOfSources(
            profile=self.profile,
            judged=state.sources[judged],
            rows=state.rows[judged],
            others=int((given & (totals < MIN_ROWS)).sum()),
            labels=state.labels,
            owners=state.owners,
            points=state.points,
            device=self.device,
        )


def _first(
    keys: NDArray[np.uint64], labels: NDArray[np.int64], owners: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The smallest keys and where they are; of equal keys the one of the least label and contributor."""
    import numpy as np

    order = np.lexsort((owners, labels, keys))
    chosen = order[first_of_each(keys[order])][:REFERENCES]
    return keys[chosen], chosen
