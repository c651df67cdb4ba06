"""States of scikit-learn's objects: attributes that are data, and indices that stay inside of what they index.

What its compiled code would follow without asking is looked at: nodes of trees (``sklearn/tree/_tree.pyx``,
``_hist_gradient_boosting/_predictor.pyx``), KDTree and BallTree (``neighbors/_binary_tree.pxi.tp``), of 1.9. Not
looked at: whether the arrays of an estimator fit each other elsewhere, for example the support vectors of an SVM to
its dual coefficients. They are data that libsvm trusts, so a model of a stranger stays to be run in a sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from interlock.artifacts.pickles.contents import (
    ContentError,
    built,
    in_range,
    items_of,
    needed_array,
    needed_fields,
)
from interlock.artifacts.pickles.kinds import Instance, is_size, kind_of
from interlock.artifacts.pickles.rules import GlobalRule

_NODES: Final = {"left_child": "i8", "right_child": "i8", "feature": "i8"}
_PREDICTOR_NODES: Final = {"left": "u4", "right": "u4", "feature_idx": "i8", "is_leaf": "u1", "is_categorical": "u1",
                           "bitset_idx": "u4"}  # fmt: skip
_TREE_NODES: Final = {"idx_start": "i8", "idx_end": "i8", "is_leaf": "i8"}
_LARGEST: Final = 1 << 31
_BITSET_WORDS: Final = 8
# Their predict hands its rows on to compiled code or to trees with ``check_input=False``.
_HAND_ON: Final = ("sklearn.tree.", "sklearn.ensemble._forest", "sklearn.ensemble._gb", "sklearn.ensemble._iforest",
                   "sklearn.ensemble._hist_gradient_boosting")  # fmt: skip


def _number(value: object, what: str, most: int = _LARGEST) -> int:
    if not is_size(value) or not isinstance(value, int) or value > most:
        raise ContentError(f"has a {what} that is no number, or an odd one")
    return value


def _once(instance: Instance) -> None:
    if instance.built:
        raise ContentError("is given a second state")


def _links(left: Sequence[Any], right: Sequence[Any], inner: Sequence[int]) -> None:
    """Each inner node has two children behind it, so every way down ends."""
    for node in inner:
        for child in (left[node], right[node]):
            if not node < child < len(left):
                raise ContentError(f"has the child {child} of node {node}, in a tree of {len(left)} nodes")


def _tree_made(tree: Instance, arguments: tuple[object, ...]) -> None:
    """`Tree(n_features, n_classes, n_outputs)`: it reads as many numbers of classes as it is told outputs."""
    features, classes, outputs = arguments
    held = needed_array(classes, "numbers of classes")
    numbers = held.integers()
    if held.type[1:] != "i8" or held.shape != (outputs,) or not numbers:
        raise ContentError("has other numbers of classes than outputs")
    in_range(numbers, 1 << 24, "number of classes", 1)
    tree.fact = (_number(features, "number of features"), len(numbers), max(numbers))


def _tree(tree: Instance, state: object) -> None:
    """`Tree.__setstate__` copies the nodes and lets `predict` follow them."""
    _once(tree)
    fields = needed_fields(state)
    if fields.keys() != {"max_depth", "node_count", "nodes", "values"} or not isinstance(tree.fact, tuple):
        raise ContentError("is given other parts than max_depth, node_count, nodes and values")
    features, outputs, classes = tree.fact
    nodes = needed_array(fields["nodes"], "nodes")
    values = needed_array(fields["values"], "values")
    count = _number(fields["node_count"], "node_count")
    _number(fields["max_depth"], "max_depth")
    if nodes.shape != (count,) or not count:
        raise ContentError(f"says that it has {count:,} nodes, where the array has the shape {nodes.shape}")
    if values.shape != (count, outputs, classes) or values.type[1:] != "f8":
        raise ContentError(f"has values of the shape {values.shape} for {count:,} nodes")
    values.raw()
    columns = nodes.columns(_NODES)
    left, right = columns["left_child"], columns["right_child"]
    inner = [node for node, child in enumerate(left) if child != -1]
    _links(left, right, inner)
    in_range([int(columns["feature"][node]) for node in inner], features, "feature of a node")


def _predictor(predictor: Instance, state: object) -> None:
    """`TreePredictor` of histogram gradient boosting."""
    _once(predictor)
    fields = needed_fields(state)
    bitsets = ("binned_left_cat_bitsets", "raw_left_cat_bitsets")
    if fields.keys() != {"nodes", *bitsets}:
        raise ContentError("is given other parts than nodes and two sets of categories")
    nodes = needed_array(fields["nodes"], "nodes")
    columns = nodes.columns(_PREDICTOR_NODES)
    if len(nodes.shape) != 1 or not nodes.size:
        raise ContentError("has no row of nodes")
    inner = [node for node, leaf in enumerate(columns["is_leaf"]) if not leaf]
    _links(columns["left"], columns["right"], inner)
    asked = [int(columns["feature_idx"][node]) for node in inner]
    in_range(asked, _LARGEST, "feature of a node")
    rows = []
    for name in bitsets:
        found = needed_array(fields[name], name)
        if len(found.shape) != 2 or found.shape[1] != _BITSET_WORDS or found.type[1:] != "u4":
            raise ContentError(f"has {name} of another shape or type")
        found.raw()
        rows.append(found.shape[0])
    kinds = [int(columns["bitset_idx"][node]) for node in inner if columns["is_categorical"][node]]
    in_range(kinds, min(rows), "set of categories")
    predictor.fact = max(asked, default=-1) + 1


def _neighbours(tree: Instance, state: object) -> None:
    """`BinaryTree.__setstate__`: its nodes say which stretch of the indices they hold, these which row of the data."""
    _once(tree)
    if not isinstance(state, tuple) or len(state) not in (12, 13):
        raise ContentError("is given a state of other than 12 or 13 parts")
    data, indices, nodes, bounds = (needed_array(part, "data") for part in state[:4])
    number = "f4" if str(tree.fact).endswith("32") else "f8"
    if len(data.shape) != 2 or {data.type[1:], bounds.type[1:]} != {number} or indices.type[1:] != "i8":
        raise ContentError("has data, bounds or indices of another shape or type")
    rows, features = data.shape
    levels, count = _number(state[5], "number of levels", 40), _number(state[6], "number of nodes")
    ball = "Ball" in str(tree.fact)
    if indices.shape != (rows,) or nodes.shape != (count,) or count != (1 << levels) - 1 or not rows:
        raise ContentError("has other nodes or indices than its levels and its data ask for")
    if bounds.shape != ((1 if ball else 2), count, features):
        raise ContentError("has bounds of another shape than its nodes ask for")
    data.raw()
    bounds.raw()
    in_range(indices.integers(), rows, "row")
    _stretches(nodes.columns(_TREE_NODES), rows, count)
    for part in (state[4], *state[7:11]):
        _number(part, "counter", 1 << 62)
    _metric_of(state[11], features)
    if len(state) == 13 and state[12] is not None:
        weights = needed_array(state[12], "weights")
        if weights.shape != (rows,) or weights.type[1:] != number:
            raise ContentError("has weights of another shape than its data")
        weights.raw()


def _stretches(columns: Mapping[str, Sequence[int | float]], rows: int, count: int) -> None:
    for node, (start, end) in enumerate(zip(columns["idx_start"], columns["idx_end"], strict=True)):
        if not 0 <= start <= end <= rows:
            raise ContentError(f"has a node of the rows {start} to {end}, of {rows}")
        if 2 * node + 2 >= count and not columns["is_leaf"][node]:
            raise ContentError("has a last node that is no leaf, whose children would be outside")


def _metric_of(metric: object, features: int) -> None:
    """The numbers of a distance are one for each feature where its code reads as many."""
    found = built(metric, "distance-metric")
    if found is None or not isinstance(found.fact, tuple):
        raise ContentError("has something other than a distance")
    name, vector, matrix = found.fact
    if name.startswith("SEuclidean"):
        fits = vector == features
    elif name.startswith("Mahalanobis"):
        fits = vector == features and matrix == (features, features)
    elif name.startswith("Minkowski"):
        fits = vector in (0, features)
    else:
        fits = True
    if not fits:
        raise ContentError(f"has a distance of {vector} numbers for data of {features} features")


def _metric(metric: Instance, state: object) -> None:
    """`DistanceMetric.__setstate__`: (p, vector, matrix); the one of a Python function has no rule."""
    _once(metric)
    if not isinstance(state, tuple) or len(state) != 3 or type(state[0]) is not float:
        raise ContentError("is given a state that is none of a distance")
    vector, matrix = (needed_array(part, "numbers") for part in state[1:])
    if len(vector.shape) != 1 or len(matrix.shape) != 2 or {vector.type[1:], matrix.type[1:]} != {"f8"}:
        raise ContentError("has numbers of another shape or type")
    vector.raw()
    matrix.raw()
    metric.fact = (metric.fact, vector.size, matrix.shape)


def _class_made(made: Instance, arguments: tuple[object, ...]) -> None:
    """``newObj(cls)``: the rule of what it gives is that of the function, so the class is noted."""
    made.fact = arguments[0].name if isinstance(arguments[0], GlobalRule) else ""


def _estimator(estimator: Instance, state: object) -> None:
    """Attributes of a Python object: any data and any allowed object, set once.

    `BaseEstimator.__setstate__` compares versions and updates the attributes. A ``memory`` would be a folder of
    pickles that `fit` loads (`joblib.Memory`), so there may be none. What forests and boosting hand on to their trees
    unchecked has as many columns as they say of themselves.
    """
    _once(estimator)
    fields = needed_fields(state)
    if fields.get("memory") is not None:
        raise ContentError("has a memory, a folder whose pickles its fit would load")
    asked = _asked(fields, stages=estimator.rule.name.startswith("GradientBoosting"))
    if asked and estimator.rule.module.startswith(_HAND_ON):
        _subsets(fields, asked)
        own = fields.get("n_features_in_", fields.get("n_features_"))
        if not is_size(own) or not isinstance(own, int) or own < asked:
            raise ContentError(f"has trees that ask for {asked} features, more than it says that it has")
    if built(fields.get("tree_"), "sklearn-tree") is not None:
        estimator.fact = asked


def _subsets(fields: Mapping[str, object], asked: int) -> None:
    """`IsolationForest` hands each tree some of the columns, those that it says."""
    for subset in items_of(fields["estimators_features_"]) if "estimators_features_" in fields else ():
        if needed_array(subset, "subset of the features").size < asked:
            raise ContentError(f"has a subset of the features for a tree that asks for {asked}")


def _partial(partial: Instance, state: object) -> None:
    """`functools.partial.__setstate__`: (function, arguments, keywords, attributes), the function the one known."""
    if partial.built or not isinstance(state, tuple) or len(state) != 4:
        raise ContentError("is given a state that is none of a partial function")
    function, arguments, keywords, attributes = state
    if kind_of(function) != "check-array" or arguments != () or attributes is not None:
        raise ContentError("calls something other than check_array with plain keywords")
    if any(isinstance(value, Instance) for value in needed_fields(keywords).values()):
        raise ContentError("calls check_array with something other than plain keywords")


def _asked(fields: Mapping[str, object], *, stages: bool) -> int:
    """How many features the trees that are followed without a check ask for.

    Compiled code takes the ``tree_`` of each stage of gradient boosting for a tree without looking, so a stage has to
    be an estimator that has one.
    """
    asked = 0
    if "tree_" in fields and built(fields["tree_"], "sklearn-neighbours") is None:
        tree = built(fields["tree_"], "sklearn-tree")
        if tree is None or not isinstance(tree.fact, tuple):
            raise ContentError("has a tree_ that is no tree")
        asked = int(tree.fact[0])
    for one in _flat(fields.get("estimators_")):
        found = built(one, "sklearn-object")
        if found is None and (stages or not isinstance(one, str)):
            raise ContentError("has an estimator that is none, or that has no state yet")
        if found is not None and isinstance(found.fact, int):
            asked = max(asked, found.fact)
        elif stages:
            raise ContentError("has a stage that is no tree")
    for one in _flat(fields.get("_predictors")):
        predictor = built(one, "sklearn-predictor")
        if predictor is None or not isinstance(predictor.fact, int):
            raise ContentError("has predictors that are none")
        asked = max(asked, predictor.fact)
    return asked


def _flat(value: object, depth: int = 2) -> list[object]:
    """The estimators in a list, a list of lists, or an array of them."""
    if value is None:
        return []
    found = []
    for item in items_of(value):
        nested = depth and (isinstance(item, tuple) or kind_of(item) in ("list", "ndarray"))
        found += _flat(item, depth - 1) if nested else [item]
    return found


BUILDS: Final[Mapping[str, Callable[[Instance, object], None]]] = {
    "sklearn-tree": _tree,
    "sklearn-predictor": _predictor,
    "sklearn-neighbours": _neighbours,
    "distance-metric": _metric,
    "sklearn-object": _estimator,
    "checked-partial": _partial,
}

CALLS: Final[Mapping[str, Callable[[Instance, tuple[object, ...]], None]]] = {
    "sklearn-tree": _tree_made,
    "sklearn-neighbours": _class_made,
    "distance-metric": _class_made,
}
