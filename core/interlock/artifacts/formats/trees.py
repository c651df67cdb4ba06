"""Scans trees that XGBoost saved natively, as JSON and UBJSON.

They cannot hold code. What they can hold is an index that leads the library's compiled code out of its memory, since
the library trusts what it reads; so each tree has to be one, its columns of one length, each node's children inside of
it. Layout: XGBoost 3.2 (``src/tree/io_utils.h``, ``tree_model.cc``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.strict_json import MalformedJsonError, strict_json
from interlock.artifacts.formats.ubjson import MalformedUbjsonError, read_ubjson
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_NO_PARENT = 0x7FFFFFFF
_NODE_COLUMNS: Final = ("base_weights", "default_left", "left_children", "loss_changes", "parents", "right_children",
                        "split_conditions", "split_indices", "split_type", "sum_hessian")  # fmt: skip
_OPTIONAL: Final = frozenset({"split_type", "base_weights"})


class MalformedTreesError(Exception):
    """The model is not what its library writes; `str()` says how."""


def scan_xgboost_json(raw: bytes, *, path: str, record: Record) -> None:
    """Check a model in JSON.

    Raises:
        LimitPassedError: It is larger than a text may be, or of a booster that is not read here.
    """
    with _reported(path, record):
        _check_xgboost(strict_json(raw, record), record)
    record.looked(path)


def scan_xgboost_ubjson(data: Buffer, *, path: str, record: Record) -> None:
    """Check a model in UBJSON.

    Raises:
        LimitPassedError: It is larger than a text may be, or of a booster that is not read here.
    """
    with _reported(path, record):
        _check_xgboost(read_ubjson(data, record), record)
    record.looked(path)


def scan_xgboost_snapshot(data: Buffer, *, path: str, record: Record) -> None:
    """Check what a pickled `Booster` holds: a model and the settings of its training, in one UBJSON.

    Layout: XGBoost 3.2, ``Learner::Save`` (``XGBoosterSerializeToBuffer``). Versions that wrote a model of their own
    binary format (before 2.1) are refused.

    Raises:
        LimitPassedError: It is larger than a text may be, or of a booster that is not read here.
    """
    with _reported(path, record):
        found = read_ubjson(data, record)
        _field(_field(found, "Config", dict), "learner", dict)
        _check_xgboost(_field(found, "Model", dict), record)


@contextmanager
def _reported(path: str, record: Record) -> Iterator[None]:
    try:
        yield
    except (MalformedJsonError, MalformedUbjsonError, MalformedTreesError) as error:
        record.error(rules.MALFORMED_TREES, f"no XGBoost model that can be trusted: {error}", path)


def _check_xgboost(model: object, record: Record) -> None:
    learner = _field(model, "learner", dict)
    booster = _field(learner, "gradient_booster", dict)
    kind = _field(booster, "name", str)
    features = _number(_field(learner, "learner_model_param", dict), "num_feature")
    if kind == "dart":
        booster = _field(booster, "gbtree", dict)
    elif kind == "gblinear":
        _field(_field(booster, "model", dict), "weights", list | tuple)
        return
    elif kind != "gbtree":
        raise LimitPassedError(f"the booster {shown(kind)!r} of XGBoost is not read here")
    model = _field(booster, "model", dict)
    trees = _field(model, "trees", list)
    counts = _number(_field(model, "gbtree_model_param", dict), "num_trees")
    if counts != len(trees) or len(_numbers(model, "tree_info")) != len(trees):
        raise MalformedTreesError(f"{len(trees):,} trees where it says it has {counts:,}")
    for number, tree in enumerate(trees):
        record.budget.check_time()
        try:
            _check_tree(tree, features)
        except MalformedTreesError as error:
            raise MalformedTreesError(f"tree {number:,}: {error}") from error


def _check_tree(tree: object, features: int) -> None:
    parameters = _field(tree, "tree_param", dict)
    if _number(parameters, "size_leaf_vector") > 1:
        raise LimitPassedError("XGBoost trees whose leaves are vectors are not read here")
    size = _number(parameters, "num_nodes")
    columns = {name: _numbers(tree, name) for name in _NODE_COLUMNS if name not in _OPTIONAL or _has(tree, name)}
    for name, column in columns.items():
        if len(column) != size:
            raise MalformedTreesError(f"{len(column):,} entries of {name} for {size:,} nodes")
    left, right, parents = columns["left_children"], columns["right_children"], columns["parents"]
    _check_links(left, right, parents, size)
    for node, feature in enumerate(columns["split_indices"]):
        if left[node] != -1 and not (isinstance(feature, int) and 0 <= feature < features):
            raise MalformedTreesError(f"node {node:,} asks for feature {feature} of {features:,}")
    _check_categories(tree, size)


def _check_links(left: Sequence[Any], right: Sequence[Any], parents: Sequence[Any], size: int) -> None:
    """Every inner node has two children inside of the tree, each of which has it as its only parent."""
    taken: set[int] = set()
    for node, (first, second) in enumerate(zip(left, right, strict=True)):
        if first == second == -1:
            continue
        for child in (first, second):
            if not isinstance(child, int) or not 0 < child < size:
                raise MalformedTreesError(f"node {node:,} has the child {child} in a tree of {size:,}")
            if child in taken or parents[child] != node:
                raise MalformedTreesError(f"node {child:,} is the child of several, or of another than it says")
            taken.add(child)
    if size and (parents[0] not in (_NO_PARENT, -1) or not all(isinstance(item, int) for item in parents)):
        raise MalformedTreesError("a root with a parent")


def _check_categories(tree: object, size: int) -> None:
    names = ("categories_nodes", "categories_segments", "categories_sizes")
    if not any(_has(tree, name) for name in names):
        return
    nodes, starts, sizes = (_numbers(tree, name) for name in names)
    held = len(_numbers(tree, "categories"))
    fine = len(nodes) == len(starts) == len(sizes) and all(
        isinstance(node, int) and 0 <= node < size and isinstance(start, int) and isinstance(count, int)
        and min(start, count) >= 0 and start + count <= held
        for node, start, count in zip(nodes, starts, sizes, strict=False)
    )  # fmt: skip
    if not fine:
        raise MalformedTreesError("categories of a node that are not there")


def _has(value: object, name: str) -> bool:
    return isinstance(value, Mapping) and name in value


def _field(value: object, name: str, kind: Any) -> Any:
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, kind):
        raise MalformedTreesError(f"it has no {name}")
    return found


def _numbers(value: object, name: str) -> Sequence[int | float]:
    found: Sequence[int | float] = _field(value, name, list | tuple)
    if not all(type(item) in (int, float, bool) for item in found):
        raise MalformedTreesError(f"{name} holds something other than numbers")
    return found


def _number(value: object, name: str) -> int:
    """XGBoost writes its parameters as texts."""
    found = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(found, str) and len(found) <= 12 and found.isascii() and found.isdigit():
        return int(found)
    raise MalformedTreesError(f"{name} that is no number")
