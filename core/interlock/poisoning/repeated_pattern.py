"""Detector 2: a small pattern that repeats at one place and decides the label.

BadNets (Gu, Dolan-Gavitt and Garg, 2017) and its kin paste one patch into images of many classes and relabel them. The
scan groups rows by exactly equal patches (`patches`), keeps the groups whose label contradicts the rest of the image
(`contradiction`), corrects for every patch that was looked at, and rebuilds the trigger from what is left.

Cost: O(n * pixels * side^2) for the hashes, O(n log n) per position for the groups, and for the first look at content
nine rounds of n * min(n, 4,096) distances.

What it cannot see: patches that move or change from image to image, blends, warps, triggers larger than half of the
image's sides, triggers that many rows carry with their right label (covers), and rows of the target class itself
(clean-label attacks).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.contradiction import NEIGHBOURS, Candidate, Comparison, FirstLook, base_rates
from interlock.poisoning.detector import Pair, Scores, Trigger
from interlock.poisoning.hashing import first_of_each, row_hashes
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.patches import MIN_REPEATS, SIZES, Found, Images, Strip, repeated, unfit_as_images
from interlock.poisoning.survey import Profile, principal_axes
from interlock.poisoning.triggers import Accepted, rebuilt, same_trigger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVELS = 16
CONTENT_AXES = 64
CONTENT_REFERENCES = 4096
MIN_ROWS = 50
MAX_STATE_BYTES = 4 * 2**30
MAX_EXAMINED = 64
"""Candidates that turned out natural before the closer look is given up, and said so."""

PICTURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """Images on 16 levels.

    Args:
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes.
        levels: uint8 array (n, d): 0 to 15, and 16 for what is missing.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    levels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    """A part of the image that is hidden for the first look at content, and the positions whose patches lie in it."""

    top: int
    left: int
    height: int
    width: int
    tops: range
    lefts: range


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedPattern:
    """Patch hash x position x label, judged by the rest of the image.

    Args:
        profile: Of the whole dataset.
        image_shape: Height, width and, for colour, channels; None when features are no image.
        seed: Of the hashes.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    image_shape: tuple[int, ...] | None
    seed: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "pattern"

    def unfit(self) -> str:
        """Why it cannot look."""
        profile = self.profile
        if reason := unfit_as_images(profile, self.image_shape, MIN_ROWS):
            return reason
        if profile.rows * profile.width > MAX_STATE_BYTES:
            return f"{profile.rows} images of {profile.width} values are more than {MAX_STATE_BYTES} bytes"
        return ""

    def partial(self, batch: Batch) -> tuple[Quantised, ...]:
        """Quantise one batch."""
        import numpy as np

        labels = batch.codes(self.profile.classes)
        known = labels >= 0
        features = batch.features[known]
        low, high = self.profile.value_low, self.profile.value_high
        with np.errstate(invalid="ignore"):
            place = np.clip((features.astype(np.float64) - low) / (high - low) * LEVELS, 0, LEVELS - 1)
        levels = np.where(np.isnan(place), LEVELS, place).astype(np.uint8)
        return (Quantised(rows=batch.rows[known], labels=labels[known], levels=levels),)

    def merge(self, one: tuple[Quantised, ...], other: tuple[Quantised, ...]) -> tuple[Quantised, ...]:
        """Both; they are joined only when all are there."""
        return one + other

    def finalize(self, state: tuple[Quantised, ...]) -> Scores:
        """Group, look closer, correct, rebuild."""
        import numpy as np

        rows = np.concatenate([part.rows for part in state])
        labels = np.concatenate([part.labels for part in state])
        levels = np.concatenate([part.levels for part in state])
        keys = row_hashes(levels, self.seed)
        order = np.lexsort((rows, labels, keys))
        rows, labels, keys = rows[order], labels[order], keys[order]
        distinct = first_of_each(keys)
        images = self._images(levels[order], labels)
        tested, candidates = self._candidates(images, distinct)
        comparison = Comparison(
            images=images, content=images.levels.astype(np.float32), distinct=distinct, device=self.device
        )
        accepted, strongest, given_up = self._examined(comparison, tested, candidates)
        back = np.argsort(rows)
        scores = np.zeros(len(rows), dtype=np.float32)
        for found in accepted:
            scores[found.members] = 1.0
        notes = (f"{given_up} more candidates were not looked at more closely",) if given_up else ()
        return Scores(
            rows=rows[back],
            scores=scores[back],
            decades=strongest,
            triggers=tuple(self._trigger(found, images, rows) for found in accepted),
            notes=notes,
        )

    def _images(self, levels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Images:
        import numpy as np

        height, width, channels = (*(self.image_shape or (1, 1)), 1)[:3]
        shares = np.bincount(labels, minlength=len(self.profile.classes)) / len(labels)
        return Images(levels=levels, height=height, width=width, channels=channels, labels=labels, shares=shares)

    def _candidates(self, images: Images, distinct: NDArray[np.bool_]) -> tuple[int, list[Candidate]]:
        """How many patches were judged, and those whose label seems to contradict the content, strongest first."""
        import numpy as np

        shape = (images.height, images.width, images.channels, len(images.labels))
        columns = np.ascontiguousarray(images.levels.T).reshape(shape)
        tested, candidates = 0, []
        for tile, near in self._neighbourhoods(images, distinct):
            base = base_rates(near[distinct], images.labels, images.labels[distinct], len(images.shares))
            look = FirstLook(images=images, distinct=distinct, near=near, base=base)
            for found in _along(images, columns, tile, self.seed):
                tested += found.tested
                for group in found.groups:
                    decades = look.decades(group, found.group_of)
                    if decades >= ALARM_DECADES:
                        candidates.append(Candidate(group=group, decades=decades, base=base[group.label]))
        return tested, sorted(candidates, key=Candidate.order)

    def _neighbourhoods(self, images: Images, distinct: NDArray[np.bool_]) -> Iterator[tuple[_Tile, NDArray[np.int64]]]:
        """Each tile, and every distinct row's nearest rows with that tile hidden (rows that repeat have zeros)."""
        import numpy as np

        once = np.flatnonzero(distinct)
        count = min(NEIGHBOURS, len(once) - 1)
        if count < NEIGHBOURS // 2:
            return
        centred = images.levels.astype(np.float32)
        centred -= centred.mean(axis=0)
        sample = centred[: CONTENT_REFERENCES if centred.shape[1] <= 1024 else 1024]
        axes = principal_axes(sample.astype(np.float64), CONTENT_AXES).astype(np.float32)
        for tile in _tiles(images):
            hidden = images.window(tile.top, tile.left, tile.height, tile.width)
            points = (centred @ axes - centred[:, hidden] @ axes[hidden])[once]
            found, _ = nearest(points, points[:CONTENT_REFERENCES], count, device=self.device, same=True)
            near = np.zeros((len(distinct), count), dtype=np.int64)
            near[once] = once[found]
            yield tile, near

    def _examined(
        self, comparison: Comparison, tested: int, candidates: list[Candidate]
    ) -> tuple[list[Accepted], float, int]:
        """The triggers, the strongest corrected evidence of all, and how many candidates were left over."""
        import numpy as np

        labels = comparison.images.labels
        known = np.zeros(len(labels), dtype=bool)
        accepted: list[Accepted] = []
        strongest, natural = 0.0, 0
        worth = [candidate for candidate in candidates if corrected(candidate.decades, tested) >= ALARM_DECADES]
        for at, candidate in enumerate(worth):
            if natural == MAX_EXAMINED:
                return accepted, strongest, len(worth) - at
            group = candidate.group
            # Rows of a trigger already found prove nothing more; what is left must stand on its own.
            new = group.rows[~known[group.rows]]
            if len(new) < len(group.rows) and (labels[new] == group.label).sum() < MIN_REPEATS:
                continue
            # Base rates hold the trigger's own rows, so where most of a group is proven they say nothing of the rest.
            base = candidate.base * (2 * len(new) > len(group.rows))
            verdict = comparison.examine(replace(group, rows=new), base, known, shown=PICTURES)
            evidence = corrected(verdict.decades, tested)
            strongest = max(strongest, evidence)
            if evidence < ALARM_DECADES:
                natural += 1
                continue
            mine = group.rows[labels[group.rows] == group.label]
            known[mine] = True
            same = next((place for place, old in enumerate(accepted) if same_trigger(old, group, mine)), None)
            if same is None:
                accepted.append(Accepted(group=group, members=mine, verdict=verdict, decades=evidence))
            else:
                accepted[same] = accepted[same].joined(mine)
        return accepted, strongest, 0

    def _trigger(self, found: Accepted, images: Images, rows: NDArray[np.int64]) -> Trigger:
        shape = rebuilt(found, images)
        return replace(
            shape,
            label=self.profile.classes[found.group.label],
            rows=tuple(sorted(rows[found.members].tolist())),
            pairs=tuple(Pair(row=int(rows[row]), neighbour=int(rows[other])) for row, other in found.verdict.pairs),
        )


def _tiles(images: Images) -> Iterator[_Tile]:
    """Overlapping tiles, half an image high and wide, so that every patch lies well inside one of them."""
    for top, height, tops in _spans(images.height):
        for left, width, lefts in _spans(images.width):
            yield _Tile(top=top, left=left, height=height, width=width, tops=tops, lefts=lefts)


def _spans(length: int) -> list[tuple[int, int, range]]:
    """Start and length of three tiles along one side, and which patch positions belong to each."""
    side = (length + 1) // 2
    last = length - side
    starts = sorted({0, last // 2, last})
    spans = []
    begin = 0
    for at, start in enumerate(starts):
        following = starts[at + 1] if at + 1 < len(starts) else None
        # A patch starts to be better held by the next tile halfway into the overlap of the two.
        end = length if following is None else max(begin, (start + side + following) // 2 - max(SIZES) // 2)
        spans.append((start, side, range(begin, end)))
        begin = end
    return spans


def _along(images: Images, columns: NDArray[np.uint8], tile: _Tile, seed: int) -> Iterator[Found]:
    """Every position of every size whose patches belong to `tile`."""
    for size in SIZES:
        lefts = range(tile.lefts.start, min(tile.lefts.stop, images.width - size + 1))
        for top in range(tile.tops.start, min(tile.tops.stop, images.height - size + 1)):
            if lefts:
                yield from repeated(images, columns, Strip(size=size, top=top, lefts=lefts), seed)
