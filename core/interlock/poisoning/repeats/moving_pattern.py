"""A small pattern that moves from image to image, or changes its colour, and decides the label.

BadNets (Gu, Dolan-Gavitt and Garg, 2017) with a trigger at a random place (Li et al., 2021, "Backdoor attack in the
physical world"; Salem et al., 2022, dynamic backdoors). Windows are written as words that do not say where they stand
(`windows`); words that could prove something are kept (`candidates`); a candidate is believed when the rest of its
images contradicts the label and their surroundings are not one scene (`aligned`), after correction for every word that
was looked at. `interlock.poisoning.repeated_pattern` looks for what stands still.

Cost: O(n * pixels * side) for the words of the rows whose content does not explain their label, the same once more over
all rows for candidates only, and n * min(n, 4,096) distances. Memory: one byte per value, up to `MAX_STATE_BYTES`;
beyond it a sample of the rows is searched, and all rows are asked for what was found.

What it cannot see: patterns without contrast of their own to what they hide, unless they are a rectangle of one value;
patterns that are blended, scaled or turned; noise that is drawn anew for every image; patterns that rows of the target
class alone carry (clean label); fewer than 8 rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import Json, Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.contradiction import NEIGHBOURS
from interlock.poisoning.detector import Pair, Scores, Suspicion
from interlock.poisoning.hashing import first_of_each
from interlock.poisoning.patches import CodedRows, in_order, unfit_as_images
from interlock.poisoning.repeats.album import Album
from interlock.poisoning.repeats.believed import Believed
from interlock.poisoning.repeats.everywhere import Carriers
from interlock.poisoning.repeats.search import Search, window_of
from interlock.poisoning.repeats.windows import levels
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 50
MAX_STATE_BYTES = 2**30
WHAT = {
    "exact": "The same {} pattern",
    "relative": "A {} pattern of one shape in changing colours",
    "flat": "A {} rectangle of one value, not always the same,",
    "flat-level": "The same {} rectangle of one value",
    "flat-here": "A {} rectangle of one value, another one in each,",
}
"""What the finding calls a window of each family."""

PICTURES = 12
MAX_PARTS = 16
"""States that are kept side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Images on 255 codes: those with the smallest content hashes, all of them as long as they fit.

    Args:
        seen: How many labelled rows went by.
        keys: uint64 array (n,): content hashes.
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes.
        codes: uint8 array (n, d).
    """

    seen: int
    keys: NDArray[np.uint64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    codes: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingPattern:
    """Window words, pooled over places, judged by the rest of the image.

    Args:
        profile: Of the whole dataset.
        image_shape: Height, width and, for colour, channels; None when features are no image.
        seed: Of the hashes.
        device: A torch device.
        max_state_bytes: Of the images that are held.
    """

    profile: Profile = field(repr=False)
    image_shape: tuple[int, ...] | None
    seed: int = 0
    device: str = "cpu"
    max_state_bytes: int = MAX_STATE_BYTES

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "moving_pattern"

    @property
    def room(self) -> int:
        """Images that are held."""
        return max(MIN_ROWS, self.max_state_bytes // max(1, self.profile.width))

    def unfit(self) -> str:
        """Why it cannot look."""
        return unfit_as_images(self.profile, self.image_shape, MIN_ROWS)

    def partial(self, batch: Batch) -> tuple[Held, ...]:
        """Code one batch."""
        mine = CodedRows.of(batch, self.profile, self.seed)
        return (Held(seen=len(mine.rows), keys=mine.keys, rows=mine.rows, labels=mine.labels, codes=mine.codes),)

    def merge(self, one: tuple[Held, ...], other: tuple[Held, ...]) -> tuple[Held, ...]:
        """Both; joined now and then only, so that images are not copied at every step."""
        parts = one + other
        return parts if len(parts) <= MAX_PARTS else (self._joined(parts),)

    def _joined(self, parts: Sequence[Held]) -> Held:
        """All of them, or as much as fits."""
        import numpy as np

        return self._cut(
            Held(
                seen=sum(part.seen for part in parts),
                keys=np.concatenate([part.keys for part in parts]),
                rows=np.concatenate([part.rows for part in parts]),
                labels=np.concatenate([part.labels for part in parts]),
                codes=np.concatenate([part.codes for part in parts]),
            )
        )

    def _cut(self, held: Held) -> Held:
        import numpy as np

        if len(held.keys) <= self.room:
            return held
        kept = np.lexsort((held.rows, held.labels, held.keys))[: self.room]
        return Held(
            seen=held.seen,
            keys=held.keys[kept],
            rows=held.rows[kept],
            labels=held.labels[kept],
            codes=held.codes[kept],
        )

    def finalize(self, state: tuple[Held, ...]) -> Scores | Carriers:
        """Search, look closer, correct."""
        import numpy as np

        seen = sum(part.seen for part in state)
        rows, labels, keys = (
            np.concatenate([getattr(part, name) for part in state]) for name in ("rows", "labels", "keys")
        )
        order = np.lexsort((rows, labels, keys))[: self.room]
        rows, labels, keys = rows[order], labels[order], keys[order]
        height, width, channels = (*(self.image_shape or (1, 1)), 1)[:3]
        album = Album(
            codes=in_order([part.codes for part in state], order).reshape(len(rows), height, width, channels),
            labels=labels,
            shares=np.bincount(labels, minlength=len(self.profile.classes)) / max(1, len(labels)),
            distinct=first_of_each(keys),
        )
        search = Search.of(album, keys, seed=self.seed, device=self.device)
        if search is None:
            return Scores.silent(rows, unfit=f"fewer than {NEIGHBOURS} distinct images")
        believed, strongest, given_up = search.examined(search.candidates())
        notes = [f"{given_up} more candidates were not looked at more closely"] * bool(given_up)
        found = tuple(self._suspicion(one, album, rows) for one in believed)
        if len(rows) < seen:
            notes.append(f"it searched {len(rows)} of {seen} images, drawn by their content")
        back = np.argsort(rows)
        scores = np.zeros(len(rows), dtype=np.float32)
        for one in believed:
            scores[one.members] = 1.0
        whole = Scores(rows=rows[back], scores=scores[back], decades=strongest, suspicions=found, notes=tuple(notes))
        if len(rows) == seen or not found:
            return whole
        return Carriers(
            profile=self.profile,
            shape=(height, width, channels),
            found=whole,
            words=tuple(one.words for one in believed),
        )

    def _suspicion(self, found: Believed, album: Album, rows: NDArray[np.int64]) -> Suspicion:
        import numpy as np

        candidate, group, verdict = found.candidate, found.candidate.group, found.verdict
        mine = group.only(np.isin(group.rows, found.members))
        places = len(np.unique(mine.tops * album.codes.shape[2] + mine.lefts))
        label, size = self.profile.classes[group.label], f"{group.height}x{group.width}"
        what = WHAT[candidate.family.kind].format(size)
        message = (
            f"{what} stands at {places} places of {len(found.members)} images labelled {label[:60]}; without it "
            f"{verdict.contradicting} of {verdict.compared} compared look like another class"
        )
        window = window_of(album, mine if len(mine.rows) else group)
        evidence: dict[str, Json] = {
            "kind": candidate.family.kind,
            "height": group.height,
            "width": group.width,
            "levels": levels(window).tolist(),
            "places": places,
            "carriers_of_any_label": len(group.rows),
            "compared": verdict.compared,
            "contradicting": verdict.contradicting,
        }
        return Suspicion(
            rule="moving-pattern",
            level=Level.ERROR,
            message=message,
            title="A pattern that moves",
            label=label,
            name=f"{size} {candidate.family.kind}",
            rows=tuple(sorted(rows[found.members].tolist())),
            decades=found.decades,
            evidence=canonical_json(evidence).decode(),
            pairs=tuple(
                Pair(row=int(rows[row]), neighbour=int(rows[other])) for row, other in verdict.pairs[:PICTURES]
            ),
        )
