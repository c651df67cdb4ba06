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

Cost: m * min(m, 8,192) distances on at most 64 axes for m rows, all or the `JUDGED` with the smallest content hashes;
the first of these are the ones that all are compared with. Models of `HEARD` rows, of all m after an alarm, and of
tables always, which are read a second time for it. Where there are more than m rows these decide whether labels are
wrong, and the others are read only after an alarm (`interlock.poisoning.labels.rest`).

What it cannot see: backdoored rows that are each other's neighbours; a handful of flips; flips of half a class or more;
without an accepted snapshot, flips between classes that overlap anyway where there are fewer than four classes, and
most flips in tables: their rows are ranked all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial

from interlock.poisoning.batches import Batch
from interlock.poisoning.density import density
from interlock.poisoning.detector import Scores
from interlock.poisoning.labels.cores import MIN_CLASSES
from interlock.poisoning.labels.drawn import JUDGED, Drawn
from interlock.poisoning.labels.judged import Judged
from interlock.poisoning.labels.out_of_fold import MAX_CLASSES, Models
from interlock.poisoning.labels.pairs import PairCount
from interlock.poisoning.labels.rest import Rest
from interlock.poisoning.labels.second_look import SecondLook
from interlock.poisoning.labels.votes import MAX_REFERENCES, NEIGHBOURS, counted
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.survey import Profile, projected

MIN_ROWS = 5 * (NEIGHBOURS + 1)

HEARD = 2**14
"""Rows whose chances decide whether there is an alarm; where there is one, those of all rows say which are named."""


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

    def partial(self, batch: Batch) -> tuple[Drawn, ...]:
        """Project one batch."""
        import numpy as np

        classes = self.profile.classes
        mine, keys = batch.labelled(classes), batch.keys(classes, self.seed)
        points = projected(mine.features, self.profile)
        return (Drawn(rows=mine.rows, keys=keys, labels=mine.labels, of=np.arange(len(points)), points=points),)

    def merge(self, one: tuple[Drawn, ...], other: tuple[Drawn, ...]) -> tuple[Drawn, ...]:
        """Both; joined only when they hold far more than is judged, so that rows are not copied at every step."""
        parts = one + other
        # Copies of a row that is judged are indices; they alone are no reason to sort everything anew.
        held = sum(len(part.points) for part in parts)
        return (Drawn.joined(parts),) if held > 2 * JUDGED else parts

    def finalize(self, state: tuple[Drawn, ...]) -> Scores | SecondLook | Rest:
        """Vote, count, and compare with the null."""
        drawn = Drawn.joined(state)
        # Copies of a row must not vouch for each other's label: each content votes, and is counted, once.
        labels = drawn.labels[drawn.firsts]
        if len(labels) < MIN_ROWS:
            return Scores.silent(drawn.rows, unfit=f"fewer than {MIN_ROWS} distinct rows")
        points, classes = drawn.points, len(self.profile.classes)
        found, _ = nearest(points, points[:MAX_REFERENCES], NEIGHBOURS, device=self.device, same=True)
        votes = counted(found, labels, classes)
        apart = density(points, found, votes.labels)
        judged = Judged.of(self.profile.classes, drawn.rows, drawn.of, votes, apart=apart, accepted=self.accepted)
        if classes > MAX_CLASSES:
            return self._ended(judged.scores(), drawn)
        models = cache(partial(Models.of, points, votes.neighbours, votes.labels, classes))
        if not drawn.left and SecondLook.can(self.profile):
            return SecondLook(judged=judged, points=points, models=models())
        if classes >= MIN_CLASSES:
            judged = judged.heard(models().chances(points[:HEARD], votes.neighbours[:HEARD]))
        if not judged.alarm:
            return judged.scores()
        said = models().chances(points, votes.neighbours)
        return self._ended(judged.scores(said), drawn, models())

    def _ended(self, scores: Scores, drawn: Drawn, models: Models | None = None) -> Scores | Rest:
        """What was found, or who looks for more of it among the rows that were left out."""
        if not drawn.left or not scores.alarm:
            return scores
        return Rest(
            profile=self.profile,
            seed=self.seed,
            device=self.device,
            scores=scores,
            last=drawn.last,
            references=drawn.points[:MAX_REFERENCES],
            said=drawn.labels[drawn.firsts[:MAX_REFERENCES]],
            models=models,
        )
