"""The search for windows that decide a label: neighbours, words, and the closer look at what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.contradiction import HIDDEN_BIAS, NEIGHBOURS, FirstLook, Verdict, odds_raised, surroundings
from interlock.poisoning.patches import MAX_SHARE, MIN_REPEATS, Group, Images
from interlock.poisoning.repeats.album import Album, Moved
from interlock.poisoning.repeats.aligned import examine, look_alikes
from interlock.poisoning.repeats.believed import Believed, Candidate, another_view, believe, like_its_own
from interlock.poisoning.repeats.candidates import UNIT, Bounded, Carried, Weighed, bounded, carriers
from interlock.poisoning.repeats.likeness import likeness
from interlock.poisoning.repeats.windows import Family, families

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES = (4096, 16_384)
"""Rows that are asked first who else carries a candidate: what is everywhere is dropped before all are asked."""

MAX_WEIGHED = 8192
"""Rows that words are taken from. A pattern that decides labels is in many of any so many rows with strange labels."""

ALIKE_ROWS = 1024
MAX_EXAMINED = 32
"""Candidates that turned out natural before the closer look is given up, and said so."""

STILL = 0.9
"""A pattern that stands at one place with one content in this share of its rows does not move."""


def window_of(album: Album, group: Moved) -> NDArray[np.uint8]:
    """uint8 array (height, width, channels): the window in the first row of its group."""
    row, top, left = int(group.rows[0]), int(group.tops[0]), int(group.lefts[0])
    return album.codes[row, top : top + group.height, left : left + group.width]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search over images in canonical order.

    Args:
        album: The images.
        look: The first look at content.
        weighed: Rows that may prove something.
        seed: Of the hashes.
        device: A torch device.
    """

    album: Album
    look: FirstLook
    weighed: Weighed
    seed: int
    device: str

    @classmethod
    def of(cls, album: Album, keys: NDArray[np.uint64], *, seed: int, device: str) -> Search | None:
        """Neighbours and weights; None when there are too few distinct images.

        Args:
            album: The images.
            keys: uint64 array (n,): their content hashes.
            seed: Of the hashes.
            device: A torch device.
        """
        import numpy as np

        once = np.flatnonzero(album.distinct)
        if len(once) <= NEIGHBOURS:
            return None
        flat = album.codes.reshape(len(album.codes), -1)
        _, neighbours = surroundings(flat, keys, album.labels, classes=len(album.shares), device=device)
        if neighbours is None:
            return None
        near, base = neighbours.near, neighbours.base
        _, height, width, channels = album.codes.shape
        images = Images(
            levels=flat,
            height=height,
            width=width,
            channels=channels,
            labels=album.labels,
            shares=album.shares,
        )
        own = album.labels[once]
        agree = (album.labels[near[once]] == own[:, None]).sum(axis=1)
        chance = np.maximum((agree + album.shares[own]) / (NEIGHBOURS + 1), base[own, agree])
        weights = -np.log10(odds_raised(np.minimum(chance, 1 - 1e-6), HIDDEN_BIAS))
        strange = np.flatnonzero(2 * agree <= NEIGHBOURS)[:MAX_WEIGHED]
        weighed = Weighed(
            codes=album.codes[once[strange]],
            rows=once[strange],
            labels=own[strange],
            weights=np.rint(weights[strange] * UNIT).astype(np.int64),
        )
        look = FirstLook(images=images, distinct=album.distinct, near=near, base=base)
        return cls(album=album, look=look, weighed=weighed, seed=seed, device=device)

    def candidates(self) -> list[Candidate]:
        """The windows that contradict the content at first look, strongest first."""
        found: list[Candidate] = []
        each = families(self.seed)
        for family in each:
            judged, worth = bounded(family, self.weighed)
            everywhere = self._everywhere(family, worth, judged * len(each))
            found += [candidate for candidate in everywhere if not self._still(candidate)]
        return sorted(found, key=lambda one: (-one.decades, -one.group.height * one.group.width, one.word))

    def _everywhere(self, family: Family, worth: list[Bounded], looked_at: int) -> list[Candidate]:
        """The candidates with all of their rows, whatever they carry; those of a sample are asked first."""
        import numpy as np

        everyone = len(self.album.labels)
        for count in (size for size in SAMPLES if size < everyone):
            worth = [one for one, _, _ in self._judged(family, worth, count)]
        width = self.album.codes.shape[2]
        found = []
        for one, where, decades in self._judged(family, worth, everyone):
            height, wide = family.size(one.word)
            tops, lefts = np.divmod(where.place, width)
            group = Moved(label=one.label, height=height, width=wide, rows=where.row, tops=tops, lefts=lefts)
            found.append(Candidate(family=family, word=one.word, group=group, decades=decades, looked_at=looked_at))
        return found

    def _judged(self, family: Family, worth: list[Bounded], count: int) -> Iterator[tuple[Bounded, Carried, float]]:
        """What the first rows leave of the candidates, where each stands in them, and its evidence."""
        import numpy as np

        if not worth:
            return
        labels = self.album.labels
        words = np.unique(np.array([one.word for one in worth], dtype=np.uint64))
        carried = carriers(family, self.album.codes[:count], words)
        starts = np.searchsorted(carried.word, np.arange(len(words) + 1))
        places = {int(word): slice(starts[at], starts[at + 1]) for at, word in enumerate(words)}
        for one in worth:
            where = carried.only(places[one.word])
            # Rows of other labels that could not prove less: where they are many, nothing is left to prove.
            others = int((labels[where.row] != one.label).sum())
            if others * self._least_chance(one.label) >= len(one.rows):
                continue
            rows = np.union1d(one.rows, where.row)
            decades = self._at_first(one.label, rows)
            if decades >= ALARM_DECADES and len(rows) <= MAX_SHARE * len(labels):
                yield one, where, decades

    def _least_chance(self, label: int) -> float:
        """Of any row to carry a label."""
        least = max(float(self.album.shares[label]) / (NEIGHBOURS + 1), float(self.look.base[label].min()))
        return least * HIDDEN_BIAS / (1 - least + least * HIDDEN_BIAS)

    def _at_first(self, label: int, rows: NDArray[np.int64]) -> float:
        import numpy as np

        member = np.zeros(len(self.album.labels), dtype=np.int64)
        member[rows] = 1
        return self.look.decades(Group(size=0, top=0, left=0, label=label, rows=rows), member)

    def _still(self, candidate: Candidate) -> bool:
        """True when it is one content at one place: that is for the pattern that stands still to say."""
        import numpy as np

        group = candidate.group
        mine = group.only(self.album.labels[group.rows] == group.label)
        boxes = self.album.codes[
            mine.rows[:, None, None],
            (mine.tops[:, None] + np.arange(group.height))[:, :, None],
            (mine.lefts[:, None] + np.arange(group.width))[:, None, :],
        ]
        told = np.concatenate([mine.tops[:, None], mine.lefts[:, None], boxes.reshape(len(boxes), -1)], axis=1)
        _, counts = np.unique(told, axis=0, return_counts=True)
        return int(counts.max(initial=0)) >= STILL * len(told)

    def examined(self, candidates: list[Candidate]) -> tuple[list[Believed], float, int]:
        """The patterns, the strongest corrected evidence of all, and how many candidates were left over."""
        import numpy as np

        album = self.album
        known = np.zeros(len(album.labels), dtype=np.bool_)
        believed: list[Believed] = []
        strongest, natural = 0.0, 0
        for at, candidate in enumerate(candidates):
            group = candidate.group
            mine = group.rows[album.labels[group.rows] == group.label]
            wider = another_view(believed, mine, group.label)
            if not wider and corrected(candidate.decades, candidate.looked_at) < ALARM_DECADES:
                continue
            if natural == MAX_EXAMINED:
                left = [one for one in candidates[at:] if corrected(one.decades, one.looked_at) >= ALARM_DECADES]
                return believed, strongest, len(left)
            if int((~known[mine]).sum()) < MIN_REPEATS:
                continue
            verdict = self._verdict(candidate, known)
            evidence = corrected(verdict.decades, candidate.looked_at)
            strongest = max(strongest, evidence)
            if evidence < ALARM_DECADES and not (wider and like_its_own(candidate, verdict, album)):
                natural += 1
                continue
            known[mine] = True
            believe(believed, candidate, verdict, mine, evidence)
        return believed, strongest, 0

    def _verdict(self, candidate: Candidate, known: NDArray[np.bool_]) -> Verdict:
        """Of the rows that are not proven already."""
        group = candidate.group
        new = group.only(~known[group.rows])
        # Base rates hold the pattern's own rows, so where most of a group is proven they say nothing of the rest.
        base = self.look.base[group.label] * (2 * len(new.rows) > len(group.rows))
        return examine(self.album, new, base, known, alike=self._alike(candidate, known), device=self.device)

    def _alike(self, candidate: Candidate, known: NDArray[np.bool_]) -> float:
        import numpy as np

        album, group = self.album, candidate.group
        apart = album.distinct & ~known
        apart[group.rows] = False
        outside = np.flatnonzero(apart)[:ALIKE_ROWS]
        place = int(group.tops[0]) * album.codes.shape[2] + int(group.lefts[0])
        far = likeness(candidate.family, candidate.word, place, window_of(album, group), album.codes[outside])
        some = np.isfinite(far)
        return look_alikes(album, group, far[some], outside[some])
