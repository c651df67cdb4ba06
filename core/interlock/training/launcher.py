"""The last step before a job's own program: takes powers away from this process, then becomes the program.

Run as a script by path (``python -I -S``) inside bubblewrap, and loaded by `supervisor` at the Landlock level, it
imports built-in modules and ctypes only: it starts in about 15 ms. It decides nothing. The filter and the
Landlock rules are made outside and come with the command in one descriptor, so that nothing of the job's environment
(``LD_PRELOAD``) acts before the powers are gone.

To who started it, it says over a socket what became of the filter: ``heard`` with the descriptor that tells of refused
calls (seccomp_unotify(2)); or ``unheard`` and why, in which case the same calls are refused in silence; or
``unconfined`` and why, if the kernel does not take away what has to go. Then it says ``failed`` and why, if the program
could not be started. The socket closes when it was.
"""

from __future__ import annotations

import _socket
import ctypes
import marshal
import os
import sys

TYPE_CHECKING = False  # `typing` itself would take half of the time to start
if TYPE_CHECKING:
    from typing import Any, NoReturn

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
_LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF, _PATH_BENEATH = 445, 446, 1
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5
_CAPABILITIES_VERSION_3 = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """``struct sock_fprog`` (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class _PathBeneath(ctypes.Structure):
    """``struct landlock_path_beneath_attr`` (linux/landlock.h)."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def launch(descriptor: int) -> NoReturn:
    """Carry out the plan that `descriptor` holds; on any failure this process ends with status 127.

    Args:
        descriptor: File with a `marshal`led plan of the same Python: ``argv``, ``environment``, ``cwd``, ``control``
            (descriptor of a socket), ``seccomp`` (number of that call), ``heard`` and ``unheard`` (filters),
            ``ruleset`` (descriptor of Landlock rules, or -1) and ``own_process`` (what those allow below /proc/self).
    """
    with open(descriptor, "rb") as stream:
        plan = marshal.load(stream)  # noqa: S302 (who started this process wrote it)
    control = _socket.socket(fileno=plan["control"])
    os.set_inheritable(plan["control"], False)  # noqa: FBT003 (positional only)
    step = "unconfined"
    try:
        _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        if plan["ruleset"] >= 0:
            _give_up_capabilities()
            _restrict(plan["ruleset"], plan["own_process"])
        _filter(control, plan)
        step = "failed"
        os.chdir(plan["cwd"])
        os.execve(plan["argv"][0], plan["argv"], plan["environment"])  # noqa: S606 (no shell is the point)
    except OSError as error:
        control.send(f"{step} {error.strerror}".encode())
        os._exit(127)


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


def _give_up_capabilities() -> None:
    """Root without capabilities is a user like any other, who happens to own many files."""
    capability = 0
    while _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    _checked(_LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION_3, 0)
    _checked(_LIBC.capset(header, (ctypes.c_uint32 * 6)()))


def _restrict(ruleset: int, own_process: int) -> None:
    """Add the one rule that only this process can write, its own folder in /proc, then follow the rules for good."""
    own = os.open("/proc/self", os.O_PATH | os.O_CLOEXEC)
    rule = _PathBeneath(own_process, own)
    _checked(_LIBC.syscall(_LANDLOCK_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    os.close(own)
    _checked(_LIBC.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _filter(control: _socket.socket, plan: dict[str, Any]) -> None:
    reason = ""
    # Waiting so that only a fatal signal interrupts needs Linux 5.19; listening at all, 5.0, and no listener before.
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        try:
            listener = _install(plan["seccomp"], flags, plan["heard"])
        except OSError as error:
            reason = error.strerror or ""
            continue
        rights = listener.to_bytes(4, sys.byteorder)
        control.sendmsg([b"heard"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        os.close(listener)
        return
    _install(plan["seccomp"], 0, plan["unheard"])
    control.send(f"unheard {reason}".encode())


def _install(number: int, flags: int, program: bytes) -> int:
    described = _Program(len(program) // 8, program)
    return _checked(_LIBC.syscall(number, _SET_MODE_FILTER, flags, ctypes.byref(described)))


if __name__ == "__main__":
    launch(int(sys.argv[1]))
