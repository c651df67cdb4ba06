"""CatBoost models that lead the library out of its memory, in its binary form and in JSON; and really saved ones."""

from __future__ import annotations

import copy
import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.artifacts.corpus import CALL, Hostile, one
from tests.artifacts.flat import Field, Many, Number, Vector, flat

from interlock.artifacts.formats.catboost_trees import BORDERS, BUCKETS, COUNTER, FLOAT_MEAN

Table = Mapping[int, Field]
BAD = "malformed-trees"
VERSION = b"FlabuffersModel_v1"
TABLES = b"static_provider_v1"
EMPTY = (1 << 64) - 1
NO_LEAF = (1 << 32) - 1


def saved() -> dict[str, bytes]:
    """What CatBoost saved, by file name."""
    with zipfile.ZipFile(Path(__file__).with_name("catboost.zip")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def feature(index: int, borders: Sequence[float], **changes: Field) -> Table:
    """A float feature; changes by name: ``flat``, ``missing``."""
    return {
        1: Number("i", index), 2: changes.get("flat", Number("i", index)), 3: Vector("f", borders),
        5: changes.get("missing", Number("b", 0)),
    }  # fmt: skip


FLOATS = (feature(0, [0.5]), feature(2, [0.25, 0.75]))
CATEGORY: Table = {0: Number("i", 0), 1: Number("i", 1)}
SYMMETRIC: Table = {
    0: Number("i", 1), 1: Vector("i", [0, 2, 1]), 2: Vector("i", [2, 1]), 3: Vector("i", [0, 2]),
    5: Many(FLOATS), 8: Vector("d", [0.0] * 6), 9: Vector("d", [1.0] * 6),
    17: Vector("HBB", [(0, 0, 1), (1, 0, 2), (1, 0, 1)]),
}  # fmt: skip
"""Two trees, of two levels and of one."""
NODES: Table = {
    0: Number("i", 2), 1: Vector("i", [1, 0, 0, 0]), 2: Vector("i", [3, 1]), 3: Vector("i", [0, 3]), 5: Many(FLOATS),
    8: Vector("d", [0.0] * 6), 10: Vector("HH", [(1, 2), (0, 0), (0, 0), (0, 0)]),
    11: Vector("I", [NO_LEAF, 0, 2, 4]),
}  # fmt: skip
"""Two trees by nodes, with two values a leaf: a root with two leaves, and a leaf."""


def base(kind: int, categories: Sequence[int] = (0,)) -> Table:
    """What a table of categories counts."""
    return {0: {0: Vector("i", categories), 2: Vector("ii", [])}, 1: Number("b", kind)}


def with_categories(kind: int = BORDERS, target: int = 0, **changes: Field) -> Table:
    """One tree of one level that asks a feature made of categories; changes: ``base``, ``categories``, ``one_hots``."""
    return {
        0: Number("i", 1), 1: Vector("i", [0]), 2: Vector("i", [1]), 3: Vector("i", [0]),
        4: changes.get("categories", Many([CATEGORY])), 6: changes.get("one_hots", Many([])),
        7: Many([{0: {0: changes.get("base", base(kind)), 1: Number("i", target)}, 1: Vector("f", [0.5])}]),
        8: Vector("d", [0.0] * 2),
    }  # fmt: skip


def table(
    kind: int = BORDERS, rows: int = 2, classes: int = 2, buckets: Sequence[tuple[int, int]] = ((7, 1), (EMPTY, 0))
) -> bytes:
    """A table of categories, its size in front of it."""
    raw = b"".join(struct.pack("<QI", *bucket) for bucket in buckets)
    width = {COUNTER: 4, FLOAT_MEAN: 8}.get(kind, 4 * classes)
    made = flat({
        0: base(kind), 1: Vector("B", raw), 2: Vector("B", bytes(rows * width)), 4: Number("i", classes),
    })  # fmt: skip
    return struct.pack("<I", len(made)) + made


def cbm(
    trees: Table = SYMMETRIC,
    tables: Sequence[bytes] | None = None,
    *,
    info: Sequence[Table] = (),
    behind: bytes = b"",
    **changes: Field,
) -> bytes:
    """A model; changes: ``version``, ``parts``."""
    parts = changes.get("parts", Many([] if tables is None else [TABLES]))
    core = flat({0: changes.get("version", VERSION), 1: trees, 2: Many(info), 3: parts})
    behind = behind if tables is None else struct.pack("<I", len(tables)) + b"".join(tables) + behind
    return b"CBM1" + struct.pack("<I", len(core)) + core + behind


FINE: Mapping[str, bytes] = {
    "symmetric": cbm(),
    "nodes": cbm(NODES),
    "borders": cbm(with_categories(), [table()]),
    "buckets": cbm(with_categories(BUCKETS, 1), [table(BUCKETS)]),
    "counter": cbm(with_categories(COUNTER), [table(COUNTER, classes=0)]),
    "mean": cbm(with_categories(FLOAT_MEAN), [table(FLOAT_MEAN, classes=0)]),
    "metadata": cbm(info=[{0: b"params", 1: b"{}"}]),
    "without-trees": b"CBM1" + struct.pack("<I", len(flat({0: VERSION}))) + flat({0: VERSION}),
}
"""What the tricks change is allowed unchanged."""

LIES: Mapping[str, tuple[str, bytes]] = {
    "split-past-the-end": ("a split of number 3", cbm({**SYMMETRIC, 1: Vector("i", [0, 3, 1])})),
    "split-below-zero": ("a split of number -1", cbm({**SYMMETRIC, 1: Vector("i", [0, -1, 1])})),
    "sizes-lie": ("in trees of other sizes", cbm({**SYMMETRIC, 2: Vector("i", [2, 2])})),
    "size-below-zero": ("in trees of other sizes", cbm({**SYMMETRIC, 2: Vector("i", [4, -1])})),
    "starts-lie": ("begin elsewhere", cbm({**SYMMETRIC, 3: Vector("i", [0, 1])})),
    "starts-missing": ("begin elsewhere", cbm({key: value for key, value in SYMMETRIC.items() if key != 3})),
    "deep-tree": ("levels", cbm({**SYMMETRIC, 1: Vector("i", [0] * 40), 2: Vector("i", [40]), 3: Vector("i", [0])})),
    "few-values": ("5 values", cbm({**SYMMETRIC, 8: Vector("d", [0.0] * 5)})),
    "few-weights": ("5 weights", cbm({**SYMMETRIC, 9: Vector("d", [0.0] * 5)})),
    "no-dimension": ("leaves of 0 values", cbm({**SYMMETRIC, 0: Number("i", 0)})),
    "dimension-below-zero": ("leaves of -1 values", cbm({**SYMMETRIC, 0: Number("i", -1)})),
    "packed-splits-lie": (
        "packed splits", cbm({**SYMMETRIC, 17: Vector("HBB", [(0, 0, 1), (9, 0, 2), (1, 0, 1)])})),
    "bias-of-another-dimension": ("a bias", cbm({**SYMMETRIC, 16: Vector("d", [0.0] * 3)})),
    "step-out-of-its-tree": (
        "a node leads out of it", cbm({**NODES, 10: Vector("HH", [(1, 3), (0, 0), (0, 0), (0, 0)])})),
    "steps-missing": ("nodes without", cbm({**NODES, 10: Vector("HH", [(1, 2), (0, 0), (0, 0)])})),
    "leaf-past-the-end": ("leaves without values", cbm({**NODES, 11: Vector("I", [NO_LEAF, 0, 2, 6])})),
    "leaf-of-two": ("leaves without values", cbm({**NODES, 11: Vector("I", [NO_LEAF, 0, 0, 4])})),
    "leaf-between-leaves": ("leaves without values", cbm({**NODES, 11: Vector("I", [NO_LEAF, 1, 3, 5])})),
    "leaf-that-is-none": ("leaves without values", cbm({**NODES, 11: Vector("I", [0, NO_LEAF, 2, 4])})),
    "features-out-of-order": ("out of order", cbm({**SYMMETRIC, 5: Many(FLOATS[::-1])})),
    "feature-below-zero": ("out of order", cbm({**SYMMETRIC, 5: Many([feature(-2, [0.5]), FLOATS[1]])})),
    "features-at-one-place": (
        "two features at one place", cbm({**SYMMETRIC, 5: Many([feature(0, [0.5], flat=Number("i", 2)), FLOATS[1]])})),
    "missing-values-in-no-known-way": (
        "missing values", cbm({**SYMMETRIC, 5: Many([feature(0, [0.5], missing=Number("b", 9)), FLOATS[1]])})),
    "values-of-no-category": (
        "categorical feature 5", cbm(with_categories(one_hots=Many([{0: Number("i", 5)}])), [table()])),
    "categories-unused": ("that are not there", cbm(
        with_categories(categories=Many([{**CATEGORY, 3: Number("B", 0)}])), [table()])),
    "table-missing": ("has no table", cbm(with_categories(), [])),
    "tables-missing": ("has no table", cbm(with_categories())),
    "table-of-another-kind": ("has no table", cbm(with_categories(BUCKETS), [table(BORDERS)])),
    "table-twice": ("table of categories twice", cbm(with_categories(), [table(), table()])),
    "tables-twice": ("tables of categories twice", cbm(parts=Many([TABLES, TABLES]), behind=bytes(8))),
    "table-cut-off": ("cut off", cbm(with_categories(), [table()[:-1]])),
    "tables-of-a-huge-count": ("cut off", cbm(parts=Many([TABLES]), behind=b"\xff\xff\xff\x7f")),
    "kind-unknown": ("of no known kind", cbm(with_categories(base=base(9)), [table()])),
    "class-past-the-end": ("asks for class 2 of 2", cbm(with_categories(BUCKETS, 2), [table(BUCKETS)])),
    "class-below-zero": ("asks for class -1", cbm(with_categories(BORDERS, -1), [table()])),
    "no-classes": ("a table of 0 classes", cbm(with_categories(BUCKETS), [table(BUCKETS, classes=0)])),
    "classes-below-zero": ("a table of -1 classes", cbm(with_categories(), [
        table().replace(struct.pack("<i", 2), struct.pack("<i", -1))])),
    "row-past-the-end": ("asks for row 2", cbm(with_categories(), [table(buckets=[(7, 2), (EMPTY, 0)])])),
    "one-class-read-as-two": ("asks for row 1", cbm(with_categories(), [table(classes=1)])),
    "no-empty-bucket": ("look for ever", cbm(with_categories(), [table(buckets=[(7, 1), (8, 0)])])),
    "buckets-no-power-of-two": ("no power of two", cbm(with_categories(), [table(buckets=[(EMPTY, 0)] * 3)])),
    "no-buckets": ("no power of two", cbm(with_categories(), [table(buckets=[])])),
    "key-twice": ("a key twice", cbm(info=[{0: b"a", 1: b"b"}, {0: b"a", 1: b"c"}])),
    "key-without-a-value": ("without a key or a value", cbm(info=[{0: b"a"}])),
    "another-version": ("a version", cbm(version=b"FlabuffersModel_v2")),
    "bytes-behind": ("bytes behind its end", cbm(behind=CALL)),
    "vector-past-the-end": (
        "reaches over its end", cbm({**SYMMETRIC, 8: Vector("d", [0.0] * 6, count=(1 << 32) - 1)})),
    "offset-past-the-end": ("an offset leads out of it", cbm()[:8] + struct.pack("<I", 1 << 20) + cbm()[12:]),
    "offset-of-zero": ("an offset leads out of it", cbm()[:8] + bytes(4) + cbm()[12:]),
    "text-without-an-end": ("without its zero byte", cbm().replace(VERSION + b"\0", VERSION + b"x")),
    "cut-off": ("cut off", cbm()[:-1]),
    "size-of-nothing": ("offset leads out", b"CBM1" + bytes(4)),
    "size-past-the-end": ("cut off", b"CBM1" + struct.pack("<LL", 1 << 30, 16) + bytes(60)),
    "only-magic": ("cut off", b"CBM1"),
    "zeros": ("reaches over its end", b"CBM1" + struct.pack("<LL", 64, 16) + bytes(60)),
}  # fmt: skip
"""Trick to what the finding says, and the file."""


def _json(change: Callable[[dict[str, Any]], object], of: str = "categories.json") -> bytes:
    model = copy.deepcopy(_MODELS[of])
    change(model)
    return json.dumps(model).encode()


_MODELS: Mapping[str, dict[str, Any]] = {
    name: json.loads(data) for name, data in saved().items() if name.endswith(".json")
}


def _inside(model: Any, *path: Any, value: object) -> None:
    for part in path[:-1]:
        model = model[part]
    model[path[-1]] = value


def _first_table(model: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = next(iter(model["ctr_data"].values()))
    return first


def wide_tree() -> bytes:
    """A root whose right child is 65,536 nodes away: the library keeps the distance in 16 bits."""
    leaf, split = {"value": 0}, {"split_index": 0}
    left: dict[str, Any] = leaf
    for _ in range(15):
        left = {"split": split, "left": left, "right": left}
    trees = [{"split": split, "left": left, "right": leaf}]
    return json.dumps(_MODELS["lossguide.json"] | {"trees": trees}).encode()


_SPLIT = ("oblivious_trees", 0, "splits", 0, "split_index")
JSON_LIES: Mapping[str, tuple[str, bytes]] = {
    "split-past-the-end": ("a split of number 999", _json(lambda m: _inside(m, *_SPLIT, value=999))),
    "split-below-zero": ("a split of number -1", _json(lambda m: _inside(m, *_SPLIT, value=-1))),
    "split-that-wraps": ("no whole number", _json(lambda m: _inside(m, *_SPLIT, value=1 << 32))),
    "split-of-a-text": ("has no split_index", _json(lambda m: _inside(m, *_SPLIT, value="1"))),
    "few-values": ("several dimensions", _json(lambda m: m["oblivious_trees"][0]["leaf_values"].pop())),
    "few-weights": ("weights", _json(lambda m: m["oblivious_trees"][0]["leaf_weights"].pop())),
    "features-missing": ("it has no features_info", _json(lambda m: m.pop("features_info"))),
    "floats-missing": ("split of number", _json(lambda m: m["features_info"].pop("float_features"), "plain.json")),
    "feature-below-zero": ("out of order", _json(
        lambda m: _inside(m, "features_info", "float_features", 0, "feature_index", value=-1), "plain.json")),
    "tables-missing": ("has no table", _json(lambda m: m.pop("ctr_data"))),
    "stride-of-zero": ("in rows of 0", _json(lambda m: _inside(_first_table(m), "hash_stride", value=0))),
    "stride-of-one": ("in rows of 1", _json(lambda m: _inside(_first_table(m), "hash_stride", value=1))),
    "row-cut-off": ("in rows of", _json(lambda m: _first_table(m)["hash_map"].pop())),
    "hash-that-is-none": ("other than numbers", _json(lambda m: _inside(_first_table(m), "hash_map", 0, value=1))),
    "class-past-the-end": ("asks for class 9", _json(
        lambda m: _inside(m, "features_info", "ctrs", 0, "target_border_idx", value=9))),
    "border-of-no-float": ("too large to convert to float", _json(lambda m: _inside(
        m, "features_info", "ctrs", 0, "elements",
        value=[{"combination_element": "float_feature", "float_feature_index": 0, "border": 10**400}]))),
    "table-of-half-a-letter": ("surrogates not allowed", _json(lambda m: _inside(m, "ctr_data", value={"\ud800": {}}))),
    "node-without-a-child": ("it has no left", _json(lambda m: m["trees"][0].pop("left"), "lossguide.json")),
    "leaf-of-a-text": ("a leaf without a value", _json(
        lambda m: _inside(m, "trees", 0, value={"value": "1", "weight": 1}), "lossguide.json")),
    "without-anything-else": ("it has no features_info", json.dumps(
        {"oblivious_trees": _MODELS["plain.json"]["oblivious_trees"]}).encode()),
    "key-twice": ("", saved()["plain.json"].replace(b'"features_info":', b'"features_info": {}, "features_info":', 1)),
}  # fmt: skip


def catboost_files() -> list[Hostile]:
    """Every trick, metadata that is a pickle, and parts that are not read."""
    smuggled = cbm(info=[{0: b"class_params", 1: CALL}])
    return [
        *(one(f"catboost-{name}", data, BAD) for name, (_, data) in LIES.items()),
        *(one(f"catboost-json-{name}", data, BAD) for name, (said, data) in JSON_LIES.items()),
        one("catboost-pickle-in-the-metadata", smuggled, "hidden-code"),
        *(one(f"catboost-{name}", data) for name, data in saved().items() if name.startswith(("text", "embedding"))),
    ]


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (catboost_files,)
