"""What a pickle of scikit-learn may name, and what scipy and numpy add to it.

The classes are data (``formats/sklearn_classes.json``, made by ``tests/artifacts/make_tables.py``). Left out, each
because it would call what the file brings, or lets compiled code be given another object than it asks for: distances
of Python functions (``PyFuncDistance``), ``FrozenEstimator``, ``joblib.Memory``, every function, and every partial of
one, but the scores and tests that estimators hold by default, splines and sparse formats whose indices nobody checks.
Pickles of protocols 0 and 1 are refused: there, ``copyreg._reconstructor`` makes every class alike.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts.formats.allow_lists import table
from interlock.artifacts.pickles.frame_rules import SLICE
from interlock.artifacts.pickles.rules import GlobalRule

_NUMBERS: Final = (("float-or-int?",) * 2,)
_GENERATORS: Final = {"MT19937": "_mt19937", "PCG64": "_pcg64", "PCG64DXSM": "_pcg64", "Philox": "_philox",
                      "SFC64": "_sfc64"}  # fmt: skip
_TYPES: Final = ("bool", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "object_", "str_",
                 "uint8", "uint16", "uint32", "uint64")  # fmt: skip


def _call(module: str, name: str, result: str, *calls: tuple[str, ...], build: str = "") -> GlobalRule:
    return GlobalRule(module=module, name=name, calls=calls, result=result, build=build)


def _made_by(module: str, result: str, kind: str) -> GlobalRule:
    """``newObj``, which both kinds of compiled classes are made with: `obj.__new__(obj)`."""
    return _call(module, "newObj", result, (kind,), build=result)


def _python_classes() -> tuple[GlobalRule, ...]:
    checked = {("sklearn.utils._bunch", "Bunch")}
    return tuple(
        GlobalRule(module=module, name=name, kind="type", new=((),), result="sklearn-object", build="sklearn-object")
        for module, names in table("sklearn_classes")["classes"].items()
        for name in names
        if (module, name) not in checked
    )


def _functions() -> tuple[GlobalRule, ...]:
    return tuple(
        GlobalRule(module=module, name=name, kind="named-function")
        for module, names in table("sklearn_classes")["functions"].items()
        for name in names
    )


def _compiled() -> tuple[GlobalRule, ...]:
    known = table("sklearn_classes")
    distances, losses = "sklearn.metrics._dist_metrics", "sklearn._loss._loss"
    return (
        *(GlobalRule(module=distances, name=name, kind="distance-type") for name in known["distances"]),
        _made_by(distances, "distance-metric", "distance-type"),
        *(
            GlobalRule(module=losses, name=name, kind="loss-type", calls=_NUMBERS, result="compiled-loss")
            for name in known["losses"]
        ),
        *(
            _call(losses, f"__pyx_unpickle_{name}", "compiled-loss", ("loss-type", "size", "no-parts"))
            for name in known["losses"]
        ),
        *(_call("sklearn.linear_model._sgd_fast", name, "compiled-loss", *_NUMBERS) for name in known["linear_losses"]),
    )


_TREES: Final = (
    _call("sklearn.tree._tree", "Tree", "sklearn-tree", ("size", "any", "size"), build="sklearn-tree"),
    GlobalRule(
        module="sklearn.ensemble._hist_gradient_boosting.predictor",
        name="TreePredictor",
        kind="type",
        new=((),),
        result="sklearn-predictor",
        build="sklearn-predictor",
    ),
    *(
        GlobalRule(module=f"sklearn.neighbors._{module}_tree", name=f"{kind}Tree{width}", kind=f"{module}-tree-type")
        for module, kind in (("kd", "KD"), ("ball", "Ball"))
        for width in ("", "64", "32")
    ),
    _made_by("sklearn.neighbors._kd_tree", "sklearn-neighbours", "kd-tree-type"),
    _made_by("sklearn.neighbors._ball_tree", "sklearn-neighbours", "ball-tree-type"),
)

_BUNCH: Final = GlobalRule(
    module="sklearn.utils._bunch", name="Bunch", kind="type", new=((),), result="bunch", build="attributes", items=True
)

_MASKED: Final = tuple(
    rule
    for module in ("numpy.ma", "numpy.ma.core")
    for rule in (
        GlobalRule(module=module, name="MaskedArray", kind="masked-type"),
        # Columns of a grid search's results.
        _call(
            module, "_mareconstruct", "masked-array", ("masked-type", "ndarray-type", "no-elements", "bytes-b"),
            build="masked-array",
        ),
    )
)  # fmt: skip

_SPARSE: Final = tuple(
    GlobalRule(
        module=f"scipy.sparse.{module}", name=f"{name}_{kind}", kind="type", new=((),), result="sparse",
        build="sparse-matrix",
    )
    for name in ("csr", "csc", "coo")
    # scipy 1.8 gave its modules an underscore.
    for module in (f"_{name}", name)
    for kind in ("matrix", "array")
)  # fmt: skip

_RANDOM: Final = (
    *(
        GlobalRule(module=f"numpy.random.{module}", name=name, kind="bit-generator-type")
        for name, module in _GENERATORS.items()
    ),
    # The name where numpy 1 wrote it.
    GlobalRule(
        module="numpy.random._pickle",
        name="__bit_generator_ctor",
        kind="bit-generator-maker",
        calls=(("bit-generator-type",), ("bit-generator-name",)),
        result="bit-generator",
        build="bit-generator",
    ),
    *(
        _call(
            "numpy.random._pickle", name, result,
            ("bit-generator",), ("bit-generator-name",), ("bit-generator-name", "bit-generator-maker"), build=result,
        )
        for name, result in (("__randomstate_ctor", "random-state"), ("__generator_ctor", "random-generator"))
    ),
    GlobalRule(module="numpy.random.bit_generator", name="SeedSequence", kind="seed-sequence-type"),
    _call(
        "numpy.random.bit_generator", "__pyx_unpickle_SeedSequence", "seed-sequence",
        ("seed-sequence-type", "size", "none"), build="seed-sequence",
    ),
)  # fmt: skip


_CHECKED: Final = (
    # Histogram boosting keeps its own check of categories as a partial of this one function.
    GlobalRule(module="sklearn.utils.validation", name="check_array", kind="check-array"),
    _call("functools", "partial", "checked-partial", ("check-array",), build="checked-partial"),
)


def estimator_rules() -> tuple[GlobalRule, ...]:
    """The rules of the profile ``sklearn``, beyond those of numpy's arrays and of joblib."""
    return (
        *_python_classes(),
        *_functions(),
        *_compiled(),
        *_TREES,
        _BUNCH,
        *_MASKED,
        *_SPARSE,
        *_RANDOM,
        *_CHECKED,
        SLICE,
        *(GlobalRule(module="numpy", name=name, kind="plain-type") for name in _TYPES),
        GlobalRule(module="numpy", name="mean", kind="named-function"),
    )
