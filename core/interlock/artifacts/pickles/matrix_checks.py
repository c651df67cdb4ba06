"""States of scipy's sparse matrices, whose C++ code follows their indices unchecked (``scipy/sparse/sparsetools``).

Looked at: csr, csc and coo, as matrices and as arrays. The others (bsr, dia, lil, dok) have no rule, so they are
refused: convert them with ``.tocsr()`` before they are saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

from interlock.artifacts.pickles.contents import ContentError, array_of, bytes_of, in_range, needed_array, needed_fields
from interlock.artifacts.pickles.kinds import Instance, array_state_allowed, element_count, is_size, sizes_of

_PLAIN: Final = frozenset({"maxprint", "has_sorted_indices", "has_canonical_format", "_has_sorted_indices",
                           "_has_canonical_format"})  # fmt: skip


def _sparse(instance: Instance, state: object) -> None:
    if instance.built:
        raise ContentError("is given a second state")
    fields = needed_fields(state)
    shape = sizes_of(fields.pop("_shape", None))
    if not shape:
        raise ContentError("has no shape")
    for name in _PLAIN & fields.keys():
        if not isinstance(fields.pop(name), bool | int):
            raise ContentError(f"has the attribute {name} of another kind")
    data = needed_array(fields.pop("data", None), "data")
    if len(data.shape) != 1 or data.type[1:2] not in ("b", "i", "u", "f", "c"):
        raise ContentError("has data that is no row of numbers")
    name = instance.rule.name
    if name.startswith("coo"):
        _coordinates(fields, shape, data.size)
    else:
        _compressed(fields, shape if name.startswith("csr") else shape[::-1], data.size)
    data.raw()
    if fields:
        raise ContentError("has attributes that are unknown")


def _compressed(fields: dict[str, object], shape: tuple[int, ...], held: int) -> None:
    starts = needed_array(fields.pop("indptr", None), "indptr")
    indices = needed_array(fields.pop("indices", None), "indices")
    if len(starts.shape) != 1 or len(indices.shape) != 1 or starts.type != indices.type:
        raise ContentError("has indices that are no row, or of two types")
    rows, columns = shape if len(shape) == 2 else (1, shape[0])
    pointers = starts.integers()
    rising = all(first <= second for first, second in pairwise(pointers))
    if len(pointers) != rows + 1 or pointers[0] != 0 or not rising:
        raise ContentError(f"has an indptr that is not one rising number for each of {rows:,} rows and one more")
    if pointers[-1] > min(indices.size, held):
        raise ContentError(f"has an indptr that leads to element {pointers[-1]:,} of {min(indices.size, held):,}")
    in_range(indices.integers(), columns, "column")


def _coordinates(fields: dict[str, object], shape: tuple[int, ...], held: int) -> None:
    # Files of scipy 1.12 and before have `row` and `col`.
    of_old = (fields.pop("row", None), fields.pop("col", None))
    coordinates = fields.pop("coords", of_old)
    if not isinstance(coordinates, tuple) or len(coordinates) != len(shape):
        raise ContentError("has no coordinates for each of its dimensions")
    for axis, size in zip(coordinates, shape, strict=True):
        found = array_of(axis)
        if found is None or found.shape != (held,) or not is_size(size):
            raise ContentError("has coordinates that are no row of numbers, one for each element")
        in_range(found.integers(), size, "coordinate")


def _masked_array(instance: Instance, state: object) -> None:
    """`numpy.ma.MaskedArray.__setstate__`: that of an array, the bytes of the mask, the value to fill with."""
    if not isinstance(state, tuple) or len(state) != 7 or not array_state_allowed(instance, state[:5]):
        raise ContentError("is given a state that is none of an array")
    shape, mask = sizes_of(state[1]) or (), bytes_of(state[5])
    if mask is None or len(mask) != element_count(shape):
        raise ContentError("has a mask of another size than its data")


BUILDS: Final[Mapping[str, Callable[[Instance, object], None]]] = {
    "sparse-matrix": _sparse,
    "masked-array": _masked_array,
}
