"""Scans CatBoost's models in JSON, from which the library builds the same trees without asking more than for `.cbm`.

Layout: CatBoost 1.2, ``ConvertJsonToCatboostModel`` (``catboost/libs/model/model_export/json_model_helpers.cpp``). It
takes what is missing or of another type for nothing or zero; here it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.catboost_trees import (
    BORDERS,
    BUCKETS,
    COUNTER,
    FLOAT_MEAN,
    FREQUENCY,
    MEAN,
    Ctr,
    CtrBase,
    Features,
    Position,
    Trees,
    check_features,
    check_trees,
)
from interlock.artifacts.formats.strict_json import MalformedJsonError, strict_json
from interlock.artifacts.formats.trees import MalformedTreesError
from interlock.artifacts.record import Record

_KINDS: Final = {
    "Borders": BORDERS,
    "Buckets": BUCKETS,
    "BinarizedTargetMeanValue": MEAN,
    "FloatTargetMeanValue": FLOAT_MEAN,
    "Counter": COUNTER,
    "FeatureFreq": FREQUENCY,
}
_LARGEST: Final = (1 << 31) - 1
_FARTHEST: Final = 0xFFFF
_NO_LEAF: Final = (1 << 32) - 1


def scan_catboost_json(raw: bytes, *, path: str, record: Record) -> None:
    """Check a model in JSON.

    Raises:
        LimitPassedError: It is larger than a text may be, or the time is over.
    """
    try:
        model = strict_json(raw, record)
        tables = _tables(model, record)
        features = _features(_part(model, "features_info", dict))
        check_features(features, tables, record.budget)
        symmetric = "oblivious_trees" in model
        trees = _symmetric(model) if symmetric else _nodes(_part(model, "trees", list))
        check_trees(trees, features, record.budget)
    except (MalformedJsonError, MalformedTreesError, OverflowError, UnicodeEncodeError) as error:
        record.error(rules.MALFORMED_TREES, f"no CatBoost model that can be trusted: {error}", path)


def _part(value: object, name: str, kind: Any, missing: object = None) -> Any:
    found = value.get(name) if isinstance(value, Mapping) else None
    found = missing if found is None else found
    if not isinstance(found, kind):
        raise MalformedTreesError(f"it has no {name}")
    return found


def _whole(value: object, name: str) -> int:
    found = _part(value, name, int)
    if isinstance(found, bool) or abs(found) > _LARGEST:
        raise MalformedTreesError(f"{name} that is no whole number")
    return int(found)


def _numbers(value: object, name: str, missing: object = None) -> list[float]:
    found: list[float] = _part(value, name, list, missing)
    if not all(type(number) in (int, float) for number in found):
        raise MalformedTreesError(f"{name} that are no numbers")
    return found


def _features(info: Mapping[str, Any]) -> Features:
    floats = _part(info, "float_features", list, [])
    categories = _part(info, "categorical_features", list, [])
    borders = tuple(_numbers(feature, "borders", []) for feature in floats)
    return Features(
        floats=tuple(_position(feature, used=bool(held)) for feature, held in zip(floats, borders, strict=True)),
        borders=borders,
        categories=tuple(_position(feature, used=True) for feature in categories),
        one_hots=tuple(
            (_whole(feature, "feature_index"), len(_numbers(feature, "values")))
            for feature in categories
            if "values" in feature
        ),
        ctrs=tuple(
            Ctr(
                base=CtrBase(kind=_kind(feature, "ctr_type"), **_combination(feature, "elements")),
                target_border=_whole(feature, "target_border_idx"),
                borders=len(_numbers(feature, "borders")),
            )
            for feature in _part(info, "ctrs", list, [])
        ),
    )


def _position(feature: object, *, used: bool) -> Position:
    return Position(index=_whole(feature, "feature_index"), flat=_whole(feature, "flat_feature_index"), used=used)


def _kind(value: object, name: str) -> int:
    found = _part(value, name, str)
    if found not in _KINDS:
        raise MalformedTreesError("a feature made of categories of no known kind")
    return _KINDS[found]


def _combination(value: object, name: str) -> dict[str, Any]:
    categories, floats, one_hots = [], [], []
    for element in _part(value, name, list):
        what = _part(element, "combination_element", str)
        if what == "cat_feature_value":
            categories.append(_whole(element, "cat_feature_index"))
        elif what == "float_feature":
            floats.append((_whole(element, "float_feature_index"), float(_part(element, "border", int | float))))
        else:
            one_hots.append((_whole(element, "cat_feature_index"), _whole(element, "value")))
    return {"categories": tuple(categories), "floats": tuple(floats), "one_hots": tuple(one_hots)}


def _tables(model: object, record: Record) -> dict[CtrBase, int]:
    """Every table of categories, and how many classes it counts."""
    found: dict[CtrBase, int] = {}
    for text, table in _part(model, "ctr_data", dict, {}).items():
        described = strict_json(text.encode(), record)
        base = CtrBase(kind=_kind(described, "type"), **_combination(described, "identifier"))
        stride, held = _whole(table, "hash_stride"), _part(table, "hash_map", list, [])
        least = {MEAN: 3, FLOAT_MEAN: 3, COUNTER: 2, FREQUENCY: 2, BORDERS: 3, BUCKETS: 2}[base.kind]
        if stride < least or (base.kind not in (BORDERS, BUCKETS) and stride != least) or len(held) % stride:
            raise MalformedTreesError(f"a table of {len(held):,} values in rows of {stride}")
        if base in found:
            raise MalformedTreesError("a table of categories twice")
        for number, value in enumerate(held):
            hashed = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20
            if not (hashed if not number % stride else type(value) in (int, float)):
                raise MalformedTreesError("a table of categories with something other than numbers")
        found[base] = stride - 1
    return found


def _symmetric(model: object) -> Trees:
    splits: list[int] = []
    sizes: list[int] = []
    values = weights = 0
    dimensions: set[float] = set()
    for tree in _part(model, "oblivious_trees", list):
        here = _part(tree, "splits", list, [])
        splits += [_whole(split, "split_index") for split in here]
        sizes.append(len(here))
        held = len(_numbers(tree, "leaf_values"))
        dimensions.add(held / (1 << min(len(here), 64)))
        values += held
        weights += len(_numbers(tree, "leaf_weights", []))
    if len(dimensions) > 1:
        raise MalformedTreesError("trees whose leaves are of several dimensions")
    return Trees(dimension=int(max(dimensions, default=1)), splits=splits, sizes=sizes, values=values, weights=weights)


class _Nodes:
    """Collects nodes as the library numbers them: each one before its left, and its left before its right."""

    def __init__(self) -> None:
        self.splits: list[int] = []
        self.steps: list[int] = []
        self.leaves: list[int] = []
        self.values = 0
        self.weights = 0
        self.dimensions: set[int] = set()

    def add(self, tree: object) -> None:
        """Collect one tree."""
        left: list[tuple[object, int]] = [(tree, -1)]
        while left:
            node, place = left.pop()
            number = len(self.splits)
            if place >= 0:
                if number - place // 2 > _FARTHEST:
                    raise MalformedTreesError("a tree of more nodes than a step can cross")
                self.steps[place] = number - place // 2
            self.steps += (0, 0)
            if isinstance(node, Mapping) and "value" in node:
                self._add_leaf(node)
                continue
            self.leaves.append(_NO_LEAF)
            self.splits.append(_whole(_part(node, "split", dict), "split_index"))
            left += [(_part(node, "right", dict), 2 * number + 1), (_part(node, "left", dict), 2 * number)]

    def _add_leaf(self, node: Mapping[str, object]) -> None:
        value = node["value"]
        count = len(_numbers(node, "value")) if isinstance(value, list) else 1
        if not isinstance(value, list) and type(value) not in (int, float):
            raise MalformedTreesError("a leaf without a value")
        self.leaves.append(self.values)
        self.splits.append(0)
        self.dimensions.add(count)
        self.values += count
        self.weights += "weight" in node


def _nodes(trees: list[object]) -> Trees:
    nodes = _Nodes()
    sizes = []
    for tree in trees:
        before = len(nodes.splits)
        nodes.add(tree)
        sizes.append(len(nodes.splits) - before)
    if len(nodes.dimensions) > 1:
        raise MalformedTreesError("trees whose leaves are of several dimensions")
    return Trees(
        dimension=max(nodes.dimensions, default=1),
        splits=nodes.splits,
        sizes=sizes,
        steps=nodes.steps,
        leaves=nodes.leaves,
        values=nodes.values,
        weights=nodes.weights,
    )
