"""Detector 1: rows whose label contradicts their nearest neighbours.

Wrong labels, by accident or on purpose, put rows of one class deep among those of another (Paudice, Munoz-Gonzalez and
Lupu, 2018, "Label sanitization against label flipping poisoning attacks"; counted per pair of classes as in the
confident joint of Northcutt, Jiang and Chuang, 2021). Classes that overlap do the same, so what counts is the excess
over what overlap allows: `interlock.poisoning.overlap` has the null. No clean reference set is needed.

Where the last accepted snapshot is known, its counts per pair of classes are another null, and see what no single
snapshot can tell from an overlap: `interlock.poisoning.accepted.pairs`.

Cost: n * min(n, 8,192) distances on at most 64 axes; every row is judged, and the rows with the smallest content hashes
are the ones that it is compared with.

What it cannot see: backdoored rows that are each other's neighbours; a handful of flips; flips of half a class or more;
without an accepted snapshot, flips between classes that overlap anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.poisoning.accepted.pairs import Resembling, accused, beyond, weighed
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.density import density, measures, remarks
from interlock.poisoning.detector import LabelShift, Pair, Scores
from interlock.poisoning.hashing import first_of_each, row_hashes
from interlock.poisoning.labels.pairs import PairCount, pair_counts
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.overlap import Excess, Votes, spike, steady_shares
from interlock.poisoning.survey import Profile, projected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 20
MIN_ROWS = 5 * (NEIGHBOURS + 1)
MAX_REFERENCES = 2**13
"""Rows that are asked for their labels; more would only be nearer, and cost in proportion."""

PICTURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Projected:
    """Rows on the principal axes.

    Args:
        rows: int64 array (n,): indices in the dataset.
        keys: uint64 array (n,): content hashes.
        labels: int64 array (n,): positions in the profile's classes.
        points: float32 array (n, p).
    """

    rows: NDArray[np.int64]
    keys: NDArray[np.uint64]
    labels: NDArray[np.int64]
    points: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConsistency:
    """k-nearest-neighbour label consistency.

    Args:
        profile: Of the whole dataset.
        seed: Of the content hash that brings rows into one order.
        device: A torch device.
        accepted: What this detector counted in the last accepted snapshot; empty where there is none.
    """

    profile: Profile = field(repr=False)
    seed: int = 0
    device: str = "cpu"
    accepted: tuple[PairCount, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "knn"

    def unfit(self) -> str:
        """Why it cannot look."""
        if self.profile.unfit:
            return self.profile.unfit
        if self.profile.labelled < MIN_ROWS:
            return f"fewer than {MIN_ROWS} labelled rows, too few for {NEIGHBOURS} neighbours each"
        if not self.profile.varying:
            return "every feature is constant"
        return ""

    def partial(self, batch: Batch) -> tuple[Projected, ...]:
        """Project one batch."""
        labels = batch.codes(self.profile.classes)
        known = labels >= 0
        return (
            Projected(
                rows=batch.rows[known],
                keys=row_hashes(batch.features[known], self.seed),
                labels=labels[known],
                points=projected(batch.features[known], self.profile),
            ),
        )

    def merge(self, one: tuple[Projected, ...], other: tuple[Projected, ...]) -> tuple[Projected, ...]:
        """Both; they are joined only when all are there."""
        return one + other

    def finalize(self, state: tuple[Projected, ...]) -> Scores:
        """Vote, count, and compare with the null."""
        import numpy as np

        rows = np.concatenate([part.rows for part in state])
        keys = np.concatenate([part.keys for part in state])
        labels = np.concatenate([part.labels for part in state])
        # One order for one content: equal distances are then cut in the same way however the rows came.
        order = np.lexsort((rows, labels, keys))
        rows, keys, labels = rows[order], keys[order], labels[order]
        # Copies of a row must not vouch for each other's label: each content votes, and is counted, once.
        first = first_of_each(keys, labels)
        copy_of = np.cumsum(first) - 1
        back = np.argsort(rows)
        if int(first.sum()) < MIN_ROWS:
            reason = f"fewer than {MIN_ROWS} distinct rows"
            return Scores.silent(rows, unfit=reason)
        points = np.concatenate([part.points for part in state])[order][first]
        found, _ = nearest(points, points[:MAX_REFERENCES], NEIGHBOURS, device=self.device, same=True)
        votes = counted(found, labels[first], len(self.profile.classes))
        apart = density(points, found, votes.labels)
        decades, shifts = self._judge(votes, rows, copy_of)
        suspicion = np.where(votes.outvoted, 1 - votes.own / NEIGHBOURS, 0.0)
        resembles = np.where(votes.outvoted, votes.rival, votes.labels)
        scores = Scores(
            rows=rows[back],
            scores=suspicion[copy_of][back].astype(np.float32),
            decades=decades,
            shifts=shifts,
            suspicions=remarks(apart, rows[first]),
            pairs=pair_counts(votes.labels, resembles, self.profile.classes),
            measures=measures(apart),
        )
        return self._beside_accepted(scores, votes, rows, copy_of) if self.accepted else scores

    def _beside_accepted(
        self, found: Scores, votes: Votes, rows: NDArray[np.int64], copy_of: NDArray[np.int64]
    ) -> Scores:
        """The same with what there is too much of beside the accepted snapshot; two looks share one budget."""
        classes = self.profile.classes
        resembles, scores = weighed(votes.neighbours, votes.labels, classes, self.accepted)
        pairs = beyond(self.accepted, pair_counts(votes.labels, resembles, classes))
        seen = Resembling(
            rows=rows,
            labels=votes.labels[copy_of],
            resembles=resembles[copy_of],
            scores=scores[copy_of],
            classes=classes,
        )
        suspected = accused(pairs, seen, against="the last accepted snapshot", rule="label-excess")
        strongest = max([found.decades, *(one.decades for one in suspected)])
        return replace(
            found,
            decades=max(0.0, corrected(strongest, 2)),
            shifts=tuple(replace(one, decades=corrected(one.decades, 2)) for one in found.shifts),
            suspicions=(*(replace(one, decades=corrected(one.decades, 2)) for one in suspected), *found.suspicions),
        )

    def _judge(
        self, votes: Votes, rows: NDArray[np.int64], copy_of: NDArray[np.int64]
    ) -> tuple[float, tuple[LabelShift, ...]]:
        found = [spike(votes), *steady_shares(votes, len(self.profile.classes))]
        alarms = sorted((e for e in found if e.decades >= ALARM_DECADES), key=lambda excess: -excess.decades)
        shifts = [self._shift(excess, votes, rows, copy_of) for excess in alarms]
        return max(excess.decades for excess in found), tuple(shifts)

    def _shift(self, excess: Excess, votes: Votes, rows: NDArray[np.int64], copy_of: NDArray[np.int64]) -> LabelShift:
        import numpy as np

        mine = (votes.own < excess.below) & votes.outvoted
        mine &= (votes.labels == excess.label) | (excess.label < 0)
        mine &= (votes.rival == excess.rival) | (excess.rival < 0)
        firsts = np.flatnonzero(np.diff(copy_of, prepend=-1))
        everyone = np.flatnonzero(mine[copy_of])
        shown = everyone[np.argsort(rows[everyone])][:PICTURES].tolist()
        like = votes.like_rival[copy_of]
        return LabelShift(
            label=self.profile.classes[excess.label] if excess.label >= 0 else "",
            resembles=self.profile.classes[excess.rival] if excess.rival >= 0 else "",
            rows=tuple(sorted(rows[everyone].tolist())),
            expected=excess.expected,
            decades=excess.decades,
            pairs=tuple(
                Pair(row=int(rows[at]), neighbour=int(rows[firsts[like[at]]]) if like[at] >= 0 else -1) for at in shown
            ),
        )


def counted(found: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Votes:
    """What the neighbours of each row say.

    Args:
        found: int64 array (m, k): the neighbours' positions, nearest first.
        labels: int64 array (m,): positions in `classes`.
        classes: How many there are.
    """
    import numpy as np

    n = len(labels)
    own, rival = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    rival_votes, like_rival = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    step = max(1, 2**22 // classes)
    for at in range(0, n, step):
        block = slice(at, min(n, at + step))
        said = labels[found[block]]
        lines = np.arange(len(said))
        table = np.zeros((len(said), classes), dtype=np.int64)
        np.add.at(table, (lines[:, None], said), 1)
        own[block] = table[lines, labels[block]]
        table[lines, labels[block]] = -1
        rival[block] = table.argmax(axis=1)
        rival_votes[block] = table.max(axis=1)
        agrees = said == rival[block][:, None]
        like_rival[block] = np.where(agrees.any(axis=1), found[block][lines, agrees.argmax(axis=1)], -1)
    return Votes(
        labels=labels,
        neighbours=labels[found],
        own=own,
        rival=rival,
        rival_votes=rival_votes,
        like_rival=like_rival,
        in_place=_in_place(found),
    )


def _in_place(found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that are neighbours at least half as often as the average.

    Those that nobody was compared with stand with the nearest of those that somebody was.
    """
    import numpy as np

    n = len(found)
    asked = min(n, MAX_REFERENCES)
    frequent = np.bincount(found.ravel(), minlength=asked) * asked >= n * NEIGHBOURS // 2
    return np.concatenate([frequent, frequent[found[asked:, 0]]])
