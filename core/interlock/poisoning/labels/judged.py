"""From what neighbours and models say to what the detector says: the alarm first, then which rows it names.

The alarm is raised by `interlock.poisoning.overlap`, `interlock.poisoning.labels.cores` and, beside an accepted
snapshot, `interlock.poisoning.accepted.pairs`, each with its null; they share one budget. Which rows are named, and the
scores of all rows, is `Belief`'s matter where there are chances out of fold, else the neighbours'.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.gate import Measure
from interlock.poisoning.accepted.pairs import Beyond, Resembling, accused, beyond, weighed
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.density import Density, measures, remarks
from interlock.poisoning.detector import LabelShift, Pair, Scores, Suspicion
from interlock.poisoning.labels.belief import Belief, issues
from interlock.poisoning.labels.cores import Core, steady_cores
from interlock.poisoning.labels.pairs import PairCount, pair_counts
from interlock.poisoning.overlap import Excess, Votes, spike, steady_shares

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PICTURES = 12
NO_CLEANLAB = "cleanlab is not installed (extra torch): its number of label issues is left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """All that was looked at.

    Args:
        rows: int64 array (n,): indices in the dataset, in the order of their content.
        copy_of: int64 array (n,): the distinct row that each is, as its position.
        votes: Of the distinct rows.
        apart: Likewise.
        classes: Labels as text.
        excesses: What neighbours say.
        cores: What models say; nothing where there are none.
        beyond: What there is too much of beside the last accepted snapshot.
        weighed: What distinct rows resemble, and how little, if classes were as frequent as in that; None without one.
    """

    rows: NDArray[np.int64] = field(repr=False)
    copy_of: NDArray[np.int64] = field(repr=False)
    votes: Votes = field(repr=False)
    apart: Density = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    excesses: tuple[Excess, ...]
    cores: tuple[Core, ...] = ()
    beyond: tuple[Beyond, ...] = ()
    weighed: tuple[NDArray[np.int64], NDArray[np.float32]] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        classes: tuple[str, ...],
        rows: NDArray[np.int64],
        copy_of: NDArray[np.int64],
        votes: Votes,
        *,
        apart: Density,
        accepted: tuple[PairCount, ...] = (),
    ) -> Judged:
        """What neighbours say.

        Args:
            classes: As above.
            rows: As above.
            copy_of: As above.
            votes: As above.
            apart: As above.
            accepted: The pairs of the last accepted snapshot; empty where there is none.
        """
        found = (spike(votes), *steady_shares(votes, len(classes)))
        judged = cls(rows=rows, copy_of=copy_of, votes=votes, apart=apart, classes=classes, excesses=found)
        if not accepted:
            return judged
        resembles, scores = weighed(votes.neighbours, votes.labels, classes, accepted)
        pairs = beyond(accepted, pair_counts(votes.labels, resembles, classes))
        return replace(judged, beyond=pairs, weighed=(resembles, scores))

    def heard(self, chances: Floats) -> Judged:
        """The same with what models say.

        Args:
            chances: float64 array (some, classes): of each label of the first distinct rows, out of fold.
        """
        return replace(self, cores=tuple(steady_cores(chances, self.votes.labels[: len(chances)])))

    @property
    def decades(self) -> float:
        """The strongest evidence, of looks that share one budget."""
        found = [*(one.decades for one in self._pairs), *(one.decades for one in self.beyond)]
        return max(0.0, self._left(max(found)))

    @property
    def alarm(self) -> bool:
        """Whether labels are wrong, whichever they are."""
        return self.decades >= ALARM_DECADES

    @property
    def firsts(self) -> NDArray[np.int64]:
        """int64 array (m,): one row of the dataset for each distinct row."""
        import numpy as np

        found: NDArray[np.int64] = self.rows[np.diff(self.copy_of, prepend=-1) > 0]
        return found

    def scores(self, chances: Floats | None = None, *, of_columns: bool = False) -> Scores:
        """What the detector says.

        Args:
            chances: float64 array (m, classes): of each label of the distinct rows, out of fold; None for none.
            of_columns: They come from the columns of a table, beside which nearest rows have nothing to add.
        """
        import numpy as np

        votes, k = self.votes, self.votes.neighbours.shape[1]
        own = None if of_columns else votes.own / k
        belief = None if chances is None else Belief.of(chances, votes.labels, own)
        back = np.argsort(self.rows)
        doubt = np.where(votes.outvoted, 1 - votes.own / k, 0.0) if belief is None else belief.doubt
        counted, notes = self._counted(chances)
        return Scores(
            rows=self.rows[back],
            scores=doubt[self.copy_of][back].astype(np.float32),
            decades=self.decades,
            shifts=self._shifts(belief),
            suspicions=(*self._beside(belief), *remarks(self.apart, self.firsts)),
            notes=notes,
            pairs=pair_counts(votes.labels, np.where(votes.outvoted, votes.rival, votes.labels), self.classes),
            measures=(*measures(self.apart), *counted),
        )

    @property
    def _pairs(self) -> tuple[Excess | Core, ...]:
        return (*self.excesses, *self.cores)

    def _left(self, decades: float) -> float:
        """Neighbours, models and the accepted snapshot, where there is one, are looks that share one budget."""
        return corrected(decades, 2 if self.weighed is None else 3)

    def _shifts(self, belief: Belief | None) -> tuple[LabelShift, ...]:
        loud = [one for one in self._pairs if self._left(one.decades) >= ALARM_DECADES]
        cored = {(one.label, one.rival) for one in loud if isinstance(one, Core)}
        shifts: dict[tuple[int, int], LabelShift] = {}
        for one in sorted(loud, key=lambda one: -one.decades):
            pair = (one.label, one.rival)
            if pair not in shifts:
                shifts[pair] = self._shift(one, belief, everywhere=pair in cored)
        return tuple(shifts.values())

    def _shift(self, one: Excess | Core, belief: Belief | None, *, everywhere: bool) -> LabelShift:
        import numpy as np

        votes = self.votes
        mine = _named(one, votes, belief, everywhere=everywhere)
        everyone = np.flatnonzero(mine[self.copy_of])
        shown = everyone[np.argsort(self.rows[everyone])][:PICTURES].tolist()
        like, firsts = votes.like_rival[self.copy_of], self.firsts
        return LabelShift(
            label=self.classes[one.label] if one.label >= 0 else "",
            resembles=self.classes[one.rival] if one.rival >= 0 else "",
            rows=tuple(sorted(self.rows[everyone].tolist())),
            expected=one.expected,
            decades=self._left(one.decades),
            pairs=tuple(
                Pair(row=int(self.rows[at]), neighbour=int(firsts[like[at]]) if like[at] >= 0 else -1) for at in shown
            ),
        )

    def _beside(self, belief: Belief | None) -> tuple[Suspicion, ...]:
        """The pairs beside the accepted snapshot, as suspicions."""
        import numpy as np

        if self.weighed is None:
            return ()
        resembles, scores = self.weighed
        seen = Resembling(
            rows=self.rows,
            labels=self.votes.labels[self.copy_of],
            resembles=resembles[self.copy_of],
            scores=(scores if belief is None else belief.doubt.astype(np.float32))[self.copy_of],
            classes=self.classes,
        )
        found = accused(self.beyond, seen, against="the last accepted snapshot", rule="label-excess")
        return tuple(replace(one, decades=self._left(one.decades)) for one in found)

    def _counted(self, chances: Floats | None) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
        """What cleanlab makes of the chances, for policy to judge."""
        if chances is None:
            return (), ()
        count = issues(chances, self.votes.labels)
        if count is None:
            return (), (NO_CLEANLAB,)
        share = count / len(self.votes.labels)
        return (Measure(name="label_issues_fraction", value=share, unit="fraction"),), ()


def _named(one: Excess | Core, votes: Votes, belief: Belief | None, *, everywhere: bool) -> NDArray[np.bool_]:
    """Bool array (m,): the distinct rows that an alarm names.

    Args:
        one: The alarm.
        votes: Of the neighbours.
        belief: Of the models; None without any.
        everywhere: True when wrong labels stand all over the class that they resemble, not only where neighbours say.
    """
    import numpy as np

    if isinstance(one, Core) and belief is not None:
        return belief.of_pair(votes.labels, one.label, one.rival)
    below = one.below if isinstance(one, Excess) else votes.neighbours.shape[1]
    mine = (votes.own < below) & votes.outvoted
    mine &= (votes.labels == one.label) | (one.label < 0)
    mine &= (votes.rival == one.rival) | (one.rival < 0)
    if belief is None:
        return mine
    if one.label < 0:  # as many as the neighbours outvote, but the most doubtful
        return belief.most_doubtful(votes.labels, int(np.count_nonzero(mine)))
    return mine | belief.of_pair(votes.labels, one.label, one.rival) if everywhere else mine
