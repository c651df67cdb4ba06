"""What the nearest rows of other contributors say of every row: the second pass of `source_excess`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import Json, Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail, corrected, false_discovery
from interlock.poisoning.detector import Scores, Suspicion
from interlock.poisoning.hashing import text_hashes
from interlock.poisoning.neighbours import BLOCK_CELLS
from interlock.poisoning.survey import Profile, projected
from interlock.poisoning.tables.columns import MAX_NAME
from interlock.poisoning.tables.contributors import Contributors, Strata, compared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 16
MIN_ROWS = 20
"""Rows of a contributor that is judged."""

MAX_MIXES = 5
"""Contributors named because they send other classes than the rest."""

LEAST_REST = 4 * NEIGHBOURS
"""Sampled rows of others, without which a contributor's rows are compared with nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """What content says, counted.

    Args:
        seen: int64 array: labelled rows.
        strata: int64 array (m,), ascending: contributor, label, content and how sure it is, as one number.
        counts: int64 array (m,): rows.
        against: int64 array: rows whose label is not what content says.
        against_of: int64 array, same order: place of their contributor.
        sureness: int64 array, same order: how many neighbours say otherwise.
        texts: Name by place of the contributor.
    """

    seen: NDArray[np.int64] = field(repr=False)
    strata: NDArray[np.int64] = field(repr=False)
    counts: NDArray[np.int64] = field(repr=False)
    against: NDArray[np.int64] = field(repr=False)
    against_of: NDArray[np.int64] = field(repr=False)
    sureness: NDArray[np.int64] = field(repr=False)
    texts: dict[int, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentOfSources:
    """The second pass.

    Args:
        profile: Of the whole dataset.
        judged: uint64 array (s,): hashes of the contributors that are judged.
        rows: int64 array (s, c): their rows of each class.
        others: How many contributors are too small to be judged.
        labels: int64 array (r,): of the sampled rows.
        owners: uint64 array (r,): their contributors.
        points: float32 array (r, p).
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    judged: NDArray[np.uint64]
    rows: NDArray[np.int64]
    others: int
    labels: NDArray[np.int64] = field(repr=False)
    owners: NDArray[np.uint64] = field(repr=False)
    points: NDArray[np.float32] = field(repr=False)
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "source_excess"

    def unfit(self) -> str:
        """It looks at whatever the first pass looked at."""
        return ""

    def partial(self, batch: Batch) -> Votes:
        """Ask the neighbours of one batch."""
        import numpy as np

        mine = batch.labelled(self.profile.classes)
        labels, owners, rows = mine.labels, owners_of(batch)[mine.known], mine.rows
        content, sure = self._content(projected(mine.features, self.profile), labels, owners)
        place = self._places(owners)
        fit = content >= 0
        classes, levels = len(self.profile.classes), NEIGHBOURS + 1
        # The rows of those who are not judged still say what is usual: they share the last place.
        flat = ((place * classes + labels) * classes + content) * levels + sure
        strata, counts = np.unique(flat[fit], return_counts=True)
        wrong = fit & (content != labels) & (place < len(self.judged))
        return Votes(
            seen=rows,
            strata=strata,
            counts=counts.astype(np.int64),
            against=rows[wrong],
            against_of=place[wrong],
            sureness=sure[wrong],
            texts=self._texts(batch),
        )

    def merge(self, one: Votes, other: Votes) -> Votes:
        """Both."""
        import numpy as np

        strata, place = np.unique(np.concatenate([one.strata, other.strata]), return_inverse=True)
        counts = np.zeros(len(strata), dtype=np.int64)
        np.add.at(counts, place, np.concatenate([one.counts, other.counts]))
        return Votes(
            seen=np.concatenate([one.seen, other.seen]),
            strata=strata,
            counts=counts,
            against=np.concatenate([one.against, other.against]),
            against_of=np.concatenate([one.against_of, other.against_of]),
            sureness=np.concatenate([one.sureness, other.sureness]),
            texts={**one.texts, **other.texts},
        )

    def finalize(self, state: Votes) -> Scores:
        """Judge every contributor, and control the false discoveries."""
        import numpy as np

        classes, levels = len(self.profile.classes), NEIGHBOURS + 1
        rest, sure = np.divmod(state.strata, levels)
        rest, content = np.divmod(rest, classes)
        source, label = np.divmod(rest, classes)
        strata = Strata(source=source, label=label, content=content, sure=sure, rows=state.counts)
        found = compared(strata, len(self.judged) + 1, classes)
        decades = false_discovery(found.decades[:-1])
        seen = np.sort(state.seen)
        scores = np.zeros(len(seen), dtype=np.float32)
        suspicions = []
        for at in np.argsort(-decades, kind="stable").tolist():
            if decades[at] < ALARM_DECADES:
                break
            mine = np.flatnonzero(state.against_of == at)
            scores[np.searchsorted(seen, state.against[mine])] = state.sureness[mine] / NEIGHBOURS
            suspicions.append(self._contradicts(at, found, float(decades[at]), state, np.sort(state.against[mine])))
        named = {one.name for one in suspicions}
        suspicions += [one for one in self._mixes(state) if one.name not in named]
        silent = int((found.rows[:-1] < MIN_ROWS).sum())
        return Scores(
            rows=seen,
            scores=scores,
            decades=float(decades.max(initial=0.0)),
            suspicions=tuple(suspicions),
            notes=_left_out(silent, len(self.judged)),
        )

    def _content(
        self, points: NDArray[np.float32], labels: NDArray[np.int64], owners: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What most of the neighbours of other contributors carry, -1 where there are too few, and how many do."""
        import numpy as np
        import torch

        everyone, of_reference = np.unique(self.owners, return_inverse=True)
        held = np.bincount(of_reference, minlength=len(everyone))
        at = np.minimum(np.searchsorted(everyone, owners), max(0, len(everyone) - 1))
        present = everyone[at] == owners if len(everyone) else np.zeros(len(owners), dtype=bool)
        mine = np.where(present, at, -1)
        enough = len(self.owners) - np.where(present, held[at], 0) >= LEAST_REST
        content, sure = np.full(len(labels), -1), np.zeros(len(labels), dtype=np.int64)
        weights, others = self._weights(of_reference, len(everyone))
        # Where nobody else has rows of that class, nobody can say how such a row looks.
        enough &= others[mine, labels] >= NEIGHBOURS
        there = torch.from_numpy(self.points).to(self.device)
        norms = (there * there).sum(dim=1)
        owner = torch.from_numpy(of_reference).to(self.device)
        step = max(16, BLOCK_CELLS // max(1, len(self.owners)))
        for start in range(0, len(labels), step):
            block = np.flatnonzero(enough[start : start + step]) + start
            if not len(block):
                continue
            asking = torch.from_numpy(points[block]).to(self.device)
            distances = torch.addmm(norms, asking, there.T, alpha=-2)
            theirs = torch.from_numpy(mine[block]).to(self.device)
            distances.masked_fill_(owner[None, :] == theirs[:, None], float("inf"))
            near = distances.topk(NEIGHBOURS, dim=1, largest=False).indices.cpu().numpy()
            content[block], sure[block] = _majority(self.labels[near], labels[block], weights[mine[block]])
        return content, sure

    def _weights(self, of_reference: NDArray[np.int64], count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What a vote for each class counts, by who asks, and how many rows of others there are of it.

        Without a contributor's own rows its classes are rarer than they are, and every vote for them counts more.

        The last line is for those who have no row in the sample.
        """
        import numpy as np

        classes = len(self.profile.classes)
        held = np.zeros((count + 1, classes), dtype=np.int64)
        np.add.at(held, (of_reference, self.labels), 1)
        everything = held.sum(axis=0)
        return np.maximum(1, everything) / np.maximum(1, everything - held), everything - held

    def _places(self, owners: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Place of each row's contributor among the judged, the number of these for all others."""
        import numpy as np

        order = np.argsort(self.judged)
        at = np.minimum(np.searchsorted(self.judged[order], owners), len(order) - 1)
        return np.where(self.judged[order[at]] == owners, order[at], len(order))

    def _texts(self, batch: Batch) -> dict[int, str]:
        if batch.sources is None:
            return {}
        places = self._places(text_hashes(batch.sources.vocabulary)[:-1]).tolist()
        named = zip(places, batch.sources.vocabulary, strict=True)
        return {place: text[: MAX_NAME + 1] for place, text in named if place < len(self.judged)}

    def _contradicts(
        self, at: int, found: Contributors, decades: float, state: Votes, rows: NDArray[np.int64]
    ) -> Suspicion:
        name = state.texts.get(at, "?")[:MAX_NAME]
        seen, against, expected = int(found.rows[at]), int(found.against[at]), float(found.expected[at])
        evidence: dict[str, Json] = {
            "source": name,
            "source_rows": int(self.rows[at].sum()),
            "compared": seen,
            "against_content": against,
            "expected_at_most": round(expected, 3),
            "excess": round(against - expected, 3),
            "posterior_rate": round(float(found.posterior[at]), 6),
            "rows_by_label": self._mix(at),
        }
        return Suspicion(
            rule="source-excess",
            level=Level.ERROR,
            message=(
                f"Of {seen} rows of the source {name}, {against} carry a label that the rows of all other sources most "
                f"like them do not; as many as others have would be {expected:.1f}"
            ),
            title=f"labels of the source {name}",
            name=name,
            rows=tuple(rows.tolist()),
            decades=decades,
            evidence=canonical_json(evidence).decode(),
        )

    def _mix(self, at: int) -> Json:
        order = sorted(range(self.rows.shape[1]), key=lambda place: (-int(self.rows[at, place]), place))[:10]
        named: dict[str, Json] = {self.profile.classes[p][:MAX_NAME]: int(self.rows[at, p]) for p in order}
        return named

    def _mixes(self, state: Votes) -> list[Suspicion]:
        """Contributors that send other classes than the rest. No evidence of poison, and no row is flagged for it."""
        import numpy as np

        total = np.array(self.profile.class_rows, dtype=np.int64)
        tests = self.rows.size
        found = []
        for at, mine in enumerate(self.rows):
            others = total - mine
            count, place = int(mine.sum()), int(np.argmax(mine / np.maximum(1, others)))
            share = (int(others[place]) + 1) / (int(others.sum()) + 2)
            decades = corrected(binomial_tail(int(mine[place]), count, min(share * 2, 1 - 1e-6)), tests)
            if decades >= ALARM_DECADES:
                found.append((decades, at, place, share))
        found.sort(key=lambda one: (-one[0], one[1]))
        return [self._other_mix(at, place, share, state) for _, at, place, share in found[:MAX_MIXES]]

    def _other_mix(self, at: int, place: int, share: float, state: Votes) -> Suspicion:
        name, label = state.texts.get(at, "?")[:MAX_NAME], self.profile.classes[place][:MAX_NAME]
        mine, count = int(self.rows[at, place]), int(self.rows[at].sum())
        return Suspicion(
            rule="source-label-mix",
            level=Level.NOTE,
            message=(
                f"{mine} of {count} rows of the source {name} are labelled {label}, {100 * share:.1f} % elsewhere; "
                "their content agrees with that as much as anybody's"
            ),
            title=f"classes of the source {name}",
            label=self.profile.classes[place],
            name=name,
            rows=(),
            decades=0.0,
            evidence=canonical_json({"source": name, "rows_by_label": self._mix(at)}).decode(),
        )


def _left_out(silent: int, judged: int) -> tuple[str, ...]:
    if not silent:
        return ()
    return (f"{silent} of {judged} sources have hardly a row that others of the same label could be compared with",)


def owners_of(batch: Batch) -> NDArray[np.uint64]:
    """uint64 array (rows,): hash of each row's contributor, 0 where none is given."""
    import numpy as np

    if batch.sources is None:
        return np.zeros(len(batch.labels), dtype=np.uint64)
    return text_hashes(batch.sources.vocabulary)[batch.sources.codes]


def _majority(
    said: NDArray[np.int64], own: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The label with most votes in each line, the row's own where it is one of them, and how many of 16 it has.

    Args:
        said: int64 array (m, k): labels of the neighbours.
        own: int64 array (m,): of the rows.
        weights: float64 array (m, c): what a vote for each class counts.
    """
    import numpy as np

    lines = np.arange(len(said))
    votes = (said[:, :, None] == said[:, None, :]).sum(axis=2) * weights[lines[:, None], said]
    # Equal votes: the row's own label, then the first in order, whatever the order of the neighbours.
    best = np.lexsort((said, said != own[:, None], -votes), axis=1)[:, 0]
    total = np.sort(weights[lines[:, None], said], axis=1).sum(axis=1)
    share = np.round(votes[lines, best] / total, 6)
    return said[lines, best], np.floor(share * said.shape[1]).astype(np.int64)
