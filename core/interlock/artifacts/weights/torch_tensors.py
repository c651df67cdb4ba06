"""Lists the tensors of a torch archive under the names that its pickle gives them.

The pickle is walked once more, as the scan walked it, by a judge that also keeps which storage each tensor is a view
of and what dictionaries hold. What it would refuse was refused by the scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from interlock.artifacts.containers.zip_container import STORED, Member, inside, whole
from interlock.artifacts.layout import TORCH_STORAGES, TORCH_TYPES
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.kinds import Instance, sizes_of
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.pickles.rules import GlobalRule
from interlock.artifacts.pickles.values import DictValue, ListValue, Value
from interlock.artifacts.pickles.walk import PickleWalk
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer
from interlock.artifacts.weights.dtypes import DTYPES, opaque
from interlock.artifacts.weights.holders import Holder
from interlock.artifacts.weights.tensor import Listing, Tensor
from interlock.artifacts.weights.unowned import unowned
from interlock.artifacts.weights.views import View
from interlock.artifacts.weights.zip_padding import hidden_in_zip

_DEEPEST: Final = 32
_MOST_NAMED: Final = 64 << 20
"""Characters of the names of all tensors; one tensor may stand under many long ones."""
_OFTEN: Final = 8
"""How often the bytes of an archive may be shown by different views, beside the first 64 MiB."""
_FREE: Final = 64 << 20
_MAY_HOLD: Final = (Instance, DictValue, ListValue, tuple)
_TYPES: Final = {**TORCH_TYPES, **{name: TORCH_TYPES[torch] for name, torch in TORCH_STORAGES.items()}}


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
        self.views: list[View] = []
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

    def _view(self, arguments: tuple[object, ...]) -> View | None:
        storage, start, shape, strides = arguments[0], arguments[1], sizes_of(arguments[2]), sizes_of(arguments[3])
        if not isinstance(storage, _Storage) or not isinstance(start, int) or shape is None or strides is None:
            return None
        dtype = arguments[6] if len(arguments) > 6 and isinstance(arguments[6], GlobalRule) else None
        size = dtype.size if dtype is not None else storage.fact[1] if isinstance(storage.fact, tuple) else 1
        view = View(
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
    data: Buffer,
    holder: Holder,
    members: tuple[Member, ...],
    root: str,
    path: str,
    *,
    profile: Profile,
    record: Record,
) -> Listing:
    """Every tensor of a torch archive, and the bytes of its storages that no tensor shows.

    Args:
        data: The whole archive, unverified.
        holder: Gives the same bytes.
        members: Of the archive.
        root: The folder that holds them all.
        path: For findings.
        profile: Under which the scan walked the pickle.
        record: Whose budget is spent; a scratch one, since the scan has said what there is to say.

    Raises:
        LimitPassedError: The pickle could not be walked to its end, a storage is compressed, views or their names are
            too many, or the time is over.
        ZipStructureError: The pickle cannot be expanded.
    """
    by_name = {member.name.removeprefix(f"{root}/"): member for member in members}
    storages = {name.removeprefix("data/"): member for name, member in by_name.items() if name.startswith("data/")}
    for key, member in storages.items():
        if member.method != STORED:
            what = f"the storage {shown(key)} is compressed, which torch reads and never writes"
            raise LimitPassedError(f"{what}; save the model again with torch.save")
    sizes = {key: member.size for key, member in storages.items()}
    judge = _NamingJudge(profile, record, path, storages=sizes)
    walk = PickleWalk(whole(data, by_name["data.pkl"], record), judge, record.budget)
    end = walk.run()
    if end.problem or not end.stopped:
        raise LimitPassedError(f"its pickle could not be walked to its end: {end.problem}")
    _check_overlap(judge.views, len(data))
    big = "byteorder" in by_name and whole(data, by_name["byteorder"], record) == b"big"
    names = _names(walk.result, judge)
    hidden = [*hidden_in_zip(members, path), *unowned(data, storages, judge.views, path, record)]
    tensors: list[Tensor] = []
    for view in judge.views:
        member = storages[view.key]
        dtype = DTYPES.get(_TYPES.get(view.type, "")) or opaque(view.type, view.size)
        tensors += [
            Tensor(
                name=name,
                dtype=dtype,
                shape=view.shape,
                path=inside(path, member),
                offset=member.start + view.first,
                length=view.length,
                holder=holder,
                strides=() if view.row_by_row else view.strides,
                big=big,
            )
            for name in names.get(id(view), [f"data/{view.key}"])
        ]
    return Listing.of(tensors, hidden)


def _check_overlap(views: Sequence[View], size: int) -> None:
    """Each view is read for itself, so that their bytes together are bounded by those of the archive."""
    apart = {(view.key, view.type, view.first, view.shape, view.strides): view.length for view in views}
    shown_bytes, most = sum(apart.values()), _OFTEN * size + _FREE
    if shown_bytes > most:
        what = f"its tensors show the same bytes again and again, {shown_bytes:,} where {most:,} are read"
        raise LimitPassedError(f"{what}; save copies of them (`tensor.clone()`)")


def _names(result: object, judge: _NamingJudge) -> dict[int, list[str]]:
    """The names of each view, tied weights have several: the keys on the way to it, with dots between them."""
    names: dict[int, list[str]] = {}
    named = 0
    seen: set[int] = set()
    left: list[tuple[object, str, int]] = [(result, "", 0)]
    while left:
        value, name, depth = left.pop()
        if isinstance(value, Instance) and isinstance(value.fact, View):
            names.setdefault(id(value.fact), []).append(name)
        if depth >= _DEEPEST or id(value) in seen:
            continue
        inner = list(_inner(value, judge))
        if inner:
            seen.add(id(value))
        for key, item in reversed(inner):
            longer = f"{name}.{key}" if name else str(key)
            named += len(longer)
            if named > _MOST_NAMED:
                raise LimitPassedError(f"the names of its tensors have more than {_MOST_NAMED:,} characters")
            left.append((item, longer, depth + 1))
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
