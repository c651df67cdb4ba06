"""Detector: what only a model can see. A small network is trained on the suspect set, and shows what it learned.

A warp, a residual that differs from row to row, a patch that means something in one class only: no pixel says so, but a
network that learned the attack keeps the rows that carry it apart from the rest of their label. One network is trained,
once, and looked at in several ways: all hidden layers, the middle and the last of them, spectral signatures and quantum
entropy as starts, and how each row's loss went down, with no word on whether poison is learned early or late (at 1 to 5
percent it may be either). `splits` says how all of them are judged, and against which nulls.

Cost: one reading that keeps a sample; a training of `training.EPOCHS` epochs on at most `sampling.SAMPLE_ROWS` rows (20
seconds of one processor for 10,000 grey images of 28 by 28 pixels); for each of four spaces the pattern scan's search.
A second reading, only when something was found, puts every row through the network.

What it cannot see: attacks that the small network does not learn (a warp on 1 % of 10,000 rows), poison that is no
random draw of what it was made from, carriers of fewer than `pursuit.MIN_GROUP` rows of a class, and in data that is no
image what rests on values that many rows share.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Scores
from interlock.poisoning.models.activations import hidden, spaces_of
from interlock.poisoning.models.carriers import ModelCarriers
from interlock.poisoning.models.losses import LossRecord, loss_space
from interlock.poisoning.models.network import Form
from interlock.poisoning.models.splits import Content, ModelSplit, alarming, judged, splits_of
from interlock.poisoning.models.training import Trained, trained
from interlock.poisoning.patterns.content import AXES
from interlock.poisoning.patterns.fineness import COMMON, fine
from interlock.poisoning.patterns.sampling import MIN_CLASS_ROWS, Sample, room_per_class
from interlock.poisoning.patterns.views import Whole
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_WIDTH = 3 * 64 * 64
"""Numbers of a row beyond which nothing is trained: an image in colour of 64 pixels a side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """Trains on the suspect set, and looks for parts of a class that the network keeps apart.

    Args:
        profile: Of the whole dataset.
        image_shape: Height, width and, for colour, channels; None when features are no image.
        seed: Of content hashes, weights and batches.
        device: A torch device.
        losses: What another training recorded of these rows.
    """

    profile: Profile = field(repr=False)
    image_shape: tuple[int, ...] | None
    seed: int = 0
    device: str = "cpu"
    losses: LossRecord | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "trained_model"

    @property
    def room(self) -> int:
        """Rows of each class that are trained on."""
        return room_per_class(self.profile.class_rows, self.profile.width)

    def unfit(self) -> str:
        """Why it cannot look."""
        if self.profile.unfit:
            return self.profile.unfit
        if not self.profile.varying:
            return "every feature is constant" if self.profile.width else "rows have no features to train on"
        if self.profile.width > MAX_WIDTH:
            return f"rows of {self.profile.width} features; at most {MAX_WIDTH} are trained on"
        if max(self.profile.class_rows) < MIN_CLASS_ROWS or self.room < MIN_CLASS_ROWS:
            return f"no class has {MIN_CLASS_ROWS} rows to train on"
        return "" if self.losses is None else self.losses.unfit(self.profile.rows)

    def partial(self, batch: Batch) -> Sample:
        """The rows of one batch that may be trained on."""
        views = (Whole(columns=self.profile.width),)
        return Sample.of(batch, self.profile, views, room=self.room, seed=self.seed)

    def merge(self, one: Sample, other: Sample) -> Sample:
        """The rows of both that may be trained on."""
        return one.merged(other, self.room)

    def finalize(self, state: Sample) -> Scores | ModelCarriers:
        """Nothing, or who carries what was found."""
        import numpy as np

        if int(np.bincount(state.labels).max()) < MIN_CLASS_ROWS:
            return Scores.silent(state.rows, unfit=f"every class has fewer than {MIN_CLASS_ROWS} distinct rows")
        usable = np.ones(self.profile.width, dtype=bool) if self.image_shape is not None else fine(state.points)
        if not usable.any():
            reason = f"in every feature one value is held by more than {COMMON:.0%} of the rows"
            return Scores.silent(state.rows, unfit=f"{reason}: nothing is measured finely")
        if int(usable.sum()) < AXES:
            # The null of `content` compares how rows vary along so many axes; along few, any part of a class passes.
            reason = f"only {int(usable.sum())} features are measured finely, and {AXES} are needed to compare content"
            return Scores.silent(state.rows, unfit=reason)
        state = dataclasses.replace(state, points=np.where(usable, state.points, np.float32(0)))
        model = self.trained_on(state)
        inner = hidden(model, state.points, device=self.device)
        spaces = spaces_of(inner)
        content = Content(
            points=state.points,
            labels=state.labels,
            class_rows=self.profile.class_rows,
            pictures=self.image_shape is not None,
            seed=self.seed,
        )
        looked_at = [space.points(inner) for space in spaces]
        looked_at.append(loss_space(model.losses))
        if self.losses is not None:
            looked_at.append(loss_space(self.losses.of(state.places)))
        splits, strongest = self._splits(looked_at, content)
        notes = self._notes(state)
        if not splits:
            return Scores.silent(state.rows, decades=strongest, notes=notes)
        return ModelCarriers(
            profile=self.profile,
            model=model,
            spaces=spaces,
            usable=usable,
            splits=tuple(dataclasses.replace(split, members=state.places[split.members]) for split in splits),
            notes=notes,
            device=self.device,
        )

    def trained_on(self, state: Sample) -> Trained:
        """The network of these rows."""
        classes = len(self.profile.classes)
        form = Form(width=self.profile.width, image_shape=self.image_shape, classes=classes)
        return trained(state.points, state.labels, form, seed=self.seed, device=self.device)

    def _splits(self, spaces: list[NDArray[np.float32]], content: Content) -> tuple[tuple[ModelSplit, ...], float]:
        tried = 0
        found: list[ModelSplit] = []
        for number, points in enumerate(spaces):
            looked_at, splits = splits_of(number, points, content, device=self.device)
            tried += looked_at
            found += splits
        suspected = judged(found, tried)
        strongest = max((split.decades for split in suspected), default=0.0)
        return alarming(suspected), max(0.0, strongest)

    def _notes(self, state: Sample) -> tuple[str, ...]:
        left = self.profile.labelled - len(state.places)
        if not left:
            return ()
        return (f"{len(state.places)} distinct rows were trained on; the other {left} repeat them or are beyond that",)
