"""Gives every tensor of nested dicts, lists and tuples a name, and says what is no tensor and so is left out.

The keys on the way are joined by dots: ``{"model": {"fc.weight": t}}`` becomes ``model.fc.weight``, places in lists are
numbers. A tensor that has no name this way, as in a set or as a key, is refused, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, Self, TypeAlias, TypeVar

from interlock.artifacts.conversion.tensors import ConversionError
from interlock.artifacts.record import shown

T = TypeVar("T")

ALONE = "tensor"
"""Name of a tensor that is the whole file."""

METADATA = "__metadata__"
KEPT = 1_000
"""Left-out values that are named; all are counted."""

_NAMING = frozenset({str, int})
_DEEPEST = 64
_LONGEST = 1_000
_MOST = 1_000_000


class Opaque:
    """Something that is no tensor and no container of tensors, with whatever a pickle put into it.

    Subclasses say what it is in `path`.
    """

    path = ""
    parts: list[object]

    def __new__(cls, *arguments: object, **named: object) -> Self:
        """Take whatever it is called with."""
        made = object.__new__(cls)
        made.parts = [*arguments, *named.values()]
        return made

    def __init__(self, *_: object, **__: object) -> None:
        """Whatever the arguments are."""

    def __call__(self, *arguments: object) -> Opaque:
        """Called, it gives another one."""
        return Opaque(*self.parts, *arguments)

    def __setstate__(self, state: object) -> None:
        """Keep the state."""
        self.parts.append(state)

    def __setitem__(self, key: object, value: object) -> None:
        """Keep both."""
        self.parts += (key, value)

    def append(self, item: object) -> None:
        """As a list."""
        self.parts.append(item)

    def extend(self, items: list[object]) -> None:
        """As a list."""
        self.parts += items

    def add(self, item: object) -> None:
        """As a set."""
        self.parts.append(item)

    def update(self, items: object) -> None:
        """As a set."""
        self.parts.append(items)


@dataclass(slots=True)
class Named(Generic[T]):
    """What was found.

    Args:
        tensors: By name.
        left_out: The first `KEPT` values that are not among them: where they stand, and what they are.
        left_out_count: How many there are.
    """

    tensors: dict[str, T] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    left_out_count: int = 0

    def leave_out(self, path: str, value: object) -> None:
        """Something that safetensors cannot hold."""
        self._note(path, (value.path if isinstance(value, Opaque) else type(value).__name__) or "object")

    def leave_out_beside(self, key: str, value: object) -> None:
        """What stands under the other keys of the outermost dict, tensors or not."""
        for other in value if isinstance(value, Mapping) else ():
            if other != key:
                self._note(_place("", other), "under another key")

    def _note(self, path: str, what: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < KEPT:
            self.left_out.append((shown(path, _LONGEST), what))


def chosen(value: object, key: str | None) -> object:
    """The part of a checkpoint to convert.

    Args:
        value: All of it.
        key: Of the outermost dict; None for all.

    Raises:
        ConversionError: There is no such key.
    """
    if key is None:
        return value
    if not isinstance(value, Mapping) or key not in value:
        known = ", ".join(shown(str(one), 40) for one in list(value)[:10]) if isinstance(value, Mapping) else "none"
        raise ConversionError(f"it has no key {key!r}; use one of: {known}")
    return value[key]


def name_tensors(value: object, is_tensor: Callable[[object], T | None]) -> Named[T]:
    """Name them all.

    Args:
        value: Unverified; may hold itself, or the same thing many times.
        is_tensor: Gives the tensor that a value is, None for one that is none.

    Raises:
        ConversionError: A tensor without a name, or with one that is taken; nested too deep; too many values.
    """
    found: Named[T] = Named()
    alone = is_tensor(value)
    if alone is not None:
        found.tensors[ALONE] = alone
        return found
    open_: list[Iterator[_Item]] = [_inside(("", "", value, False)) or iter(())]
    seen = 0
    while open_:
        item = next(open_[-1], None)
        if item is None:
            open_.pop()
            continue
        seen += 1
        if seen > _MOST:
            raise ConversionError(f"it holds more than {_MOST:,} values, or the same ones again and again")
        name, path, inner, hidden = item
        tensor = is_tensor(inner)
        if tensor is not None:
            _add(found, name, path, tensor)
            continue
        inside = _inside(item)
        if not hidden and (isinstance(inner, Opaque | AbstractSet) or inside is None):
            found.leave_out(path, inner)
        if inside is not None:
            if len(open_) >= _DEEPEST:
                raise ConversionError(f"it nests deeper than {_DEEPEST} at {shown(path)!r}")
            open_.append(inside)
    return found


_Item: TypeAlias = tuple[str | None, str, object, bool]
"""Name, the place for people, the value, and whether it is a part of something that was named as left out already."""


def _inside(item: _Item) -> Iterator[_Item] | None:
    """What a container holds."""
    name, path, value, hidden = item
    if isinstance(value, Opaque):
        return ((None, path, part, True) for part in value.parts)
    if isinstance(value, AbstractSet):
        return ((None, path, part, True) for part in value)
    if isinstance(value, Mapping):
        return chain.from_iterable(_pair(item, key, value[key]) for key in value)
    if isinstance(value, list | tuple):
        return ((_joined(name, at), _joined(path, at) or "", part, hidden) for at, part in enumerate(value))
    return None


def _pair(item: _Item, key: object, inner: object) -> Iterator[_Item]:
    """A value of a dict, and before it the key where that may hold a tensor."""
    name, path, _, hidden = item
    place = _place(path, key)
    if type(key) not in _NAMING:
        yield None, place, key, True
    yield _joined(name, key), place, inner, hidden


def _place(path: str, key: object) -> str:
    return _joined(path, key) or f"{path}[{shown(repr(key))}]"


def _joined(name: str | None, key: object) -> str | None:
    if name is None or type(key) not in _NAMING:
        return None
    return f"{name}.{key}" if name else str(key)


def _add(found: Named[T], name: str | None, path: str, tensor: T) -> None:
    if name is None:
        raise ConversionError(
            f"the tensor at {shown(path)!r} has no name: a key on its way is neither text nor number, or it is a key "
            "itself, or in a set or an object: save it in a dict or list"
        )
    if name == METADATA:
        raise ConversionError(f"a tensor is named {METADATA!r}, which safetensors keeps for itself: rename it")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConversionError(f"the tensor {shown(name)!r} has a name that is no Unicode text: rename it") from None
    if name in found.tensors:
        raise ConversionError(f"two tensors would be named {shown(name)!r}: convert a part of it with --key")
    found.tensors[name] = tensor
