"""Allow-list profiles: which globals a pickle may name, and what may be called with what.

A profile is data. Whatever it does not name is refused. Its digest covers every rule and goes into the receipt, so
that a receipt says which rules the model passed; `version` changes whenever a rule or the meaning of a kind does.

Sources for the torch rules: ``torch._weights_only_unpickler`` of torch 2.13 (its list is wider: it allows whatever
it can rebuild, with any arguments; the rules here also say what a call may be given).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from interlock.artifacts.pickles.rules import GlobalRule, Profile
from interlock.gate.errors import UsageError

__all__ = ["DISTRIBUTED", "PROFILES", "GlobalRule", "Profile", "profile_named"]


def _storages() -> tuple[GlobalRule, ...]:
    sizes = {
        "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
        "Bool": 1, "ComplexDouble": 16, "ComplexFloat": 8,
    }  # fmt: skip
    typed = tuple(
        GlobalRule(module="torch", name=f"{name}Storage", kind="storage-type", size=size)
        for name, size in sizes.items()
    )
    # An untyped storage counts bytes; it is how torch saves dtypes that came after the typed ones.
    return (*typed, GlobalRule(module="torch.storage", name="UntypedStorage", kind="untyped-storage-type", size=1))


def _dtypes() -> tuple[GlobalRule, ...]:
    sizes = {
        "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
        "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1, "complex32": 4, "complex64": 8,
        "complex128": 16, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2,
        "uint8": 1, "bool": 1,
    }  # fmt: skip
    return tuple(GlobalRule(module="torch", name=name, kind="torch-dtype", size=size) for name, size in sizes.items())


_ORDERED_DICT = GlobalRule(
    module="collections",
    name="OrderedDict",
    kind="type",
    calls=((), ("list",)),
    result="ordered-dict",
    build="module-metadata",
    items=True,
)

_TENSORS = (
    GlobalRule(
        module="torch._utils",
        name="_rebuild_tensor_v2",
        calls=(("storage", "size", "sizes", "sizes", "bool", "ordered-dict", "tensor-metadata?"),),
        result="tensor",
    ),
    GlobalRule(
        module="torch._utils",
        name="_rebuild_tensor_v3",
        calls=(("storage", "size", "sizes", "sizes", "bool", "ordered-dict", "torch-dtype", "tensor-metadata?"),),
        result="tensor",
    ),
    GlobalRule(
        module="torch._utils",
        name="_rebuild_parameter",
        calls=(("tensor", "bool", "ordered-dict"),),
        result="tensor",
    ),
)

_STATE_DICT = (
    _ORDERED_DICT,
    GlobalRule(module="torch", name="Size", kind="type", calls=(("sizes",),), result="torch-size"),
    *_TENSORS,
    *_storages(),
    *_dtypes(),
)

_BUILTIN_VALUES = (
    # `bytes` under protocols 0 to 2.
    GlobalRule(module="_codecs", name="encode", calls=(("str", "latin1"),), result="latin1-bytes"),
    GlobalRule(module="builtins", name="bytes", kind="type", calls=((),), result="no-bytes"),
    GlobalRule(
        module="builtins",
        name="bytearray",
        kind="type",
        calls=((), ("bytes",), ("str", "latin1")),
        result="bytearray",
    ),
    GlobalRule(module="builtins", name="set", kind="type", calls=(("list",),), result="set"),
    GlobalRule(module="builtins", name="frozenset", kind="type", calls=(("list",),), result="frozenset"),
    GlobalRule(module="builtins", name="complex", kind="type", calls=(("float", "float"),), result="complex"),
)

_NUMPY_ARRAYS = tuple(
    rule
    # numpy 2 moved its core; files written by either version name the one that wrote them.
    for core in ("numpy.core", "numpy._core")
    for rule in (
        GlobalRule(
            module=f"{core}.multiarray",
            name="_reconstruct",
            calls=(("ndarray-type", "no-elements", "bytes-b"),),
            result="ndarray",
            build="ndarray-state",
        ),
        GlobalRule(
            module=f"{core}.multiarray", name="scalar", calls=(("plain-dtype", "bytes"),), result="numpy-scalar"
        ),
        GlobalRule(
            module=f"{core}.numeric",
            name="_frombuffer",
            calls=(("buffer", "plain-dtype", "sizes", "array-order"),),
            result="ndarray",
        ),
    )
)

_NUMPY = (
    *_NUMPY_ARRAYS,
    GlobalRule(module="numpy", name="ndarray", kind="ndarray-type"),
    GlobalRule(
        module="numpy",
        name="dtype",
        kind="type",
        calls=(("dtype-text", "bool-or-int", "bool-or-int"),),
        result="numpy-dtype",
        build="numpy-dtype-state",
    ),
)

_DEVICE = GlobalRule(
    module="torch", name="device", kind="type", calls=(("device-type", "size?"),), result="torch-device"
)
_DEFAULT_DICT = GlobalRule(
    module="collections",
    name="defaultdict",
    kind="type",
    calls=((), ("plain-type",), ("none",)),
    result="defaultdict",
    items=True,
)
_PLAIN_TYPES = tuple(
    GlobalRule(module="builtins", name=name, kind="plain-type") for name in ("dict", "list", "int", "float", "str")
)

_CHECKPOINT = (
    *_STATE_DICT,
    *_BUILTIN_VALUES,
    *_NUMPY,
    _DEVICE,
    GlobalRule(module="collections", name="Counter", kind="type", calls=((), ("dict",)), result="counter", items=True),
    _DEFAULT_DICT,
    *_PLAIN_TYPES,
    GlobalRule(module="argparse", name="Namespace", kind="type", new=((),), result="namespace", build="attributes"),
)

_SCRIPT = (
    *_STATE_DICT,
    *(
        GlobalRule(module="torch.jit._pickle", name=f"build_{kind}list", calls=(("list",),), result="typed-list")
        for kind in ("int", "double", "bool", "tensor")
    ),
    GlobalRule(module="torch.jit._pickle", name="restore_type_tag", calls=(("anything", "str"),), result="typed-list"),
    _DEVICE,
)

_JOBLIB = (
    # Its arrays' bytes stand between the opcodes, see `interlock.artifacts.pickles.joblib_array`.
    GlobalRule(
        module="joblib.numpy_pickle", name="NumpyArrayWrapper", kind="type", new=((),), result="array-wrapper",
        build="joblib-array",
    ),
    GlobalRule(module="numpy", name="memmap", kind="array-subclass"),
)  # fmt: skip

_ARRAYS = (*_NUMPY, *_BUILTIN_VALUES, _ORDERED_DICT, *_JOBLIB)

DISTRIBUTED = "torch-dcp"


def _sklearn_rules() -> tuple[GlobalRule, ...]:
    from interlock.artifacts.pickles.estimator_rules import estimator_rules

    return (*_ARRAYS, *estimator_rules(), *_PLAIN_TYPES)


def _state_dict() -> Profile:
    return Profile(
        name="torch-state-dict",
        version="1",
        purpose="tensors by name, as torch.save(model.state_dict()) writes them",
        rules=_STATE_DICT,
    )


def _checkpoint() -> Profile:
    return Profile(
        name="torch-checkpoint",
        version="2",
        purpose="state dicts with optimizer, scheduler, numpy values and plain Python containers",
        rules=_CHECKPOINT,
    )


def _torchscript() -> Profile:
    return Profile(
        name="torchscript",
        version="1",
        purpose="TorchScript whose code only names operators that compute; its own classes come from its code",
        rules=_SCRIPT,
    )


def _numpy() -> Profile:
    return Profile(
        name="numpy",
        version="3",
        purpose="numpy arrays and scalars, object arrays of plain values included, as numpy and joblib save them",
        rules=_ARRAYS,
    )


def _sklearn() -> Profile:
    return Profile(
        name="sklearn",
        version="1",
        purpose="fitted estimators of scikit-learn and what they hold, as pickle (2 to 5) and joblib save them",
        rules=(*_sklearn_rules(), _DEFAULT_DICT),
        contents=True,
    )


def _pandas() -> Profile:
    from interlock.artifacts.pickles.frame_rules import FRAMES

    return Profile(
        name="pandas",
        version="1",
        purpose="frames, series and indices of pandas, as DataFrame.to_pickle writes them",
        rules=(*_ARRAYS, *FRAMES),
        contents=True,
    )


def _xgboost() -> Profile:
    from interlock.artifacts.pickles.booster_rules import XGBOOST

    return Profile(
        name="xgboost",
        version="1",
        purpose="boosters and estimators of XGBoost, their model judged as a file, and all of sklearn",
        rules=(*_sklearn_rules(), _DEFAULT_DICT, *XGBOOST),
        contents=True,
    )


def _lightgbm() -> Profile:
    from interlock.artifacts.pickles.booster_rules import LIGHTGBM

    return Profile(
        name="lightgbm",
        version="1",
        purpose="boosters and estimators of LightGBM, their model judged as a file, and all of sklearn",
        rules=(*(rule for rule in _sklearn_rules() if rule is not _ORDERED_DICT), *LIGHTGBM),
        contents=True,
    )


def _distributed() -> Profile:
    from interlock.artifacts.pickles.checkpoint_rules import DISTRIBUTED_CHECKPOINT

    return Profile(
        name=DISTRIBUTED,
        version="2",
        purpose="checkpoint folders of torch.distributed.checkpoint: their .metadata and their *.distcp files",
        rules=(*_CHECKPOINT, *DISTRIBUTED_CHECKPOINT),
    )


class _Shipped(Mapping[str, Profile]):
    """Profiles by name, each made when it is first asked for: that of scikit-learn has a rule for each class of it."""

    def __init__(self, makers: Mapping[str, Callable[[], Profile]]) -> None:
        self._makers = {name: cache(maker) for name, maker in makers.items()}

    def __getitem__(self, name: str) -> Profile:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


PROFILES: Mapping[str, Profile] = _Shipped(
    {
        "torch-state-dict": _state_dict,
        "torch-checkpoint": _checkpoint,
        "torchscript": _torchscript,
        "numpy": _numpy,
        "sklearn": _sklearn,
        "pandas": _pandas,
        "xgboost": _xgboost,
        "lightgbm": _lightgbm,
        DISTRIBUTED: _distributed,
    }
)
"""The profiles that Interlock ships, by name."""


def profile_named(name: str) -> Profile:
    """Look a profile up.

    Raises:
        UsageError: There is none of that name; the message lists the known ones.
    """
    if name not in PROFILES:
        raise UsageError(
            f"unknown artifact profile {name!r}", where="profile", next_step=f"use one of {', '.join(sorted(PROFILES))}"
        )
    return PROFILES[name]
