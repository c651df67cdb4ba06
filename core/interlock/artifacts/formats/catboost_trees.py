"""Holds the trees of a CatBoost model against its features and its leaves, which the library's compiled code trusts.

It reads a model by `FlatBuffers` (checked by their verifier, apart from the tables of categories) or by JSON, and then
follows every index in it: splits into the features' borders, steps from node to node, leaves into their values
(CatBoost 1.2: ``catboost/libs/model/model.cpp``, ``CalcBinFeatures`` and ``CalcFirstLeafOffsets``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.artifacts.formats.trees import MalformedTreesError
from interlock.artifacts.limits import Budget

VALUES_PER_BIN: Final = 254
_MOST_BUCKETS: Final = 0xFFFF
_DEEPEST: Final = 31
_CTRS_AT_ONCE: Final = 1_000
BORDERS, BUCKETS, MEAN, FLOAT_MEAN, COUNTER, FREQUENCY = range(6)
"""`ECtrType`: how the values of a table of categories are meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A feature of the data.

    Args:
        index: Among those of its kind.
        flat: Among all of them.
        used: By a split of the model.
    """

    index: int
    flat: int
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CtrBase:
    """What a table of categories counts: combined features and how.

    Args:
        categories: Indices of categorical features.
        floats: Index and border of float features.
        one_hots: Index and value of categorical features.
        kind: One of `ECtrType`.
    """

    categories: tuple[int, ...]
    floats: tuple[tuple[int, float], ...]
    one_hots: tuple[tuple[int, int], ...]
    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ctr:
    """A feature made of categories: its table, the class that it asks for, and how many borders it has."""

    base: CtrBase
    target_border: int
    borders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Every feature of a model.

    Args:
        floats: Positions of float features.
        borders: The borders of each.
        categories: Positions of categorical features.
        one_hots: Index of a categorical feature, and how many values it is compared with.
        ctrs: Features made of categories.
    """

    floats: tuple[Position, ...]
    borders: tuple[Sequence[float], ...]
    categories: tuple[Position, ...]
    one_hots: tuple[tuple[int, int], ...]
    ctrs: tuple[Ctr, ...]

    def counts(self) -> list[int]:
        """How many splits each feature offers, in the order in which the library numbers them."""
        return [*map(len, self.borders), *(count for _, count in self.one_hots), *(ctr.borders for ctr in self.ctrs)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """All trees of a model, one behind the other.

    Args:
        dimension: Values of one leaf.
        splits: Number of a split, for each level (symmetric) or node.
        sizes: Levels or nodes of each tree.
        steps: Distance from each node to its left and its right child, 0 for none; empty where trees are symmetric.
        leaves: First value of each node that is a leaf, a large number for all others; empty like `steps`.
        values: How many values there are.
        weights: How many weights of leaves there are.
    """

    dimension: int
    splits: Sequence[int]
    sizes: Sequence[int]
    steps: Sequence[int] = ()
    leaves: Sequence[int] = ()
    values: int
    weights: int


def check_features(features: Features, tables: Mapping[CtrBase, int], budget: Budget) -> None:
    """Check that features stand where the library looks for them.

    Args:
        features: Of the model.
        tables: Every table of categories, and how many classes it counts.
        budget: Whose time it takes.

    Raises:
        MalformedTreesError: One does not.
        LimitPassedError: The time is over.
    """
    _check_places(features)
    categories = {position.index for position in features.categories if position.used}
    for index, _ in features.one_hots:
        if index not in categories:
            raise MalformedTreesError(f"values of the categorical feature {index}, which there is not")
    if sum(-(-count // VALUES_PER_BIN) for count in features.counts()) > _MOST_BUCKETS:
        raise MalformedTreesError("more features than the library can number")
    floats = {position.index for position, borders in zip(features.floats, features.borders, strict=True) if borders}
    known = categories | {index for index, _ in features.one_hots}
    for number, ctr in enumerate(features.ctrs):
        if not number % _CTRS_AT_ONCE:
            budget.check_time()
        _check_class(ctr, tables)
        if not (
            categories.issuperset(ctr.base.categories)
            and floats.issuperset(index for index, _ in ctr.base.floats)
            and known.issuperset(index for index, _ in ctr.base.one_hots)
        ):
            raise MalformedTreesError("a feature is made of others that are not there")


def _check_places(features: Features) -> None:
    for name, positions in (("float", features.floats), ("categorical", features.categories)):
        last = -1
        for position in positions:
            # The library takes the last one's index for the number of values that it needs.
            if position.index <= last or position.flat < position.index:
                raise MalformedTreesError(f"{name} features that are out of order")
            last = position.index
    flat = [position.flat for position in (*features.floats, *features.categories)]
    if len(set(flat)) != len(flat):
        raise MalformedTreesError("two features at one place")


def _check_class(ctr: Ctr, tables: Mapping[CtrBase, int]) -> None:
    classes = tables.get(ctr.base)
    if classes is None:
        raise MalformedTreesError("a feature made of categories has no table")
    if ctr.base.kind in (BORDERS, BUCKETS):
        # `Buckets` reads the class itself, `Borders` the classes behind it.
        below = classes if ctr.base.kind == BUCKETS else max(classes - 1, 1)
        if not 0 <= ctr.target_border < below:
            raise MalformedTreesError(f"a feature asks for class {ctr.target_border} of {classes}")


def check_trees(trees: Trees, features: Features, budget: Budget) -> None:
    """Check that every tree leads from its root to leaves of its own.

    Args:
        trees: Of the model.
        features: Already checked.
        budget: Whose time it takes.

    Raises:
        MalformedTreesError: One does not.
        LimitPassedError: The time is over.
    """
    offered = sum(features.counts())
    if trees.dimension < 1:
        raise MalformedTreesError(f"leaves of {trees.dimension} values")
    if sum(trees.sizes) != len(trees.splits) or min(trees.sizes, default=0) < 0:
        raise MalformedTreesError(f"{len(trees.splits):,} splits in trees of other sizes")
    wrong = [split for split in trees.splits if not 0 <= split < max(offered, 1 if trees.steps else 0)]
    if wrong:
        raise MalformedTreesError(f"a split of number {wrong[0]:,} where the features offer {offered:,}")
    count = _leaves_of_nodes(trees, budget) if trees.steps or trees.leaves else _leaves_of_levels(trees)
    if count * trees.dimension != trees.values or trees.weights not in (0, count):
        raise MalformedTreesError(f"{trees.values:,} values and {trees.weights:,} weights for {count:,} leaves")


def _leaves_of_levels(trees: Trees) -> int:
    if max(trees.sizes, default=0) > _DEEPEST:
        raise MalformedTreesError(f"a tree of {max(trees.sizes):,} levels")
    return sum(1 << size for size in trees.sizes)


def _leaves_of_nodes(trees: Trees, budget: Budget) -> int:
    """How many leaves there are, of trees whose nodes say how far their children are."""
    if not len(trees.steps) == 2 * len(trees.splits) == 2 * len(trees.leaves):
        raise MalformedTreesError("nodes without a split, a step or a leaf")
    begin = leaves = 0
    for number, size in enumerate(trees.sizes):
        budget.check_time()
        held: list[int] = []
        for node in range(begin, begin + size):
            left, right = trees.steps[2 * node], trees.steps[2 * node + 1]
            if node + max(left, right) >= begin + size:
                raise MalformedTreesError(f"tree {number:,}: a node leads out of it")
            if left and right:
                continue
            held.append(trees.leaves[node])
        held.sort()
        if not held or held != [
            *range(leaves * trees.dimension, (leaves + len(held)) * trees.dimension, trees.dimension)
        ]:
            raise MalformedTreesError(f"tree {number:,}: leaves without values of their own")
        leaves += len(held)
        begin += size
    return leaves


def packed_splits(trees: Trees, features: Features) -> list[tuple[int, int, int]]:
    """What the library makes of each split when it loads a model: bucket, mask and number in the bucket."""
    counts = features.counts()
    starts, buckets = [0], [0]
    for count in counts:
        starts.append(starts[-1] + count)
        buckets.append(buckets[-1] - (-count // VALUES_PER_BIN))
    one_hots = range(len(features.floats), len(features.floats) + len(features.one_hots))
    found = []
    for split in trees.splits:
        feature = bisect_right(starts, split) - 1
        within, number = divmod(split - starts[feature], VALUES_PER_BIN)
        bucket = buckets[feature] + within
        found.append((bucket, ~(number + 1) & 0xFF, 0xFF) if feature in one_hots else (bucket, 0, number + 1))
    return found
