"""Detector "clean": rows that contradict a small set of rows that are known to be right.

Where somebody keeps a small clean set (some tens to hundreds of rows of each class, in the dataset's own form), its
rows vote as the only neighbours: no flipped row can vouch for another. How often clean rows are outvoted by the other
clean rows is the null, per pair of classes, and what the dataset has beyond it is judged as beside an accepted snapshot
(`pairs`; clean references as in Xu et al., 2021, "Detecting AI trojans using meta neural analysis" and most defences
that ask for 10 rows a class).

The clean set only ever adds suspicion. Nobody vouches for it, so it takes back nothing that another detector found.

What it cannot see: poison with the right label; more than what as few rows can tell: with fewer than about 50 rows a
class the null is too uncertain to accuse anybody of less than a flood of flips.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from interlock.gate import SubjectError
from interlock.poisoning.accepted.pairs import Resembling, accused, beyond, compared
from interlock.poisoning.batches import Batch, Columns, Source
from interlock.poisoning.detector import Scores
from interlock.poisoning.labels import PairCount, pair_counts
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.survey import Profile, projected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from interlock.gate import OpenSubject

NEIGHBOURS = 10
MIN_EACH = 10
"""Clean rows of each class, at least."""

MAX_ROWS = 50_000
MAX_VALUES = 2**26

NEXT = "give 10 to 500 rows of each class, in the form of the dataset"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRows:
    """The clean set.

    Args:
        features: float32 array (n, d).
        labels: Label of each row.
    """

    features: NDArray[np.float32] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, opened: OpenSubject, columns: Columns) -> CleanRows:
        """Read a held clean set as the dataset is read; rows without a label or a readable image are no reference.

        Args:
            opened: The clean set.
            columns: Of the dataset, with the shape that its images are drawn to.

        Raises:
            SubjectError: It cannot be read, or is too small or too large.
        """
        import numpy as np

        features, labels, values = [], [], 0
        for batch in Source.of(opened, columns).batches():
            known = batch.labels >= 0
            values += batch.features.size
            features.append(batch.features[known])
            labels += [batch.vocabulary[code] for code in batch.labels[known].tolist()]
            if len(labels) > MAX_ROWS or values > MAX_VALUES:
                raise SubjectError(
                    f"a clean set has at most {MAX_ROWS:,} rows and {MAX_VALUES:,} values",
                    where=opened.subject.uri,
                    next_step=NEXT,
                )
        few = sorted(name for name, rows in Counter(labels).items() if rows < MIN_EACH)
        if not labels or few:
            said = f"fewer than {MIN_EACH} rows labelled {few[0]!r}" if few else "no row with a label"
            raise SubjectError(f"the clean set has {said}", where=opened.subject.uri, next_step=NEXT)
        return cls(features=np.concatenate(features), labels=tuple(labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted:
    """Rows and what the clean set says of them.

    Args:
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes.
        resembles: int64 array (n,): likewise.
        scores: float32 array (n,): share of the clean neighbours that is of other classes; 0 unless one outvotes it.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    resembles: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)  # without slots, so that what every batch needs is kept
class CleanNeighbours:
    """Votes of the clean set's rows.

    Args:
        profile: Of the whole dataset.
        clean: The clean set.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    clean: CleanRows = field(repr=False)
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "clean"

    def unfit(self) -> str:
        """Why it cannot look.

        Raises:
            SubjectError: The clean set has other features or other classes than the dataset.
        """
        width, labels = self.clean.features.shape[1], set(self.clean.labels)
        if width != self.profile.width:
            raise SubjectError(
                f"the clean set has {width} features, and the dataset {self.profile.width}",
                where="clean",
                next_step=NEXT,
            )
        if self.profile.unfit:
            return self.profile.unfit
        other = sorted(labels.symmetric_difference(self.profile.classes))
        if other:
            where = "clean set" if other[0] in labels else "dataset"
            raise SubjectError(f"only the {where} has the class {other[0]!r}", where="clean", next_step=NEXT)
        return "" if self.profile.varying else "no feature varies"

    def partial(self, batch: Batch) -> Voted:
        """Ask the clean rows about one batch."""
        mine = batch.labelled(self.profile.classes)
        there, theirs = self._references
        count = self._neighbours
        found, _ = nearest(projected(mine.features, self.profile), there, count, device=self.device)
        resembles, scores = self._voted(theirs[found], mine.labels)
        return Voted(rows=mine.rows, labels=mine.labels, resembles=resembles, scores=scores)

    def merge(self, one: Voted, other: Voted) -> Voted:
        """Both."""
        import numpy as np

        names = ("rows", "labels", "resembles", "scores")
        return Voted(**{name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in names})

    def finalize(self, state: Voted) -> Scores:
        """Compare with how often clean rows are outvoted."""
        import numpy as np

        order = np.argsort(state.rows)
        pairs = pair_counts(state.labels, state.resembles, self.profile.classes)
        before = self._among_clean()
        seen = Resembling(
            rows=state.rows,
            labels=state.labels,
            resembles=state.resembles,
            scores=state.scores,
            classes=self.profile.classes,
        )
        strongest = max((one.decades for one in compared(before, pairs)), default=0.0)
        return Scores(
            rows=state.rows[order],
            scores=state.scores[order],
            decades=max(0.0, strongest),
            suspicions=accused(beyond(before, pairs), seen, against="the clean set", rule="clean-excess"),
        )

    @cached_property
    def _neighbours(self) -> int:
        """No more than half of the smallest class, which could never outvote another otherwise."""
        smallest = min(Counter(self.clean.labels).values())
        return min(NEIGHBOURS, max(1, smallest // 2))

    @cached_property
    def _references(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        import numpy as np

        places = {name: place for place, name in enumerate(self.profile.classes)}
        labels = np.array([places[name] for name in self.clean.labels], dtype=np.int64)
        return projected(self.clean.features, self.profile), labels

    def _among_clean(self) -> tuple[PairCount, ...]:
        there, theirs = self._references
        found, _ = nearest(there, there, self._neighbours, device=self.device, same=True)
        resembles, _ = self._voted(theirs[found], theirs)
        return pair_counts(theirs, resembles, self.profile.classes)

    def _voted(
        self, said: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        import numpy as np

        votes = (said[:, :, None] == said[:, None, :]).sum(axis=2)
        own = (said == labels[:, None]).sum(axis=1)
        at = votes.argmax(axis=1)
        lines = np.arange(len(said))
        lost = votes[lines, at] > own
        resembles = np.where(lost, said[lines, at], labels)
        return resembles, np.where(lost, 1 - own / said.shape[1], 0.0).astype(np.float32)
