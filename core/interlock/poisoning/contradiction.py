"""Does the label of a group's rows contradict everything in the image but the patch?

A class has its own look, so that a patch often goes with a label in clean images. A trigger is different: rows that
carry it look, outside it, like rows of *other* classes. For each row the chance of its label is estimated from its
nearest rows outside the group, in two ways: with the patch hidden (a trigger cannot speak for itself) and with the
whole image (a natural patch has look-alikes outside the group), and the larger one counts. The chance is then raised by
what look-alikes of the patch itself carry, and once more by `HIDDEN_BIAS`, as in Rosenbaum's bounds for observational
studies (Rosenbaum, 2002, chapter 4): the evidence must survive a hidden cause that multiplies the odds of the label by
that much. Where neighbours say nothing about a class (textures), rows of it are found among strangers all over the
dataset: how often, for the same number of agreeing neighbours, is a floor under every chance.

A row counts only if its nearest row lies outside the group, and a group only if most of its rows count: copies and
bursts of one picture, or one natural kind of picture, are one witness and not many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.bounds import poisson_binomial_tail
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.patches import Group, Images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 16
HIDDEN_BIAS = 9.0
MAX_WITNESSES = 256
"""Rows of a group that are compared; the evidence of so many is beyond any doubt already."""

REFERENCES = 16_384
LOOK_ALIKES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A group whose label seems to contradict its content.

    Args:
        group: The rows.
        decades: Evidence of the first look, before correction.
        base: float64 array (NEIGHBOURS + 1,): `base_rates` of the group's label.
    """

    group: Group
    decades: float
    base: NDArray[np.float64]

    def order(self) -> tuple[float, int, int, int, int]:
        """Strongest first, then smallest and by place."""
        return (-self.decades, self.group.size, self.group.top, self.group.left, self.group.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the content of a group's rows says about their label.

    Args:
        decades: Evidence that the label contradicts the content, before correction for what was looked at.
        compared: Rows that counted.
        contradicting: Those of them that carry the label although at most half of their neighbours do.
        pairs: Positions of rows and of their nearest rows outside the group, without the patch.
    """

    decades: float
    compared: int
    contradicting: int
    pairs: tuple[tuple[int, int], ...]


def base_rates(
    near: NDArray[np.int64], labels: NDArray[np.int64], own: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """How often a row carries a label that v of its neighbours carry.

    Args:
        near: int64 array (m, k): the neighbours of m rows.
        labels: int64 array (n,): labels of all rows.
        own: int64 array (m,): labels of the m rows.
        classes: Number of classes.

    Returns:
        float64 array (classes, NEIGHBOURS + 1).
    """
    import numpy as np

    rates = np.zeros((classes, NEIGHBOURS + 1))
    said = labels[near]
    for label in range(classes):
        votes = (said == label).sum(axis=1)
        seen = np.bincount(votes, minlength=NEIGHBOURS + 1)
        carried = np.bincount(votes[own == label], minlength=NEIGHBOURS + 1)
        rates[label] = carried / np.maximum(seen, 1)
    return rates


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """Shared neighbour lists that hide a whole tile around the patch; `Comparison` is the exact look.

    Args:
        images: The dataset.
        distinct: bool array (n,): False for all but the first of equal rows.
        near: int64 array (n, k): neighbours of each distinct row.
        base: float64 array (classes, NEIGHBOURS + 1): `base_rates`.
    """

    images: Images
    distinct: NDArray[np.bool_]
    near: NDArray[np.int64]
    base: NDArray[np.float64]

    def decades(self, group: Group, group_of: NDArray[np.int64]) -> float:
        """Evidence that the labels of a group contradict their content, before correction.

        Args:
            group: The rows.
            group_of: int64 array (n,): which rows share a patch at this place.
        """
        labels, label = self.images.labels, group.label
        members = group.rows[self.distinct[group.rows]]
        there = self.near[members]
        outside = group_of[there] != group_of[group.rows[0]]
        usable = outside[:, 0] & (outside.sum(axis=1) >= NEIGHBOURS // 2)
        # How many are left is judged by the exact look: a trigger may reach beyond the tile that hides it here.
        members, there, outside = members[usable], there[usable], outside[usable]
        agree = ((labels[there] == label) & outside).sum(axis=1)
        chance = (agree + float(self.images.shares[label])) / (outside.sum(axis=1) + 1)
        carried = int((labels[members] == label).sum())
        return poisson_binomial_tail(carried, _raised(chance, self.base[label, agree], HIDDEN_BIAS))


def _raised(chance: NDArray[np.float64], floor: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Chances, no lower than their floor, after their odds were multiplied by `factor`; never quite 1."""
    import numpy as np

    return odds_raised(np.minimum(np.maximum(chance, floor), 1 - 1e-6), factor)


def odds_raised(chance: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Chances after their odds were multiplied by `factor`."""
    return chance * factor / (1 - chance + chance * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Exact comparisons of a group's rows with the rows outside it.

    Args:
        images: The dataset, in canonical order, so that any first rows are a random sample.
        content: float32 array (n, d): the levels.
        distinct: bool array (n,): False for all but the first of equal rows.
        device: A torch device.
    """

    images: Images
    content: NDArray[np.float32]
    distinct: NDArray[np.bool_]
    device: str = "cpu"

    def examine(self, group: Group, base: NDArray[np.float64], known: NDArray[np.bool_], *, shown: int) -> Verdict:
        """What content says of a group's labels.

        Args:
            group: The candidate.
            base: `base_rates` of its label.
            known: bool array (n,): rows of triggers already found; they vouch for nothing.
            shown: How many pairs to give back.
        """
        import numpy as np

        images, distinct, share = self.images, self.distinct, float(self.images.shares[group.label])
        inside = np.zeros(len(images.labels), dtype=bool)
        inside[group.rows] = True
        outside = np.flatnonzero(~inside & ~known & distinct)[:REFERENCES]
        members = group.rows[distinct[group.rows]]
        witnesses = members[:MAX_WITNESSES]
        if len(outside) <= NEIGHBOURS or not len(witnesses):
            return Verdict(decades=0.0, compared=0, contradicting=0, pairs=())
        patch = hidden_pixels(group, images, inside | known)
        found, far, near_inside = self._without(patch, witnesses, outside, members)
        seen, _ = nearest(self.content[witnesses], self.content[outside], NEIGHBOURS, device=self.device)
        agree = np.maximum(
            (images.labels[outside[found]] == group.label).sum(axis=1),
            (images.labels[outside[seen]] == group.label).sum(axis=1),
        )
        bias = _look_alikes(group, images, outside) * HIDDEN_BIAS
        chance = _raised((agree + share) / (NEIGHBOURS + 1), base[agree], bias)
        carried = images.labels[witnesses] == group.label
        alone = far < near_inside
        evidence = poisson_binomial_tail(int(carried[alone].sum()), chance[alone])
        paired = zip(witnesses[carried].tolist(), outside[found[carried, 0]].tolist(), strict=True)
        return Verdict(
            decades=evidence if 2 * int(alone.sum()) >= len(witnesses) else 0.0,
            compared=int(alone.sum()),
            contradicting=int((carried & alone & (agree <= NEIGHBOURS // 2)).sum()),
            pairs=tuple(paired)[:shown],
        )

    def _without(
        self,
        patch: NDArray[np.int64],
        witnesses: NDArray[np.int64],
        outside: NDArray[np.int64],
        members: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Neighbours outside with the patch hidden, and the distances to the nearest row outside and inside."""
        import numpy as np

        kept = np.ones(self.content.shape[1], dtype=np.float32)
        kept[patch] = 0
        queries = self.content[witnesses] * kept
        found, far = nearest(queries, self.content[outside], NEIGHBOURS, device=self.device, weights=kept)
        if len(members) < 2:
            return found, far[:, 0], np.full(len(witnesses), np.inf, dtype=np.float32)
        # Witnesses are the first members and each finds itself first, so the second distance is the one that counts.
        _, inside = nearest(queries, self.content[members], 2, device=self.device, weights=kept)
        return found, far[:, 0], inside[:, 1]


def hidden_pixels(group: Group, images: Images, carriers: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The patch, and what else nearly all rows of the group have in common and most others lack.

    Args:
        group: The candidate.
        images: The dataset.
        carriers: bool array (n,): the group's rows, and those of triggers already found.
    """
    import numpy as np

    mine = group.rows[images.labels[group.rows] == group.label]
    level = np.median(images.levels[mine], axis=0).astype(np.uint8)
    common = (images.levels[mine] == level).mean(axis=0) >= 0.95
    rare = (images.levels[~carriers] == level).mean(axis=0) < 0.5
    common &= rare
    common[images.window(group.top, group.left, group.size, group.size)] = True
    return np.flatnonzero(common)


def _look_alikes(group: Group, images: Images, outside: NDArray[np.int64]) -> float:
    """How much more likely the label is among rows outside whose patch is nearest to this one, in odds; at least 1."""
    import numpy as np

    window = images.window(group.top, group.left, group.size, group.size)
    patch = images.levels[group.rows[0], window].astype(np.int64)
    apart = ((images.levels[np.ix_(outside, window)].astype(np.int64) - patch) ** 2).sum(axis=1)
    count = min(LOOK_ALIKES, len(outside))
    close = outside[apart <= np.partition(apart, count - 1)[count - 1]]
    share = float(images.shares[group.label])
    carried = float((images.labels[close] == group.label).sum() + 4 * share) / (len(close) + 4)
    return max(1.0, carried / (1 - carried) * (1 - share) / share)
