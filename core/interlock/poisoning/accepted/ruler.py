"""How a snapshot is measured, so that the next one can be measured alike: places to count at, and axes to project on.

The places are quantiles of the survey's sample; what is counted at them is every row, so the counts are exact however
the rows were split, and so is the distance of two distribution functions at these places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.hashing import row_hashes, text_hashes
from interlock.poisoning.survey import Profile, projected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AXES = 16
GROUPS = 32
"""Rows fall into so many groups by their content; how far the groups differ says how far snapshots may."""

MAX_VALUES = 4096
"""Different sources, or values of a column, that are counted; of more, those with the smallest hashes."""

LENGTHS = tuple(round(2 ** (step / 2)) for step in range(2, 42))
"""Numbers of characters at which texts are counted: each 1.4 times the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """Where and along what is measured.

    Args:
        edges: float32 array (d, q), ascending in each line: values are counted up to each of them.
        centre: float32 array (d,): of the projection, with the next three as in `Profile`.
        low: float32 array (d,).
        high: float32 array (d,).
        scale: float32 array (d,).
        axes: float32 array (d, p).
    """

    edges: NDArray[np.float32] = field(repr=False)
    centre: NDArray[np.float32] = field(repr=False)
    low: NDArray[np.float32] = field(repr=False)
    high: NDArray[np.float32] = field(repr=False)
    scale: NDArray[np.float32] = field(repr=False)
    axes: NDArray[np.float32] = field(repr=False)

    @classmethod
    def of(cls, profile: Profile) -> Ruler:
        """Made for one dataset.

        Args:
            profile: Of it, with quantiles.
        """
        import numpy as np

        if profile.quantiles is None:
            raise ValueError("the survey was not asked for quantiles")
        names = ("centre", "low", "high", "scale")
        single = {name: getattr(profile, name).astype(np.float32) for name in names}
        axes = np.ascontiguousarray(profile.axes[:, :AXES], dtype=np.float32)
        return cls(edges=np.ascontiguousarray(profile.quantiles.T, dtype=np.float32), axes=axes, **single)

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.edges)

    def points(self, features: NDArray[np.float32], profile: Profile) -> NDArray[np.float32]:
        """float32 array (rows, p): rows on the axes."""
        import numpy as np

        names = ("centre", "low", "high", "scale", "axes")
        own = {name: getattr(self, name).astype(np.float64) for name in names}
        return projected(features, replace(profile, **own))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was measured along a ruler.

    Args:
        rows: Rows, without those that could not be read.
        counts: int64 array (d, q + 1): rows up to each place and beyond the one before; the last is beyond them all,
            with what is missing.
        moments: float64 array (groups, 1 + p + p * p): rows, sums, and sums of products of each group.
        lengths: By column of text: int64 array: rows by their number of characters.
        sources: Rows by contributor; empty when nobody kept it.
        categories: By column: rows by value.
        names: Of the features, empty when nothing names them.
    """

    rows: int
    counts: NDArray[np.int64] = field(repr=False)
    moments: NDArray[np.float64] = field(repr=False)
    lengths: Mapping[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    sources: Mapping[str, int] = field(default_factory=dict, repr=False)
    categories: Mapping[str, Mapping[str, int]] = field(default_factory=dict, repr=False)
    names: tuple[str, ...] = ()


def tally(batch: Batch, ruler: Ruler, profile: Profile, *, seed: int) -> Tally:
    """Measure one batch.

    Args:
        batch: Rows; their images may be unreadable.
        ruler: Of as many features.
        profile: Any of this dataset.
        seed: Of the content hash that groups rows.
    """
    import numpy as np

    readable = np.ones(len(batch.labels), dtype=bool)
    readable[[one.row - batch.start for one in batch.unread]] = False
    features = batch.features[readable] if batch.unread else batch.features
    return Tally(
        rows=len(features),
        counts=_counted(features, ruler.edges),
        moments=_moments(ruler.points(features, profile), seed),
        lengths={name: _lengths(texts) for name, texts in batch.texts.items()},
        sources={} if batch.sources is None else _kept(batch.sources.counts()),
        categories={name: _kept(column.counts()) for name, column in batch.categories.items()},
        names=batch.names,
    )


def both(one: Tally, other: Tally) -> Tally:
    """The tally of all rows of two."""
    import numpy as np

    return Tally(
        rows=one.rows + other.rows,
        counts=one.counts + other.counts,
        moments=one.moments + other.moments,
        lengths={name: np.add(counts, other.lengths[name]) for name, counts in one.lengths.items()},
        sources=_added(one.sources, other.sources),
        categories={
            name: _added(one.categories.get(name, {}), other.categories.get(name, {}))
            for name in {*one.categories, *other.categories}
        },
        names=one.names or other.names,
    )


def _counted(features: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.int64]:
    import numpy as np
    import torch

    width, places = edges.shape[0], edges.shape[1] + 1
    found = np.zeros((width, places), dtype=np.int64)
    sorted_edges = torch.from_numpy(np.ascontiguousarray(edges))
    step = max(1, 2**20 // max(1, len(features)))
    for at in range(0, width, step):
        values = np.ascontiguousarray(features[:, at : at + step].T)
        values = np.where(np.isnan(values), np.float32(np.inf), values)
        bins = torch.searchsorted(sorted_edges[at : at + step], torch.from_numpy(values))
        bins += torch.arange(len(values))[:, None] * places
        found[at : at + step] = torch.bincount(bins.ravel(), minlength=len(values) * places).reshape(-1, places).numpy()
    return found


def _moments(points: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    import numpy as np

    axes = points.shape[1]
    found = np.zeros((GROUPS, 1 + axes + axes * axes))
    group = (row_hashes(points, seed) % np.uint64(GROUPS)).astype(np.int64)
    values = points.astype(np.float64)
    for place in np.unique(group).tolist():
        mine = values[group == place]
        found[place] = np.concatenate([[len(mine)], mine.sum(axis=0), (mine.T @ mine).ravel()])
    return found


def _lengths(texts: Sequence[str]) -> NDArray[np.int64]:
    import numpy as np

    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    return np.bincount(np.searchsorted(LENGTHS, lengths), minlength=len(LENGTHS) + 1)


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return _kept(dict(Counter(one) + Counter(other)))


def _kept(counts: dict[str, int]) -> dict[str, int]:
    """All, or those with the smallest hashes: which they are does not depend on how the rows were split."""
    if len(counts) <= MAX_VALUES:
        return counts
    names = list(counts)
    order = text_hashes(names)[:-1].argsort(kind="stable")[:MAX_VALUES].tolist()
    return {names[place]: counts[names[place]] for place in order}
