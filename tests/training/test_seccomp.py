"""The filter: its numbers, its meaning on both machines by a model of BPF, and what this kernel makes of it."""

from __future__ import annotations

import errno
import os
import platform
import re
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate import UnavailableError
from interlock.training.bpf import Outcome, Step, assemble
from interlock.training.seccomp import Confinement, Verdict, fitting, names_by_number, outcome, program, rules
from interlock.training.syscalls import NUMBERS, Machine, number, this_machine

CORE = Path(__file__).parents[2] / "core"
HEADERS = {
    Machine.X86_64: ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    Machine.AARCH64: ("/usr/include/asm-generic/unistd.h",),
}
WORD = 0xFFFFFFFF


@pytest.mark.parametrize("machine", Machine)
def test_the_numbers_are_the_kernel_s(machine: Machine) -> None:
    path = next((path for path in HEADERS[machine] if Path(path).exists()), None)
    if path is None:
        pytest.skip(f"no kernel headers for {machine.name}: apt-get install linux-libc-dev")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(path).read_text())
    known: dict[str, set[int]] = {}
    for name, value in found:
        known.setdefault(name, set()).add(int(value))
    newest = max(value for values in known.values() for value in values)
    compared = 0
    for name in NUMBERS:
        ours = number(name, machine)
        if ours is None:
            # An old call that this machine never got, or has by another name for 32 bits only.
            assert name not in known or machine is Machine.AARCH64
        elif ours <= newest and name in known:
            assert known[name] == {ours}, name
            compared += 1
        else:
            assert ours > newest or name == "nfsservctl", name
    assert compared > 90


def test_new_calls_have_one_number_on_all_machines() -> None:
    for name, (x86, arm) in NUMBERS.items():
        if (x86 or 0) >= 424 or (arm or 0) >= 424:
            assert x86 == arm, name


def run_filter(code: bytes, call: int, arguments: list[int], architecture: int) -> int:
    """What the kernel would return: a model of classic BPF over ``struct seccomp_data``."""
    data = struct.pack("=iIQ6Q", call - (1 << 32) if call >> 31 else call, architecture, 0, *arguments)
    place, accumulator = 0, 0
    while True:
        op, met, missed, operand = struct.unpack_from("=HBBI", code, 8 * place)
        place += 1
        if op == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif op == 0x54:
            accumulator &= operand
        elif op == 0x05:
            place += operand
        elif op == 0x15:
            place += met if accumulator == operand else missed
        elif op == 0x35:
            place += met if accumulator >= operand else missed
        else:
            assert op == 0x06
            return int(operand)


INTERESTING = [0, 1, 2, 3, 8, 10, 16, 17, 0x5412, 0x10000000, 0x241, 0x200, 0x6000, 1 << 32, WORD, (1 << 64) - 1]
ARGUMENTS = st.lists(st.sampled_from(INTERESTING) | st.integers(0, (1 << 64) - 1), min_size=6, max_size=6)


@pytest.mark.parametrize("machine", Machine)
@pytest.mark.parametrize("confinement", Confinement)
@pytest.mark.parametrize("heard", [True, False])
@given(data=st.data())
def test_the_filter_means_what_the_rules_say(
    machine: Machine, confinement: Confinement, heard: bool, data: st.DataObject
) -> None:
    of_level = rules(confinement, landlock=data.draw(st.sampled_from([1, 7])))
    code = program(of_level, machine, heard=heard)
    names = names_by_number(of_level, machine)
    call = data.draw(st.sampled_from(sorted(names)) | st.integers(0, 500))
    arguments = data.draw(ARGUMENTS)
    rule = fitting(of_level, names.get(call, ""), arguments)
    assert run_filter(code, call, arguments, machine.value) == outcome(rule, heard=heard)


@pytest.mark.parametrize("machine", Machine)
@given(call=st.integers(0, WORD), architecture=st.integers(0, WORD), arguments=ARGUMENTS)
def test_calls_of_another_abi_never_pass(machine: Machine, call: int, architecture: int, arguments: list[int]) -> None:
    code = program(rules(Confinement.NAMESPACES), machine, heard=True)
    if architecture != machine.value:
        assert run_filter(code, call, arguments, architecture) == Outcome.KILL
    x32 = call | 0x40000000
    if machine is Machine.X86_64:
        assert run_filter(code, x32, arguments, machine.value) == Outcome.ENOSYS


@given(arguments=ARGUMENTS)
def test_the_upper_half_of_a_number_hides_nothing(arguments: list[int]) -> None:
    code = program(rules(Confinement.NAMESPACES), Machine.X86_64, heard=False)
    for name, place, value in (("ioctl", 1, 0x5412), ("socket", 0, 17), ("clone", 0, 0x10000000)):
        told = [*arguments]
        told[place] = value | arguments[place] & ~WORD
        assert run_filter(code, number(name, Machine.X86_64) or 0, told, Machine.X86_64.value) == Outcome.EPERM


def test_many_calls_need_more_than_one_jump() -> None:
    names = tuple(NUMBERS) * 5
    code = assemble([Step(names=names, outcome=Outcome.EPERM)], Machine.X86_64)
    for name in NUMBERS:
        found = number(name, Machine.X86_64)
        if found is not None:
            assert run_filter(code, found, [0] * 6, Machine.X86_64.value) == Outcome.EPERM
    assert run_filter(code, 0, [0] * 6, Machine.X86_64.value) == Outcome.ALLOW


def test_a_filter_that_the_kernel_would_not_take_is_not_made() -> None:
    with pytest.raises(ValueError, match="the kernel takes 4096"):
        assemble([Step(names=tuple(NUMBERS) * 40, outcome=Outcome.EPERM)], Machine.X86_64)


def test_an_unknown_machine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(UnavailableError, match="riscv64"):
        this_machine()


FILTERED = """
    import ctypes, errno, mmap, os, sys
    sys.path.append({folder!r})
    import launcher
    libc = ctypes.CDLL(None, use_errno=True)

    def answer(number, *arguments):
        ctypes.set_errno(0)
        libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
        return errno.errorcode.get(ctypes.get_errno(), "0")

    launcher._checked(libc.prctl(38, 1, 0, 0, 0))
    launcher._install({seccomp}, 0, {program!r})
"""


def filtered(source: str, confinement: Confinement = Confinement.NAMESPACES, **names: Any) -> Any:
    """Run `source` in a process with the filter for whom nobody listens."""
    machine = this_machine()
    head = FILTERED.format(
        folder=os.fspath(CORE / "interlock" / "training"),
        seccomp=number("seccomp", machine),
        program=program(rules(confinement, landlock=1), machine, heard=False),
    )
    text = textwrap.dedent(head) + textwrap.dedent(source).format(**names)
    return subprocess.run([sys.executable, "-I", "-S", "-c", text], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("confinement", Confinement)
def test_this_kernel_refuses_every_call_of_the_list(confinement: Confinement) -> None:
    machine = this_machine()
    of_level = rules(confinement, landlock=1)
    calls = {
        found: name
        for found, name in names_by_number(of_level, machine).items()
        if (rule := fitting(of_level, name, [0] * 6)) and rule.verdict not in (Verdict.ALLOW, Verdict.TELL)
    }
    assert len(calls) > 50
    done = filtered(
        "print({{found: answer(found, 0, 0, 0, 0, 0, 0) for found in {calls}}})", confinement, calls=[*calls]
    )
    said = eval(done.stdout)
    by_name = {calls[found]: error for found, error in said.items()}
    assert set(by_name.values()) <= {"EPERM", "ENOSYS", errno.errorcode[errno.EOPNOTSUPP]}, by_name
    assert by_name["mount"] == by_name["bpf"] == by_name["ptrace"] == by_name["io_uring_setup"] == "EPERM"
    assert by_name["clone3"] == "ENOSYS"


def test_threads_and_processes_start_without_clone3() -> None:
    done = filtered(
        """
        import threading
        thread = threading.Thread(target=print, args=("thread",), kwargs={{"flush": True}})
        thread.start()
        thread.join()
        if os.fork() == 0:
            print("child", flush=True)
            os._exit(0)
        os.wait()
        """
    )
    assert done.stdout.split() == ["thread", "child"], done.stderr


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        pytest.param("ioctl", (0, 0x5412, 0), id="type-into-a-terminal"),
        pytest.param("ioctl", (0, 0x5412 | 1 << 40, 0), id="type-into-a-terminal-with-upper-bits"),
        pytest.param("clone", (0x10000000 | 17, 0, 0, 0, 0), id="clone-with-a-user-namespace"),
        pytest.param("personality", (0x0040000,), id="no-address-randomisation"),
        pytest.param("socket", (2, 3, 1), id="raw-socket"),
        pytest.param("socket", (2, 1, 132), id="sctp"),
        pytest.param("socket", (16, 3, 12), id="netfilter"),
        pytest.param("mknodat", (-100, 0, 0x6000 | 0o600, 0), id="block-device"),
        pytest.param("seccomp", (1, 8, 0), id="a-listener-of-its-own"),
    ],
)
def test_arguments_are_refused_where_the_call_is_not(call: str, arguments: tuple[int, ...]) -> None:
    done = filtered("print(answer(*{words}))", words=(number(call, this_machine()), *arguments))
    assert done.stdout.strip() == "EPERM", done


def test_what_training_needs_is_not_refused() -> None:
    done = filtered(
        """
        import socket, tempfile
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                socket.socket(family, kind).close()
        socket.if_nameindex()
        with tempfile.TemporaryFile() as stream:
            os.fchmod(stream.fileno(), 0o600)
        print(os.sched_getaffinity(0) != set(), os.getpriority(os.PRIO_PROCESS, 0) >= -20)
        """
    )
    assert done.stdout.strip() == "True True", done.stderr


I386_GETPID = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret


@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls of i386 exist on x86_64 only")
def test_a_call_of_i386_ends_the_process_and_one_of_x32_is_not_there() -> None:
    assert filtered("print(answer(0x40000000 | 39), answer(-1))").stdout.split() == ["ENOSYS", "ENOSYS"]
    done = filtered(
        """
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write({code!r})
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        print("began", flush=True)
        ctypes.CFUNCTYPE(ctypes.c_long)(address)()
        print("went on")
        """,
        code=I386_GETPID,
    )
    assert done.stdout.split() == ["began"]
    # SIGSYS from the filter, or SIGSEGV where the kernel has no 32-bit calls at all.
    assert -done.returncode in (31, 11)
