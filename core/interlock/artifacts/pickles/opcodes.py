"""The opcodes of pickle protocols 0 to 5, one handler each.

A handler is given the machine and the offset after the opcode, changes the machine's stack, marks and memo as
CPython's does, and returns the offset of the next opcode. They are plain functions in a table because a pickle of
millions of opcodes spends its time here.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles import constants, joblib_array, text
from interlock.artifacts.pickles.constants import Handler
from interlock.artifacts.pickles.fields import ARRAY_WRAPPER, FIELDS
from interlock.artifacts.pickles.kinds import Instance
from interlock.artifacts.pickles.text import MalformedError
from interlock.artifacts.pickles.values import FROZENSET, LIST, LONGEST_TEXT, SET, DictValue, ListValue

if TYPE_CHECKING:
    from interlock.artifacts.pickles.walk import PickleWalk

_U16 = Struct("<H")
_I32 = Struct("<i")
_U32 = Struct("<I")
_U64 = Struct("<Q")

ONE_BYTE_ARGUMENTS: Final = frozenset(b"K\x80hqU\x8a\x8cC")
"""Opcodes that index one byte, for which an `IndexError` may mean that the bytes are over."""


class StoppedError(Exception):
    """STOP was reached: the regular end of a walk."""


def _unknown(walk: PickleWalk, at: int) -> int:
    raise MalformedError(f"unknown opcode 0x{walk.data[at - 1]:02x}")


# --- containers


def _empty_tuple(walk: PickleWalk, at: int) -> int:
    walk.stack.append(())
    return at


def _empty_list(walk: PickleWalk, at: int) -> int:
    walk.stack.append(ListValue(kept=walk.contents) if walk.contents or _of_array(walk) else LIST)
    return at


def _of_array(walk: PickleWalk) -> bool:
    """Whether a list that begins here is that of an array of objects: numpy takes it for as long as the shape says."""
    stack = walk.stack
    return len(stack) == 4 and type(stack[2]) is Instance and stack[2].fact == "O8"


def _empty_dict(walk: PickleWalk, at: int) -> int:
    walk.stack.append(DictValue())
    return at


def _empty_set(walk: PickleWalk, at: int) -> int:
    walk.stack.append(SET)
    return at


def _tuple1(walk: PickleWalk, at: int) -> int:
    stack = walk.stack
    stack[-1] = (stack[-1],)
    return at


def _tuple2(walk: PickleWalk, at: int) -> int:
    second = walk.stack.pop()
    first = walk.stack.pop()
    walk.stack.append((first, second))
    return at


def _tuple3(walk: PickleWalk, at: int) -> int:
    third = walk.stack.pop()
    second = walk.stack.pop()
    first = walk.stack.pop()
    walk.stack.append((first, second, third))
    return at


def _mark(walk: PickleWalk, at: int) -> int:
    marks = walk.marks
    marks.append(walk.stack)
    if len(marks) > walk.deepest:
        raise LimitPassedError(f"more than {walk.deepest:,} pickle containers inside each other")
    walk.stack = []
    return at


def _tuple(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    walk.stack.append(tuple(items))
    return at


def _list(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    if walk.contents or _of_array(walk):
        made = ListValue(kept=walk.contents)
        walk.stack.append(made)
        walk.judge.append(made, items, at - 1)
    else:
        walk.stack.append(LIST)
    return at


def _dict(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    value = DictValue()
    walk.stack.append(value)
    return _fill(walk, at, value, items)


def _frozenset(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    walk.judge.check_hashed(items, at - 1)
    walk.stack.append(FROZENSET)
    return at


def _append(walk: PickleWalk, at: int) -> int:
    item = walk.stack.pop()
    target = walk.stack[-1]
    if target is not LIST:
        walk.judge.append(target, [item], at - 1)
    return at


def _appends(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    target = walk.stack[-1]
    if target is not LIST:
        walk.judge.append(target, items, at - 1)
    return at


def _fill(walk: PickleWalk, at: int, target: object, items: list[object]) -> int:
    if len(items) % 2:
        raise MalformedError("a key without a value")
    walk.judge.set_items(target, items[::2], at - 1)
    if walk.naming:
        walk.judge.filled(target, items)
    if type(target) is DictValue and _is_state(walk):
        walk.judge.hold(len(items) if walk.contents else 0)
        target.keep(items)
    return at


def _is_state(walk: PickleWalk) -> bool:
    """Whether what stands on top is filled to be the state of the object below it, field by field."""
    if walk.contents:
        return True
    below = walk.stack[-2] if len(walk.stack) > 1 else None
    return type(below) is Instance and below.rule.build in FIELDS


def _setitem(walk: PickleWalk, at: int) -> int:
    stack = walk.stack
    value = stack.pop()
    key = stack.pop()
    target = stack[-1]
    if walk.naming:
        walk.judge.filled(target, [key, value])
    if type(target) is DictValue and type(key) is not tuple:
        target.add((key,))
        if _is_state(walk):
            walk.judge.hold(walk.contents)
            target.keep((key, value))
    else:
        walk.judge.set_items(target, [key], at - 1)
    return at


def _setitems(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    return _fill(walk, at, walk.stack[-1], items)


def _additems(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    walk.judge.check_hashed(items, at - 1)
    if walk.stack[-1] is not SET:
        walk.judge.add(walk.stack[-1], at - 1)
    return at


# --- stack and memo


def _pop(walk: PickleWalk, at: int) -> int:
    # CPython: POP on an empty frame of the stack takes the MARK itself.
    if walk.stack:
        walk.stack.pop()
    else:
        walk.pop_mark()
    return at


def _pop_mark(walk: PickleWalk, at: int) -> int:
    walk.pop_mark()
    return at


def _dup(walk: PickleWalk, at: int) -> int:
    walk.stack.append(walk.stack[-1])
    return at


def _get(walk: PickleWalk, at: int) -> int:
    line, following = walk.line(at)
    walk.stack.append(walk.memo[text.memo_index(line, strict=walk.strict)])
    return following


def _binget(walk: PickleWalk, at: int) -> int:
    walk.stack.append(walk.memo[walk.data[at]])
    return at + 1


def _long_binget(walk: PickleWalk, at: int) -> int:
    walk.stack.append(walk.memo[_U32.unpack_from(walk.data, at)[0]])
    return at + 4


def _remember(walk: PickleWalk, index: int) -> None:
    if walk.strict and index > walk.budget.limits.values:
        # CPython's memo is an array: a large index alone takes gigabytes of memory in the loader.
        raise MalformedError(f"a memo index as large as {index}")
    walk.memo[index] = walk.stack[-1]


def _put(walk: PickleWalk, at: int) -> int:
    line, following = walk.line(at)
    _remember(walk, text.memo_index(line, strict=walk.strict))
    return following


def _binput(walk: PickleWalk, at: int) -> int:
    walk.memo[walk.data[at]] = walk.stack[-1]
    return at + 1


def _long_binput(walk: PickleWalk, at: int) -> int:
    _remember(walk, _U32.unpack_from(walk.data, at)[0])
    return at + 4


def _memoize(walk: PickleWalk, at: int) -> int:
    memo = walk.memo
    memo[len(memo)] = walk.stack[-1]
    return at


# --- whatever imports, calls or sets


def _global(walk: PickleWalk, at: int) -> int:
    module, following = walk.line(at)
    name, following = walk.line(following)
    walk.stack.append(walk.judge.find_global(text.ascii_name(module), text.ascii_name(name), walk.protocol, at - 1))
    return following


def _stack_global(walk: PickleWalk, at: int) -> int:
    name = walk.stack.pop()
    module = walk.stack.pop()
    if type(module) is str and type(name) is str:
        walk.stack.append(walk.judge.find_global(module, name, walk.protocol, at - 1))
    else:
        walk.stack.append(walk.judge.unresolved_global(module, name, at - 1))
    return at


def _reduce(walk: PickleWalk, at: int) -> int:
    arguments = walk.stack.pop()
    function = walk.stack.pop()
    walk.stack.append(walk.judge.reduce(function, arguments, at - 1))
    return at


def _newobj(walk: PickleWalk, at: int) -> int:
    arguments = walk.stack.pop()
    kind = walk.stack.pop()
    walk.stack.append(walk.judge.new_object(kind, arguments, at - 1))
    return at


def _newobj_ex(walk: PickleWalk, at: int) -> int:
    keywords = walk.stack.pop()
    arguments = walk.stack.pop()
    kind = walk.stack.pop()
    walk.stack.append(walk.judge.never("NEWOBJ_EX", kind, (arguments, keywords), at - 1))
    return at


def _inst(walk: PickleWalk, at: int) -> int:
    module, following = walk.line(at)
    name, following = walk.line(following)
    arguments = tuple(walk.pop_mark())
    kind = walk.judge.find_global(text.ascii_name(module), text.ascii_name(name), walk.protocol, at - 1)
    walk.stack.append(walk.judge.never("INST", kind, arguments, at - 1))
    return following


def _obj(walk: PickleWalk, at: int) -> int:
    items = walk.pop_mark()
    walk.stack.append(walk.judge.never("OBJ", items[0], tuple(items[1:]), at - 1))
    return at


def _build(walk: PickleWalk, at: int) -> int:
    state = walk.stack.pop()
    instance = walk.stack[-1]
    allowed = walk.judge.build(instance, state, at - 1)
    if type(instance) is not Instance or instance.rule.build != ARRAY_WRAPPER:
        return at
    if not allowed:
        raise MalformedError("an array wrapper that does not say what array follows")
    return joblib_array.read_array(walk, state, at)


def _persid(walk: PickleWalk, at: int) -> int:
    line, following = walk.text_line(at)
    identity = (line or b"")[:LONGEST_TEXT].decode("ascii", "backslashreplace")
    walk.stack.append(walk.judge.persistent_text(identity, at - 1))
    return following


def _binpersid(walk: PickleWalk, at: int) -> int:
    walk.stack.append(walk.judge.persistent_id(walk.stack.pop(), at - 1))
    return at


def _extension(layout: Struct) -> Handler:
    def handler(walk: PickleWalk, at: int) -> int:
        walk.stack.append(walk.judge.extension(layout.unpack_from(walk.data, at)[0], at - 1))
        return at + layout.size

    return handler


def _next_buffer(walk: PickleWalk, at: int) -> int:
    walk.stack.append(walk.judge.buffer("NEXT_BUFFER", at - 1))
    return at


def _readonly_buffer(walk: PickleWalk, at: int) -> int:
    walk.stack[-1] = walk.judge.buffer("READONLY_BUFFER", at - 1)
    return at


# --- the frame of a pickle


def _proto(walk: PickleWalk, at: int) -> int:
    if walk.strict and at - 1 != walk.start:
        # It changes which Python 2 names are mapped, so a second one could mean two things to two readers.
        raise MalformedError("a PROTO that is not the first opcode")
    if walk.data[at] > 5:
        raise MalformedError(f"pickle protocol {walk.data[at]}, newer than the newest (5)")
    walk.protocol = walk.data[at]
    return at + 1


def _frame(walk: PickleWalk, at: int) -> int:
    following = at + 8
    (size,) = _U64.unpack_from(walk.data, at)
    if not walk.strict:
        # CPython's C reader only looks whether there are as many bytes; the one in Python, which joblib uses, does not.
        walk.framed = max(walk.framed, following + size)
        return following
    end = walk.raw(following, size)
    if walk.frame_end:
        raise MalformedError("a frame inside a frame")
    walk.frame_end = end
    # The stretch ends where the frame does, so that an opcode that reaches over the end is seen.
    walk.boundary = following
    return following


def _stop(walk: PickleWalk, _: int) -> int:
    walk.result = walk.stack.pop()
    raise StoppedError


HANDLERS: Final[dict[int, Handler]] = {
    ord("("): _mark, ord("."): _stop, ord("0"): _pop, ord("1"): _pop_mark, ord("2"): _dup,
    ord("F"): constants.number_line(text.floating), ord("I"): constants.number_line(text.integer),
    ord("J"): constants.binint, ord("K"): constants.binint1, ord("L"): constants.number_line(text.long_integer),
    ord("M"): constants.binint2, ord("N"): constants.none, ord("P"): _persid, ord("Q"): _binpersid, ord("R"): _reduce,
    ord("S"): constants.string, ord("T"): constants.binstring, ord("U"): constants.short_binstring,
    ord("V"): constants.unicode, ord("X"): constants.binunicode, ord("a"): _append, ord("b"): _build,
    ord("c"): _global, ord("d"): _dict, ord("}"): _empty_dict, ord("e"): _appends, ord("g"): _get, ord("h"): _binget,
    ord("i"): _inst, ord("j"): _long_binget, ord("l"): _list, ord("]"): _empty_list, ord("o"): _obj, ord("p"): _put,
    ord("q"): _binput, ord("r"): _long_binput, ord("s"): _setitem, ord("t"): _tuple, ord(")"): _empty_tuple,
    ord("u"): _setitems, ord("G"): constants.binfloat, 0x80: _proto, 0x81: _newobj, 0x82: _extension(Struct("<B")),
    0x83: _extension(_U16), 0x84: _extension(_I32), 0x85: _tuple1, 0x86: _tuple2, 0x87: _tuple3, 0x88: constants.true,
    0x89: constants.false, 0x8A: constants.long1, 0x8B: constants.long4, ord("B"): constants.binbytes,
    ord("C"): constants.short_binbytes, 0x8C: constants.short_binunicode, 0x8D: constants.binunicode8,
    0x8E: constants.binbytes8, 0x8F: _empty_set, 0x90: _additems, 0x91: _frozenset, 0x92: _newobj_ex,
    0x93: _stack_global, 0x94: _memoize, 0x95: _frame, 0x96: constants.bytearray8, 0x97: _next_buffer,
    0x98: _readonly_buffer,
}  # fmt: skip
"""Opcode to handler; protocols 0, 1, 2, 3, 4 and 5 (pickletools.opcodes)."""

TABLE: Final = tuple(HANDLERS.get(opcode, _unknown) for opcode in range(256))
