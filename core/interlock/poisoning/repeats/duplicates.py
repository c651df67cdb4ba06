"""Rows that are copies of each other: with labels that conflict, or so many that nobody would collect them.

Exact copies by a hash of all values, texts and categories; near copies of images by a perceptual hash and of texts by
MinHash, both through locality-sensitive hashing (`likes`) and then verified on the rows themselves: by the distance of
the images, beside the distances that different images of this dataset have, and by the Jaccard similarity of the texts.
What is suspicious is told by the dataset itself (`clusters`). Copies are the cheapest poison there is: one picture a
hundred times (Carlini et al., 2024, "Poisoning web-scale training datasets is practical"), or a copy of a good row with
another label.

Cost: one hash of every row, O(n log n) to sort them; a second reading only when there is something to verify. Memory:
about 40 bytes per row, 300 for texts, and 32 MiB of sample.

What it cannot see: conflicts that are few beside honest ones; bursts in data where contents repeat that often anyway;
paraphrases; images that were turned, mirrored or cropped; near copies in tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Scores
from interlock.poisoning.hashing import first_of_each
from interlock.poisoning.repeats.contents import Contents
from interlock.poisoning.repeats.contents import joined as joined_texts
from interlock.poisoning.repeats.judgement import SAME_TEXT, Judge
from interlock.poisoning.repeats.likes import near_pictures, near_texts, normal
from interlock.poisoning.repeats.sample import Sample
from interlock.poisoning.survey import Profile, scaled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shown: TypeAlias = tuple[dict[int, NDArray[np.float32]], dict[int, str]]

MIN_ROWS = 50
MAX_VERIFIED = 16_384
MAX_VERIFIED_BYTES = 256 * 2**20
MAX_PARTS = 16
"""States that are kept side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Copies and near copies.

    Args:
        profile: Of the whole dataset.
        image_shape: Height, width and, for colour, channels; None when features are no image.
        seed: Of the hashes.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    image_shape: tuple[int, ...] | None = None
    seed: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "duplicates"

    def unfit(self) -> str:
        """Why it cannot look."""
        return self.profile.unfit_with(MIN_ROWS)

    def partial(self, batch: Batch) -> tuple[Contents, ...]:
        """Hash and sketch one batch."""
        return (Contents.of(batch, self.profile, self.image_shape, self.seed),)

    def merge(self, one: tuple[Contents, ...], other: tuple[Contents, ...]) -> tuple[Contents, ...]:
        """Both; joined now and then only, so that rows are not copied at every step."""
        parts = one + other
        return parts if len(parts) <= MAX_PARTS else (Contents.joined(parts),)

    def finalize(self, state: tuple[Contents, ...]) -> Scores | Verified:
        """Group exact copies, and ask for the rows that may be near ones."""
        import numpy as np

        contents = Contents.joined(state).ordered()
        new = first_of_each(contents.keys)
        of = np.cumsum(new) - 1
        firsts = np.flatnonzero(new)
        if len(firsts) < 2:
            return Scores.silent(contents.rows, unfit="all rows hold the same")
        sampled = Sample.of(contents, self.profile, self.device)
        pairs = np.zeros((0, 2), dtype=np.int64)
        if len(contents.pictures) and sampled.reach > 0:
            pairs = near_pictures(contents.pictures[firsts])
        elif contents.texts.shape[1]:
            pairs = near_texts(contents.texts[firsts])
            alike = (contents.texts[firsts[pairs[:, 0]]] == contents.texts[firsts[pairs[:, 1]]]).mean(axis=1)
            pairs = pairs[alike >= SAME_TEXT - 0.25]
        # A plain content is a copy of nothing but itself.
        pairs = pairs[~contents.plain[firsts[pairs]].any(axis=1)]
        judge = Judge(profile=self.profile, contents=contents, of=of, firsts=firsts, sample=sampled)
        width = 4 * max(1, self.profile.width)
        room = int(min(MAX_VERIFIED, MAX_VERIFIED_BYTES // width))
        wanted, kept = _within(pairs, room)
        conflicting = np.flatnonzero(judge.exact.purest()[1] > 0) if self.profile.width else wanted[:0]
        more = np.setdiff1d(conflicting, wanted)[: max(0, room - len(wanted))]
        if not len(wanted) and not len(more):
            return judge.scores({}, {}, pairs[:0], left=len(pairs) - int(kept.sum()))
        return Verified(judge=judge, wanted=np.union1d(wanted, more), pairs=pairs[kept], left=int((~kept).sum()))


def _within(pairs: NDArray[np.int64], room: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The contents of the first pairs that are no more than `room`, and which pairs those are."""
    import numpy as np

    found, first = np.unique(pairs.ravel(), return_index=True)
    if len(found) > room:
        found = found[np.argsort(first)[:room]]
    kept: NDArray[np.bool_] = np.asarray(np.isin(pairs, found).all(axis=1))
    return np.unique(pairs[kept]), kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The second look: near copies on the rows themselves.

    Args:
        judge: What the first look found.
        wanted: int64 array: contents to be seen.
        pairs: int64 array (p, 2): contents that may be near copies.
        left: Pairs that are more than fit.
    """

    judge: Judge
    wanted: NDArray[np.int64] = field(repr=False)
    pairs: NDArray[np.int64] = field(repr=False)
    left: int

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "duplicates"

    def unfit(self) -> str:
        """Nothing stands in its way."""
        return ""

    def partial(self, batch: Batch) -> Shown:
        """The wanted contents among these rows, by number."""
        import numpy as np

        judge = self.judge
        rows = judge.contents.rows[judge.firsts[self.wanted]]
        here = np.flatnonzero((rows >= batch.start) & (rows < batch.start + len(batch.labels)))
        places = rows[here] - batch.start
        features: dict[int, NDArray[np.float32]] = {}
        texts: dict[int, str] = {}
        if judge.contents.texts.shape[1]:
            words = joined_texts(batch, places)
            texts = {int(self.wanted[at]): normal(text) for at, text in zip(here, words, strict=True)}
        elif judge.profile.width:
            shown = scaled(batch.features[places], judge.profile).astype(np.float32)
            features = {int(self.wanted[at]): row for at, row in zip(here, shown, strict=True)}
        return features, texts

    def merge(self, one: Shown, other: Shown) -> Shown:
        """Both."""
        return {**one[0], **other[0]}, {**one[1], **other[1]}

    def finalize(self, state: Shown) -> Scores:
        """What is suspicious."""
        return self.judge.scores(*state, self.pairs, left=self.left)
