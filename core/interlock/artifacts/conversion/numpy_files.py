"""Reads numpy's ``.npy``, ``.npz`` and pickles of arrays as values with views of storages in them, without numpy."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from interlock.artifacts.containers.zip_container import STORED, content, read_members
from interlock.artifacts.containers.zip_end import MAGICS
from interlock.artifacts.conversion.naming import ALONE, Opaque
from interlock.artifacts.conversion.tensors import ELSEWHERE, NUMPY, ConversionError, Stored, Tensor, view
from interlock.artifacts.conversion.torch_files import Contents
from interlock.artifacts.conversion.torch_pickle import Dictionary
from interlock.artifacts.formats.numpy_file import array_header
from interlock.artifacts.layout import column_major, row_major
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, hold

_SUFFIX: Final = ".npy"
_NUMBERS: Final = frozenset("biufc")
_LONGEST_HEADER: Final = 16_384


def read_numpy(data: Buffer, *, record: Record, stack: ExitStack) -> Contents:
    """Read an ``.npz`` or ``.npy``.

    Args:
        data: The whole file, already scanned.
        record: Whose budget is spent.
        stack: Holds what is expanded.

    Raises:
        ConversionError: It holds what is not converted.
        LimitPassedError: It expands to more than may be held.
    """
    if not data[:4].startswith(MAGICS):
        stored, alone = _array(data, 0, len(data), ALONE)
        return Contents(value=alone, storages={ALONE: stored})
    value: dict[object, object] = {}
    storages: dict[str, Stored] = {}
    for member in read_members(data, path="", record=record):
        name = member.name.removesuffix(_SUFFIX)
        if name in value:
            raise ConversionError(f"two arrays are named {shown(name)!r}: save them under names of their own")
        if member.method == STORED:
            held: Buffer = data
            start = member.start
        else:
            most = record.budget.limits.expanded_bytes
            held = stack.enter_context(hold(content(data, member, record), most=most))
            start = 0
        storages[name], value[name] = _array(held, start, start + member.size, name)
    return Contents(value=value, storages=storages)


def _array(data: Buffer, start: int, end: int, key: str) -> tuple[Stored, object]:
    begins, header = array_header(data[start : min(end, start + _LONGEST_HEADER)])
    stored, descr = Stored(data, start + begins, end - start - begins), header["descr"]
    found = _of(key, stored.size, descr, header["shape"], fortran=header["fortran_order"])
    return stored, found or type("_Elements", (Opaque,), {"path": f"numpy array of {shown(repr(descr), 60)}"})()


def _of(key: str, size: int, descr: object, shape: tuple[int, ...], *, fortran: bool) -> Tensor | None:
    """A tensor, or None where the elements are no numbers."""
    text = descr if isinstance(descr, str) else ""
    order, kind = text[:1], text[1:]
    if not kind or kind[0] not in _NUMBERS:
        return None
    itemsize = int(kind[1:])
    oddity = "" if kind in NUMPY else f"has the dtype {shown(text)}, {ELSEWHERE}"
    if order == ">" and itemsize > 1:
        oddity = "is big-endian: save it as x.astype(x.dtype.newbyteorder('<'))"
    strides = column_major(shape) if fortran else row_major(shape)
    return view(
        size, storage=key, dtype=NUMPY.get(kind, ""), itemsize=itemsize, offset=0, shape=shape, strides=strides,
        oddity=oddity,
    )  # fmt: skip


class _Dtype:
    """`numpy.dtype`: its text, and the byte order that its state gives."""

    def __init__(self, text: str, *_: object) -> None:
        self.text = text
        self.order = "|"

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order = state[1]


class _Array(Opaque):
    """`numpy.ndarray`, whose state is (version, shape, dtype, Fortran's order, bytes or a list of objects)."""

    path = "numpy array"


def read_numpy_pickle(data: Buffer, *, profile: Profile) -> Contents:
    """Read a pickle of arrays in plain containers.

    Args:
        data: The whole file, already scanned under `profile`.
        profile: Whose names it may use.

    Raises:
        ConversionError: It holds what is not converted.
    """
    arrays = _Arrays()
    value = _NumpyUnpickler(data[:], profile).load()
    return Contents(value=value, storages=arrays.storages, tensor_of=arrays.tensor_of)


class _NumpyUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes, profile: Profile) -> None:
        super().__init__(io.BytesIO(content))
        self._profile = profile

    def find_class(self, module: str, name: str) -> Any:
        rule = self._profile.table.get((module, name))
        if rule is None or module.startswith("joblib"):
            raise ConversionError(f"it names {shown(f'{module}.{name}')}, which is not converted: save it as .npz")
        return _STAND_INS.get(rule.result) or type("_Named", (Opaque,), {"path": rule.path})


_STAND_INS: Final[dict[str, object]] = {
    "ndarray": lambda *arguments: _Array() if len(arguments) == 3 else _from_buffer(*arguments),
    "numpy-dtype": _Dtype,
    "ordered-dict": Dictionary,
    "latin1-bytes": lambda text, _: text.encode("latin-1"),
    "no-bytes": lambda: b"",
    "bytearray": bytearray,
}


def _from_buffer(buffer: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    return _Array((1, shape, dtype, order == "F", bytes(buffer)))


class _Arrays:
    """Knows the arrays of one pickle as tensors; one that stands in two places is one storage."""

    def __init__(self) -> None:
        self.storages: dict[str, Stored] = {}
        self._known: dict[int, Tensor | None] = {}

    def tensor_of(self, value: object) -> Tensor | None:
        """The tensor that a value is, if it is an array of numbers."""
        if not isinstance(value, _Array):
            return None
        if id(value) not in self._known:
            self._known[id(value)] = self._tensor(value)
        return self._known[id(value)]

    def _tensor(self, array: _Array) -> Tensor | None:
        match array.parts:
            case [(_, tuple(shape), _Dtype() as dtype, fortran, bytes(raw))]:
                key = str(len(self.storages))
                self.storages[key] = Stored(raw, 0, len(raw))
                order = "<" if dtype.order == "=" else dtype.order
                found = _of(key, len(raw), f"{order}{dtype.text}", shape, fortran=bool(fortran))
                if found is not None and found.size != len(raw):  # as in array_setstate of numpy's methods.c
                    raise ConversionError(f"an array of {found.size:,} bytes comes with {len(raw):,}: numpy refuses it")
                return found
            case [(_, tuple(), _Dtype(), _, list())]:  # of objects
                return None
            case _:
                raise ConversionError("an array is in a state that is not read here: save it as .npz")
