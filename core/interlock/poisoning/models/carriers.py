"""The second reading: which rows the trained network keeps apart as it does those that were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.detector import Pair, Scores, Suspicion
from interlock.poisoning.models.activations import Space, hidden
from interlock.poisoning.models.splits import ModelSplit
from interlock.poisoning.models.training import Trained
from interlock.poisoning.patterns.views import Whole, seen
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far rows lie along the splits.

    Args:
        rows: int64 array (n,): indices in the dataset.
        along: float32 array (n, splits): 1 where the part's mean is, 0 where the rest of the class is; -inf for rows of
            another class.
    """

    rows: NDArray[np.int64]
    along: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCarriers:
    """Puts every row through the trained network.

    Args:
        profile: Of the whole dataset.
        model: Trained on a sample of it, or on all of it.
        spaces: Those of `splits`; a number beyond them is the space of losses, which only the sample has.
        usable: bool array (d,): the features that it was trained on.
        splits: Strongest first; their members are indices in the dataset.
        notes: Of the first reading.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    model: Trained
    spaces: tuple[Space, ...]
    usable: NDArray[np.bool_] = field(repr=False)
    splits: tuple[ModelSplit, ...]
    notes: tuple[str, ...] = ()
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "trained_model"

    def unfit(self) -> str:
        """Never: the first reading could look."""
        return ""

    def partial(self, batch: Batch) -> tuple[Reached, ...]:
        """Put one batch through the network."""
        import numpy as np

        mine = batch.labelled(self.profile.classes)
        labels, rows = mine.labels, mine.rows
        points = seen(mine.features, self.profile, (Whole(columns=self.profile.width),))
        inner = hidden(self.model, np.where(self.usable, points, np.float32(0)), device=self.device)
        along = np.full((len(rows), len(self.splits)), -np.inf, dtype=np.float32)
        for at, split in enumerate(self.splits):
            own = labels == split.label
            if split.space >= len(self.spaces):
                along[own, at] = np.isin(rows[own], split.members)
            elif own.any():
                places = self.spaces[split.space].points([layer[own] for layer in inner]) @ split.direction
                along[own, at] = (places - split.rest) / split.distance
        return (Reached(rows=rows, along=along),)

    def merge(self, one: tuple[Reached, ...], other: tuple[Reached, ...]) -> tuple[Reached, ...]:
        """Both; they are joined only when all are there."""
        return one + other

    def finalize(self, state: tuple[Reached, ...]) -> Scores:
        """Name the rows beyond each split's threshold."""
        import numpy as np

        rows = np.concatenate([part.rows for part in state])
        order = np.argsort(rows)
        rows, along = rows[order], np.concatenate([part.along for part in state])[order]
        found = [self._suspicion(split, rows, along[:, at]) for at, split in enumerate(self.splits)]
        scores = np.clip(along.max(axis=1), 0, 1).astype(np.float32)
        decades = max(split.decades for split in self.splits)
        return Scores(rows=rows, scores=scores, decades=decades, suspicions=tuple(found), notes=self.notes)

    def _suspicion(self, split: ModelSplit, rows: NDArray[np.int64], along: NDArray[np.float32]) -> Suspicion:
        import numpy as np

        carries = along > split.threshold / split.distance
        members = rows[carries]
        label = self.profile.classes[split.label]
        spaces = (*(space.name for space in self.spaces), "how losses went down", "how recorded losses went down")
        where = spaces[split.space]
        origin = split.origin if "=" not in split.origin else self.profile.classes[int(split.origin[1:])]
        content = {"own": "their own class", "other": "other classes"}.get(split.origin, f"class {origin[:60]}")
        message = (
            f"A network trained on this dataset keeps {len(members)} rows labelled {label[:60]} apart from the rest of "
            f"their class ({where}), and their content varies as rows of {content} do"
        )
        evidence = canonical_json(
            {
                "label": label[:60],
                "space": where,
                "content": origin[:60],
                "separation": round(split.separation, 3),
                "share_of_class": round(len(members) / max(1, int(np.isfinite(along).sum())), 6),
            }
        ).decode()
        return Suspicion(
            rule="learned-pattern",
            level=Level.ERROR,
            message=message,
            title=f"{len(members)} rows of {label[:60]} that a trained model keeps apart",
            label=label,
            rows=tuple(members.tolist()),
            decades=split.decades,
            evidence=evidence,
            pairs=tuple(Pair(row=row, neighbour=-1) for row in members[:PICTURES].tolist()),
        )
