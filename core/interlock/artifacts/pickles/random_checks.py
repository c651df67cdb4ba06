"""States of numpy's random generators: their C code indexes into what it is given (``numpy/random``, numpy 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interlock.artifacts.pickles.contents import ContentError, fields_of, needed_array, needed_fields
from interlock.artifacts.pickles.kinds import Instance, is_size

# Bit generator to the arrays of its state: name, type, length; and to the largest position in them.
_ARRAYS: Final[Mapping[str, Mapping[str, tuple[str, int]]]] = {
    "MT19937": {"key": ("u4", 624)},
    "Philox": {"counter": ("u8", 4), "key": ("u8", 2)},
    "SFC64": {"state": ("u8", 4)},
    "PCG64": {},
    "PCG64DXSM": {},
}
_POSITIONS: Final = {"pos": 624, "buffer_pos": 4}
_NEEDED: Final = {"MT19937": ("pos",), "PCG64": ("state", "inc"), "PCG64DXSM": ("state", "inc")}
_WHOLE: Final = ("state", "inc", "has_uint32", "uinteger", "has_gauss")


def _array(value: object, kind: str, length: int, name: str) -> None:
    found = needed_array(value, name)
    if found.shape != (length,) or found.type[1:] != kind:
        raise ContentError(f"has the state {name} of another length or type than {length} of {kind}")
    found.raw()


def _part(key: str, value: object, wanted: Mapping[str, tuple[str, int]]) -> None:
    if key in wanted:
        _array(value, *wanted[key], key)
    elif key in _POSITIONS:
        if not is_size(value) or not isinstance(value, int) or value > _POSITIONS[key]:
            raise ContentError(f"has the position {value!r:.20}, outside of its state")
    elif key not in (*_WHOLE, "gauss"):
        raise ContentError("has a state of unknown parts")
    elif type(value) is not int and (key != "gauss" or type(value) is not float):
        raise ContentError(f"has a state {key} that is no number")


def _bits(state: object, names: tuple[str, ...]) -> None:
    outer = needed_fields(state)
    name = outer.get("bit_generator")
    inner = fields_of(outer.get("state"))
    if name not in names or inner is None:
        raise ContentError("is given the state of another generator")
    arrays = _ARRAYS[str(name)]
    for key, value in inner.items():
        _part(key, value, arrays)
    for key, value in outer.items():
        if key not in ("bit_generator", "state"):
            _part(key, value, {"buffer": ("u8", 4)} if name == "Philox" else {})
    if not inner.keys() >= {*arrays, *_NEEDED.get(str(name), ())} or (name == "Philox" and "buffer_pos" not in outer):
        raise ContentError("lacks a part of its state")


def _bit_generator(_: Instance, state: object) -> None:
    """`BitGenerator.__setstate__`: a dict, or since numpy 2 that and the seed sequence."""
    if isinstance(state, tuple):
        if len(state) != 2 or not (state[1] is None or isinstance(state[1], Instance)):
            raise ContentError("is given a state that is none of a generator")
        if isinstance(state[1], Instance) and state[1].kind != "seed-sequence":
            raise ContentError("is given something other than a seed sequence")
        state = state[0]
    _bits(state, tuple(_ARRAYS))


def _random_state(_: Instance, state: object) -> None:
    """`RandomState.__setstate__`: always the state of MT19937."""
    _bits(state, ("MT19937",))


def _generator(_: Instance, state: object) -> None:
    """`Generator.__setstate__` of numpy 1: its bit generator's state."""
    _bits(state, tuple(_ARRAYS))


def _seed_sequence(_: Instance, state: object) -> None:
    """``__pyx_unpickle_SeedSequence__set_state``: (entropy, children spawned, pool, pool size, spawn key)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ContentError("is given a state that is none of a seed sequence")
    size = state[3]
    if not is_size(size) or not isinstance(size, int) or not 4 <= size <= 1024:
        raise ContentError("has a pool of an odd size")
    _array(state[2], "u4", size, "pool")


BUILDS: Final[Mapping[str, Callable[[Instance, object], None]]] = {
    "bit-generator": _bit_generator,
    "random-state": _random_state,
    "random-generator": _generator,
    "seed-sequence": _seed_sequence,
}
