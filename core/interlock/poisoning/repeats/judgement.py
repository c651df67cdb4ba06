"""What the copies in a dataset come to: conflicts beyond noise, and bursts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.gate import Json, Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.detector import Pair, Scores, Suspicion
from interlock.poisoning.repeats.clusters import Clusters, burst, conflicts, joined
from interlock.poisoning.repeats.contents import Contents
from interlock.poisoning.repeats.likes import shingles
from interlock.poisoning.repeats.sample import VOTERS, Sample
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAME_TEXT = 0.8
"""Jaccard similarity from which two texts are near copies."""

PICTURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """All rows in canonical order, and what is clean.

    Args:
        profile: Of the dataset.
        contents: The rows.
        of: int64 array (n,): which exact content each is.
        firsts: int64 array: the first row of each content.
        sample: What different contents are like.
    """

    profile: Profile = field(repr=False)
    contents: Contents = field(repr=False)
    of: NDArray[np.int64] = field(repr=False)
    firsts: NDArray[np.int64] = field(repr=False)
    sample: Sample = field(repr=False)

    def clusters(self, pairs: NDArray[np.int64]) -> Clusters:
        """Exact copies, and near ones joined by `pairs`."""
        return Clusters(
            of=joined(self.of, pairs),
            labels=self.contents.labels,
            plain=self.contents.plain,
            classes=len(self.profile.classes),
        )

    @property
    def exact(self) -> Clusters:
        """Exact copies only."""
        return Clusters(
            of=self.of, labels=self.contents.labels, plain=self.contents.plain, classes=len(self.profile.classes)
        )

    def scores(
        self,
        features: Mapping[int, NDArray[np.float32]],
        texts: Mapping[int, str],
        pairs: NDArray[np.int64],
        *,
        left: int,
    ) -> Scores:
        """What is suspicious.

        Args:
            features: Of some contents, by number.
            texts: Of some contents, by number.
            pairs: int64 array (p, 2): contents that may be near copies.
            left: Pairs that were not verified.
        """
        import numpy as np

        near = pairs[self._verified(features, texts, pairs)]
        looks = [("copies", self.exact)] + [("near copies", self.clusters(near))] * bool(len(near))
        suspicions: list[Suspicion] = []
        strongest = 0.0
        for kind, clusters in looks:
            for evidence, found in (self._conflicts(clusters, kind, features), self._bursts(clusters, kind)):
                decades = corrected(evidence, len(looks))
                strongest = max(strongest, decades)
                known = {(one.rule, row) for one in suspicions for row in one.rows}
                if decades >= ALARM_DECADES:
                    suspicions += [one for one in found if any((one.rule, row) not in known for row in one.rows)]
        contents = self.contents
        back = np.argsort(contents.rows)
        scores = np.zeros(len(contents.rows), dtype=np.float32)
        flagged = np.array(sorted({row for one in suspicions for row in one.rows}), dtype=np.int64)
        scores[np.isin(contents.rows, flagged)] = 1.0
        notes = [f"{left} pairs that may be near copies were not verified"] * bool(left)
        repeated = len(contents.rows) - len(self.firsts)
        if 2 * repeated >= len(contents.rows):
            notes.append(f"{repeated} of {len(contents.rows)} rows are copies of another row")
        return Scores(
            rows=contents.rows[back],
            scores=scores[back],
            decades=strongest,
            suspicions=tuple(suspicions),
            notes=tuple(notes),
        )

    def _verified(
        self, features: Mapping[int, NDArray[np.float32]], texts: Mapping[int, str], pairs: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        import numpy as np

        good = np.zeros(len(pairs), dtype=np.bool_)
        parts = {content: shingles(text) for content, text in texts.items()}
        for at, (one, other) in enumerate(pairs.tolist()):
            if texts:
                shared = len(np.intersect1d(parts[one], parts[other], assume_unique=True))
                good[at] = shared >= SAME_TEXT * (len(parts[one]) + len(parts[other]) - shared)
            else:
                apart = features[one].astype(np.float64) - features[other]
                good[at] = float((apart * apart).sum()) <= self.sample.reach
        return good

    def _conflicts(
        self, clusters: Clusters, kind: str, features: Mapping[int, NDArray[np.float32]]
    ) -> tuple[float, list[Suspicion]]:
        import numpy as np

        _, disagreeing = clusters.purest()
        plain = np.bincount(clusters.of, weights=clusters.plain) > 0
        repeats = (clusters.sizes > 1) & ~plain
        decades = conflicts(disagreeing[repeats], self.sample.ceiling)
        if decades < ALARM_DECADES:
            return decades, []
        wrong = self._less_likely(clusters, repeats & (disagreeing > 0), features)
        rows = np.sort(self.contents.rows[wrong])
        found = int((repeats & (disagreeing > 0)).sum())
        message = (
            f"{found} of {int(repeats.sum())} contents that repeat as {kind} carry several labels; the nearest "
            f"different contents disagree in {100 * self.sample.ceiling:.1f} % of cases"
        )
        evidence: dict[str, Json] = {
            "kind": kind,
            "conflicting_contents": found,
            "repeated_contents": int(repeats.sum()),
            "nearest_contents_disagree": round(self.sample.ceiling, 6),
        }
        suspicion = Suspicion(
            rule="conflicting-duplicates",
            level=Level.WARNING,
            message=message,
            title="Copies with several labels",
            rows=tuple(rows.tolist()),
            decades=decades,
            evidence=canonical_json(evidence).decode(),
            pairs=self._pairs(clusters, wrong),
        )
        return decades, [suspicion]

    def _less_likely(
        self, clusters: Clusters, chosen: NDArray[np.bool_], features: Mapping[int, NDArray[np.float32]]
    ) -> NDArray[np.int64]:
        """The rows of conflicting clusters whose label their copies and the contents around them support least."""
        import numpy as np

        members = np.flatnonzero(chosen[clusters.of])
        named = clusters.of[members] * clusters.classes + clusters.labels[members]
        _, place, counts = np.unique(named, return_inverse=True, return_counts=True)
        support = counts[place.reshape(-1)].astype(np.float64)
        known = np.array([int(self.of[row]) in features for row in members.tolist()], dtype=np.bool_)
        if known.any() and len(self.sample.rows) > VOTERS:
            asked = members[known]
            rows = np.stack([features[int(self.of[row])] for row in asked.tolist()])
            support[known] += self.sample.support(rows, clusters.labels[asked]) / (VOTERS + 1)
        best = np.zeros(len(chosen))
        np.maximum.at(best, clusters.of[members], support)
        worst = np.full(len(chosen), np.inf)
        np.minimum.at(worst, clusters.of[members], support)
        # Where nothing speaks for one label rather than another, every copy is named.
        tie = worst[clusters.of[members]] == best[clusters.of[members]]
        return np.asarray(members[(support < best[clusters.of[members]]) | tie])

    def _bursts(self, clusters: Clusters, kind: str) -> tuple[float, list[Suspicion]]:
        import numpy as np

        label, _ = clusters.purest()
        plain = np.bincount(clusters.of, weights=clusters.plain) > 0
        sizes = clusters.sizes
        strongest, found = 0.0, []
        for code in range(clusters.classes):
            mine = np.flatnonzero((label == code) & ~plain)
            decades, least = burst(sizes[mine]) if len(mine) else (0.0, 0)
            decades = corrected(decades, clusters.classes)
            strongest = max(strongest, decades)
            if decades >= ALARM_DECADES:
                found.append(replace(self._burst(clusters, kind, code, mine, least), decades=decades))
        return strongest, found

    def _burst(self, clusters: Clusters, kind: str, code: int, mine: NDArray[np.int64], least: int) -> Suspicion:
        import numpy as np

        all_sizes = clusters.sizes
        loud_ones = mine[all_sizes[mine] >= least]
        sizes, loud = all_sizes[mine], all_sizes[loud_ones]
        rows = np.flatnonzero(np.isin(clusters.of, loud_ones) & (clusters.labels == code))
        label = self.profile.classes[code]
        usual = int(sizes[sizes < loud.min()].max(initial=1))
        message = (
            f"{len(loud)} contents labelled {label[:60]} repeat {int(loud.min())} to {int(loud.max())} times as "
            f"{kind}, nearly always with this label; no other of its {len(sizes)} contents repeats more than "
            f"{usual} times"
        )
        evidence: dict[str, Json] = {
            "kind": kind,
            "contents": len(loud),
            "contents_of_the_class": len(sizes),
            "fewest_copies": int(loud.min()),
            "most_copies": int(loud.max()),
            "most_copies_otherwise": usual,
        }
        return Suspicion(
            rule="repeated-rows",
            level=Level.WARNING,
            message=message,
            title="One content again and again",
            label=label,
            rows=tuple(sorted(self.contents.rows[rows].tolist())),
            decades=0.0,
            evidence=canonical_json(evidence).decode(),
        )

    def _pairs(self, clusters: Clusters, wrong: NDArray[np.int64]) -> tuple[Pair, ...]:
        import numpy as np

        rows, pairs = self.contents.rows, []
        for row in wrong[np.argsort(rows[wrong])][:PICTURES].tolist():
            others = np.flatnonzero((clusters.of == clusters.of[row]) & (clusters.labels != clusters.labels[row]))
            neighbour = int(rows[others].min()) if len(others) else -1
            pairs.append(Pair(row=int(rows[row]), neighbour=neighbour))
        return tuple(pairs)
