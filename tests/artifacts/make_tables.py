"""Makes the allow-lists of Keras, skops and scikit-learn from the installed packages: anybody can check or renew them.

``KERAS_BACKEND=torch python -m tests.artifacts.make_tables`` writes the JSON files beside the scanners. Which
classes are let in is decided here and by the packages' own public lists; the scanner only reads the result.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "core" / "interlock" / "artifacts" / "formats"
KERAS_TABLE = FOLDER / "keras_classes.json"
SKOPS_TABLE = FOLDER / "skops_types.json"
SKLEARN_TABLE = FOLDER / "sklearn_classes.json"

_MODULES = (
    "keras", "keras.constraints", "keras.dtype_policies", "keras.initializers", "keras.layers", "keras.losses",
    "keras.metrics", "keras.models", "keras.optimizers", "keras.optimizers.schedules", "keras.quantizers",
    "keras.random", "keras.regularizers",
)  # fmt: skip
_FUNCTION_MODULES = ("activations", "constraints", "initializers", "losses", "metrics", "regularizers")
_OPERATION_MODULES = ("einops", "image", "linalg", "math", "nn", "numpy")

# Each runs what the file brings along, or reads a file that it names.
UNSAFE = {
    "Lambda": "a Lambda layer runs the Python code or names the function that the file brings (CVE-2024-3660)",
    "TFSMLayer": "TFSMLayer loads a TensorFlow SavedModel from a path in the file (CVE-2026-1462)",
    "TorchModuleWrapper": "TorchModuleWrapper unpickles a torch module out of the file (CVE-2025-49655)",
    "JaxLayer": "JaxLayer calls a function that the file brings",
    "FlaxLayer": "FlaxLayer calls a module and functions that the file brings",
    "__lambda__": "__lambda__ unmarshals Python byte code out of the file (CVE-2024-3660)",
    "__typespec__": "__typespec__ imports a class by a name in the file",
    "TypeSpec": "TypeSpec builds whatever type TensorFlow has under a name in the file",
    "CompositeTensor": "CompositeTensor builds whatever type TensorFlow has under a name in the file",
}
# Abstract, or no part of a saved model.
_NO_MODEL_PARTS = {
    "Function", "InputSpec", "KerasTensor", "Operation", "RematScope", "StatelessScope", "SymbolicScope", "Variable",
    "name_scope",
}  # fmt: skip
# Values that keras.src.saving.serialization_lib and the legacy reader write as if they were objects.
_VALUES = ("__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__", "__tuple__",
           "TensorShape")  # fmt: skip
# Where the engine of Keras 2.13 and later kept it; there is no public name for it in any version.
_FUNCTIONAL = ("keras.src.engine.functional", "keras.engine.functional", "keras.src.models.functional")


def keras_table() -> dict[str, Any]:
    """The classes and functions that a model of built-in parts is made of."""
    from keras.src.backend.torch import optimizers  # type: ignore[import-untyped]  # no stubs
    from keras.src.ops.operation import Operation  # type: ignore[import-untyped]  # no stubs
    from keras.src.optimizers.optimizer import Optimizer  # type: ignore[import-untyped]  # no stubs

    left_out = UNSAFE.keys() | _NO_MODEL_PARTS
    classes = {
        module: {
            name
            for name, value in vars(importlib.import_module(module)).items()
            if isinstance(value, type) and hasattr(value, "from_config") and name not in left_out
        }
        for module in _MODULES
    }
    functions = {
        f"keras.{module}": {
            name
            for name, value in vars(importlib.import_module(f"keras.{module}")).items()
            if isinstance(value, types.FunctionType) and name not in {"deserialize", "get", "serialize"}
        }
        for module in _FUNCTION_MODULES
    }
    without_module = {name for names in classes.values() for name in names} | {"Functional", "Tokenizer"}
    for kind in _below(Operation):
        if kind.__module__ in {f"keras.src.ops.{name}" for name in _OPERATION_MODULES}:
            classes.setdefault(kind.__module__, set()).add(kind.__name__)
    for module in pkgutil.iter_modules(optimizers.__path__):
        importlib.import_module(f"{optimizers.__name__}.{module.name}")
    for kind in _below(Optimizer):  # the torch backend has its own, without a public name
        if kind.__module__.startswith(f"{optimizers.__name__}.") and kind.__name__ in without_module:
            classes.setdefault(kind.__module__, set()).add(kind.__name__)
    for path in _FUNCTIONAL:
        classes.setdefault(path, set()).add("Functional")
    return {
        "version": "1",
        "made_from": {"keras": importlib.metadata.version("keras")},
        "classes": {module: sorted(names) for module, names in sorted(classes.items())},
        "functions": {module: sorted(names) for module, names in sorted(functions.items()) if names},
        "names_without_module": sorted(without_module),
        "values": sorted(_VALUES),
        "unsafe": dict(sorted(UNSAFE.items())),
    }


def _below(kind: Any) -> Iterator[Any]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _below(inner)


def skops_table() -> dict[str, Any]:
    """What skops trusts by default, by the loader that would build it; what is not here it would ask a person for."""
    import numpy as np
    from scipy.sparse import spmatrix  # type: ignore[import-untyped]  # no stubs
    from skops.io import _sklearn, _trusted_types  # type: ignore[import-untyped]  # no stubs
    from skops.io import _utils as names
    from skops.utils._fixes import get_sparray_type  # type: ignore[import-untyped]  # no stubs

    primitives = _trusted_types.PRIMITIVE_TYPE_NAMES
    dtypes = _trusted_types.NUMPY_DTYPE_TYPE_NAMES
    losses = [names.get_module(kind) + "." + kind.__name__ for kind in _sklearn.ALLOWED_LOSSES]
    trusted = {
        "BytearrayNode": ["builtins.bytearray"],
        "BytesNode": ["builtins.bytes"],
        "DefaultDictNode": ["collections.defaultdict"],
        "DictNode": ["builtins.dict", "collections.OrderedDict"],
        "FunctionNode": _trusted_types.SCIPY_UFUNC_TYPE_NAMES + _trusted_types.NUMPY_UFUNC_TYPE_NAMES,
        "JsonNode": primitives,
        "ListNode": ["builtins.list"],
        "LossNode": losses,
        "MaskedArrayNode": names.get_type_paths([np.ma.MaskedArray]),
        "NdArrayNode": ["numpy.ndarray", *dtypes],
        "ObjectNode": _trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES + _trusted_types.SKLEARN_INTERNAL_TYPE_NAMES,
        "RandomGeneratorNode": names.get_type_paths([np.random.Generator]),
        "RandomStateNode": names.get_type_paths([np.random.RandomState]),
        "SetNode": ["builtins.set"],
        "SliceNode": ["builtins.slice"],
        "SparseMatrixNode": names.get_type_paths([kind for kind in (spmatrix, get_sparray_type()) if kind]),
        "TupleNode": ["builtins.tuple"],
        "TypeNode": primitives + _trusted_types.CONTAINER_TYPE_NAMES + dtypes,
    }
    return {
        "version": "1",
        "made_from": {name: importlib.metadata.version(name) for name in ("skops", "scikit-learn", "numpy", "scipy")},
        "protocol": 2,
        "trusted": {loader: sorted(set(types)) for loader, types in sorted(trusted.items())},
        "bit_generators": _trusted_types.NUMPY_RANDOM_BIT_GENERATOR_TYPE_NAMES,
    }


# Python classes beside the estimators that a fitted model is made of. None of them calls what its state holds while it
# is made; `FrozenEstimator` is left out, since it hands whatever compiled code asks it for on to another object.
_SKLEARN_HELPERS = (
    "sklearn._loss.link", "sklearn._loss.loss", "sklearn.calibration", "sklearn.cluster._birch",
    "sklearn.cluster._bisect_k_means", "sklearn.gaussian_process.kernels", "sklearn.metrics._scorer",
    "sklearn.model_selection._split", "sklearn.multiclass", "sklearn.neural_network._stochastic_optimizers",
    "sklearn.utils._metadata_requests",
)  # fmt: skip
_SKLEARN_LEFT_OUT = {"FrozenEstimator"}
# Functions that estimators hold as attributes; a pickle may name them, never call them.
_SKLEARN_FUNCTIONS = {
    "sklearn.cluster._kmeans": ["_kmeans_single_elkan", "_kmeans_single_lloyd"],
    "sklearn.feature_selection._mutual_info": ["mutual_info_classif", "mutual_info_regression"],
    "sklearn.feature_selection._univariate_selection": ["chi2", "f_classif", "f_regression", "r_regression"],
}
_SKLEARN_COMPILED = {"distances": "sklearn.metrics._dist_metrics", "losses": "sklearn._loss._loss",
                     "linear_losses": "sklearn.linear_model._sgd_fast"}  # fmt: skip
_SKLEARN_NO_RULE = ("PyFunc",)  # holds a Python function, and calls it for every distance


def sklearn_table() -> dict[str, Any]:
    """scikit-learn's estimators and what they are made of, each under the module that a pickle names."""
    import sklearn  # type: ignore[import-untyped]  # no stubs
    from sklearn.base import BaseEstimator  # type: ignore[import-untyped]  # no stubs
    from sklearn.metrics import get_scorer, get_scorer_names  # type: ignore[import-untyped]  # no stubs

    classes: dict[str, set[str]] = {}
    for module in pkgutil.walk_packages(sklearn.__path__, "sklearn."):
        if not {"tests", "externals", "_build_utils", "conftest", "experimental"} & set(module.name.split(".")):
            importlib.import_module(module.name)
    for kind in _below(BaseEstimator):
        if kind.__module__.startswith("sklearn.") and kind.__name__ not in _SKLEARN_LEFT_OUT:
            classes.setdefault(kind.__module__, set()).add(kind.__name__)
    for name in _SKLEARN_HELPERS:
        classes.setdefault(name, set()).update(_own(name, compiled=False))
    functions = {module: set(names) for module, names in _SKLEARN_FUNCTIONS.items()}
    for name in get_scorer_names():
        function = get_scorer(name)._score_func
        functions.setdefault(function.__module__, set()).add(function.__name__)
    return {
        "version": "1",
        "made_from": {"scikit-learn": importlib.metadata.version("scikit-learn")},
        "classes": {module: sorted(names) for module, names in sorted(classes.items())},
        "functions": {module: sorted(names) for module, names in sorted(functions.items())},
        **{part: sorted(_own(module, compiled=True)) for part, module in _SKLEARN_COMPILED.items()},
    }


def _own(name: str, *, compiled: bool) -> set[str]:
    """Classes that a module defines: those of Python, or those of Cython."""
    module = importlib.import_module(name)
    return {
        kind.__name__
        for kind in vars(module).values()
        if isinstance(kind, type)
        and kind.__module__ == name
        and hasattr(kind, "__weakref__") != compiled
        and not issubclass(kind, Exception)
        and not kind.__name__.startswith(_SKLEARN_NO_RULE)
    }


TABLES = ((KERAS_TABLE, keras_table), (SKOPS_TABLE, skops_table), (SKLEARN_TABLE, sklearn_table))


def main() -> None:
    """Write the tables."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    warnings.simplefilter("ignore")
    for path, table in TABLES:
        path.write_text(json.dumps(table(), indent=1) + "\n")


if __name__ == "__main__":
    main()
