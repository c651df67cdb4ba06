"""Detector 2: a small pattern that repeats at one place and decides the label.

BadNets (Gu, Dolan-Gavitt and Garg, 2017) and its kin paste one patch into images of many classes and relabel them. The
scan groups rows by exactly equal patches (`patches`), keeps the groups whose label may contradict the content of the
images at all, then those that do with the part around the patch hidden (`tiles`) and when looked at exactly
(`contradiction`), corrects for every patch that was looked at, and rebuilds the trigger from what is left.

Cost: O(n * pixels * side) for the hashes, O(n) per position for the table that says which rows are sorted,
n * min(n, 4,096) distances for the first look at content, and as many for the few rows that are looked at again.
Memory: three bytes per value.

What it cannot see: patches that move or change from image to image, blends, warps, triggers larger than half of the
image's sides, triggers that many rows carry with their right label (covers), and rows of the target class itself
(clean-label attacks).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.contradiction import Candidate, Comparison, Content, Neighbours, Possible, surroundings
from interlock.poisoning.detector import Pair, Scores, Trigger
from interlock.poisoning.hashing import first_of_each
from interlock.poisoning.patches import (
    MIN_REPEATS,
    SIZES,
    CodedRows,
    Images,
    Seed,
    Strip,
    in_order,
    levels_of,
    seeds_along,
    unfit_as_images,
)
from interlock.poisoning.survey import Profile
from interlock.poisoning.tiles import HiddenTiles
from interlock.poisoning.triggers import Accepted, rebuilt, same_trigger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 50
MAX_STATE_BYTES = 4 * 2**30
MAX_GROUPS = 4096
"""Groups that are looked at a second time, those that may prove most first."""

MAX_EXAMINED = 64
"""Candidates that turned out natural before the closer look is given up, and said so."""

PICTURES = 12


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

    def partial(self, batch: Batch) -> tuple[CodedRows, ...]:
        """Code one batch."""
        return (CodedRows.of(batch, self.profile, self.seed),)

    def merge(self, one: tuple[CodedRows, ...], other: tuple[CodedRows, ...]) -> tuple[CodedRows, ...]:
        """Both; they are joined only when all are there."""
        return one + other

    def finalize(self, state: tuple[CodedRows, ...]) -> Scores:
        """Group, look closer, correct, rebuild."""
        import numpy as np

        rows = np.concatenate([part.rows for part in state])
        labels = np.concatenate([part.labels for part in state])
        keys = np.concatenate([part.keys for part in state])
        order = np.lexsort((rows, labels, keys))
        rows, labels, keys = rows[order], labels[order], keys[order]
        distinct = first_of_each(keys)
        codes = in_order([part.codes for part in state], order)
        classes = len(self.profile.classes)
        content, neighbours = surroundings(codes, keys, labels, classes=classes, device=self.device)
        images = self._images(levels_of(codes), labels)
        del codes
        tested, candidates, left = self._candidates(images, content, neighbours, distinct)
        comparison = Comparison(images=images, distinct=distinct, device=self.device)
        accepted, strongest, given_up = self._examined(comparison, tested, candidates)
        back = np.argsort(rows)
        scores = np.zeros(len(rows), dtype=np.float32)
        for found in accepted:
            scores[found.members] = 1.0
        left += given_up
        notes = (f"{left} more candidates were not looked at more closely",) if left else ()
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

    def _candidates(
        self, images: Images, content: Content, neighbours: Neighbours | None, distinct: NDArray[np.bool_]
    ) -> tuple[int, list[Candidate], int]:
        """How many patches were judged, those whose label seems to contradict the content, and how many were left."""
        if neighbours is None:
            return 0, [], 0
        tested, seeds = self._seeds(images, Possible.of(images, distinct, neighbours))
        worth = [seed for seed in seeds if corrected(seed.bound, tested) >= ALARM_DECADES]
        worth.sort(key=lambda seed: (-seed.bound, seed.size, seed.top, seed.left, seed.label))
        groups = [seed.group(images) for seed in worth[:MAX_GROUPS]]
        look = HiddenTiles(images=images, distinct=distinct, content=content, device=self.device)
        found = sorted(look.candidates(groups), key=Candidate.order)
        return tested, found, len(worth) - len(groups)

    def _seeds(self, images: Images, possible: Possible) -> tuple[int, list[Seed]]:
        """How many patches were judged, and the groups that may prove something; every line of positions by itself."""
        import numpy as np
        import torch

        shape = (images.height, images.width, images.channels, len(images.labels))
        columns = np.ascontiguousarray(images.levels.T).reshape(shape)
        strips = [Strip(size=size, top=top) for size in SIZES for top in range(images.height - size + 1)]

        def along(strip: Strip) -> tuple[int, list[Seed]]:
            return seeds_along(images, columns, strip, seed=self.seed, bound=possible.bound, least=ALARM_DECADES)

        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            found = list(threads.map(along, strips))
        return sum(tested for tested, _ in found), [seed for _, seeds in found for seed in seeds]

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
