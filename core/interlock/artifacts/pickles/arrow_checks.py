"""Arrow arrays in a pickle: their buffers have to hold what their length, their offsets and their type ask for.

``pyarrow.lib._restore_array((type, length, nulls, offset, buffers, children, dictionary))`` makes an array of
whatever it is given and checks nothing (pyarrow 26, ``array.pxi``). Layouts: Arrow Columnar Format 1.5, "Fixed-size
Primitive Layout" and "Variable-size Binary Layout".
"""

from __future__ import annotations

import sys
from array import array
from itertools import pairwise
from typing import Final

from interlock.artifacts.pickles.contents import ContentError, bytes_of, items_of
from interlock.artifacts.pickles.kinds import Instance, is_size
from interlock.artifacts.pickles.values import Value

WIDTHS: Final = {"int8": 8, "int16": 16, "int32": 32, "int64": 64, "uint8": 8, "uint16": 16, "uint32": 32,
                 "uint64": 64, "halffloat": 16, "float": 32, "double": 64, "bool": 1, "date32[day]": 32,
                 "date64[ms]": 64, "time32[s]": 32, "time32[ms]": 32, "time64[us]": 64, "time64[ns]": 64,
                 "duration[s]": 64, "duration[ms]": 64, "duration[us]": 64, "duration[ns]": 64,
                 "timestamp": 64}  # fmt: skip
"""Arrow type to the bits of one element."""

OFFSETS: Final = {"string": "i", "binary": "i", "large_string": "q", "large_binary": "q"}
"""Arrow types of any length to the type of their offsets."""

_LARGEST: Final = 1 << 40


def arrow_array(made: Instance, arguments: tuple[object, ...]) -> None:
    """Check one array, and note its length.

    Raises:
        ContentError: A buffer is too short, or an offset leads out of one.
    """
    parts = arguments[0]
    if not isinstance(parts, tuple) or len(parts) != 7:
        raise ContentError("is given other than seven parts")
    kind, length, nulls, offset, buffers, children, dictionary = parts
    name = str(kind.fact) if isinstance(kind, Value) and kind.kind == "arrow-type" else ""
    if not (is_size(length) and is_size(offset) and isinstance(length, int) and isinstance(offset, int)):
        raise ContentError("has a length or an offset that is no number")
    if length + offset > _LARGEST or items_of(children) or dictionary is not None or type(nulls) is not int:
        raise ContentError("has children, a dictionary, or an odd number of nulls")
    held = [_buffer(part) for part in items_of(buffers)]
    end = length + offset
    if not held or (held[0] is not None and len(held[0]) * 8 < end) or (held[0] is None and nulls > 0):
        raise ContentError("has no room for which of its elements are missing")
    if name in WIDTHS and len(held) == 2:
        if len(held[1] or b"") * 8 < end * WIDTHS[name]:
            raise ContentError(f"has a buffer too short for {end:,} elements")
    elif name in OFFSETS and len(held) == 3:
        _offsets(OFFSETS[name], end, held[1] or b"", len(held[2] or b""))
    else:
        raise ContentError("is of a type that is not read here, or has other buffers than its type")
    made.fact = length


def _buffer(value: object) -> bytes | None:
    if value is None:
        return None
    found = bytes_of(value.fact) if isinstance(value, Value) and value.kind == "arrow-buffer" else None
    if found is None:
        raise ContentError("has a buffer whose bytes nobody can tell")
    return found


def _offsets(code: str, end: int, raw: bytes, room: int) -> None:
    width = 4 if code == "i" else 8
    if not end and not raw:
        return
    if len(raw) < (end + 1) * width:
        raise ContentError(f"has {len(raw) // width:,} offsets for {end:,} elements")
    found = array(code, raw[: (end + 1) * width])
    if sys.byteorder == "big":
        found.byteswap()
    if found[0] < 0 or found[-1] > room or any(first > second for first, second in pairwise(found)):
        raise ContentError(f"has offsets that fall, or that lead out of its {room:,} bytes of text")


def note(made: Instance, arguments: tuple[object, ...]) -> None:
    """What a type or a buffer was made of."""
    made.fact = arguments[0] if made.kind == "arrow-buffer" or made.rule.name == "type_for_alias" else "timestamp"
