"""Lists the tensors of a torch archive under the names that its pickle gives them.

The pickle is walked once more, as the scan walked it, by a judge that also keeps which storage each tensor is a view
of and what dictionaries hold. What it would refuse was refused by the scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.artifacts.containers.zip_container import STORED, Member, inside, whole
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.kinds import Instance, sizes_of
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.pickles.rules import GlobalRule
from interlock.artifacts.pickles.values import DictValue, ListValue, Value
from interlock.artifacts.pickles.walk import PickleWalk
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer, stretches
from interlock.artifacts.weights.dtypes import DTYPES
from interlock.artifacts.weights.tensor import Hidden, Listing, Tensor
from interlock.artifacts.weights.zip_padding import hidden_in_zip

_DEEPEST: Final = 32
_UNSEEN: Final = "the part of a storage that no tensor shows, which a tensor cut out of a larger one leaves as well"
_MAY_HOLD: Final = (Instance, DictValue, ListValue, tuple)
_TYPES: Final[Mapping[str, str]] = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexDoubleStorage": "C128", "ComplexFloatStorage": "C64",
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "complex64": "C64", "complex128": "C128",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A tensor as the pickle makes it: lengths in elements, of `size` bytes each."""

    key: str
    type: str
    size: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def span(self) -> int:
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * step for length, step in zip(self.shape, self.strides, strict=True))


class _Storage(Value):
    """A storage, with the key and the type under which the pickle asks for it."""

    __slots__ = ("key", "type")

    def __init__(self, key: str, kind: GlobalRule, fact: object) -> None:
        super().__init__("storage", fact)
        self.key = key
        self.type = kind.name


class _NamingJudge(Judge):
    """Keeps every tensor, and what stands in every dictionary."""

    naming = True

    def __init__(self, profile: Profile, record: Record, path: str, *, storages: Mapping[str, int]) -> None:
        super().__init__(profile, record, path, storages=storages)
        self.views: list[_View] = []
        self.contents: dict[int, list[tuple[object, object]]] = {}
        self.containers: list[object] = []

    def persistent_id(self, identity: object, at: int) -> object:
        """BINPERSID; see `Judge.persistent_id`."""
        made = super().persistent_id(identity, at)
        if isinstance(made, Value) and made.kind == "storage" and isinstance(identity, tuple):
            return _Storage(identity[2], identity[1], made.fact)
        return made

    def filled(self, target: object, items: Sequence[object]) -> None:
        """See `Judge.filled`."""
        held = [pair for pair in zip(items[::2], items[1::2], strict=True) if isinstance(pair[1], _MAY_HOLD)]
        if id(target) not in self.contents:
            self.containers.append(target)  # so that no other container gets its id
        self.hold(len(held))
        self.contents.setdefault(id(target), []).extend(held)

    def _made(self, rule: GlobalRule, arguments: tuple[object, ...], at: int) -> object:
        made = super()._made(rule, arguments, at)
        if isinstance(made, Instance) and made.kind == "tensor":
            first = arguments[0]
            made.fact = first.fact if isinstance(first, Instance) else self._view(arguments)
        return made

    def _view(self, arguments: tuple[object, ...]) -> _View | None:
        storage, start, shape, strides = arguments[0], arguments[1], sizes_of(arguments[2]), sizes_of(arguments[3])
        if not isinstance(storage, _Storage) or not isinstance(start, int) or shape is None or strides is None:
            return None
        dtype = arguments[6] if len(arguments) > 6 and isinstance(arguments[6], GlobalRule) else None
        size = dtype.size if dtype is not None else storage.fact[1] if isinstance(storage.fact, tuple) else 1
        view = _View(
            key=storage.key,
            type=dtype.name if dtype is not None else storage.type,
            size=size,
            start=start,
            shape=shape,
            strides=strides,
        )
        self.views.append(view)
        return view


def list_torch(
    data: Buffer, members: tuple[Member, ...], root: str, path: str, *, profile: Profile, record: Record
) -> Listing:
    """Every tensor of a torch archive, and the bytes of its storages that no tensor shows.

    Args:
        data: The whole archive, unverified.
        members: Of the archive.
        root: The folder that holds them all.
        path: For findings.
        profile: Under which the scan walked the pickle.
        record: Whose budget is spent; a scratch one, since the scan has said what there is to say.

    Raises:
        LimitPassedError: The pickle could not be walked to its end, or the time is over.
        ZipStructureError: The pickle cannot be expanded.
    """
    by_name = {member.name.removeprefix(f"{root}/"): member for member in members}
    storages = {name.removeprefix("data/"): member for name, member in by_name.items() if name.startswith("data/")}
    sizes = {key: member.size for key, member in storages.items()}
    judge = _NamingJudge(profile, record, path, storages=sizes)
    walk = PickleWalk(whole(data, by_name["data.pkl"], record), judge, record.budget)
    end = walk.run()
    if end.problem or not end.stopped:
        raise LimitPassedError(f"its pickle could not be walked to its end: {end.problem}")
    big = "byteorder" in by_name and whole(data, by_name["byteorder"], record) == b"big"
    names = _names(walk.result, judge)
    hidden = [*hidden_in_zip(members, path), *_unseen(data, storages, judge.views, path, record)]
    tensors: list[Tensor] = []
    unread: list[tuple[str, str]] = []
    for view in judge.views:
        known = names.get(id(view), [f"data/{view.key}"])
        member = storages[view.key]
        dtype = DTYPES.get(_TYPES.get(view.type, ""))
        if dtype is None or member.method != STORED:
            unread += [(name, view.type if dtype is None else "compressed") for name in known]
            continue
        tensors += [
            Tensor(
                name=name,
                dtype=dtype,
                shape=view.shape,
                path=inside(path, member),
                offset=member.start + view.start * view.size,
                length=view.span * view.size,
                data=data,
                strides=() if _row_by_row(view) else view.strides,
                big=big,
            )
            for name in known
        ]
    return Listing(tensors=tensors, unread=unread, hidden=hidden)


def _row_by_row(view: _View) -> bool:
    step = 1
    for size, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if size != 1 and stride != step:
            return False
        step *= size
    return True


def _names(result: object, judge: _NamingJudge) -> dict[int, list[str]]:
    """The names of each view, tied weights have several: the keys on the way to it, with dots between them."""
    names: dict[int, list[str]] = {}
    seen: set[int] = set()
    left: list[tuple[object, str, int]] = [(result, "", 0)]
    while left:
        value, name, depth = left.pop()
        if isinstance(value, Instance) and isinstance(value.fact, _View):
            names.setdefault(id(value.fact), []).append(name)
        if depth >= _DEEPEST or id(value) in seen:
            continue
        inner = list(_inner(value, judge))
        if inner:
            seen.add(id(value))
        left += [(item, f"{name}.{key}" if name else str(key), depth + 1) for key, item in reversed(inner)]
    return names


def _inner(value: object, judge: _NamingJudge) -> Iterator[tuple[object, object]]:
    if isinstance(value, ListValue):
        yield from enumerate(value.items)
    elif isinstance(value, tuple):
        yield from enumerate(value)
    for key, item in judge.contents.get(id(value), ()):
        if isinstance(key, str | int):
            yield key, item
    if isinstance(value, Instance) and isinstance(value.state, Value):
        yield from _inner(value.state, judge)


def _unseen(
    data: Buffer, storages: Mapping[str, Member], views: Sequence[_View], path: str, record: Record
) -> Iterator[Hidden]:
    """Bytes of storages that are not zero and that lie in none of the tensors."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for view in views:
        start = view.start * view.size
        spans.setdefault(view.key, []).append((start, start + view.span * view.size))
    for key, used in spans.items():
        member = storages[key]
        cursor = 0
        for start, end in (*sorted(used), (member.size, member.size)):
            if start > cursor and member.method == STORED:
                at = member.start + cursor
                if not _all_zero(data, at, member.start + start, record):
                    yield Hidden(path=inside(path, member), offset=at, size=start - cursor, what=_UNSEEN)
            cursor = max(cursor, end)


def _all_zero(data: Buffer, start: int, end: int, record: Record) -> bool:
    for piece in stretches(data, start, end):
        record.budget.spend_bytes(len(piece))
        if piece.strip(b"\0"):
            return False
    return True
