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

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.bounds import poisson_binomial_tail
from interlock.poisoning.hashing import first_of_each
from interlock.poisoning.neighbours import nearest
from interlock.poisoning.patches import Group, Images, Repeats
from interlock.poisoning.survey import principal_axes

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]

NEIGHBOURS = 16
HIDDEN_BIAS = 9.0
MAX_WITNESSES = 256
"""Rows of a group that are compared; the evidence of so many is beyond any doubt already."""

REFERENCES = 16_384
REFERENCE_BLOCK = 2048
LOOK_ALIKES = 64

CONTENT_AXES = 64
CONTENT_REFERENCES = 4096
CONTENT_VALUES = 2**20
"""Of the images that are projected at once."""


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
class Content:
    """What images look like, roughly: their place on the principal axes.

    Args:
        axes: float32 array (d, p).
        points: float32 array (n, p).
    """

    axes: NDArray[np.float32]
    points: NDArray[np.float32]

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> Content:
        """Images, block by block.

        Args:
            images: uint8 array (n, d), in canonical order, so that any first rows are a random sample.
        """
        import numpy as np

        sample = images[: CONTENT_REFERENCES if images.shape[1] <= 1024 else 1024].astype(np.float64)
        axes = principal_axes(sample, CONTENT_AXES).astype(np.float32)
        centre = sample.mean(axis=0).astype(np.float32)
        step = max(1, CONTENT_VALUES // max(1, images.shape[1]))
        points = np.empty((len(images), axes.shape[1]), dtype=np.float32)
        for at in range(0, len(images), step):
            points[at : at + step] = (images[at : at + step].astype(np.float32) - centre) @ axes
        return cls(axes=axes, points=points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Every image's nearest ones by content, and what they say of a label.

    Args:
        near: int64 array (n, k): of each distinct row; zeros for rows that repeat.
        base: float64 array (classes, NEIGHBOURS + 1): `base_rates`.
    """

    near: NDArray[np.int64]
    base: NDArray[np.float64]

    @classmethod
    def of(
        cls, content: Content, labels: NDArray[np.int64], classes: int, distinct: NDArray[np.bool_], device: str
    ) -> Neighbours | None:
        """By the whole images; None when there are too few distinct ones.

        Args:
            content: Of all rows.
            labels: int64 array (n,).
            classes: Number of classes.
            distinct: bool array (n,): False for all but the first of equal rows.
            device: A torch device.
        """
        import numpy as np

        once = np.flatnonzero(distinct)
        count = min(NEIGHBOURS, len(once) - 1)
        if count < NEIGHBOURS // 2:
            return None
        points = content.points[once]
        found, _ = nearest(points, points[:CONTENT_REFERENCES], count, device=device, same=True)
        near = np.zeros((len(labels), found.shape[1]), dtype=np.int64)
        near[once] = once[found]
        return cls(near=near, base=base_rates(near[once], labels, labels[once], classes))


_left: dict[bytes, tuple[Content, Neighbours | None]] = {}
"""What one detector found, for the next one that looks at the same images; at most one entry."""


def surroundings(
    codes: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    labels: NDArray[np.int64],
    *,
    classes: int,
    device: str,
) -> tuple[Content, Neighbours | None]:
    """What images look like, and each one's nearest: computed by the first of two detectors, taken by the second.

    Args:
        codes: uint8 array (n, d), in canonical order.
        keys: uint64 array (n,): content hashes, ascending.
        labels: int64 array (n,).
        classes: Number of classes.
        device: A torch device.
    """
    told = hashlib.blake2b(repr((codes.shape, classes, device)).encode(), digest_size=16)
    told.update(keys.tobytes())
    told.update(labels.tobytes())
    known = _left.pop(told.digest(), None)
    if known is not None:
        return known
    content = Content.of(codes)
    found = content, Neighbours.of(content, labels, classes, first_of_each(keys), device)
    _left.clear()
    _left[told.digest()] = found
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """What a group can prove at most: every row that carries the label counts, and nothing is held against them.

    The exact look compares with the whole image, too, so whoever agrees there agrees there.

    Args:
        images: The dataset.
        distinct: bool array (n,): False for all but the first of equal rows.
        near: int64 array (n, k): neighbours of each distinct row.
        weights: float64 array (classes, k + 1): decades of one row with a label that so many of its neighbours carry.
    """

    images: Images
    distinct: NDArray[np.bool_]
    near: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, images: Images, distinct: NDArray[np.bool_], neighbours: Neighbours) -> Possible:
        """From the neighbours by the whole images."""
        import numpy as np

        # Neighbours inside of the group are left out; those in their place may agree or not: the lower floor counts.
        floor = np.minimum.accumulate(neighbours.base[:, ::-1], axis=1)[:, ::-1]
        votes = np.arange(NEIGHBOURS + 1) + images.shares[:, None]
        weights = -np.log10(_raised(votes / (NEIGHBOURS + 1), floor, HIDDEN_BIAS))
        return cls(images=images, distinct=distinct, near=neighbours.near, weights=weights)

    def bound(
        self, repeats: Repeats, group_labels: NDArray[np.int64], words: NDArray[np.uint32]
    ) -> NDArray[np.float64]:
        """float64 array (groups,): decades.

        Args:
            repeats: Groups of rows that share a patch.
            group_labels: int64 array (groups,).
            words: uint32 array (n,): hashes of the patches of all rows.
        """
        import numpy as np

        labels, count = self.images.labels, len(repeats.starts)
        group = np.repeat(np.arange(count), repeats.lengths)
        kept = self.distinct[repeats.rows]
        rows, group = repeats.rows[kept], group[kept]
        counts = np.bincount(group, minlength=count)
        rank = np.arange(len(rows)) - (np.cumsum(counts) - counts)[group]
        chosen = (rank < MAX_WITNESSES) & (labels[rows] == group_labels[group])
        rows, group = rows[chosen], group[chosen]
        there = self.near[rows]
        agree = ((labels[there] == group_labels[group][:, None]) & (words[there] != words[rows][:, None])).sum(axis=1)
        decades = self.weights[group_labels[group], agree]
        return np.bincount(group, weights=decades, minlength=count).astype(np.float64)


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

    def decades(self, group: Group, group_of: NDArray[np.int64], *, most: int | None = None) -> float:
        """Evidence that the labels of a group contradict their content, before correction.

        Args:
            group: The rows.
            group_of: int64 array (n,): which rows share a patch at this place.
            most: Rows that are looked at, the first ones; all when None.
        """
        labels, label = self.images.labels, group.label
        members = group.rows[self.distinct[group.rows]][:most]
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
        distinct: bool array (n,): False for all but the first of equal rows.
        device: A torch device.
    """

    images: Images
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
        (found, far), (seen, _) = self._nearest(patch, witnesses, outside, NEIGHBOURS)
        near_inside = np.full(len(witnesses), np.inf, dtype=np.float32)
        if len(members) > 1:
            # Witnesses are the first members and each finds itself first: the second distance is the one that counts.
            near_inside = self._nearest(patch, witnesses, members, 2)[0][1][:, 1]
        agree = np.maximum(
            (images.labels[outside[found]] == group.label).sum(axis=1),
            (images.labels[outside[seen]] == group.label).sum(axis=1),
        )
        bias = _look_alikes(group, images, outside) * HIDDEN_BIAS
        chance = _raised((agree + share) / (NEIGHBOURS + 1), base[agree], bias)
        carried = images.labels[witnesses] == group.label
        alone = far[:, 0] < near_inside
        evidence = poisson_binomial_tail(int(carried[alone].sum()), chance[alone])
        paired = zip(witnesses[carried].tolist(), outside[found[carried, 0]].tolist(), strict=True)
        return Verdict(
            decades=evidence if 2 * int(alone.sum()) >= len(witnesses) else 0.0,
            compared=int(alone.sum()),
            contradicting=int((carried & alone & (agree <= NEIGHBOURS // 2)).sum()),
            pairs=tuple(paired)[:shown],
        )

    def _nearest(
        self, patch: NDArray[np.int64], rows: NDArray[np.int64], others: NDArray[np.int64], count: int
    ) -> tuple[Found, Found]:
        """The nearest of some other rows without the patch, and with it.

        Places among `others`, and squared distances less the row's own square: whole numbers, that float32 holds.
        """
        import numpy as np
        import torch

        levels = self.images.levels

        def shown(which: NDArray[np.int64]) -> torch.Tensor:
            return torch.from_numpy(levels[which].astype(np.float32)).to(self.device)

        asked, hidden = shown(rows), torch.from_numpy(patch).to(self.device)
        without, whole = [], []
        for at in range(0, len(others), REFERENCE_BLOCK):
            there = shown(others[at : at + REFERENCE_BLOCK])
            part = there[:, hidden]
            apart = torch.addmm((there * there).sum(dim=1), asked, there.T, alpha=-2)
            whole.append(apart)
            without.append(apart - torch.addmm((part * part).sum(dim=1), asked[:, hidden], part.T, alpha=-2))
        return _first(torch.cat(without, dim=1), count), _first(torch.cat(whole, dim=1), count)


def _first(apart: torch.Tensor, count: int) -> Found:
    values, places = apart.topk(min(count, apart.shape[1]), dim=1, largest=False)
    return places.cpu().numpy(), values.cpu().numpy()


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
