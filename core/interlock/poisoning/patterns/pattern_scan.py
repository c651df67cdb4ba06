"""Detector: a hidden pattern that splits a class in two (the package's docstring says how).

Origin: spectral signatures (Tran, Li and Madry, 2018) look for the same shift along the first direction of a class's
covariance; SPECTRE (Hayase et al., 2021) whitens first. Here all classes together give the whitening, projection
pursuit with a bounded contrast (Friedman and Tukey, 1974; Hyvarinen, 1999) gives many directions in place of one, a row
is never judged by itself, and a split must be what no honest one is before it counts.

Cost: one reading in which content hashes are computed and `sampling.SAMPLE_ROWS` rows are kept; then rows * width ** 2
for the whitening, and (rows of a class) ** 2 * (width + 12 * starts) for each class, whatever the number of rows in the
dataset. A second reading, of one product per row and pattern, only when something was found.

What it cannot see: patterns that move or change from row to row (warps, sample-specific triggers), patterns that one
other class alone supplied the rows for (source-specific), patterns on fewer than about 15 sampled rows of a class, rows
that were relabelled and are not otherwise changed; in data that is no image, patterns on rows that keep their label
(there, an honest subclass may look just so); and in very small images, patches that are no rarer than strokes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.detector import Scores
from interlock.poisoning.patterns.carriers import PatternCarriers, Split
from interlock.poisoning.patterns.content import MAX_SHIFT, Likeness, Reference, drawn_from_others, shift_of
from interlock.poisoning.patterns.fineness import COMMON, fine
from interlock.poisoning.patterns.pursuit import Group, Pursuit, Whitened, toward_members, whitened
from interlock.poisoning.patterns.sampling import (
    MIN_CLASS_ROWS,
    SAMPLE_BYTES,
    SAMPLE_ROWS,
    Sample,
    room_per_class,
)
from interlock.poisoning.patterns.sharpness import separation, too_sharp
from interlock.poisoning.patterns.views import View, views
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

MAX_EXAMINED = 32
"""Splits of one class and view whose content is compared, the sharpest first."""

MINORITY = 0.3
"""Up to this share of a class, the carriers are the smaller part and no question."""

MAX_SPLITS = 32
"""Splits along which all rows are scored."""

KNOWN_SHARE = 0.75
"""A split of which more is known already adds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternScan:
    """Projection pursuit for splits of a class that no honest subclass makes.

    Args:
        profile: Of the whole dataset.
        image_shape: Height, width and, for colour, channels; None when features are no image.
        seed: Of content hashes and random draws.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    image_shape: tuple[int, ...] | None
    seed: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "pattern_scan"

    @property
    def views(self) -> tuple[View, ...]:
        """What it looks at."""
        return views(self.profile.width, self.image_shape, self.seed)

    @property
    def room(self) -> int:
        """Rows of each class in the sample."""
        return room_per_class(self.profile.class_rows, sum(view.columns for view in self.views))

    def unfit(self) -> str:
        """Why it cannot look."""
        if self.profile.unfit:
            return self.profile.unfit
        if not self.profile.varying:
            return "every feature is constant"
        if max(self.profile.class_rows) < MIN_CLASS_ROWS:
            return f"every class has fewer than {MIN_CLASS_ROWS} rows, too few for a group among them"
        if self.room < MIN_CLASS_ROWS:
            return (
                f"{len(self.profile.classes)} classes of {self.profile.width} features leave room for {self.room} rows "
                f"each among {SAMPLE_ROWS} rows and {SAMPLE_BYTES} bytes"
            )
        return ""

    def partial(self, batch: Batch) -> Sample:
        """The rows of one batch that may belong to the sample."""
        return Sample.of(batch, self.profile, self.views, room=self.room, seed=self.seed)

    def merge(self, one: Sample, other: Sample) -> Sample:
        """The sample of both."""
        return one.merged(other, self.room)

    def finalize(self, state: Sample) -> Scores | PatternCarriers:
        """Nothing, or who carries what was found."""
        import numpy as np

        counts = np.bincount(state.labels, minlength=len(self.profile.classes))
        looked_at = np.flatnonzero(counts >= MIN_CLASS_ROWS)
        if not len(looked_at):
            reason = f"every class has fewer than {MIN_CLASS_ROWS} distinct rows"
            return Scores.silent(state.rows, unfit=reason)
        small = len(counts) - len(looked_at)
        notes = (f"{small} classes of fewer than {MIN_CLASS_ROWS} distinct rows were not split",) if small else ()
        points = state.points
        if self.image_shape is None:
            points = np.where(fine(points), points, np.float32(0))
        if not points.any():
            reason = (
                f"in every feature one value is held by more than {COMMON:.0%} of the rows: nothing is measured finely"
            )
            return Scores.silent(state.rows, unfit=reason)
        splits, strongest = self._splits(dataclasses.replace(state, points=points), looked_at)
        if not splits:
            return Scores.silent(state.rows, decades=strongest, notes=notes)
        return PatternCarriers(profile=self.profile, views=self.views, splits=splits, notes=notes)

    def _splits(self, state: Sample, looked_at: NDArray[np.int64]) -> tuple[tuple[Split, ...], float]:
        """The splits beyond the budget, sharpest first, and the strongest evidence below it."""
        import torch

        labels = torch.from_numpy(state.labels).to(self.device)
        found: list[tuple[float, Split]] = []
        tried, at = 0, 0
        for number, view in enumerate(self.views):
            points = state.points[:, at : at + view.columns]
            at += view.columns
            white = whitened(torch.from_numpy(points).to(self.device), labels, len(self.profile.classes))
            for label in looked_at.tolist():
                others = cache(partial(self._others, state, points, label))
                count, splits = _ClassSplits(
                    scan=self, state=state, points=points, white=white, label=label, others=others
                ).found()
                tried += count
                found += [(decades, dataclasses.replace(split, view=number)) for decades, split in splits]
        judged = [(corrected(decades, tried), split) for decades, split in found]
        loud = sorted((pair for pair in judged if pair[0] >= ALARM_DECADES), key=lambda pair: -pair[0])
        quiet = max((decades for decades, _ in judged if decades < ALARM_DECADES), default=0.0)
        return tuple(dataclasses.replace(split, decades=decades) for decades, split in loud[:MAX_SPLITS]), max(
            0.0, quiet
        )

    def _others(self, state: Sample, points: NDArray[np.float32], label: int) -> Reference:
        """What a random draw of the rows of all other classes is like."""
        import numpy as np

        rng = np.random.default_rng([self.seed, label])
        return Reference.of(points[drawn_from_others(state.labels, label, self.profile.class_rows, rng)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClassSplits:
    """The splits of one class in one view.

    Args:
        scan: The detector.
        state: Its sample.
        points: float32 array (s, columns): the sample in this view.
        white: The same, whitened.
        label: Position of the class among the profile's.
        others: What rows of the other classes are like, in this view.
    """

    scan: PatternScan
    state: Sample
    points: NDArray[np.float32]
    white: Whitened
    label: int
    others: Callable[[], Reference]

    def found(self) -> tuple[int, list[tuple[float, Split]]]:
        """How many groups were looked at, and evidence and split for those that no honest subclass explains."""
        import numpy as np

        mine = np.flatnonzero(self.state.labels == self.label)
        pursuit = Pursuit(self.white.rows[int(mine[0]) : int(mine[-1]) + 1])
        tried, groups = pursuit.groups()
        sharp = [(too_sharp(group.along, group.members), group) for group in groups]
        sharp = sorted((pair for pair in sharp if pair[0] >= ALARM_DECADES), key=lambda pair: -pair[0])
        splits: list[tuple[float, Split]] = []
        known: list[NDArray[np.bool_]] = []
        for decades, group in sharp[:MAX_EXAMINED]:
            kind = self._content(mine, group)
            if not kind:
                continue
            narrow = self._oriented(mine, pursuit, group)
            wide = pursuit.learned(narrow)
            added = wide.members & ~narrow.members
            # Rows that stand out less belong to the pattern when they, too, are a random draw; else they are the tail.
            if added.any() and not self._may_be(kind, mine, pursuit.group(added)):
                wide = narrow
            # A split that adds much to one that is known is the same pattern, better seen.
            if any(int((wide.members & old).sum()) > KNOWN_SHARE * int(wide.members.sum()) for old in known):
                continue
            known.append(wide.members)
            splits.append((decades, self._split(mine, wide, group, kind)))
        return tried, splits

    def _oriented(self, mine: NDArray[np.int64], pursuit: Pursuit, group: Group) -> Group:
        """The group, or the rest of its class when the group lies where other classes do and the rest does not."""
        import numpy as np

        if group.members.mean() < MINORITY:
            return group
        toward, rest = self._direction(mine, group.members)
        means = self.white.means.double() @ self.white.by.double() @ toward.double()
        present = np.unique(self.state.labels[self.state.labels != self.label])
        others = (means - means[self.label]).cpu().numpy()[present]
        to_rest, to_group = np.abs(others - rest), np.abs(others - rest - group.distance)
        return pursuit.group(~group.members) if np.median(to_group) < np.median(to_rest) else group

    def _direction(self, mine: NDArray[np.int64], members: NDArray[np.bool_]) -> tuple[torch.Tensor, float]:
        return toward_members(self.white.rows[int(mine[0]) : int(mine[-1]) + 1], members)

    def _content(self, mine: NDArray[np.int64], group: Group) -> str:
        """Where the group's rows come from: ``own`` class, ``other`` classes, or empty for an honest subclass."""
        import numpy as np

        if int(group.members.sum()) < 3:
            return ""
        rows = self.points[mine[group.members]]
        others = self._beside_others(rows)
        elsewhere = _hidden(others)
        # In data that is no image two honest subclasses may be equal clouds.
        if not elsewhere and self.scan.image_shape is None:
            return ""
        rest = self.points[mine[~group.members]]
        if not elsewhere and shift_of(rows, rest) > MAX_SHIFT:
            return ""
        own = Reference.of(rest).likeness(rows, np.random.default_rng([self.scan.seed, self.label]))
        if elsewhere and (not own.fits or _closer(others, own)):
            return "other"
        return "own" if _hidden(own) and self.scan.image_shape is not None else ""

    def _may_be(self, kind: str, mine: NDArray[np.int64], group: Group) -> bool:
        """Whether the group's rows, too, may come from there; they may look like both."""
        if int(group.members.sum()) >= 3 and kind == "other":
            return _hidden(self._beside_others(self.points[mine[group.members]]))
        return bool(self._content(mine, group))

    def _beside_others(self, rows: NDArray[np.float32]) -> Likeness:
        import numpy as np

        return self.others().likeness(rows, np.random.default_rng([self.scan.seed, self.label, 1]))

    def _split(self, mine: NDArray[np.int64], wide: Group, group: Group, kind: str) -> Split:
        import numpy as np

        toward, rest = self._direction(mine, wide.members)
        along = (self.white.by @ toward).double().cpu().numpy()
        centres = self.white.means.double().cpu().numpy() @ along
        centres[self.label] += rest
        return Split(
            view=0,
            label=self.label,
            direction=along.astype(np.float32),
            centres=centres,
            distance=wide.distance,
            threshold=wide.threshold,
            share=float(wide.members.mean()),
            separation=separation(group.along, group.members),
            origin=kind,
            decades=0.0,
        )


def _hidden(found: Likeness) -> bool:
    return found.fits and found.shift <= MAX_SHIFT


def _closer(one: Likeness, other: Likeness) -> bool:
    return one.deviations < other.deviations
