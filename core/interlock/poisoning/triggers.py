"""From accepted groups to one trigger: which groups are the same one, and which pixels it has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interlock.poisoning.contradiction import Verdict
from interlock.poisoning.detector import Trigger
from interlock.poisoning.patches import Group, Images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAME_ROWS = 0.5
HELD = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A group whose label contradicts its content, and the rows of further groups of the same trigger.

    Args:
        group: The strongest group.
        members: int64 array: positions of the rows that carry the trigger and its label, ascending.
        verdict: Of the strongest group.
        decades: Corrected evidence of the strongest group.
    """

    group: Group
    members: NDArray[np.int64]
    verdict: Verdict
    decades: float

    def joined(self, rows: NDArray[np.int64]) -> Accepted:
        """The same trigger with more rows."""
        import numpy as np

        return replace(self, members=np.union1d(self.members, rows))


def same_trigger(known: Accepted, group: Group, rows: NDArray[np.int64]) -> bool:
    """True when `group` with its `rows` is another view of `known`: one label, and mostly the same rows."""
    import numpy as np

    if known.group.label != group.label:
        return False
    shared = int(np.isin(rows, known.members).sum())
    return shared >= SAME_ROWS * min(len(rows), len(known.members))


def rebuilt(found: Accepted, images: Images) -> Trigger:
    """The trigger's pixels: what nearly all of its rows have in common and most other rows lack.

    Label and rows are left for the caller, who knows their names.
    """
    import numpy as np

    group = found.group
    mine = images.levels[group.rows[images.labels[group.rows] == group.label]]
    others = np.ones(len(images.labels), dtype=bool)
    others[found.members] = False
    level = np.median(mine, axis=0).astype(np.uint8)
    common = (mine == level).mean(axis=0)
    elsewhere = (images.levels[others] == level).mean(axis=0)
    chosen = (common >= HELD) & (elsewhere < common / 2)
    if not chosen.any():
        chosen[images.window(group.top, group.left, group.size, group.size)] = True
    shape = (images.height, images.width, images.channels)
    down, right = np.nonzero(chosen.reshape(shape).any(axis=2))
    chosen_pixels = np.flatnonzero(chosen)
    carries = (images.levels[:, chosen_pixels] == level[chosen_pixels]).all(axis=1)
    return Trigger(
        label="",
        top=int(down.min()),
        left=int(right.min()),
        height=int(down.max() - down.min()) + 1,
        width=int(right.max() - right.min()) + 1,
        pixels=tuple(chosen_pixels.tolist()),
        rows=(),
        carriers=int(carries.sum()),
        contradicting=found.verdict.contradicting,
        compared=found.verdict.compared,
        decades=found.decades,
    )
