"""What torch calls the types of elements, and how a whole array lies in memory; for every room that reads tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

TORCH_TYPES: Final[Mapping[str, str]] = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "complex64": "C64", "complex128": "C128",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""torch's dtypes to names in the manner of safetensors."""

TORCH_STORAGES: Final[Mapping[str, str]] = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
}  # fmt: skip
"""torch's storage classes to torch's dtypes."""


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a whole array whose last axis lies together; an axis of none counts as one of one."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def column_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a whole array whose first axis lies together, as Fortran has it."""
    return tuple(reversed(row_major(tuple(reversed(shape)))))


def lies_row_by_row(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a view shows one element after the other, the last axis first; the step along an axis of one is free."""
    steps = zip(shape, strides, row_major(shape), strict=True)
    return all(size == 1 or step == wanted for size, step, wanted in steps)
