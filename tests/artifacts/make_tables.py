"""Makes the allow-lists of Keras and of skops from the installed packages, so that anybody can check or renew them.

``KERAS_BACKEND=torch python -m tests.artifacts.make_tables`` writes the two JSON files beside the scanners. Which
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


def main() -> None:
    """Write both tables."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    warnings.simplefilter("ignore")
    for path, table in ((KERAS_TABLE, keras_table()), (SKOPS_TABLE, skops_table())):
        path.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
