"""Parts of a class that a trained network keeps apart, and that are no honest part of it.

The search is the pattern scan's (`interlock.poisoning.patterns.pursuit`), in the spaces of the network's layers in
place of pixels, with the spectral scores as further starts; so is the judgement. Nulls: a tail that thins out is not
so narrow so far out (`sharpness`), whatever the class; and, since a network keeps honest subclasses apart too, the
rows' own content must be a random draw, which an honest subclass is not (`content`): of all other classes or of one
other class for rows that were relabelled, of their own class for rows that only carry a pattern. Those parts that
content excuses are honest, and tell how sharp honest parts of this dataset get: where photographs fall into sky and
grass, a part must be sharper than such parts are by far, since content excuses only some of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.models.spectral import proposals
from interlock.poisoning.patterns.content import MAX_SHIFT, drawn_from_others, likeness
from interlock.poisoning.patterns.pursuit import (
    MAX_SHARE,
    MIN_GROUP,
    Group,
    Pursuit,
    Whitened,
    toward_members,
    whitened,
)
from interlock.poisoning.patterns.sampling import MIN_CLASS_ROWS
from interlock.poisoning.patterns.sharpness import separation, too_sharp

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

MAX_EXAMINED = 8
"""Groups of one class and space whose content is compared, the sharpest first."""

LIKELY_SOURCES = 3
"""Single classes that a group's content is compared with, the nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What rows hold before any network saw them.

    Args:
        points: float32 array (n, w).
        labels: int64 array (n,), ascending.
        class_rows: Rows of each class in the dataset.
        pictures: True when rows are images; only then may rows of their own class be suspected.
        seed: Of the draws.
    """

    points: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    class_rows: tuple[int, ...]
    pictures: bool
    seed: int

    def origin(self, members: NDArray[np.int64], label: int) -> str:
        """Where rows of one label come from.

        Args:
            members: int64 array: places of the rows.
            label: Theirs.

        Returns:
            ``other`` classes, one class by its ``=`` and position, their ``own``, or empty for an honest subclass.
        """
        import numpy as np

        rng = np.random.default_rng([self.seed, label])
        rows = self.points[members]
        mine = np.flatnonzero(self.labels == label)
        rest = np.setdiff1d(mine, members)
        own = likeness(rows, self.points[rest], rng) if len(rest) > 1 else None
        others = likeness(rows, self.points[drawn_from_others(self.labels, label, self.class_rows, rng)], rng)
        fits_own = own is not None and own.fits and own.shift <= MAX_SHIFT
        if (
            others.fits
            and others.shift <= MAX_SHIFT
            and not (fits_own and own is not None and own.deviations < others.deviations)
        ):
            return "other"
        if fits_own:
            return "own" if self.pictures else ""
        for source in self._nearest(rows, label):
            one = likeness(rows, self.points[rng.permutation(np.flatnonzero(self.labels == source))], rng)
            if one.fits and one.shift <= MAX_SHIFT:
                return f"={source}"
        return ""

    def _nearest(self, rows: NDArray[np.float32], label: int) -> list[int]:
        import numpy as np

        counts = np.bincount(self.labels, minlength=len(self.class_rows))
        candidates = [at for at in np.flatnonzero(counts >= MIN_CLASS_ROWS).tolist() if at != label]
        middle = rows.mean(axis=0, dtype=np.float64)

        def far(source: int) -> float:
            return float(np.linalg.norm(self.points[self.labels == source].mean(axis=0, dtype=np.float64) - middle))

        return sorted(candidates, key=far)[:LIKELY_SOURCES]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSplit:
    """A part of a class that a space keeps apart.

    Args:
        space: Place of the space.
        label: Position of the class among the profile's.
        direction: float32 array (columns of the space,).
        rest: Where the rest of the class lies along it.
        threshold: Where the part begins, from there.
        distance: Its mean, from there.
        members: int64 array: places of its rows among those that were looked at.
        separation: Ashman's D.
        origin: As `Content.origin` gives it; empty for a part that is honest by its content.
        decades: Evidence; `judged` corrects it once all spaces were looked at.
    """

    space: int
    label: int
    direction: NDArray[np.float32] = field(repr=False)
    rest: float
    threshold: float
    distance: float
    members: NDArray[np.int64] = field(repr=False)
    separation: float
    origin: str
    decades: float


def splits_of(
    number: int, points: NDArray[np.float32], content: Content, *, device: str
) -> tuple[int, list[ModelSplit]]:
    """Search one space.

    Args:
        number: Of the space.
        points: float32 array (n, w), in the order of `content`.
        content: The same rows.
        device: A torch device.

    Returns:
        How many groups were looked at, and those that are too sharp for a tail; their evidence is not corrected yet.
    """
    import numpy as np
    import torch

    classes = len(content.class_rows)
    labels = torch.from_numpy(content.labels).to(device)
    white = whitened(torch.from_numpy(points).to(device), labels, classes)
    counts = np.bincount(content.labels, minlength=classes)
    tried, found = 0, []
    for label in np.flatnonzero(counts >= MIN_CLASS_ROWS).tolist():
        looked_at, splits = _InClass(space=number, white=white, content=content, label=label).found()
        tried += looked_at
        found += splits
    return tried, found


def judged(found: list[ModelSplit], tried: int) -> list[ModelSplit]:
    """Those that content does not excuse, by corrected evidence, strongest first.

    Honest parts are the null of whether anything is wrong. Once something is, a part is judged by its own sharpness:
    where each class holds poison, no part stands out from all others.

    Args:
        found: Of all spaces.
        tried: How many groups were looked at.
    """
    import dataclasses

    honest = [split for split in found if not split.origin]
    suspects = [dataclasses.replace(split, decades=corrected(split.decades, tried)) for split in found if split.origin]
    beyond = [corrected(_beyond_honest(split, honest), len(found)) for split in found if split.origin]
    if not any(min(one.decades, above) >= ALARM_DECADES for one, above in zip(suspects, beyond, strict=True)):
        suspects = [
            dataclasses.replace(one, decades=min(one.decades, above))
            for one, above in zip(suspects, beyond, strict=True)
        ]
    return sorted(suspects, key=lambda one: (-one.decades, one.label, one.space))


def alarming(found: list[ModelSplit]) -> tuple[ModelSplit, ...]:
    """Those beyond the budget, no two alike.

    Args:
        found: As `judged` gives it.
    """
    import numpy as np

    kept: list[ModelSplit] = []
    for split in found:
        if split.decades < ALARM_DECADES:
            break
        alike = (np.intersect1d(split.members, old.members).size for old in kept if old.label == split.label)
        if all(2 * shared <= len(split.members) for shared in alike):
            kept.append(split)
    return tuple(kept)


def _beyond_honest(split: ModelSplit, honest: list[ModelSplit]) -> float:
    """Decades of evidence that a part is sharper than honest ones are.

    Null: sharpness of honest parts falls off exponentially, by the mean of those that are known. Parts that share rows
    with this one say nothing of it: they may be a piece of the same poison. Infinite when no honest part is known.
    """
    import numpy as np

    known = [old.decades for old in honest if not np.isin(old.members, split.members).any()]
    return split.decades / float(np.mean(known)) / math.log(10) if known else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class _InClass:
    """One class in one space."""

    space: int
    white: Whitened
    content: Content
    label: int

    def found(self) -> tuple[int, list[ModelSplit]]:
        """How many groups were looked at, and those that are too sharp for a tail, honest ones among them."""
        import numpy as np

        mine = np.flatnonzero(self.content.labels == self.label)
        rows = self.white.rows[int(mine[0]) : int(mine[-1]) + 1]
        pursuit = Pursuit(rows)
        fit = [top for top in proposals(rows) if MIN_GROUP <= int(top.sum()) <= MAX_SHARE * len(mine)]
        starts, groups = pursuit.groups()
        groups += [pursuit.group(top) for top in fit]
        sharp = [(too_sharp(group.along, group.members), group) for group in groups]
        sharp = sorted((pair for pair in sharp if pair[0] >= ALARM_DECADES), key=lambda pair: -pair[0])
        known: list[NDArray[np.bool_]] = []
        splits: list[ModelSplit] = []
        for decades, group in sharp[:MAX_EXAMINED]:
            if any(2 * int((group.members & old).sum()) > int(group.members.sum()) for old in known):
                continue
            known.append(group.members)
            origin = self.content.origin(mine[group.members], self.label)
            wide = self._widened(pursuit, group, mine, origin) if origin else group
            sharpness = separation(group.along, group.members)
            splits.append(self._split(mine, rows, wide, origin, sharp=sharpness, decades=decades))
        return starts + len(fit), splits

    def _widened(self, pursuit: Pursuit, group: Group, mine: NDArray[np.int64], origin: str) -> Group:
        """With the rows that stand out less, when they are of the same origin: else they are the tail of the class."""
        wide = pursuit.widened(group)
        added = mine[wide.members & ~group.members]
        if len(added) < MIN_GROUP or self.content.origin(added, self.label) == origin:
            return wide
        return group

    def _split(
        self, mine: NDArray[np.int64], rows: torch.Tensor, wide: Group, origin: str, *, sharp: float, decades: float
    ) -> ModelSplit:
        toward, middle = toward_members(rows, wide.members)
        along = (self.white.by @ toward).double().cpu().numpy()
        return ModelSplit(
            space=self.space,
            label=self.label,
            direction=along.astype("float32"),
            rest=float(self.white.means[self.label].double().cpu().numpy() @ along) + middle,
            threshold=wide.threshold,
            distance=wide.distance,
            members=mine[wide.members],
            separation=sharp,
            origin=origin,
            decades=decades,
        )
