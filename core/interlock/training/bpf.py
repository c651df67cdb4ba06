"""An assembler for seccomp filters: rules over system calls in, a classic BPF program out.

It decides nothing: the rules are in `interlock.training.seccomp`. Written here because the binding to libseccomp for
Python (pyseccomp 0.1.2) has been dead since 2021, and because a filter of this shape needs four instructions of BPF
(linux/filter.h, linux/bpf_common.h) over one structure (``struct seccomp_data``, linux/seccomp.h).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from interlock.training.syscalls import Machine, number

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # __X32_SYSCALL_BIT: the same machine, other numbers
_REACH = 255  # a conditional jump is one byte
_LONGEST = 4096  # BPF_MAXINSNS
_WORD = 0xFFFFFFFF


class Outcome(IntEnum):
    """What the kernel does with a call: the values that a filter returns (linux/seccomp.h)."""

    ALLOW = 0x7FFF0000
    NOTIFY = 0x7FC00000
    EPERM = 0x00050000 | 1
    ENOSYS = 0x00050000 | 38
    EOPNOTSUPP = 0x00050000 | 95
    KILL = 0x80000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A condition on one argument of a call.

    Args:
        argument: From 0 to 5.
        among: The condition holds if the argument is one of these.
        mask: Of the argument, only these bits are looked at.
        inside: False turns the condition round: it holds if the argument is none of `among`.
        high: Look at the upper half of the 64 bits. The kernel itself reads the lower half only of what it declares as
            int, so a filter that compared all 64 bits could be passed by (CVE-2019-10063).
    """

    argument: int
    among: tuple[int, ...]
    mask: int = _WORD
    inside: bool = True
    high: bool = False

    def holds(self, arguments: Sequence[int]) -> bool:
        """Whether it holds for `arguments`, six unsigned numbers of 64 bits."""
        word = arguments[self.argument] >> (32 if self.high else 0) & _WORD
        return (word & self.mask in self.among) is self.inside

    def assembled(self, past: int) -> list[bytes]:
        """Fall through where it holds, else jump `past` instructions further than its end."""
        words = [_instruction(_LOAD, _ARGUMENTS + 8 * self.argument + (4 if self.high else 0))]
        if self.mask != _WORD:
            words.append(_instruction(_AND, self.mask))
        last = len(self.among) - 1
        for place, value in enumerate(self.among):
            left = last - place
            met = left if self.inside else left + past
            missed = past if self.inside and not left else 0
            words.append(_instruction(_IF_EQUAL, value, met, missed))
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rule as the filter holds it: calls, conditions that must all hold, and what then happens."""

    names: tuple[str, ...]
    outcome: Outcome
    where: tuple[Where, ...] = ()


def assemble(steps: Sequence[Step], machine: Machine) -> bytes:
    """The filter in which the first step that fits a call decides, and a call that fits none is allowed.

    Calls of another ABI than `machine` end the process: they are programs of another kind (32-bit), for whose numbers
    the steps say nothing. Calls of x32 are answered as by a kernel without it (ENOSYS).

    Args:
        steps: In this order; a name that `machine` does not have is passed over.
        machine: For which ABI.

    Returns:
        Instructions of eight bytes each (``struct sock_filter``).

    Raises:
        ValueError: It would be longer than the kernel takes.
    """
    words = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_IF_EQUAL, machine.value, 1, 0),
        _instruction(_RETURN, Outcome.KILL),
        _instruction(_LOAD, _NUMBER),
    ]
    if machine is Machine.X86_64:
        words += [_instruction(_IF_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, Outcome.ENOSYS)]
    for step in steps:
        numbers = [found for name in step.names if (found := number(name, machine)) is not None]
        if step.where:
            for found in numbers:
                words += _conditional(found, step)
        elif numbers:
            words += _plain(numbers, step.outcome)
    words.append(_instruction(_RETURN, Outcome.ALLOW))
    if len(words) > _LONGEST:
        raise ValueError(f"a filter of {len(words)} instructions; the kernel takes {_LONGEST}")
    return b"".join(words)


def _plain(numbers: Sequence[int], outcome: Outcome) -> list[bytes]:
    """All these calls have one outcome. The number stays loaded."""
    words: list[bytes] = []
    for start in range(0, len(numbers), _REACH):
        part = numbers[start : start + _REACH]
        words += [_instruction(_IF_EQUAL, found, len(part) - place, 0) for place, found in enumerate(part)]
        words += [_instruction(_JUMP, 1), _instruction(_RETURN, outcome)]
    return words


def _conditional(found: int, step: Step) -> list[bytes]:
    """One call has an outcome if the conditions hold; else its number is loaded again for the steps that follow."""
    tail = [_instruction(_RETURN, step.outcome)]
    for condition in reversed(step.where):
        tail = [*condition.assembled(len(tail)), *tail]
    if len(tail) >= _REACH:
        raise ValueError(f"the conditions on {step.names} are too many for one jump")
    return [_instruction(_IF_EQUAL, found, 0, len(tail)), *tail, _instruction(_LOAD, _NUMBER)]


def _instruction(code: int, value: int, met: int = 0, missed: int = 0) -> bytes:
    """``struct sock_filter``: code, where to go if the comparison holds, where if not, and the operand."""
    return struct.pack("=HBBI", code, met, missed, value)
