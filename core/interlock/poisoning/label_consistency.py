"""Detector 1: rows whose label contradicts their nearest neighbours.

Wrong labels, by accident or on purpose, put rows of one class deep among those of another (Paudice, Munoz-Gonzalez and
Lupu, 2018, "Label sanitization against label flipping poisoning attacks"; counted per pair of classes as in the
confident joint of Northcutt, Jiang and Chuang, 2021). Classes that overlap do the same, so what counts is the excess
over what overlap allows: `interlock.poisoning.overlap` has the null of what neighbours say, and
`interlock.poisoning.labels.cores` that of what models say of rows that they were not fitted on. No clean reference set
is needed. Where the last accepted snapshot is known, its counts per pair of classes are a third null:
`interlock.poisoning.accepted.pairs`. The three share one budget. Which rows are named is another question than whether
labels are wrong, and models answer it better: `interlock.poisoning.labels.belief`.

The neighbour graph is read once more for how far rows are apart: `interlock.poisoning.density`.

Cost: n * min(n, 8,192) distances on at most 64 axes; every row is judged, and the rows with the smallest content hashes
are the ones that it is compared with. Models of `HEARD` rows, of all rows after an alarm, and of tables always, which
are read a second time for it.

What it cannot see: backdoored rows that are each other's neighbours; a handful of flips; flips of half a class or more;
without an accepted snapshot, flips between classes that overlap anyway where there are fewer than four classes, and
most flips in tables: their rows are ranked all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.density import density
from interlock.poisoning.detector import Scores
from interlock.poisoning.hashing import first_of_each, row_hashes
from interlock.poisoning.labels.cores import MIN_CLASSES
from interlock.poisoning.labels.judged import Judged
from interlock.poisoning.labels.out_of_fold import MAX_CLASSES, chances
from interlock.poisoning.labels.pairs import PairCount
from interlock.poisoning.labels.second_look import SecondLook
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.overlap import Votes
from interlock.poisoning.survey import Profile, projected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 20
MIN_ROWS = 5 * (NEIGHBOURS + 1)
MAX_REFERENCES = 2**13
"""Rows that are asked for their labels; more would only be nearer, and cost in proportion."""

HEARD = 2**14
"""Rows whose chances decide whether there is an alarm; where there is one, those of all rows say which are named."""


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

    def finalize(self, state: tuple[Projected, ...]) -> Scores | SecondLook:
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
        if int(first.sum()) < MIN_ROWS:
            reason = f"fewer than {MIN_ROWS} distinct rows"
            return Scores.silent(rows, unfit=reason)
        points = np.concatenate([part.points for part in state])[order][first]
        found, _ = nearest(points, points[:MAX_REFERENCES], NEIGHBOURS, device=self.device, same=True)
        votes = counted(found, labels[first], len(self.profile.classes))
        apart = density(points, found, votes.labels)
        judged = Judged.of(self.profile.classes, rows, copy_of, votes, apart=apart, accepted=self.accepted)
        classes = len(self.profile.classes)
        if classes > MAX_CLASSES:
            return judged.scores()
        if SecondLook.can(self.profile):
            return SecondLook(judged=judged, points=points)
        said = None
        if classes >= MIN_CLASSES:
            said = chances(points[:HEARD], votes.neighbours[:HEARD], votes.labels[:HEARD], classes)
            judged = judged.heard(said)
        if not judged.alarm:
            return judged.scores()
        if said is None or len(said) < len(points):
            said = chances(points, votes.neighbours, votes.labels, classes)
        return judged.scores(said)


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
