"""The kinds that signatures in profiles name, what an allowed call gives, and which state BUILD may set.

A kind is a predicate over symbolic values. It says yes only where the value is known well enough; whatever is not
known is no. The checks on numpy's dtype state and on storages are there because the loaders trust them: a dtype
``O8`` without its object flag makes numpy take bytes for pointers, and a storage larger than its bytes was
CVE-2026-24747.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from interlock.artifacts.pickles.fields import FIELDS
from interlock.artifacts.pickles.rules import GlobalRule
from interlock.artifacts.pickles.values import DATA, FROZENSET, LONGEST_TEXT, SET, DictValue, ListValue, Span, Value

LARGEST: Final = (1 << 63) - 1

# numpy.dtype.str without its byte order: the plain kinds with a size; 'O8' is checked apart.
_PLAIN_DTYPE: Final = re.compile(r"(?:b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|[mM]8|[SUV]\d{1,9})\Z")
_OBJECT_FLAGS: Final = 63
_UNICODE_FLAGS: Final = 8
_FILE_NAME: Final = re.compile(r"(?!\.+\Z)[\w.+-]{1,200}\Z")
_ZONE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,40}(?:/[A-Za-z0-9_+-]{1,40}){0,3}\Z")
_ARROW_TYPES: Final = frozenset((
    "binary", "bool", "date32[day]", "date64[ms]", "double", "duration[ms]", "duration[ns]", "duration[s]",
    "duration[us]", "float", "halffloat", "int16", "int32", "int64", "int8", "large_binary", "large_string", "string",
    "time32[ms]", "time32[s]", "time64[ns]", "time64[us]", "uint16", "uint32", "uint64", "uint8",
))  # fmt: skip
_LAYOUTS: Final = ("torch.strided", "torch.sparse_coo", "torch.sparse_csr", "torch.sparse_csc")
_DEVICE: Final = re.compile(r"(?:cpu|cuda|mps|xpu|meta|xla|hpu|npu|privateuseone)(?::\d{1,4})?\Z")
_TENSOR_METADATA: Final = frozenset({"conj", "neg"})


class Instance(Value):
    """The value of an allowed call.

    Args:
        rule: The global that was called.
    """

    __slots__ = ("built", "rule", "state")

    def __init__(self, kind: str, rule: GlobalRule, fact: object = None) -> None:
        super().__init__(kind, fact)
        self.rule = rule
        self.built = False
        self.state: object = None


def kind_of(value: object) -> str:
    """The kind of a value that is no constant, else an empty text."""
    return value.kind if isinstance(value, Value | GlobalRule) else ""


def is_size(value: object) -> bool:
    """A whole number that fits a signed 64-bit size; True and False are none."""
    return type(value) is int and 0 <= value <= LARGEST


def sizes_of(value: object) -> tuple[int, ...] | None:
    """A shape or strides as numbers, or None if `value` is neither a tuple of sizes nor a `torch.Size`."""
    if isinstance(value, Instance) and value.kind == "torch-size":
        value = value.fact
    if isinstance(value, tuple) and all(is_size(item) for item in value):
        return value
    return None


def matches(values: tuple[object, ...], signature: tuple[str, ...]) -> bool:
    """Whether `values` are what `signature` asks for, one kind each."""
    needed = sum(not kind.endswith("?") for kind in signature)
    if not needed <= len(values) <= len(signature):
        return False
    return all(KINDS[kind.rstrip("?")](value) for kind, value in zip(signature, values, strict=False))


def element_count(shape: tuple[int, ...]) -> int:
    """Product of a shape, stopped once it is past any size there can be."""
    count = 1
    for size in shape:
        count *= size
        if count > LARGEST and 0 not in shape:
            return LARGEST + 1
    return count


def _is_text(value: object) -> bool:
    return isinstance(value, str) or kind_of(value) == "str"


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes) or kind_of(value) == "bytes"


def _is_tensor_metadata(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, DictValue) and not value.more and _TENSOR_METADATA.issuperset(_texts(value.keys))


def _is_dtype_text(value: object) -> bool:
    return isinstance(value, str) and (value == "O8" or _PLAIN_DTYPE.match(value) is not None)


def _is_plain_dtype(value: object) -> bool:
    return isinstance(value, Instance) and value.kind == "numpy-dtype" and value.fact != "O8"


def _is_offset_part(value: object) -> bool:
    if isinstance(value, tuple):
        return len(value) <= 16 and not any(isinstance(item, tuple) or not _is_offset_part(item) for item in value)
    return value is None or type(value) in (bool, int, str) or kind_of(value) == "time"


def _one_of(*kinds: str) -> Callable[[object], bool]:
    return lambda value: kind_of(value) in kinds


def _constant(constants: tuple[object, ...]) -> Callable[[object], bool]:
    # With its type: True is no 1 here.
    return lambda value: any(type(value) is type(constant) and value == constant for constant in constants)


KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "none": lambda value: value is None,
    "bool": lambda value: isinstance(value, bool),
    "bool-or-int": _constant((False, True, 0, 1)),
    "size": is_size,
    "sizes": lambda value: sizes_of(value) is not None,
    "float": lambda value: type(value) is float,
    "str": _is_text,
    "latin1": _constant(("latin1", "latin-1")),
    "bytes": _is_bytes,
    "bytes-b": _constant((b"b", "b")),  # text where Python 2 wrote it
    "buffer": lambda value: _is_bytes(value) or kind_of(value) == "bytearray",
    "no-elements": _constant(((0,),)),
    "array-order": _constant(("C", "F")),
    "list": _one_of("list"),
    "dict": lambda value: isinstance(value, DictValue),
    "ordered-dict": _one_of("ordered-dict"),
    "storage": _one_of("storage"),
    "tensor": _one_of("tensor"),
    "torch-dtype": _one_of("torch-dtype"),
    "tensor-metadata": _is_tensor_metadata,
    "device-type": lambda value: isinstance(value, str) and _DEVICE.match(value) is not None,
    "plain-type": _one_of("plain-type"),
    "ndarray-type": _one_of("ndarray-type"),
    "dtype-text": _is_dtype_text,
    "numpy-dtype": _one_of("numpy-dtype"),
    "array-type": _one_of("ndarray-type", "array-subclass"),
    "alignment": lambda value: value is None or (is_size(value) and value in range(1, 256)),
    "float-or-int": lambda value: type(value) in (float, int),
    "no-parts": lambda value: value is None or value == (),
    "check-array": _one_of("check-array"),
    "loss-type": _one_of("loss-type"),
    "distance-type": _one_of("distance-type"),
    "kd-tree-type": _one_of("kd-tree-type"),
    "ball-tree-type": _one_of("ball-tree-type"),
    "bit-generator-type": _one_of("bit-generator-type"),
    "bit-generator-name": _constant(("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")),
    "bit-generator-maker": _one_of("bit-generator-maker"),
    "bit-generator": _one_of("bit-generator"),
    "seed-sequence-type": _one_of("seed-sequence-type"),
    "masked-type": _one_of("masked-type"),
    "ordered-dict-type": _one_of("ordered-dict-type"),
    "int": lambda value: type(value) is int and -LARGEST - 1 <= value <= LARGEST,
    "int-or-none": lambda value: value is None or (type(value) is int and abs(value) <= LARGEST),
    "one-or-two": _constant((1, 2)),
    "tuple": lambda value: isinstance(value, tuple),
    "short-text": lambda value: isinstance(value, str),
    "short-text-or-none": lambda value: value is None or isinstance(value, str),
    "pandas-index-type": _one_of("pandas-index-type"),
    "pandas-backed-type": _one_of("pandas-backed-type"),
    "pandas-intervals-type": _one_of("pandas-intervals-type"),
    "string-storage": _constant(("python", "pyarrow", "pyarrow_numpy")),
    "missing": lambda value: value is None or type(value) is float or kind_of(value) == "missing",
    "arrow-type-name": lambda value: isinstance(value, str) and (value in _ARROW_TYPES),
    "resolution": _constant((6, 7, 8, 9, 10)),
    "offset": _one_of("offset"),
    "offset-part": _is_offset_part,
    "offset-or-none": lambda value: value is None or kind_of(value) == "offset",
    "time": _one_of("time"),
    "end": lambda value: type(value) in (int, float) or kind_of(value) in ("time", "numpy-scalar"),
    "closed": _constant(("left", "right", "both", "neither")),
    "zone": _one_of("zone"),
    "zone-or-none": lambda value: value is None or kind_of(value) == "zone",
    "zone-name": lambda value: isinstance(value, str) and _ZONE_NAME.match(value) is not None,
    "zoneinfo-type": _one_of("zoneinfo-type"),
    "unpickle-name": _constant(("_unpickle",)),
    "any": lambda _: True,
    "size-or-none": lambda value: value is None or is_size(value),
    "sizes-or-none": lambda value: value is None or sizes_of(value) is not None,
    "str-or-none": lambda value: value is None or _is_text(value),
    "path-or-none": lambda value: value is None or _is_text(value) or kind_of(value) == "path",
    "file-name": lambda value: isinstance(value, str) and _FILE_NAME.match(value) is not None,
    "layout-name": _constant(_LAYOUTS),
    "memory-format-number": _constant((0, 1, 2)),
    "dcp-properties": _one_of("dcp-properties"),
    "dcp-storage-meta-or-none": lambda value: value is None or kind_of(value) == "dcp-storage-meta",
    "plain-dtype": _is_plain_dtype,
    "anything": lambda _: True,
}
"""Name of a kind to its predicate."""


def is_device(value: object) -> bool:
    """A location as torch writes it into a storage's persistent id."""
    return isinstance(value, str) and _DEVICE.match(value) is not None


def result_of(rule: GlobalRule, arguments: tuple[object, ...]) -> object:
    """What an allowed call gives."""
    make = RESULTS.get(rule.result)
    return make(arguments) if make else Instance(rule.result, rule, fact=_fact(rule, arguments))


def _fact(rule: GlobalRule, arguments: tuple[object, ...]) -> object:
    if rule.name == "_frombuffer":
        return arguments
    return arguments[0] if rule.result in {"numpy-dtype", "torch-size"} else None


def _latin1(arguments: tuple[object, ...]) -> object:
    text = arguments[0]
    if not isinstance(text, str):
        span = text.fact if isinstance(text, Value) else None
        return Value("bytes", fact=replace(span, latin1=True)) if isinstance(span, Span) else DATA
    # What latin-1 cannot encode raises in the loader, so the value does not matter then.
    encoded = text.encode("latin-1", "replace")
    return encoded if len(encoded) <= LONGEST_TEXT else DATA


def _bytearray(arguments: tuple[object, ...]) -> object:
    if not arguments:
        return Value("bytearray", fact=b"")
    source = arguments[0] if len(arguments) == 1 else _latin1(arguments)
    return Value("bytearray", fact=source if isinstance(source, bytes) else getattr(source, "fact", None))


_ZONE: Final = GlobalRule(
    module="zoneinfo", name="ZoneInfo._unpickle", calls=(("zone-name", "bool-or-int"),), result="zone"
)

RESULTS: Final[Mapping[str, Callable[[tuple[object, ...]], object]]] = {
    "latin1-bytes": _latin1,
    "no-bytes": lambda _: b"",
    "zoneinfo-maker": lambda _: _ZONE,
    "bytearray": _bytearray,
    "set": lambda _: SET,
    "frozenset": lambda _: FROZENSET,
}
"""Results that are values of their own rather than an `Instance` of their rule."""


def tensor_fits(rule: GlobalRule, arguments: tuple[object, ...]) -> bool:
    """Whether the tensor that `rule` would rebuild lies inside its storage.

    Args:
        rule: The global that is called.
        arguments: Already matched against the rule's signature.
    """
    if rule.name not in {"_rebuild_tensor_v2", "_rebuild_tensor_v3"}:
        return True
    storage, offset, shape, strides = arguments[:4]
    sizes, steps = sizes_of(shape), sizes_of(strides)
    if not isinstance(storage, Value) or not isinstance(storage.fact, tuple) or not isinstance(offset, int):
        return False
    if sizes is None or steps is None or len(sizes) != len(steps):
        return False
    room, element = storage.fact
    if rule.name == "_rebuild_tensor_v3":
        dtype = arguments[6]
        # Version 3 sees the storage as bytes and says itself what an element is.
        room = room * element // dtype.size if isinstance(dtype, GlobalRule) else 0
    if 0 in sizes:
        return offset <= int(room)
    last: int = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    return last < int(room)


def element_size(dtype: object) -> int | None:
    """Bytes of one element of a numpy dtype, None for one of Python objects."""
    text = dtype.fact if isinstance(dtype, Value) and isinstance(dtype.fact, str) else "O8"
    if text == "O8":
        return None
    return int(text[1:]) * (4 if text[0] == "U" else 1)


def state_allowed(instance: Instance, state: object) -> bool:
    """Whether BUILD may set `state` on `instance`."""
    check = STATES.get(instance.rule.build)
    return check is not None and check(instance, state)


def _texts(keys: Sequence[object]) -> set[object]:
    return {key if isinstance(key, str) else None for key in keys}


def _module_metadata(_: Instance, state: object) -> bool:
    return isinstance(state, DictValue) and not state.more and _texts(state.keys) <= {"_metadata"}


def _attributes(_: Instance, state: object) -> bool:
    # BUILD asks the instance for __setstate__ first, so an attribute of that name would be called by the next BUILD.
    if not isinstance(state, DictValue) or state.more:
        return False
    return all(isinstance(key, str) and not key.startswith("__") for key in state.keys)


def _numpy_dtype_state(instance: Instance, state: object) -> bool:
    """`numpy.dtype.__setstate__`, versions 3 and 4, without fields and subarrays.

    (version, byte order, subarray, names, fields, element size, alignment, flags[, datetime metadata])
    """
    text = instance.fact
    # numpy changes a dtype in place, and with it every array that has it already.
    if instance.built or not isinstance(text, str) or not isinstance(state, tuple) or len(state) not in {8, 9}:
        return False
    if text[0] == "V" and isinstance(state[4], DictValue):
        return _record_dtype_state(int(text[1:]), state)
    version, order, *nothing, size, alignment, flags = state[:8]
    if order not in ("<", ">", "|", "=") or any(part is not None for part in nothing):
        return False
    if len(state) == 9:
        return version == 4 and text in {"M8", "m8"} and _datetime_metadata(state[8]) and flags == 0
    expected = {"O8": (-1, -1, _OBJECT_FLAGS)}.get(text, (-1, -1, 0))
    if text[0] in "SUV":
        length = int(text[1:])
        expected = (4 * length, 4, _UNICODE_FLAGS) if text[0] == "U" else (length, 1, 0)
    return version == 3 and (size, alignment, flags) == expected


def _record_dtype_state(size: int, state: tuple[object, ...]) -> bool:
    """A dtype of named plain fields that lie inside of the element; its fields are only known where they are kept."""
    version, order, subarray, names, fields, stated, alignment, flags = state[:8]
    if (len(state), version, order, subarray, stated) != (8, 3, "|", None, size) or not isinstance(names, tuple):
        return False
    if not isinstance(fields, DictValue) or fields.more:
        return False
    known = fields.known
    if not known or alignment not in (1, 2, 4, 8, 16) or flags not in (0, 16, 0x80, 0x90):
        return False
    if len(names) != len(known) or set(known) != _texts(names) or len(fields.keys) != len(known):
        return False
    return all(
        isinstance(field, tuple)
        and len(field) == 2
        and isinstance(field[0], Instance)
        and _is_plain_dtype(field[0])
        and field[0].built
        and is_size(field[1])
        and field[1] + (element_size(field[0]) or size) <= size
        for field in known.values()
    )


def _datetime_metadata(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 2 or not (value[0] is None or isinstance(value[0], DictValue)):
        return False
    unit = value[1]
    if not isinstance(unit, tuple) or len(unit) != 4 or not isinstance(unit[0], bytes | str):
        return False
    return len(unit[0]) <= 8 and all(is_size(number) for number in unit[1:])


def array_state_allowed(instance: Instance, state: object) -> bool:
    """Whether `state` is (1, shape, dtype, Fortran order, bytes or list of objects), for `ndarray.__setstate__`."""
    if instance.built or not isinstance(state, tuple) or len(state) != 5 or state[0] != 1 or sizes_of(state[1]) is None:
        return False
    dtype, fortran, content = state[2:]
    if kind_of(dtype) != "numpy-dtype" or not isinstance(fortran, bool):
        return False
    if _is_plain_dtype(dtype):
        return _is_bytes(content)
    # numpy takes as many objects as the shape says out of the list, however long it is.
    return isinstance(content, ListValue) and content.count == element_count(sizes_of(state[1]) or ())


def _dcp_properties(_: Instance, state: object) -> bool:
    """`TensorProperties.__setstate__`: (dtype, layout, requires_grad, memory format, pin_memory)."""
    signature = ("torch-dtype", "torch-layout", "bool", "memory-format", "bool")
    if not isinstance(state, tuple) or len(state) != len(signature):
        return False
    return all(
        isinstance(value, bool) if kind == "bool" else kind_of(value) == kind
        for kind, value in zip(signature, state, strict=True)
    )


def _fields_match(instance: Instance, state: object) -> bool:
    """A dict whose every field is known and of its kind, set once: a second state would be mixed with the first."""
    if (
        instance.built
        or not isinstance(state, DictValue)
        or state.known is None
        or state.more
        or len(state.keys) != len(state.known)
    ):
        return False
    kinds = FIELDS[instance.rule.build]
    needed = {field for field in kinds if not field.endswith("?")}
    possible = {field.rstrip("?"): kind for field, kind in kinds.items()}
    known = state.known
    if not needed <= known.keys() <= possible.keys():
        return False
    return all(KINDS[possible[field]](value) for field, value in known.items())


STATES: Final[Mapping[str, Callable[[Instance, object], bool]]] = {
    "module-metadata": _module_metadata,
    "attributes": _attributes,
    "numpy-dtype-state": _numpy_dtype_state,
    "ndarray-state": array_state_allowed,
    "dcp-properties": _dcp_properties,
    **dict.fromkeys(FIELDS, _fields_match),
}
"""Name of a kind of state to its check."""
