"""Walks protobuf's wire format without its library, generated code or a copy of the bytes.

Wire format: protobuf.dev, "Encoding". A field is a tag (number and wire type) and a value. Long values are spans of the
file that nobody has to read. A reader keeps what it does not know, joins a submessage that stands twice, and takes the
last of a value that stands twice, so nothing that a file hides that way may be left out: every occurrence is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from interlock.artifacts.limits import Budget, LimitPassedError
from interlock.artifacts.source import Buffer

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
DEEPEST = 100
"""How deep messages may nest; protobuf's own readers stop there (``io::CodedInputStream``)."""
_LONGEST_VARINT: Final = 10
_LARGEST_TAG: Final = (1 << 32) - 1
_ACCOUNT_EVERY: Final = 4096
_MOST_UNKNOWN: Final = 10_000

Field: TypeAlias = tuple[int, int, int, int]
"""Number, wire type, and for a varint its value and 0, for anything else where its bytes begin and end."""


class MalformedMessageError(Exception):
    """The bytes are no protobuf message that every reader takes alike; `str()` says why, `offset` where."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


def fields(data: Buffer, start: int, end: int, budget: Budget, *, strict: bool = True) -> Iterator[Field]:
    """The fields of the message from `start` to `end`, in the order of the file.

    Args:
        data: Unverified bytes.
        start: Where the message begins.
        end: Where it has to end.
        budget: Pays for every field.
        strict: Refuse what only a hostile writer makes: groups, and numbers written longer than they need to be. A
            reader takes both, so whoever asks "would a reader take this?" asks without.

    Raises:
        MalformedMessageError: The stretch is no message.
        LimitPassedError: The budget is spent.
    """
    at = start
    unpaid = 0
    while at < end:
        unpaid += 1
        if unpaid == _ACCOUNT_EVERY:
            budget.spend_fields(unpaid)
            unpaid = 0
        field, at = _field(data, at, end, budget, strict=strict)
        yield field
    budget.spend_fields(unpaid)


def _field(data: Buffer, at: int, end: int, budget: Budget, *, strict: bool, depth: int = 0) -> tuple[Field, int]:
    tag, after = varint(data, at, end, strict=strict)
    number, wire = tag >> 3, tag & 7
    if not number or tag > _LARGEST_TAG:
        raise MalformedMessageError("a field with an impossible number", at)
    if wire == VARINT:
        value, stop = varint(data, after, end, strict=strict)
        return (number, wire, value, 0), stop
    if wire == BYTES:
        length, after = varint(data, after, end, strict=strict)
        stop = after + length
    elif wire == FIXED32:
        stop = after + 4
    elif wire == FIXED64:
        stop = after + 8
    elif wire == GROUP and not strict:
        stop = _after_group(data, after, end, budget, number=number, depth=depth)
    else:
        raise MalformedMessageError("a group, which no format of models uses" if wire < 5 else "no wire type", at)
    if stop > end:
        raise MalformedMessageError(f"field {number} says that it reaches {stop - end:,} bytes past its message", at)
    return (number, wire, after, stop), stop


def _after_group(data: Buffer, at: int, end: int, budget: Budget, *, number: int, depth: int) -> int:
    if depth >= DEEPEST:
        raise MalformedMessageError("groups inside each other deeper than any reader goes", at)
    unpaid = 0
    while at < end:
        tag, after = varint(data, at, end, strict=False)
        if tag == number << 3 | END_GROUP:
            budget.spend_fields(unpaid)
            return after
        unpaid += 1
        if unpaid == _ACCOUNT_EVERY:
            budget.spend_fields(unpaid)
            unpaid = 0
        _, at = _field(data, at, end, budget, strict=False, depth=depth + 1)
    raise MalformedMessageError("a group without an end", at)


def varint(data: Buffer, at: int, end: int, *, strict: bool) -> tuple[int, int]:
    """Value and offset after a base-128 number of at most 64 bits.

    Raises:
        MalformedMessageError: There is none.
    """
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value = 0
    for index in range(min(_LONGEST_VARINT, end - at)):
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 64:
                raise MalformedMessageError("a number of more than 64 bits", at)
            if strict and not byte:
                raise MalformedMessageError("a number that is written longer than it needs to be", at)
            return value, at + index + 1
    raise MalformedMessageError("a number that is cut off or longer than ten bytes", at)


@dataclass(frozen=True, slots=True)
class Branch:
    """What is looked for in the fields of one number.

    Args:
        ends: Names of the places that such a field is.
        below: By number, what is looked for in the message that it is.
        names: Of all places at and below it.
    """

    ends: set[str] = field(default_factory=set)
    below: dict[int, Branch] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


def planted(places: Iterable[tuple[str, Sequence[int]]]) -> Mapping[int, Branch]:
    """Names and the chains of field numbers where they are looked for, for `held`; a name may stand for several."""
    root: dict[int, Branch] = {}
    for name, path in places:
        level = root
        for depth, number in enumerate(path, 1):
            branch = level.setdefault(number, Branch())
            branch.names.add(name)
            if depth == len(path):
                branch.ends.add(name)
            level = branch.below
    return root


def held(
    data: Buffer,
    start: int,
    end: int,
    places: Mapping[int, Branch],
    budget: Budget,
    *,
    left: Set[str],
    counts: Callable[[str, int, int], bool] = lambda *_: True,
) -> set[str]:
    """Names of the places at which a reader, who would take the stretch for a message, would find a field.

    As lenient as protobuf itself, so that nothing a loader accepts is taken for something else here. Every message is
    read once, whatever is looked for in it.

    Args:
        data: Unverified bytes.
        start: Where the message begins.
        end: Where it has to end.
        places: From `planted`.
        budget: Pays.
        left: The names that are still looked for.
        counts: Whether a field, by a name and its first and last offset, is one that counts.

    Raises:
        LimitPassedError: The budget is spent.
    """
    found: set[str] = set()
    try:
        for number, wire, first, last in fields(data, start, end, budget, strict=False):
            branch = places.get(number)
            if branch is None or wire != BYTES or left.isdisjoint(branch.names):
                continue
            here = {name for name in branch.ends & left if counts(name, first, last)}
            if branch.below and not left <= here:
                here |= held(data, first, last, branch.below, budget, left=left - here, counts=counts)
            found |= here
            left = left - here  # not in place, as it is the caller's
    except MalformedMessageError:
        return set()
    return found


def numbers(data: Buffer, kept: Sequence[tuple[int, int]], budget: Budget) -> list[int]:
    """The values of a repeated number that a `Walk` kept: one by one, or packed into spans.

    Raises:
        MalformedMessageError: A span is cut off inside a number.
        LimitPassedError: The budget is spent.
    """
    found = []
    for first, last in kept:
        if not last:
            found.append(first)
        at = first
        while at < last:
            value, at = varint(data, at, last, strict=True)
            found.append(value)
            budget.spend_fields(1)
    return found


def text(data: Buffer, span: tuple[int, int], budget: Budget) -> str:
    """A kept text; what is no UTF-8 in it is replaced, so that it equals no name that is allowed.

    Raises:
        LimitPassedError: It is too long to hold.
    """
    first, last = span
    budget.hold_text(last - first)
    return data[first:last].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field of a message may be.

    Args:
        wire: Its wire type.
        repeated: It may stand more than once; numbers may then also be packed.
        message: Schema of the submessage that it is; empty for a value, and for what is not walked into.
        keep: Hand its values to the visitor.
    """

    wire: int = BYTES
    repeated: bool = False
    message: str = ""
    keep: bool = False


Schema: TypeAlias = Mapping[str, Mapping[int, Rule]]
Kept: TypeAlias = dict[int, list[tuple[int, int]]]
"""Field number to what was kept of it: the last two parts of each `Field`."""
Leave: TypeAlias = Callable[[str, Kept, tuple[str, ...], int], None]
"""Called after each message with its schema's name, what was kept of it, the names of the messages around it, and its
offset."""


@dataclass(slots=True, kw_only=True)
class Walk:
    """A walk over a message and all messages inside it, checked against a schema.

    Args:
        data: Unverified bytes.
        schema: Every message that is walked into.
        budget: Pays.
        leave: See `Leave`.
        unknown: Called with a message's name, a field number that its schema lacks and an offset, once for each pair,
            the first `_MOST_UNKNOWN` of them.
    """

    data: Buffer
    schema: Schema
    budget: Budget
    leave: Leave
    unknown: Callable[[str, int, int], None]
    _told: set[tuple[str, int]] = field(default_factory=set, init=False)

    def message(self, name: str, start: int, end: int, around: tuple[str, ...] = ()) -> None:
        """Walk one message.

        Raises:
            MalformedMessageError: It, or a message inside it, is none that every reader takes alike.
            LimitPassedError: The budget is spent, or messages nest too deep.
        """
        if len(around) >= DEEPEST:
            raise LimitPassedError(f"messages inside each other deeper than {DEEPEST}")
        rules = self.schema[name]
        kept: Kept = {}
        seen: set[int] = set()
        inside = (*around, name)
        for number, wire, first, last in fields(self.data, start, end, self.budget):
            rule = rules.get(number)
            if rule is None:
                if (name, number) not in self._told and len(self._told) < _MOST_UNKNOWN:
                    self._told.add((name, number))
                    self.unknown(name, number, first)
                continue
            if wire != rule.wire and not (rule.repeated and wire == BYTES and rule.wire != BYTES):
                raise MalformedMessageError(f"field {number} of {name} has the wrong wire type", first)
            if not rule.repeated:
                if number in seen:
                    raise MalformedMessageError(
                        f"field {number} of {name} stands twice: readers join or replace it", first
                    )
                seen.add(number)
            if rule.message:
                self.message(rule.message, first, last, inside)
            if rule.keep:
                kept.setdefault(number, []).append((first, last))
        self.leave(name, kept, around, start)
