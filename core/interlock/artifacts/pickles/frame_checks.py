"""Arguments and states of pandas' objects, whose compiled code follows positions and codes unchecked.

`_new_Index` turns the check of a MultiIndex's codes off, `BlockManager` writes to wherever a block says that its
columns are, and pyarrow reads from wherever the offsets of a text column lead (``pandas/_libs/internals.pyx``,
``core/indexes/base.py`` of pandas 3.1; ``pyarrow/array.pxi`` of pyarrow 26). Objects in a column of the type object are
any that the profile allows. Sparse columns, nested Arrow types and custom calendars have no rule, so they are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interlock.artifacts.pickles.arrow_checks import arrow_array, note
from interlock.artifacts.pickles.contents import (
    ContentError,
    array_of,
    built,
    fields_of,
    in_range,
    items_of,
    needed_array,
    needed_fields,
)
from interlock.artifacts.pickles.kinds import Instance, element_size, kind_of
from interlock.artifacts.pickles.rules import GlobalRule

_NAMES: Final = frozenset({"name", "_name", "names"})
_MADE_BY: Final = {"_new_DatetimeIndex": "DatetimeIndex", "_new_TimedeltaIndex": "TimedeltaIndex",
            "_new_IntervalIndex": "IntervalIndex"}  # fmt: skip
_CLASSES: Final = {"BooleanArray": "b1", "FloatingArray": "f", "IntegerArray": "iu"}


def length_of(value: object) -> int:
    """How many rows an array or an index has.

    Raises:
        ContentError: It is neither, or not whole yet.
    """
    found = array_of(value)
    if found is not None:
        if element_size(found.dtype) is not None:
            found.raw()
        return found.shape[0] if found.shape else -1
    if isinstance(value, Instance) and value.kind in ("pandas-index", "pandas-array") and isinstance(value.fact, int):
        return value.fact
    raise ContentError("has something other than an array where one should be")


def _length_of_row(value: object) -> int:
    found = array_of(value)
    if found is not None and len(found.shape) != 1:
        raise ContentError("has an array of more than one dimension where a row should be")
    return length_of(value)


def _index(index: Instance, arguments: tuple[object, ...]) -> None:
    """``_new_Index(cls, dict)``: the dict becomes the arguments of the class."""
    kind = arguments[0].name if isinstance(arguments[0], GlobalRule) else ""
    fields = dict(needed_fields(arguments[1]))
    wanted = _MADE_BY.get(index.rule.name)
    if wanted is not None and kind != wanted:
        raise ContentError(f"is given the class {kind}")
    if kind == "RangeIndex":
        index.fact = _range(fields)
    elif kind == "MultiIndex":
        index.fact = _levels(fields)
    elif kind == "IntervalIndex" and "left" in fields:
        index.fact = _length_of_row(fields.pop("left"))
        if _length_of_row(fields.pop("right", None)) != index.fact or fields.pop("closed", None) not in _CLOSED:
            raise ContentError("has intervals whose ends are not alike")
    else:
        data = fields.pop("data", None)
        if wanted is not None and not isinstance(data, Instance | None):
            raise ContentError("has data that is no array of its class")
        index.fact = _length_of_row(data)
    unknown = fields.keys() - _NAMES - {"freq", "dtype", "closed"}
    if unknown or any(isinstance(value, GlobalRule) for value in fields.values()):
        raise ContentError("is given an argument that no index has")


_CLOSED: Final = ("left", "right", "both", "neither")


def _range(fields: dict[str, object]) -> int:
    parts = [fields.pop(name, None) for name in ("start", "stop", "step")]
    numbers = [part for part in parts if type(part) is int and abs(part) < 1 << 63]
    if len(numbers) != 3 or not numbers[2]:
        raise ContentError("has a range that is none of three whole numbers")
    return len(range(*numbers))


def _levels(fields: dict[str, object]) -> int:
    levels, codes = (items_of(fields.pop(name, None)) for name in ("levels", "codes"))
    if len(levels) != len(codes) or not levels:
        raise ContentError("has other codes than levels")
    order = fields.pop("sortorder", None)
    if order is not None and type(order) is not int:
        raise ContentError("has a sortorder that is no number")
    lengths = set()
    for level, code in zip(levels, codes, strict=True):
        lengths.add(_length_of_row(code))
        _codes(code, length_of(level))
    if len(lengths) != 1:
        raise ContentError("has levels of several lengths")
    return lengths.pop()


def _codes(codes: object, below: int) -> None:
    in_range(needed_array(codes, "codes").integers(), below, "code", -1)


def _slice_rows(place: object, rows: int) -> range | list[int]:
    """The columns of the frame that a block holds."""
    if isinstance(place, Instance) and place.kind == "slice" and isinstance(place.fact, tuple):
        start, stop, step = place.fact
        step = 1 if step is None else step
        if not all(type(part) is int for part in place.fact[:2]) or type(step) is not int or step < 1 or start < 0:
            raise ContentError("has a place that is no part of the axis")
        found = range(start, stop, step)
        if found and found[-1] >= rows:
            raise ContentError(f"has a place up to {found[-1]}, outside of an axis of {rows}")
        return found
    numbers = needed_array(place, "place")
    if len(numbers.shape) != 1:
        raise ContentError("has a place that is no row of numbers")
    held = list(numbers.integers())
    in_range(held, rows, "place")
    return held


def _slice(made: Instance, arguments: tuple[object, ...]) -> None:
    made.fact = arguments


def _block(block: Instance, arguments: tuple[object, ...]) -> None:
    """``_unpickle_block(values, place, ndim)``: judged with the axes, which the manager knows."""
    values, place, _ = arguments
    found = array_of(values)
    if found is not None:
        length_of(values)
        shape = found.shape
    elif isinstance(values, Instance) and values.kind == "pandas-array" and isinstance(values.fact, tuple):
        shape = values.fact
    else:
        shape = (length_of(values),)
    block.fact = (place, shape)


def _manager(_: Instance, arguments: tuple[object, ...]) -> None:
    """``BlockManager(blocks, axes)``: every column is in one block, and the block is as large as the axes ask for."""
    blocks, axes = arguments[0], items_of(arguments[1])
    if not isinstance(blocks, tuple) or len(axes) != 2:
        raise ContentError("has no blocks, or other than two axes")
    columns, rows = (length_of(axis) for axis in axes)
    seen = bytearray(columns)
    for block in blocks:
        if not isinstance(block, Instance) or block.kind != "pandas-block" or not isinstance(block.fact, tuple):
            raise ContentError("has something other than a block")
        place, shape = block.fact
        held = _slice_rows(place, columns)
        if shape not in ((len(held), rows), (rows,)) or (shape == (rows,) and len(held) != 1):
            raise ContentError(f"has a block of the shape {shape} for {len(held)} columns of {rows} rows")
        for column in held:
            if seen[column]:
                raise ContentError(f"has the column {column} in two blocks")
            seen[column] = 1
    if not all(seen):
        raise ContentError("has a column that is in no block")


def _single_manager(manager: Instance, state: object) -> None:
    """`SingleBlockManager.__setstate__`: it reads the last part only, and has one block for the whole axis."""
    if manager.built or not isinstance(state, tuple) or len(state) != 4:
        raise ContentError("is given a state that is none of a series")
    parts = fields_of((fields_of(state[3]) or {}).get("0.14.1"))
    if parts is None:
        raise ContentError("is given a state that is none of a series")
    axes, blocks = items_of(parts.get("axes")), items_of(parts.get("blocks"))
    block = fields_of(blocks[0]) if len(blocks) == 1 else None
    if len(axes) != 1 or block is None or block.keys() != {"values", "mgr_locs"}:
        raise ContentError("has other than one axis and one block")
    rows = length_of(axes[0])
    held = _slice_rows(block["mgr_locs"], rows)
    if _length_of_row(block["values"]) != rows or len(held) != rows:
        raise ContentError("has a block of another length than its axis")


def _frame(frame: Instance, state: object) -> None:
    """`NDFrame.__setstate__`: the manager, and a few plain attributes."""
    fields = needed_fields(state)
    manager = fields.get("_mgr")
    single = frame.rule.name == "Series"
    kind = "pandas-single-manager" if single else "pandas-manager"
    if not isinstance(manager, Instance) or manager.kind != kind or (single and not manager.built) or frame.built:
        raise ContentError("has no manager of its own kind, or is given a second state")
    flags = fields_of(fields.get("_flags"))
    if flags is None or not all(isinstance(flag, bool) for flag in flags.values()):
        raise ContentError("has flags that are none")
    if fields.keys() - {"_mgr", "_typ", "_metadata", "attrs", "_flags", "_name", "name"}:
        raise ContentError("is given an attribute that no frame has")
    if any(item not in ("_name", "name") for item in items_of(fields.get("_metadata", ()))):
        raise ContentError("names further attributes as its metadata")
    if any(isinstance(fields.get(name), GlobalRule) for name in ("_name", "name", "_typ", "attrs")):
        raise ContentError("has a name or a note that is a global")


def _backed_made(made: Instance, arguments: tuple[object, ...]) -> None:
    """Arrays made of a class: it is noted until the state comes, which has to fit it."""
    made.fact = arguments[0].name if arguments and isinstance(arguments[0], GlobalRule) else ""


def _backed(array: Instance, state: object) -> None:
    """`NDArrayBacked.__setstate__`: (dtype, array[, attributes]) in either order."""
    if array.built or not isinstance(state, tuple) or len(state) not in (2, 3):
        raise ContentError("is given a state that is none of its own")
    first, second = state[:2]
    data, dtype = (first, second) if array_of(first) is not None else (second, first)
    rows = length_of(data)
    if kind_of(dtype) not in ("pandas-dtype", "numpy-dtype") or len(needed_array(data, "data").shape) not in (1, 2):
        raise ContentError("has a dtype or an array that is none")
    if len(state) == 3:
        needed_fields(state[2])
    if array.fact == "Categorical":
        dtype = built(dtype, "pandas-dtype")
        if dtype is None or not isinstance(dtype.fact, int):
            raise ContentError("has no categories")
        _codes(data, dtype.fact)
    elif needed_array(data, "data").type[1:] != _BACKED_TYPES.get(str(array.fact)):
        raise ContentError("has an array of another type than its class")
    shape = needed_array(data, "data").shape
    array.fact = rows if len(shape) == 1 else shape


_BACKED_TYPES: Final = {"DatetimeArray": "M8", "TimedeltaArray": "m8", "PeriodArray": "i8", "StringArray": "O8"}


def _intervals(array: Instance, state: object) -> None:
    """``__pyx_unpickle_IntervalMixin``: the attributes, in a tuple of one."""
    fields = needed_fields(state[0] if isinstance(state, tuple) and len(state) == 1 else state)
    rows = _length_of_row(fields.get("_left"))
    if array.built or rows != _length_of_row(fields.get("_right")) or kind_of(fields.get("_dtype")) != "pandas-dtype":
        raise ContentError("has intervals whose ends are not alike, or a second state")
    array.fact = rows


def _masked(array: Instance, state: object) -> None:
    """Nullable numbers: data and a mask of one length; or what pyarrow holds."""
    fields = needed_fields(state)
    if array.built:
        raise ContentError("is given a second state")
    if array.rule.name.startswith("Arrow"):
        held = fields.get("_pa_array", fields.get("_data"))
        if not isinstance(held, Instance) or held.kind != "arrow-array" or not isinstance(held.fact, int):
            raise ContentError("has no array of pyarrow")
        array.fact = held.fact
        return
    rows = _length_of_row(fields.get("_data"))
    mask = needed_array(fields.get("_mask"), "mask")
    kinds = _CLASSES[array.rule.name]
    if mask.type[1:] != "b1" or mask.shape != (rows,) or needed_array(fields["_data"], "data").type[1:2] not in kinds:
        raise ContentError("has data of another type, or a mask of another length")
    mask.raw()
    array.fact = rows


def _dtype(dtype: Instance, state: object) -> None:
    """Plain attributes; the number of categories is what codes are held against."""
    fields = needed_fields(state)
    if dtype.built:
        raise ContentError("is given a second state")
    if dtype.rule.name == "CategoricalDtype":
        categories = fields.get("categories", fields.get("_categories"))
        dtype.fact = 0 if categories is None else length_of(categories)
        if any(isinstance(value, GlobalRule) for value in fields.values()):
            raise ContentError("has an attribute that is a global")


BUILDS: Final[Mapping[str, Callable[[Instance, object], None]]] = {
    "pandas-frame": _frame,
    "pandas-single-manager": _single_manager,
    "pandas-backed": _backed,
    "pandas-intervals": _intervals,
    "pandas-masked": _masked,
    "pandas-dtype": _dtype,
}

CALLS: Final[Mapping[str, Callable[[Instance, tuple[object, ...]], None]]] = {
    "pandas-index": _index,
    "pandas-block": _block,
    "pandas-manager": _manager,
    "pandas-array": _backed_made,
    "slice": _slice,
    "arrow-array": arrow_array,
    "arrow-type": note,
    "arrow-buffer": note,
}
