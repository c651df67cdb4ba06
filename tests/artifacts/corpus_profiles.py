"""Hostile pickles for the profiles of scikit-learn, pandas, XGBoost and LightGBM, and the harmless ones they come from.

Nothing of these libraries is imported: an object is written as what its pickle names, calls and sets.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.artifacts.corpus import Hostile, one, stack_global
from tests.artifacts.corpus_trees import LIGHTGBM, ubjson, xgboost


@dataclass(frozen=True)
class Named:
    """A global."""

    module: str
    name: str


@dataclass(frozen=True)
class Made:
    """What REDUCE or NEWOBJ gives, and the states that BUILD sets on it, one after the other."""

    call: object
    arguments: tuple[object, ...] = ()
    states: tuple[object, ...] = ()
    new: bool = False


@dataclass(frozen=True)
class Later:
    """A state that BUILD sets on an object that was written before."""

    made: Made
    state: object


@dataclass(frozen=True)
class Grown:
    """An object behind which a list that it holds is appended to once more."""

    made: Made
    held: list[object]
    item: object


_PICKLER: Any = pickle._Pickler  # the one in Python can be told what to write


class _Writer(_PICKLER):  # type: ignore[misc]  # it has no types
    def save(self, value: object, save_persistent_id: bool = True) -> None:
        if isinstance(value, Named):
            self.write(stack_global(value.module, value.name))
        elif isinstance(value, Made) and id(value) in self.memo:
            self.write(self.get(self.memo[id(value)][0]))
        elif isinstance(value, Made):
            self.save(value.call)
            self.save(value.arguments)
            self.write(pickle.NEWOBJ if value.new else pickle.REDUCE)
            self.memoize(value)
            for state in value.states:
                self.save(state)
                self.write(pickle.BUILD)
        elif isinstance(value, Later):
            self.write(self.get(self.memo[id(value.made)][0]))
            self.save(value.state)
            self.write(pickle.BUILD)
        elif isinstance(value, Grown):
            self.save(value.made)
            self.write(self.get(self.memo[id(value.held)][0]))
            self.save(value.item)
            self.write(pickle.APPEND + pickle.POP)
        else:
            super().save(value, save_persistent_id)


def written(value: object) -> bytes:
    """A pickle of protocol 4, in no frames."""
    out = io.BytesIO()
    writer = _Writer(out, 4)
    writer.framer.start_framing = lambda: None
    writer.dump(value)
    return out.getvalue()


def new(module: str, name: str, *states: object) -> Made:
    """An object made empty, with states."""
    return Made(Named(module, name), (), states, new=True)


SYSTEM = Named("os", "system")
CALL = Made(SYSTEM, ("true",))
SVR = Named("sklearn.svm._classes", "SVR")
MEAN = Named("numpy", "mean")
"""A function that a pickle of scikit-learn may name."""
NODE = np.dtype({
    "names": ["left_child", "right_child", "feature", "threshold", "impurity", "n_node_samples",
              "weighted_n_node_samples", "missing_go_to_left"],
    "formats": ["<i8", "<i8", "<i8", "<f8", "<f8", "<i8", "<f8", "u1"],
    "offsets": [0, 8, 16, 24, 32, 40, 48, 56], "itemsize": 64,
})  # fmt: skip
PREDICTOR = np.dtype([
    ("value", "<f8"), ("count", "<u4"), ("feature_idx", "<i8"), ("num_threshold", "<f8"), ("missing_go_to_left", "u1"),
    ("left", "<u4"), ("right", "<u4"), ("gain", "<f8"), ("depth", "<u4"), ("is_leaf", "u1"), ("bin_threshold", "u1"),
    ("is_categorical", "u1"), ("bitset_idx", "<u4"),
])  # fmt: skip
BALL = np.dtype([("idx_start", "<i8"), ("idx_end", "<i8"), ("is_leaf", "<i8"), ("radius", "<f8")])


def nodes(**columns: list[int]) -> Any:
    """Three nodes: a root and its leaves."""
    made = np.zeros(3, NODE)
    made["left_child"], made["right_child"], made["feature"] = [1, -1, -1], [2, -1, -1], [1, -2, -2]
    for name, column in columns.items():
        made[name] = column
    return made


def tree(again: object = None, features: object = 4, classes: Any = None, outputs: int = 1, **changes: Any) -> Made:
    state = {"max_depth": 1, "node_count": 3, "nodes": nodes(), "values": np.zeros((3, 1, 2))} | changes
    classes = np.array([2]) if classes is None else classes
    states = (state,) if again is None else (state, again)
    return Made(Named("sklearn.tree._tree", "Tree"), (features, classes, outputs), states)


def classifier(own: int | None = 4, **changes: Any) -> Made:
    fields = {"tree_": tree(), "n_features_in_": own, "_sklearn_version": "1.9.1"} | changes
    return new("sklearn.tree._classes", "DecisionTreeClassifier", {k: v for k, v in fields.items() if v is not None})


def forest(*trees: object, own: int = 4) -> Made:
    fields = {"estimators_": list(trees), "n_features_in_": own}
    return new("sklearn.ensemble._forest", "RandomForestClassifier", fields)


def forest_of(held: list[object]) -> Made:
    return new("sklearn.ensemble._forest", "RandomForestClassifier", {"estimators_": held, "n_features_in_": 4})


def array(values: Any, order: str = "", shape: tuple[int, ...] = ()) -> Made:
    """An array by hand, which gets two states; a dtype of another order gets two as well."""
    states = tuple((3, sign, None, None, None, -1, -1, 0) for sign in ("<", *order))
    dtype = Made(Named("numpy", "dtype"), (values.dtype.str[1:], False, True), states)
    first = (1, shape or values.shape, dtype, False, values.tobytes())
    call = Named("numpy._core.multiarray", "_reconstruct")
    return Made(call, (Named("numpy", "ndarray"), (0,), b"b"), (first,) if order or shape else (first, first))


def objects(held: int, count: int) -> Made:
    """An array of `count` objects whose list holds `held`; numpy reads behind the end of the list."""
    dtype = Made(Named("numpy", "dtype"), ("O8", False, True), ((3, "|", None, None, None, -1, -1, 63),))
    call = Named("numpy._core.multiarray", "_reconstruct")
    return Made(call, (Named("numpy", "ndarray"), (0,), b"b"), ((1, (count,), dtype, False, [None] * held),))


def objects_of_before() -> tuple[object, ...]:
    """The list stands before the array, so that only its place in the memo tells which it is."""
    held = [1]
    dtype = Made(Named("numpy", "dtype"), ("O8", False, True), ((3, "|", None, None, None, -1, -1, 63),))
    call = Named("numpy._core.multiarray", "_reconstruct")
    return held, Made(call, (Named("numpy", "ndarray"), (0,), b"b"), ((1, (900,), dtype, False, held),))


def array_later() -> Grown:
    """A matrix whose indices change behind its back: BUILD of the array stands behind that of the matrix."""
    dtype = Made(Named("numpy", "dtype"), ("i4", False, True), ((3, "<", None, None, None, -1, -1, 0),))
    call = Named("numpy._core.multiarray", "_reconstruct")
    states = [(1, (2,), dtype, False, np.array(given, "<i4").tobytes()) for given in ([0, 1], [0, 99])]
    indices = Made(call, (Named("numpy", "ndarray"), (0,), b"b"), (states[0],))
    held: list[object] = []
    matrix = sparse(indices=indices, data=np.ones(2))
    return Grown(pipeline(held, matrix), held, Later(indices, states[1]))


def stages(*trees: object) -> Made:
    held = np.empty((len(trees), 1), object)
    for place, stage in enumerate(trees):
        held[place, 0] = stage
    fields = {"estimators_": held, "n_features_in_": 4}
    return new("sklearn.ensemble._gb", "GradientBoostingClassifier", fields)


def predictor(**columns: list[int]) -> Made:
    made = np.zeros(3, PREDICTOR)
    made["left"], made["right"], made["is_leaf"] = [1, 0, 0], [2, 0, 0], [0, 1, 1]
    for name, column in columns.items():
        made[name] = column
    sets = np.zeros((1, 8), np.uint32)
    state = {"nodes": made, "binned_left_cat_bitsets": sets, "raw_left_cat_bitsets": sets}
    return new("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor", state)


def histogram(held: Made, own: int = 4) -> Made:
    fields = {"_predictors": [[held]], "n_features_in_": own}
    module = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting"
    return new(module, "HistGradientBoostingRegressor", fields)


def distance(name: str = "EuclideanDistance64", size: int = 1, **more: Any) -> Made:
    state = (2.0, np.zeros(size), np.zeros((1, 1)), *more.values())
    call = Named("sklearn.metrics._dist_metrics", "newObj")
    return Made(call, (Named("sklearn.metrics._dist_metrics", name),), (state,))


def neighbours(**changes: Any) -> Made:
    leaf = np.zeros(1, BALL)
    leaf["idx_end"], leaf["is_leaf"] = 3, 1
    parts = {
        "data": np.zeros((3, 4)), "indices": np.arange(3), "nodes": leaf, "bounds": np.zeros((2, 1, 4)), "leaf": 40,
        "levels": 1, "count": 1, "trims": 0, "leaves": 0, "splits": 0, "calls": 0, "distance": distance(),
        "weights": None,
    } | changes  # fmt: skip
    kind = Named("sklearn.neighbors._kd_tree", "KDTree")
    return Made(Named("sklearn.neighbors._kd_tree", "newObj"), (kind,), (tuple(parts.values()),))


def sparse(kind: str = "csr", **changes: Any) -> Made:
    fields: dict[str, Any] = {"_shape": (2, 3), "maxprint": 50, "data": np.ones(2)}
    if kind == "coo":
        fields["coords"] = (np.array([0, 1], "<i4"), np.array([0, 2], "<i4"))
    else:
        fields |= {"indices": np.array([0, 1], "<i4"), "indptr": np.array([0, 1, 2], "<i4")}
    return new(f"scipy.sparse._{kind}", f"{kind}_matrix", fields | changes)


def generator(**changes: Any) -> Made:
    ctor = Named("numpy.random._pickle", "__bit_generator_ctor")
    inner: dict[str, Any] = {"key": np.zeros(624, "<u4"), "pos": 3}
    state = ({"bit_generator": "MT19937", "state": inner | changes}, None)
    return Made(ctor, (Named("numpy.random._mt19937", "MT19937"),), (state,))


def random_state(**changes: Any) -> Made:
    inner: dict[str, Any] = {"key": np.zeros(624, "<u4"), "pos": 3}
    state = {"bit_generator": "MT19937", "state": inner | changes, "has_gauss": 0, "gauss": 0.0}
    return Made(Named("numpy.random._pickle", "__randomstate_ctor"), (generator(),), (state,))


def philox(position: int = 0) -> Made:
    inner = {"counter": np.zeros(4, "<u8"), "key": np.zeros(2, "<u8")}
    state = {"bit_generator": "Philox", "state": inner, "buffer": np.zeros(4, "<u8"), "buffer_pos": position,
             "has_uint32": 0, "uinteger": 0}  # fmt: skip
    ctor = Named("numpy.random._pickle", "__bit_generator_ctor")
    return Made(ctor, (Named("numpy.random._philox", "Philox"),), ((state, None),))


def index(data: Any = None, kind: str = "Index", **fields: Any) -> Made:
    given = {"data": np.arange(3) if data is None else data, "name": None} | fields
    return Made(Named("pandas.core.indexes.base", "_new_Index"), (Named("pandas", kind), given))


def span(stop: int, start: int = 0) -> Made:
    return Made(Named("pandas.core.indexes.base", "_new_Index"),
                (Named("pandas", "RangeIndex"), {"name": None, "start": start, "stop": stop, "step": 1}))  # fmt: skip


def place(start: int, stop: int, step: int = 1) -> Made:
    return Made(Named("builtins", "slice"), (start, stop, step))


def block(values: Any = None, where: object = None) -> Made:
    call = Named("pandas._libs.internals", "_unpickle_block")
    return Made(call, (np.zeros((1, 3)) if values is None else values, where or place(0, 1), 2))


def frame(*blocks: Made, columns: object = None, **fields: Any) -> Made:
    manager = Made(Named("pandas.core.internals.managers", "BlockManager"), (blocks, [columns or span(1), span(3)]))
    state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {},
             "_flags": {"allows_duplicate_labels": True}} | fields  # fmt: skip
    return new("pandas", "DataFrame", state)


def series(values: Any, rows: int = 3) -> Made:
    axis = span(rows)
    inner = {"axes": [axis], "blocks": [{"values": values, "mgr_locs": place(0, rows)}]}
    state = ([axis], [values], [axis], {"0.14.1": inner})
    held = new("pandas.core.internals.managers", "SingleBlockManager", state)
    fields = {"_mgr": held, "_typ": "series", "_metadata": ["_name"], "attrs": {}, "_name": None,
              "_flags": {"allows_duplicate_labels": True}}  # fmt: skip
    return new("pandas", "Series", fields)


def levels(first: Any, **fields: Any) -> Made:
    codes = [first, np.zeros(3, "i1")]
    given = {"levels": [index(), index()], "codes": codes, "sortorder": None, "names": [None, None]} | fields
    return Made(Named("pandas.core.indexes.base", "_new_Index"), (Named("pandas", "MultiIndex"), given))


def categories(codes: Any, held: Any = None) -> Made:
    dtype = new("pandas", "CategoricalDtype", {"categories": index() if held is None else held, "ordered": False})
    call = Named("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked")
    return Made(call, (Named("pandas", "Categorical"), 82904607, None), ((dtype, codes),))


def arrow(offsets: Any = (0, 1, 2, 3), content: bytes = b"abc", length: int = 3, **changes: Any) -> Made:
    def buffer(raw: bytes) -> Made:
        return Made(Named("pyarrow.lib", "py_buffer"), (raw,))

    kind = Made(Named("pyarrow.lib", "type_for_alias"), (changes.get("kind", "large_string"),))
    buffers = [None, buffer(np.array(offsets, "<i8").tobytes()), buffer(content)]
    nulls, offset, children = changes.get("nulls", 0), changes.get("offset", 0), changes.get("children", [])
    parts = (kind, length, nulls, offset, buffers, children, None)
    held = Made(Named("pyarrow.lib", "_restore_array"), (parts,))
    dtype = Made(Named("pandas", "StringDtype"), ("pyarrow", float("nan")))
    return new("pandas.arrays", "ArrowStringArray", {"_pa_array": held, "_dtype": dtype, "_cache": {}})


def xgb(model: dict[str, Any] | None = None, **changes: Any) -> Made:
    raw = ubjson({"Config": {"learner": {}}, "Model": model or xgboost()})
    booster = new("xgboost.core", "Booster", {"handle": bytearray(raw)} | changes)
    return new("xgboost.sklearn", "XGBClassifier", {"_Booster": booster, "n_estimators": 1})


def lgb(model: object = LIGHTGBM, **changes: Any) -> Made:
    booster = new("lightgbm.basic", "Booster", {"_handle": model, "best_iteration": 0} | changes)
    return new("lightgbm.sklearn", "LGBMClassifier", {"_Booster": booster})


def pipeline(*steps: object, **fields: Any) -> Made:
    held = [(f"step{number}", step) for number, step in enumerate(steps)]
    return new("sklearn.pipeline", "Pipeline", {"steps": held, "memory": None, "verbose": False} | fields)


def fine() -> dict[str, tuple[Made, str]]:
    """What the tricks change, unchanged: each is allowed under its profile."""
    return {
        "tree": (classifier(), "sklearn"), "forest": (forest(classifier(), classifier()), "sklearn"),
        "stages": (stages(classifier()), "sklearn"), "histogram": (histogram(predictor()), "sklearn"),
        "neighbours": (neighbours(), "sklearn"), "csr": (sparse(), "sklearn"), "coo": (sparse("coo"), "sklearn"),
        "csc": (sparse("csc", _shape=(3, 2)), "sklearn"), "random-state": (random_state(), "sklearn"),
        "philox": (philox(), "sklearn"), "pipeline": (pipeline(classifier()), "sklearn"),
        "frame": (frame(block()), "pandas"), "series": (series(np.zeros(3)), "pandas"),
        "levels": (levels(np.array([0, 1, -1], "i1")), "pandas"),
        "categories": (series(categories(np.array([0, 2, -1], "i1"))), "pandas"), "arrow": (series(arrow()), "pandas"),
        "xgboost": (xgb(), "xgboost"), "lightgbm": (lgb(), "lightgbm"),
    }  # fmt: skip


def gadgets() -> dict[str, object]:
    """Code by way of what the profiles allow."""
    text = "sklearn.feature_extraction.text"
    transformer = ("sklearn.preprocessing._function_transformer", "FunctionTransformer")
    partial = Named("functools", "partial")
    check = Named("sklearn.utils.validation", "check_array")
    newobj = Named("sklearn.metrics._dist_metrics", "newObj")
    timezone = Made(Named("builtins", "getattr"), (Named("zoneinfo", "ZoneInfo"), "__init__"))
    return {
        "pipeline-foreign-step": pipeline(Made(Named("evil", "Step"), ())),
        "pipeline-step-that-calls": pipeline(CALL),
        "pipeline-memory-of-pickles": pipeline(classifier(), memory="/tmp/cache"),
        "vectorizer-tokenizer-function": new(text, "TfidfVectorizer", {"tokenizer": SYSTEM}),
        "vectorizer-analyzer-in-a-list": new(text, "CountVectorizer", {"analyzer": [[SYSTEM]]}),
        "function-transformer": new(*transformer, {"func": SYSTEM}),
        "function-transformer-of-eval": new(*transformer, {"func": Named("builtins", "eval")}),
        "function-transformer-of-joblib-load": new(*transformer, {"func": Named("joblib", "load")}),
        "function-transformer-of-fetch": new(*transformer, {"func": Named("sklearn.datasets", "fetch_openml")}),
        "scorer-foreign-function": new("sklearn.metrics._scorer", "_Scorer", {"_score_func": SYSTEM}),
        "metric-called": Made(Named("sklearn.metrics._classification", "accuracy_score"), ([1], [1])),
        "partial-of-system": Made(partial, (SYSTEM,), ((SYSTEM, ("true",), {}, None),)),
        "partial-of-known-with-state-of-another": Made(partial, (check,), ((MEAN, ("true",), {}, None),)),
        "partial-with-arguments": Made(partial, (check,), ((check, ([1],), {}, None),)),
        "partial-with-attributes": Made(partial, (check,), ((check, (), {}, {"func": MEAN}),)),
        "operator-methodcaller": Made(Named("operator", "methodcaller"), ("system", "true")),
        "estimator-init": Made(Named("sklearn.pipeline", "Pipeline"), ([],)),
        "estimator-new-with-arguments": Made(Named("sklearn.svm._classes", "SVC"), (CALL,), new=True),
        "estimator-setstate-attribute": new("sklearn.svm._classes", "SVC", {"__setstate__": MEAN}),
        "estimator-class-attribute": new("sklearn.svm._classes", "SVC", {"__class__": SVR}),
        "estimator-state-of-slots": new("sklearn.svm._classes", "SVC", (None, {"x": MEAN})),
        "estimator-outside-of-sklearn": new("sklearn_evil.svm", "SVC", {}),
        "estimator-dotted-name": new("sklearn.svm._classes", "SVC.fit", {}),
        "frozen-estimator": new("sklearn.frozen._frozen", "FrozenEstimator", {"estimator": classifier()}),
        "sklearn-check-called": Made(check, ([1],)),
        "sklearn-fetch-called": Made(Named("sklearn.datasets._base", "load_files"), ("/etc",)),
        "joblib-memory": new("joblib.memory", "Memory", {"store_backend": None}),
        "reconstructor": Made(Named("copyreg", "_reconstructor"), (SYSTEM, Named("builtins", "object"), None)),
        "newobj-of-a-foreign-class": Made(newobj, (SYSTEM,)),
        "distance-of-a-function": Made(newobj, (Named("sklearn.metrics._dist_metrics", "PyFuncDistance64"),),
                                       ((2.0, np.zeros(1), np.zeros((1, 1)), SYSTEM, {}),)),
        "distance-with-a-function": distance(func=MEAN, kwargs={}),
        "loss-of-a-foreign-class": Made(
            Named("sklearn._loss._loss", "__pyx_unpickle_CyHalfMultinomialLoss"), (SYSTEM, 238750788, ())
        ),
        "generator-of-a-foreign-maker": Made(Named("numpy.random._pickle", "__generator_ctor"), ("MT19937", SYSTEM)),
        "bit-generator-of-a-foreign-class": Made(Named("numpy.random._pickle", "__bit_generator_ctor"), (SYSTEM,)),
        "frame-eval": Made(Named("pandas.core.computation.eval", "eval"), ("@x",)),
        "frame-read-pickle": Made(Named("pandas", "read_pickle"), ("/tmp/x",)),
        "frame-object-that-calls": series(np.array([CALL, 1, 2], object)),
        "frame-attributes-of-a-class": frame(block(), _internal_names=["x"]),
        "frame-metadata-of-another-name": frame(block(), _metadata=["_constructor"]),
        "frame-flags-that-call": frame(block(), _flags={"allows_duplicate_labels": [1]}),
        "index-foreign-class": Made(Named("pandas.core.indexes.base", "_new_Index"), (SYSTEM, {"data": np.arange(3)})),
        "index-foreign-keyword": index(evil=1),
        "index-dtype-that-calls": index(dtype=Named("pandas", "Index")),
        "getattr-of-another-name": timezone,
        "getattr-of-another-object": Made(Named("builtins", "getattr"), (Named("pandas", "Index"), "_unpickle")),
        "zone-by-a-path": Made(Made(Named("builtins", "getattr"), (Named("zoneinfo", "ZoneInfo"), "_unpickle")),
                               ("../../etc/passwd", 1)),
        "zone-of-a-file": Made(Named("dateutil.tz.tz", "tzfile"), ("/etc/passwd",)),
        "arrow-extension-type": Made(Named("pyarrow.lib", "_deserialize"), (b"x",)),
        "xgboost-callback": new("xgboost.sklearn", "XGBClassifier", {"callbacks": [CALL]}),
        "xgboost-foreign-objective": new("xgboost.sklearn", "XGBRegressor", {"objective": SYSTEM}),
        "lightgbm-foreign-objective": new("lightgbm.sklearn", "LGBMRegressor", {"_fobj": SYSTEM}),
        "defaultdict-of-system": Made(Named("collections", "defaultdict"), (SYSTEM,)),
    }  # fmt: skip


def out_of_memory() -> dict[str, object]:
    """Indices that lead compiled code out of its memory."""
    back = nodes(left_child=[1, 0, -1], right_child=[2, 2, -1])
    late: list[object] = [classifier()]
    dtype = np.dtype("<i4")
    wrong = np.zeros(3, np.dtype([("left_child", "<i8"), ("right_child", "<i8"), ("feature", "<i4")]))
    bunch = Made(Named("sklearn.utils._bunch", "Bunch"), (), (), new=True)
    return {
        "tree-child-outside": classifier(tree_=tree(nodes=nodes(left_child=[7, -1, -1]))),
        "tree-child-negative": classifier(tree_=tree(nodes=nodes(right_child=[-5, -1, -1]))),
        "tree-child-that-leads-back": classifier(tree_=tree(nodes=back)),
        "tree-feature-outside": classifier(tree_=tree(nodes=nodes(feature=[4, 0, 0]))),
        "tree-feature-negative": classifier(tree_=tree(nodes=nodes(feature=[-3, 0, 0]))),
        "tree-more-nodes-than-there-are": classifier(tree_=tree(node_count=30)),
        "tree-nodes-of-another-type": classifier(tree_=tree(nodes=wrong)),
        "tree-nodes-no-records": classifier(tree_=tree(nodes=np.zeros(3))),
        "tree-values-of-another-shape": classifier(tree_=tree(values=np.zeros((1, 1, 2)))),
        "tree-more-outputs-than-classes": classifier(tree_=tree(outputs=9, values=np.zeros((3, 9, 2)))),
        "tree-negative-class-count": classifier(tree_=tree(classes=np.array([-1]))),
        "tree-second-state": classifier(tree_=tree({"nodes": nodes(left_child=[9, 9, 9])})),
        "tree-without-a-state": classifier(tree_=Made(Named("sklearn.tree._tree", "Tree"), (4, np.array([2]), 1))),
        "tree-asks-for-more-than-its-estimator": classifier(own=1),
        "tree-estimator-says-nothing": classifier(own=None),
        "forest-of-wider-trees": forest(classifier(), own=1),
        "forest-without-a-state": forest(new("sklearn.tree._classes", "DecisionTreeClassifier")),
        "forest-tree-built-again": forest(
            new("sklearn.tree._classes", "DecisionTreeClassifier", {"a": 1}, {"tree_": tree(features=99)})
        ),
        "stage-that-is-no-tree": stages(new("sklearn.svm._classes", "SVC", {"x": 1})),
        "stage-that-is-a-bunch": stages(bunch),
        "predictor-child-outside": histogram(predictor(left=[9, 0, 0])),
        "predictor-feature-outside": histogram(predictor(feature_idx=[4, 0, 0])),
        "predictor-feature-negative": histogram(predictor(feature_idx=[-1, 0, 0])),
        "predictor-categories-outside": histogram(predictor(is_categorical=[1, 0, 0], bitset_idx=[3, 0, 0])),
        "neighbours-index-outside": neighbours(indices=np.array([0, 1, 99])),
        "neighbours-node-outside": neighbours(nodes=np.array([(0, 99, 1, 0.0)], BALL)),
        "neighbours-node-without-children": neighbours(nodes=np.array([(0, 3, 0, 0.0)], BALL)),
        "neighbours-more-nodes": neighbours(count=3),
        "neighbours-bounds-too-few": neighbours(bounds=np.zeros((1, 1, 4))),
        "neighbours-weights-too-few": neighbours(weights=np.zeros(1)),
        "neighbours-distance-too-small": neighbours(distance=distance("SEuclideanDistance64", 2)),
        "neighbours-distance-is-data": neighbours(distance=None),
        "csr-column-outside": sparse(indices=np.array([0, 9], "<i4")),
        "csr-column-negative": sparse(indices=np.array([0, -1], "<i4")),
        "csr-pointer-outside": sparse(indptr=np.array([0, 1, 900], "<i4")),
        "csr-pointer-falls": sparse(indptr=np.array([0, 2, 1], "<i4")),
        "csr-data-too-short": sparse(data=np.ones(1)),
        "csr-shape-larger": sparse(_shape=(900, 3)),
        "csc-row-outside": sparse("csc", _shape=(1, 2)),
        "coo-row-outside": sparse("coo", coords=(np.array([0, 9], dtype), np.array([0, 1], dtype))),
        "coo-coordinates-too-few": sparse("coo", coords=(np.array([0], dtype), np.array([0], dtype))),
        "lil-matrix": new("scipy.sparse._lil", "lil_matrix", {"_shape": (2, 2)}),
        "spline": new("scipy.interpolate._bsplines", "BSpline", {"t": np.zeros(1), "k": 30}),
        "random-key-too-short": random_state(key=np.zeros(3, "<u4")),
        "random-key-of-another-type": random_state(key=np.zeros(624, "<u8")),
        "random-position-outside": random_state(pos=1 << 30),
        "random-position-negative": random_state(pos=-1),
        "philox-position-outside": philox(99),
        "seed-sequence-pool-too-short": Made(
            Named("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
            (Named("numpy.random.bit_generator", "SeedSequence"), 65708578, None),
            ((0, 0, np.zeros(1, "<u4"), 4, ()),),
        ),
        "block-outside-of-its-axis": frame(block(where=place(5, 6))),
        "block-far-outside": frame(block(where=place(1 << 40, (1 << 40) + 1))),
        "block-negative": frame(block(where=np.array([-3]))),
        "block-place-by-an-array": frame(block(where=np.array([77]))),
        "block-twice-in-one-place": frame(block(), block()),
        "block-column-missing": frame(block(), columns=span(2)),
        "block-of-fewer-rows": frame(block(np.zeros((1, 2)))),
        "series-longer-than-its-values": series(np.zeros(3), rows=9),
        "levels-code-outside": levels(np.array([0, 1, 77], "i1")),
        "levels-code-negative": levels(np.array([0, 1, -2], "i1")),
        "levels-of-several-lengths": levels(np.array([0, 1], "i1")),
        "categories-code-outside": series(categories(np.array([0, 1, 100], "i1"))),
        "categories-code-of-no-category": series(categories(np.array([0, 0, 0], "i1"), span(0))),
        "arrow-offset-outside": series(arrow((0, 1, 2, 4000))),
        "arrow-offset-falls": series(arrow((0, 3, 1, 3))),
        "arrow-longer-than-its-offsets": series(arrow(length=4000), rows=4000),
        "arrow-offset-of-the-array": series(arrow(offset=4000)),
        "arrow-numbers-too-few": series(arrow(kind="int64", length=3000), rows=3000),
        "arrow-nulls-without-a-map": series(arrow(nulls=3)),
        "arrow-children": series(arrow(children=[1])),
        "xgboost-child-outside": xgb(xgboost(left_children=[9, -1, -1])),
        "xgboost-feature-outside": xgb(xgboost(split_indices=[9, 0, 0])),
        "xgboost-no-model": xgb(handle=bytearray(b"binf" + bytes(400))),
        "xgboost-handle-is-a-number": xgb(handle=140737488355328),
        "lightgbm-child-outside": lgb(LIGHTGBM.replace("left_child=1 -1", "left_child=9 -1")),
        "lightgbm-second-model": lgb(handle=LIGHTGBM.replace("left_child=1 -1", "left_child=9 -1")),
        "lightgbm-no-model": lgb("tree of nothing"),
        "lightgbm-handle-is-a-number": lgb(140737488355328),
        "list-grows-after-it-was-looked-at": Grown(forest_of(late), late, classifier(tree_=tree(features=99), own=99)),
        "objects-fewer-than-the-shape-says": objects(1, 100_000),
        "objects-none-at-all": objects(0, 1),
        "objects-in-a-list-made-before": objects_of_before(),
        "array-with-a-second-state": sparse(indices=array(np.array([0, 9], "<i4"))),
        "array-built-after-it-was-looked-at": array_later(),
        "dtype-with-a-second-state": sparse(indices=array(np.array([0, 1], "<i4"), order=">")),
        "array-of-more-than-its-bytes": sparse(data=array(np.ones(2), shape=(900,))),
    }  # fmt: skip


def hostile_profiles() -> list[Hostile]:
    """Each as a bare pickle of protocol 4."""
    return [
        one(f"{group}-{name}", written(value))
        for group, cases in (("gadget", gadgets()), ("memory", out_of_memory()))
        for name, value in cases.items()
    ]


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (hostile_profiles,)
