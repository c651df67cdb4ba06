"""The symbolic pickle machine: every opcode of protocols 0 to 5, with CPython's stack, marks and memo.

It follows ``Modules/_pickle.c`` and ``Lib/pickle.py`` of CPython 3.11 opcode by opcode and executes nothing: what an
opcode would import, call or set is asked of a `Judge`. Where CPython's two readers, or other readers, disagree (frames
that cut opcodes, a second PROTO, odd spellings of numbers), the walk refuses, because one file must mean one thing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812

from interlock.artifacts.limits import Budget, LimitPassedError
from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.opcodes import HANDLERS, ONE_BYTE_ARGUMENTS, TABLE, StoppedError
from interlock.artifacts.pickles.text import MalformedError
from interlock.artifacts.source import Buffer, find_newline

_CHUNK = 1 << 16
_MEMOIZE = 0x94
_SEARCHED = 1 << 26
LONGEST_LINE = 8_192
"""Bytes of a number or a name in a text opcode that any pickler writes; loaders take longer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkEnd:
    """How a walk ended.

    Args:
        position: Offset after the last opcode that was understood.
        stopped: STOP was reached; what stands after it is the caller's to judge.
        problem: Why the walk could not go on, empty when it stopped at STOP.
        opcodes: Opcodes walked.
    """

    position: int
    stopped: bool
    problem: str
    opcodes: int


@contextmanager
def _no_cycle_collection() -> Iterator[None]:
    """Keep the collector from looking at millions of live values again and again; the walk makes no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _MisreadError(Exception):
    """The bytes make no sense from here on: position, opcodes since the last count, why."""


def _can_be_argument(head: bytes) -> bool:
    """Whether a loader may take a line that begins so for a number, which C ends at a NUL, or for a name."""
    first = head.lstrip()[:1]
    number = not first or first.isalnum() or first in b"+-._"
    return number or (b"\0" not in head and first >= b" ")


class PickleWalk:
    """Walks one pickle.

    Args:
        data: The bytes, unverified.
        judge: Says what is allowed.
        budget: What the walk may spend.
        start: Offset of the first opcode.
        end: Offset after the last byte that belongs to the pickle; the end of `data` when not given.
        strict: Refuse what no pickler writes and readers take differently. Without it the walk goes on wherever some
            reader would: for bytes that are first of all something else.
    """

    def __init__(
        self,
        data: Buffer,
        judge: Judge,
        budget: Budget,
        *,
        start: int = 0,
        end: int | None = None,
        strict: bool = True,
        arrays: bool = True,
    ) -> None:
        self.data = data
        self.judge = judge
        self.budget = budget
        self.start = start
        self.end = len(data) if end is None else end
        self.strict = strict
        self.arrays = arrays
        self.contents = judge.profile.contents
        self.naming = judge.naming
        self.deepest = budget.limits.depth
        self.result: object = None
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.protocol = 0
        self.frame_end = 0
        self.framed = 0
        self.boundary = 0

    def run(self) -> WalkEnd:
        """Walk to STOP or to the first byte that makes no sense.

        Raises:
            LimitPassedError: The budget is spent.
        """
        with _no_cycle_collection():
            return self._run()

    def _run(self) -> WalkEnd:
        position = self.start
        opcodes = 0
        try:
            while True:
                reached, count = self._stretch(position)
                opcodes += count
                self._check_limits(count)
                position = reached
                self._check_frame(position)
        except StoppedError as stop:
            position, count = stop.args
            self.budget.spend_opcodes(count)
            return WalkEnd(position=position, stopped=True, problem=self._unclean(position), opcodes=opcodes + count)
        except _MisreadError as error:
            position, count, problem = error.args
            self.budget.spend_opcodes(count)
            return WalkEnd(position=position, stopped=False, problem=problem, opcodes=opcodes + count)

    def _stretch(self, position: int) -> tuple[int, int]:
        """Walk until `self.boundary`: the hot loop, kept free of everything that can be checked once a stretch."""
        self.boundary = min(position + _CHUNK, self.frame_end if self.frame_end > position else self.end)
        data, table, memo = self.data, TABLE, self.memo
        count = 0
        following = position
        try:
            while following < self.boundary:
                position = following
                count += 1
                opcode = data[position]
                if opcode == _MEMOIZE:  # one in six opcodes since protocol 4, so it is worth the call it saves
                    memo[len(memo)] = self.stack[-1]
                    following += 1
                else:
                    following = table[opcode](self, position + 1)
        except IndexError:
            # Popping an empty stack, or a one-byte argument past the end of the bytes.
            cut = data[position] in ONE_BYTE_ARGUMENTS and position + 2 > self.end
            raise _MisreadError(
                position, count, "an argument is cut off" if cut else "takes from an empty stack"
            ) from None
        except StructError:
            raise _MisreadError(position, count, "an argument is cut off") from None
        except KeyError:
            raise _MisreadError(position, count, "gets something from the memo that was never put there") from None
        except MalformedError as error:
            raise _MisreadError(position, count, str(error)) from None
        except StoppedError:
            raise StoppedError(position + 1, count) from None
        if following > self.end:
            raise _MisreadError(position, count, "an argument is cut off")
        if following == self.end and following != self.frame_end:
            raise _MisreadError(following, count, "ends without STOP")
        return following, count

    def _check_limits(self, count: int) -> None:
        self.budget.spend_opcodes(count)
        if self.judge.refusals > self.budget.limits.findings:
            raise LimitPassedError(f"more than {self.budget.limits.findings} refusals, so it was not walked further")
        held = len(self.memo) + len(self.stack) + sum(map(len, self.marks))
        if held > self.budget.limits.values:
            raise LimitPassedError(f"a pickle that holds more than {self.budget.limits.values:,} values at a time")

    def _check_frame(self, position: int) -> None:
        if self.frame_end and position > self.frame_end:
            raise _MisreadError(position, 0, "an opcode reaches over the end of its frame")
        if position == self.frame_end:
            self.frame_end = 0
            if position == self.end:
                raise _MisreadError(position, 0, "ends without STOP")

    def _unclean(self, position: int) -> str:
        """What speaks against a pickle that reached STOP."""
        if self.frame_end and position != self.frame_end:
            return "STOP stands before the end of its frame"
        if self.marks or self.stack:
            return "leaves values on the stack at STOP"
        return ""

    def plain(self, start: int) -> PickleWalk:
        """A walk of a pickle inside this one, as joblib starts one for an array of objects."""
        return PickleWalk(
            self.data, self.judge, self.budget, start=start, end=self.end, strict=self.strict, arrays=False
        )

    def continued(self, start: int, judge: Judge) -> PickleWalk:
        """This walk as plain `pickle.load` would go on from `start`, with copies of everything it has."""
        other = PickleWalk(self.data, judge, self.budget, start=start, end=self.end, strict=False, arrays=False)
        other.stack = list(self.stack)
        other.marks = [list(items) for items in self.marks]
        other.memo = dict(self.memo)
        other.protocol = self.protocol
        return other

    def behind(self, start: int, judge: Judge, memo: dict[int, object]) -> PickleWalk:
        """A walk of the pickle behind this one, by a reader that has `memo`; it changes that."""
        other = PickleWalk(self.data, judge, self.budget, start=start, end=self.end, strict=False, arrays=self.arrays)
        other.memo = memo
        return other

    def starts_opcode(self, at: int) -> bool:
        """Whether the byte at `at` is an opcode."""
        return self.data[at] in HANDLERS

    def pop_mark(self) -> list[object]:
        """Take everything above the last MARK."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def line(self, at: int, longest: int = LONGEST_LINE) -> tuple[bytes, int]:
        """The text up to the next newline, and the offset after it.

        No pickler writes long ones. Without `strict` they are read, because CPython takes any number of blanks before a
        number, zeros, and names with many dots.

        Raises:
            LimitPassedError: Without `strict`: a line longer than a text may be, which a loader may well take.
        """
        most = longest if self.strict else max(longest, self.budget.limits.text_bytes)
        newline = find_newline(self.data, at, min(self.end, at + most))
        if newline >= 0:
            return self.data[at:newline], newline + 1
        if self.strict or at >= self.end:
            raise MalformedError("a line without an end")
        if self.end > at + most:
            if not _can_be_argument(self.data[at : at + LONGEST_LINE]):
                raise MalformedError("a line that is no number and no name")
            self.budget.hold_text(self.end - at)
        # CPython drops the last byte of a line that ends with the file, and acts on the rest.
        return self.data[at : self.end - 1], self.end

    def text_line(self, at: int) -> tuple[bytes | None, int]:
        """A line that may hold a text of any length: None for one that is too long to be looked at."""
        newline = self._newline(at)
        length = (self.end if newline < 0 else newline) - at
        if self.strict:
            self.budget.hold_text(length)
        elif length > LONGEST_LINE:
            return None, self.end if newline < 0 else newline + 1
        return self.line(at, max(length + 1, LONGEST_LINE))

    def _newline(self, at: int) -> int:
        """The next newline, or -1; looked for in stretches that are paid for, as the line may be the whole file."""
        for first in range(at, self.end, _SEARCHED):
            after = min(self.end, first + _SEARCHED)
            newline = find_newline(self.data, first, after)
            self.budget.spend_bytes((after if newline < 0 else newline) - first)
            if newline >= 0:
                return newline
        return -1

    def raw(self, at: int, size: int) -> int:
        """Check that `size` bytes stand at `at`; the offset after them."""
        if size < 0 or at + size > self.end:
            raise MalformedError("an argument is cut off")
        return at + size
