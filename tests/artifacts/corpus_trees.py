"""Hostile tree models: indices that would lead a library's compiled code out of its memory. Written by hand."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from typing import Any

from tests.artifacts.corpus import CALL, Hostile, one

TREE: dict[str, Any] = {
    "base_weights": [0.0, -0.5, 0.5], "categories": [], "categories_nodes": [], "categories_segments": [],
    "categories_sizes": [], "default_left": [0, 0, 0], "id": 0, "left_children": [1, -1, -1],
    "loss_changes": [5.0, 0.0, 0.0], "parents": [2147483647, 0, 0], "right_children": [2, -1, -1],
    "split_conditions": [0.5, -0.5, 0.5], "split_indices": [0, 0, 0], "split_type": [0, 0, 0],
    "sum_hessian": [15.0, 7.5, 7.5],
    "tree_param": {"num_deleted": "0", "num_feature": "4", "num_nodes": "3", "size_leaf_vector": "1"},
}  # fmt: skip
LIGHTGBM = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=3
objective=binary sigmoid:1
feature_names=a b c d
tree_sizes=306

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
split_gain=60 1
threshold=0.5 0.25
decision_type=2 2
left_child=1 -1
right_child=-2 -3
leaf_value=-0.2 0.2 0.1
leaf_weight=7.5 7.5 1
leaf_count=30 30 1
internal_value=0 0
internal_weight=15 1
internal_count=60 31
is_linear=0
shrinkage=0.1


end of trees

parameters:
[boosting: gbdt]
end of parameters

pandas_categorical:null
"""


def xgboost(**changes: object) -> dict[str, Any]:
    """A model of one tree, with columns of it replaced."""
    tree = copy.deepcopy(TREE) | changes
    model = {"gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"}, "tree_info": [0], "trees": [tree]}
    return {
        "learner": {
            "attributes": {},
            "gradient_booster": {"model": model, "name": "gbtree"},
            "learner_model_param": {"base_score": "5E-1", "num_feature": "4"},
            "objective": {"name": "reg:squarederror"},
        },
        "version": [3, 2, 0],
    }


def ubjson(value: object, *, key: bool = False) -> bytes:
    """As XGBoost writes it."""
    if isinstance(value, str):
        raw = value.encode()
        return (b"" if key else b"S") + b"L" + struct.pack(">q", len(raw)) + raw
    if isinstance(value, dict):
        return b"{" + b"".join(ubjson(name, key=True) + ubjson(inner) for name, inner in value.items()) + b"}"
    if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
        return b"[$l#L" + struct.pack(">q", len(value)) + struct.pack(f">{len(value)}i", *value)
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(ubjson(item) for item in value)
    return b"D" + struct.pack(">d", value) if isinstance(value, float) else b"L" + struct.pack(">q", value)


LIES: dict[str, dict[str, object]] = {
    "child-past-the-end": {"left_children": [7, -1, -1]},
    "child-before-the-start": {"left_children": [-5, -1, -1]},
    "child-that-is-the-root": {"left_children": [1, 0, -1]},
    "child-of-itself": {"left_children": [1, 1, -1], "right_children": [2, 2, -1]},
    "child-of-two": {"left_children": [1, -1, -1], "right_children": [1, -1, -1]},
    "half-a-leaf": {"right_children": [2, 5, -1]},
    "another-parent": {"parents": [2147483647, 2, 0]},
    "root-with-a-parent": {"parents": [1, 0, 0]},
    "feature-past-the-end": {"split_indices": [4, 0, 0]},
    "feature-below-zero": {"split_indices": [-1, 0, 0]},
    "short-column": {"split_conditions": [0.5]},
    "column-of-texts": {"split_conditions": ["a", "b", "c"]},
    "column-of-objects": {"left_children": [{}, -1, -1]},
    "missing-column": {"default_left": None},
    "size-lie": {"tree_param": {"num_nodes": "999999999", "size_leaf_vector": "1"}},
    "size-below-zero": {"tree_param": {"num_nodes": "-3", "size_leaf_vector": "1"}},
    "category-past-the-end": {"categories_nodes": [0], "categories_segments": [0], "categories_sizes": [9]},
}


def boosters() -> list[Hostile]:
    """XGBoost in both forms."""
    bad = "malformed-trees"
    found = [one(f"xgboost-json-{name}", json.dumps(xgboost(**lie)).encode(), bad) for name, lie in LIES.items()]
    numbers = {name: lie for name, lie in LIES.items() if name != "missing-column"}
    found += [one(f"xgboost-ubjson-{name}", ubjson(xgboost(**lie)), bad) for name, lie in numbers.items()]
    fine = ubjson(xgboost())
    twice = json.dumps(xgboost()).replace('"trees":', '"trees": [], "trees":').encode()
    count = struct.pack(">q", 3)
    deep = b"{" + ubjson("a", key=True) + b"[" * 100_000
    return [
        *found,
        one("xgboost-json-duplicate-key", twice, bad),
        one("xgboost-ubjson-cut-off", fine[:-9], bad),
        one("xgboost-ubjson-trailing", fine + CALL, bad),
        one("xgboost-ubjson-huge-count", fine.replace(count, struct.pack(">q", 1 << 60), 1), bad),
        one("xgboost-ubjson-count-below-zero", fine.replace(count, struct.pack(">q", -1), 1), bad),
        one("xgboost-ubjson-deep", deep, bad),
        one("xgboost-ubjson-unknown-type", b"{" + ubjson("a", key=True) + b"q}", bad),
        one("xgboost-ubjson-duplicate-key", b"{" + (ubjson("a", key=True) + b"i\1") * 2 + b"}", bad),
        one("xgboost-of-another-booster", json.dumps(xgboost()).replace('"gbtree"}', '"mine"}').encode()),
    ]


def texts() -> list[Hostile]:
    """LightGBM."""
    lies = {
        "child-past-the-end": ("left_child=1 -1", "left_child=9 -1"),
        "child-of-two": ("right_child=-2 -3", "right_child=-2 -2"),
        "child-that-is-the-root": ("left_child=1 -1", "left_child=0 -1"),
        "leaf-past-the-end": ("right_child=-2 -3", "right_child=-2 -9"),
        "feature-past-the-end": ("split_feature=0 1", "split_feature=0 4"),
        "feature-below-zero": ("split_feature=0 1", "split_feature=0 -1"),
        "short-column": ("threshold=0.5 0.25", "threshold=0.5"),
        "missing-column": ("decision_type=2 2\n", ""),
        "leaves-lie": ("num_leaves=3", "num_leaves=999999999"),
        "no-leaves": ("num_leaves=3", "num_leaves=0"),
        "leaves-that-are-no-number": ("num_leaves=3", "num_leaves=x"),
        "category-past-the-end": ("decision_type=2 2", "decision_type=1 2"),
        "field-twice": ("num_cat=0", "num_cat=0\nnum_cat=1"),
        "unknown-line": ("is_linear=0", "is_linear=0\nhello"),
        "trees-lie": ("tree_sizes=306", "tree_sizes=306 306"),
        "tree-of-another-number": ("Tree=0", "Tree=5"),
        "no-end": ("end of trees\n", ""),
    }
    found = [one(f"lightgbm-{name}", LIGHTGBM.replace(*lie).encode(), "malformed-trees") for name, lie in lies.items()]
    linear = LIGHTGBM.replace("is_linear=0", "is_linear=1").encode()
    return [*found, one("lightgbm-linear", linear), one("lightgbm-and-pickle", LIGHTGBM.encode() + CALL + b"\0")]


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (boosters, texts)
