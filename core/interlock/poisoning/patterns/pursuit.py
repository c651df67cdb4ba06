"""The search: whiten the rows of all classes by how rows vary within classes, then split each class in two many times.

Two-means along one direction, from many starts: a group of rows pulls the direction to its mean, the direction pulls
in the rows on its side of the middle, until nothing changes. Every row is judged by the direction of the *others*: its
own part is taken out, so that a few rows in many dimensions cannot vouch for themselves (without that, any 15 of 1,000
rows of pure noise stand 7 standard deviations apart in 784 dimensions). The contrast is bounded: a row counts once,
however far out it is. Everything happens on the Gram matrix of a class: n * n * d once, then n * n for each start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

RIDGE = 1e-3
"""Share of the mean variance that is added to every direction: what never varies must not be divided by nothing."""

SEED_ROWS = 6
STARTS = 96
"""Starts by closeness of neighbours, and as many again by content hash."""

AXES = 16
"""Directions in which a class varies most, each a start of four: a pattern on half of a class is one of them."""

AXIS_ROUNDS = 8

ROUNDS = 12
HALVED_AFTER = (2, 4, 6)
"""Rounds after which the half of the groups that still move and stand out less is given up: a pattern is found by many
starts, and soon stands out more than what honest rows drift to."""

BLOCK_ROWS = 512
"""Of a symmetric product, of which one half is computed."""

MIN_GROUP = 8
MAX_SHARE = 0.6
NEVER_BEYOND = 0.01
"""A lower threshold may let in one row by chance for a hundred, by the count of rows as far on the other side."""

WHILE_LEARNING = 0.05
"""The same while the direction is still learned: rows that carry half of a pattern teach it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitened:
    """Rows of all classes, each less its class's mean, in units of the spread within classes.

    Args:
        rows: float32 tensor (s, w).
        means: float32 tensor (classes, w): of the rows before whitening.
        by: float32 tensor (w, w): rows less their mean times this are `rows`.
    """

    rows: torch.Tensor
    means: torch.Tensor
    by: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some rows of a class against the others.

    Args:
        members: bool array (n,).
        along: float64 array (n,): every row's place along the direction that the other members give; the rest of the
            class is around 0.
        distance: Mean place of the members.
        threshold: Where members begin.
    """

    members: NDArray[np.bool_]
    along: NDArray[np.float64]
    distance: float
    threshold: float


def whitened(points: torch.Tensor, labels: torch.Tensor, classes: int) -> Whitened:
    """Whiten by the pooled covariance within classes.

    Args:
        points: float32 tensor (s, w).
        labels: int64 tensor (s,), below `classes`.
        classes: How many there are.
    """
    import torch

    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    means = torch.zeros(classes, points.shape[1], device=points.device).index_add_(0, labels, points)
    means /= counts[:, None]
    residuals = points - means[labels]
    scatter = with_itself(residuals.T).double() / max(1, len(labels) - classes)
    values, vectors = torch.linalg.eigh(scatter)
    ridge = RIDGE * values.mean().clamp(min=1e-12)
    by = (vectors / torch.sqrt(values.clamp(min=0) + ridge)).float()
    return Whitened(rows=residuals @ by, means=means, by=by)


def with_itself(rows: torch.Tensor) -> torch.Tensor:
    """`rows` times its own transpose, of which only one half is computed.

    Args:
        rows: float32 tensor (n, w).
    """
    n = len(rows)
    made = rows.new_empty(n, n)
    for at in range(0, n, BLOCK_ROWS):
        block = slice(at, at + BLOCK_ROWS)
        made[block, : at + BLOCK_ROWS] = rows[block] @ rows[: at + BLOCK_ROWS].T
        made[:at, block] = made[block, :at].T
    return made


def toward_members(rows: torch.Tensor, members: NDArray[np.bool_]) -> tuple[torch.Tensor, float]:
    """Unit vector toward some rows of a class, and where the mean of the rest lies along it.

    Args:
        rows: float32 tensor (n, w), whitened.
        members: bool array (n,).
    """
    import torch

    inside = torch.from_numpy(members).to(rows.device)
    toward = rows[inside].mean(dim=0)
    toward = toward / toward.norm()
    return toward, float((rows[~inside] @ toward).mean())


class Pursuit:
    """The rows of one class.

    Args:
        rows: float32 tensor (n, w), whitened, around 0, in an order that does not depend on how they came.
    """

    def __init__(self, rows: torch.Tensor) -> None:
        self._gram = with_itself(rows)
        self._own = self._gram.diag().clone()

    def groups(self) -> tuple[int, list[Group]]:
        """How many starts there were, and the splits that the better ones end in, each once."""
        n = len(self._gram)
        inside = self._starts()
        settled = inside.any(dim=0)
        moving = settled.nonzero()[:, 0]
        tried = len(moving)
        for number in range(ROUNDS):
            before = inside[:, moving]
            sizes = before.sum(dim=0)
            means = self._pull(before, sizes)
            if number in HALVED_AFTER:
                kept = _separations(means, before, sizes).topk((len(moving) + 1) // 2).indices.sort().values
                settled[moving] = False
                settled[moving[kept]] = True
                moving, before, sizes, means = moving[kept], before[:, kept], sizes[kept], means[:, kept]
            mine = (means * before).sum(dim=0) / sizes
            others = (means * (1 - before)).sum(dim=0) / (n - sizes).clamp(min=1)
            after = (means > (mine + others) / 2).float()
            counts = after.sum(dim=0)
            lost = (counts < SEED_ROWS) | (counts > (1 + MAX_SHARE) / 2 * n) | (mine <= 0)
            changed = (after != before).any(dim=0) & ~lost
            inside[:, moving[changed]] = after[:, changed]
            settled[moving[lost]] = False
            moving = moving[changed]
            if not len(moving):
                break
        sizes = inside.sum(dim=0)
        fit = settled & (sizes >= MIN_GROUP) & (sizes <= MAX_SHARE * n)
        distinct = {column.tobytes(): column for column in (inside[:, fit].T > 0).cpu().numpy()}
        return tried, self._judged(list(distinct.values()))

    def group(self, members: NDArray[np.bool_]) -> Group:
        """These rows against the others, split in the middle."""
        return self._judged([members])[0]

    def learned(self, group: Group) -> Group:
        """The group with those rows that stand out less, along a direction that they had a part in.

        The direction of the rows that stand out most leans to what these have in common by chance, so it is learned
        from more of them before the threshold is found.
        """
        return self.widened(self.widened(group, WHILE_LEARNING))

    def widened(self, group: Group, by_chance: float = NEVER_BEYOND) -> Group:
        """The group with those rows that stand out less, as rows do that carry part of a pattern.

        The rest of the class lies around 0; as many of its rows as lie beyond minus t may lie beyond t by chance.

        Args:
            group: The rows that stand out.
            by_chance: How many of the rows beyond the threshold may be there by chance, at most.
        """
        import numpy as np

        for _ in range(3):
            middle = np.median(group.along[~group.members])
            along = group.along - middle
            far_below = np.sort(-along[along < 0])[::-1]
            threshold = group.distance / 2
            for part in np.linspace(0.5, 0.2, 13):
                t = part * group.distance
                beyond = int((along > t).sum())
                if int((far_below > t).sum()) > by_chance * beyond or beyond > MAX_SHARE * len(along):
                    break
                threshold = float(t)
            members = along > threshold
            new = self.group(members) if members.any() and not members.all() else group
            following = Group(
                members=members,
                along=new.along,
                distance=new.distance,
                threshold=threshold / group.distance * new.distance,
            )
            if (members == group.members).all():
                return following
            group = following
        return group

    def _starts(self) -> torch.Tensor:
        """float32 tensor (n, starts): rows with their closest ones, those with the closest of all first."""
        import torch

        n = len(self._gram)
        others = self._gram.clone().fill_diagonal_(-torch.inf)
        near, places = others.topk(min(SEED_ROWS, n - 1), dim=1)
        closeness = near.mean(dim=1) / self._own.clamp(min=1e-9).sqrt()
        order = closeness.argsort(descending=True, stable=True)
        # Rows come ordered by content hash, so the first of those that are left are random ones.
        starts = torch.cat([order[:STARTS], order[STARTS:].sort().values[:STARTS]])
        inside = torch.zeros(n, len(starts), device=self._gram.device)
        inside.scatter_(0, places[starts].T.contiguous(), 1.0)
        inside[starts, torch.arange(len(starts), device=inside.device)] = 1
        axes = self._axes()
        halves = [sign * axes > far for sign in (1, -1) for far in (0.0, 1.5)]
        return torch.cat([inside, *(half.float() for half in halves)], dim=1)

    def _axes(self) -> torch.Tensor:
        """float32 tensor (n, axes): rows on the axes of most variance, in standard deviations (subspace iteration)."""
        import torch

        n = len(self._gram)
        drawn = torch.randn(n, min(2 * AXES, n), generator=torch.Generator().manual_seed(0))
        basis = torch.linalg.qr(drawn.to(self._gram.device)).Q
        for _ in range(AXIS_ROUNDS):
            basis = torch.linalg.qr(self._gram @ basis).Q
        _, turned = torch.linalg.eigh(basis.T @ (self._gram @ basis))
        axes: torch.Tensor = basis @ turned.flip(1)[:, :AXES]
        return axes / axes.std(dim=0).clamp(min=1e-12)

    def _pull(self, inside: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Inner product of every row with the mean of a group's rows other than itself."""
        sums = self._gram @ inside
        return (sums - inside * self._own[:, None]) / (sizes - inside).clamp(min=1)

    def _judged(self, groups: list[NDArray[np.bool_]]) -> list[Group]:
        """Every row's place along the direction of each group's other members."""
        import numpy as np
        import torch

        if not groups:
            return []
        inside = torch.from_numpy(np.stack(groups, axis=1).astype(np.float32)).to(self._gram.device)
        sizes = inside.sum(dim=0)
        means = self._pull(inside, sizes)
        # A group's mean has the length that its rows' products with the mean, their own parts put back, add up to.
        whole = means * (sizes - inside).clamp(min=1) + inside * self._own[:, None]
        lengths = (whole * inside).sum(dim=0).clamp(min=1e-12).sqrt() / sizes
        places = (means / lengths).double().cpu().numpy().T
        made = []
        for members, along in zip(groups, places, strict=True):
            centred = along - along[~members].mean()
            distance = float(centred[members].mean())
            made.append(Group(members=members, along=centred, distance=distance, threshold=distance / 2))
        return made


def _separations(along: torch.Tensor, inside: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """float32 tensor (groups,): Ashman's D of each group, by every row's place along the direction of the others."""
    rest = (len(along) - sizes).clamp(min=1)
    sums, squares = along * inside, along * along
    mine, others = sums.sum(dim=0) / sizes, (along.sum(dim=0) - sums.sum(dim=0)) / rest
    of_mine = (squares * inside).sum(dim=0)
    spread = of_mine / sizes - mine * mine + (squares.sum(dim=0) - of_mine) / rest - others * others
    separations: torch.Tensor = (mine - others) / spread.clamp(min=1e-12).sqrt()
    return separations
