"""Scans numpy's ``.npy`` by its header, and the pickle behind it when the array holds objects.

Format: ``numpy.lib.format`` (versions 1.0, 2.0 and 3.0). `numpy.load` unpickles object arrays only when asked to, but
files with them are asked for, so their pickle has to pass the profile.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import Any, Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.native import NUMPY_MAGIC
from interlock.artifacts.pickles.file import scan_pickle
from interlock.artifacts.pickles.kinds import LARGEST, element_count, is_size
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_LONGEST_HEADER = 10_000  # numpy.lib.format._MAX_HEADER_SIZE
_DESCR: Final = re.compile(r"[<>|=]?(?P<kind>[biufcmMSUVO])(?P<size>\d{0,9})(?:\[[\w/]{1,16}\])?\Z")
_DEEPEST = 16


class MalformedArrayError(Exception):
    """The header is not what the format says; `str()` says how."""


def plain_array(head: bytes) -> bool:
    """Whether these are the first bytes of an array without Python objects, its header complete."""
    try:
        return head.startswith(NUMPY_MAGIC) and not _read(head)[1]
    except MalformedArrayError:
        return False


def scan_numpy_header(head: bytes, size: int, *, path: str, record: Record) -> None:
    """Check a plain array of `size` bytes by its header; see `plain_array`."""
    try:
        _check_size(head, size)
    except MalformedArrayError as error:
        record.error(rules.MALFORMED_NUMPY, f"no array that can be trusted: {error}", path, 0)
    record.looked(path)


def scan_numpy(data: Buffer, *, path: str, profile: Profile, record: Record) -> None:
    """Check that the header describes exactly the bytes that follow it; object arrays are walked as pickles.

    Raises:
        LimitPassedError: The pickle of an object array could not be walked to its end.
    """
    try:
        start, objects, _ = _read(data)
    except MalformedArrayError as error:
        record.error(rules.MALFORMED_NUMPY, f"no array that can be trusted: {error}", path, 0)
        record.looked(path)
        return
    if objects:
        scan_pickle(data, path=path, profile=profile, record=record, start=start)
    else:
        scan_numpy_header(data[:start], len(data), path=path, record=record)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayHeader:
    """What the header of an array says.

    Args:
        start: Offset of the elements.
        objects: They are Python objects, in a pickle.
        size: Bytes that they need, of an array without Python objects.
        descr: numpy's description of the dtype.
        shape: Of the array.
        fortran_order: The first axis is the one whose neighbours stand side by side.
        padding: What stands behind the header's literal; numpy writes spaces and a newline.
    """

    start: int
    objects: bool
    size: int
    descr: object
    shape: tuple[int, ...]
    fortran_order: bool
    padding: bytes


def described_array(head: Buffer) -> ArrayHeader:
    """Read the first bytes of an array, its header complete.

    Raises:
        MalformedArrayError: The header is not what the format says.
    """
    start, objects, size = _read(head)
    _, header = array_header(head)
    return ArrayHeader(
        start=start,
        objects=objects,
        size=size,
        descr=header["descr"],
        shape=header["shape"],
        fortran_order=header["fortran_order"],
        padding=head[:start].rpartition(b"}")[2],
    )


def _check_size(head: Buffer, size: int) -> None:
    start, _, needed = _read(head)
    if needed > LARGEST or needed != size - start:
        raise MalformedArrayError(f"{size - start:,} bytes of elements where the header needs {needed:,}")


def _read(data: Buffer) -> tuple[int, bool, int]:
    """Offset of the elements, whether they are objects, and the bytes they need."""
    start, header = array_header(data)
    size, objects = _item_size(header["descr"], 0)
    shape = header["shape"]
    if not isinstance(shape, tuple) or not all(is_size(length) for length in shape):
        raise MalformedArrayError("a shape that is no tuple of sizes")
    if not isinstance(header["fortran_order"], bool):
        raise MalformedArrayError("fortran_order that is neither True nor False")
    return start, objects, element_count(shape) * size


def array_header(data: Buffer) -> tuple[int, dict[str, Any]]:
    """Offset of the elements, and the header's three fields.

    Raises:
        MalformedArrayError: It has none.
    """
    version = (data[6], data[7]) if len(data) >= 10 else (0, 0)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise MalformedArrayError(f"cut off, or of the unknown version {version[0]}.{version[1]}")
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + length
    if length > _LONGEST_HEADER or start > len(data):
        raise MalformedArrayError(f"a header of {length:,} bytes, cut off or more than numpy reads")
    raw = data[8 + width : start]
    try:
        with warnings.catch_warnings():
            # An odd escape in a hostile literal is the file's fault, not a warning for the caller.
            warnings.simplefilter("error")
            header = ast.literal_eval(raw.decode("utf-8" if version == (3, 0) else "latin-1"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, Warning) as error:
        raise MalformedArrayError("a header that is no Python literal") from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise MalformedArrayError("a header with other fields than descr, fortran_order and shape")
    return start, header


def _item_size(descr: object, depth: int) -> tuple[int, bool]:
    """Bytes of one element, and whether it holds Python objects."""
    if depth > _DEEPEST:
        raise MalformedArrayError("a dtype that nests too deep")
    if isinstance(descr, str):
        return _simple_size(descr)
    if isinstance(descr, tuple) and len(descr) == 2:
        size, objects = _item_size(descr[0], depth + 1)
        return size * _repeats(descr[1]), objects
    if not isinstance(descr, list):
        raise MalformedArrayError(f"the unknown dtype {shown(repr(descr), 60)}")
    total, any_objects = 0, False
    for item in descr:
        if not isinstance(item, tuple) or len(item) not in {2, 3}:
            raise MalformedArrayError("a field that is neither (name, dtype) nor (name, dtype, shape)")
        size, objects = _item_size(item[1], depth + 1)
        total += size * (_repeats(item[2]) if len(item) == 3 else 1)
        any_objects |= objects
    return total, any_objects


def _repeats(shape: object) -> int:
    sizes = shape if isinstance(shape, tuple) else (shape,)
    numbers = tuple(size for size in sizes if isinstance(size, int) and is_size(size))
    if len(numbers) != len(sizes):
        raise MalformedArrayError("a subarray whose shape is no tuple of sizes")
    return element_count(numbers)


def _simple_size(descr: str) -> tuple[int, bool]:
    match = _DESCR.match(descr)
    if not match:
        raise MalformedArrayError(f"the unknown dtype {shown(descr, 60)!r}")
    kind, digits = match["kind"], match["size"]
    if kind == "O":
        return 8, True
    if not digits:
        raise MalformedArrayError(f"the dtype {shown(descr, 60)!r} without a size")
    return int(digits) * (4 if kind == "U" else 1), False
