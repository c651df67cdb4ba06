"""Mutations of pickles opcode by opcode: they stay programs, so they get far into an unpickler and into the walk."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from random import Random

from tests.artifacts.corpus import CALL, GADGETS, SYSTEM, called, global_, stack_global
from tests.artifacts.fuzz.byte_mutations import mutate_bytes
from tests.artifacts.fuzz.fragments import FRAGMENTS

from interlock.artifacts.pickles.profiles import PROFILES

Program = list[bytes]

_COUNTED = {ord("X"): "<I", ord("T"): "<i", ord("B"): "<I", ord("U"): "<B", ord("C"): "<B", 0x8C: "<B", 0x8D: "<Q",
            0x8E: "<Q", 0x96: "<Q", 0x8A: "<B", 0x8B: "<i"}  # fmt: skip
"""Opcodes whose argument is a count and as many bytes."""
_FIXED = {ord("K"): 1, ord("M"): 2, ord("J"): 4, ord("G"): 8, ord("q"): 1, ord("h"): 1, ord("r"): 4, ord("j"): 4,
          0x80: 1, 0x82: 1, 0x83: 2, 0x84: 4, 0x95: 8}  # fmt: skip
"""Opcodes whose argument has a fixed width."""
_LINES = frozenset(b"SVILFgpP")
_WORDS = (
    "os", "system", "builtins", "eval", "getattr", "collections", "OrderedDict", "OrderedDict.fromkeys", "torch._utils",
    "_rebuild_tensor_v2", "numpy", "dtype", "ndarray", "O8", "U0", "V16", "f8", "latin1", "utf-7", "__setstate__",
    "__class__", "__reduce__", "__dict__", "storage", "cpu", "0", "", "a.b", "\n", "os\nsystem", "\u0131", "\udc80",
    "x" * 300,
)  # fmt: skip
_LINE_TEXTS = (b"0", b"1", b"-1", b"00", b"01", b"0x10", b"1_0", b" 1", b"1L", b"9" * 30, b"1e400", b"nan", b"'a'",
               b'"a"', b"'\\x6f'", b"'", b"os", b"system", b"\\u006fs", b"\xff", b"", b"1\r", b"256",
               b"4294967296", b" " * 9_000 + b"1", b"0" * 9_000 + b"1", b"1\0x")  # fmt: skip
NAMES = tuple(sorted({name for profile in PROFILES.values() for name in profile.table} | set(GADGETS.values())))
"""Every global of every profile, and every gadget."""


@lru_cache(maxsize=4096)
def program_of(data: bytes) -> tuple[bytes, ...]:
    """The opcodes of all pickles in a row; what is no opcode any more is one last piece."""
    found: list[bytes] = []
    start = 0
    while start < len(data) and len(found) < 20_000:
        places: list[int] = []
        whole = True
        try:
            places.extend(start + (at or 0) for _, _, at in pickletools.genops(data[start:]))
        except Exception:  # noqa: BLE001 (a hostile pickle: whatever it raises, the rest is no program)
            whole = False
        places = places or [start]
        found += [data[at:following] for at, following in pairwise(places)]
        if not whole:
            found.append(data[places[-1] :])
            break
        found.append(data[places[-1] : places[-1] + 1])
        start = places[-1] + 1
    return tuple(found)


def _at(rng: Random, program: Program) -> int:
    return rng.randrange(len(program))


def _name(rng: Random) -> bytes:
    module, name = rng.choice(NAMES)
    return global_(module, name) if rng.random() < 0.5 else stack_global(module, name)


def _insert(rng: Random, program: Program) -> None:
    program.insert(rng.randrange(len(program) + 1), rng.choice(FRAGMENTS))


def _insert_name(rng: Random, program: Program) -> None:
    program.insert(_at(rng, program), _name(rng) + rng.choice((b"", b"0", b")R", b")\x81", b"]\x85R", b")R0")))


def _delete(rng: Random, program: Program) -> None:
    at = _at(rng, program)
    del program[at : at + rng.choice((1, 1, 1, 2, 5))]


def _double(rng: Random, program: Program) -> None:
    at = _at(rng, program)
    piece = program[at : at + rng.choice((1, 1, 3, 10))]
    program[at:at] = piece * rng.choice((1, 1, 2, 60))


def _swap(rng: Random, program: Program) -> None:
    first, second = _at(rng, program), _at(rng, program)
    program[first], program[second] = program[second], program[first]


def _replace(rng: Random, program: Program) -> None:
    program[_at(rng, program)] = rng.choice(FRAGMENTS)


def _argument(rng: Random, program: Program) -> None:
    start = _at(rng, program)
    for at in (*range(start, len(program)), *range(start)):
        code = program[at][0]
        if code in _COUNTED or code in _FIXED or code in _LINES or code in b"ci":
            program[at] = _other_argument(rng, program[at])
            return


def _other_argument(rng: Random, opcode: bytes) -> bytes:
    code, head = opcode[0], opcode[:1]
    if code in _COUNTED:
        layout = struct.Struct(_COUNTED[code])
        content = opcode[1 + layout.size :]
        count = len(content)
        if rng.random() < 0.6:
            content = rng.choice(_WORDS).encode("utf-8", "surrogatepass") if rng.random() < 0.7 else rng.randbytes(3)
            count = len(content)
        elif rng.random() < 0.9:
            count = max(0, count + rng.choice((-1, 1, 2, 256, 1 << 20)))
        else:
            count = (1 << 8 * layout.size) - 1
        if "i" in layout.format:
            return head + struct.pack("<I", count % (1 << 32)) + content
        return head + layout.pack(count % (1 << 8 * layout.size)) + content
    if code in _FIXED:
        return head + rng.choice((rng.randbytes(_FIXED[code]), (rng.randrange(8)).to_bytes(_FIXED[code], "little")))
    if code in _LINES:
        return head + rng.choice(_LINE_TEXTS) + b"\n"
    module, name = rng.choice(NAMES)
    return head + f"{module}\n{name}\n".encode()


def _protocol(rng: Random, program: Program) -> None:
    number = bytes([0x80, rng.choice((0, 1, 2, 3, 4, 5, 6, 255))])
    if program[0][:1] == b"\x80" and rng.random() < 0.7:
        program[0] = number
    else:
        program.insert(rng.choice((0, _at(rng, program))), number)


def _frame(rng: Random, program: Program) -> None:
    frames = [at for at, opcode in enumerate(program) if opcode[:1] == b"\x95"]
    if frames and rng.random() < 0.3:
        del program[rng.choice(frames)]
        return
    at = rng.randrange(len(program))
    end = rng.randrange(at, len(program) + 1)
    size = sum(map(len, program[at:end])) + rng.choice((0, 0, 0, 1, -1))
    program.insert(at, b"\x95" + struct.pack("<Q", max(0, size) if rng.random() < 0.9 else (1 << 64) - 1))


def _memo(rng: Random, program: Program) -> None:
    index = rng.choice((0, 1, 2, 5, rng.randrange(256)))
    what = rng.choice(("put", "get", "memoize", "huge"))
    if what == "memoize":
        piece = b"\x94"
    elif what == "huge":
        piece = b"r" + struct.pack("<I", rng.choice((1 << 16, 1 << 24, (1 << 32) - 1)))
    else:
        letters = {"put": (b"q", b"r", b"p"), "get": (b"h", b"j", b"g")}[what]
        shape = rng.randrange(3)
        argument = (bytes([index]), struct.pack("<I", index), str(index).encode() + b"\n")[shape]
        piece = letters[shape] + argument
    program.insert(_at(rng, program), piece)


def _odd(rng: Random, program: Program) -> None:
    piece = rng.choice((b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\0\0\0", b"P1\n", b"Q", b"\x97", b"\x98", b"\x93",
                        b"\x92", b"o", b"ios\nsystem\n", b"1", b"2", b"."))  # fmt: skip
    program.insert(_at(rng, program), piece)


def _cut(rng: Random, program: Program) -> None:
    del program[_at(rng, program) + 1 :]
    if rng.random() < 0.5:
        program.append(b".")


def _append(rng: Random, program: Program) -> None:
    program.append(rng.choice((CALL, called(*rng.choice(tuple(GADGETS.values()))), SYSTEM + b".", b".", b"\0", b"N.")))


def _prefix(rng: Random, program: Program) -> None:
    program[0:0] = [rng.choice((CALL, b"N.", b"N0", b"(", b"\x80\x02", CALL[:-1] + b"0", _name(rng) + b"0"))]


def _gadget(rng: Random, program: Program) -> None:
    module, name = rng.choice(tuple(GADGETS.values()))
    made = rng.choice((global_(module, name), stack_global(module, name)))
    program.insert(_at(rng, program), made + rng.choice((b"U\x02id\x85R0", b")R", b"", b"0", b"}b", b")\x810")))


def _bytes(rng: Random, program: Program) -> None:
    at = _at(rng, program)
    program[at] = mutate_bytes(rng, program[at])


_ALL: tuple[Callable[[Random, Program], None], ...] = (
    _insert, _insert, _insert_name, _delete, _delete, _double, _swap, _replace, _argument, _argument, _argument,
    _protocol, _frame, _memo, _memo, _odd, _cut, _append, _prefix, _gadget, _bytes,
)  # fmt: skip


def _spliced(rng: Random, first: Program, second: tuple[bytes, ...]) -> Program:
    """The beginning of one pickle and the end of another, or one in the middle of the other."""
    at, there = rng.randrange(len(first) + 1), rng.randrange(len(second))
    inner = list(second[there : there + rng.choice((1, 4, 20, len(second)))])
    return first[:at] + inner + (first[at:] if rng.random() < 0.5 else [])


def mutate_pickle(rng: Random, data: bytes, other: bytes) -> bytes:
    """One to six mutations of its opcodes.

    Args:
        rng: Decides.
        data: The pickle, or several in a row, or what begins as one.
        other: One of which parts are spliced in.
    """
    program = list(program_of(data))
    if other and rng.random() < 0.1:
        program = _spliced(rng, program, program_of(other))
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 6))):
        program = [opcode for opcode in program if opcode] or [b"."]
        rng.choice(_ALL)(rng, program)
    return b"".join(program)
