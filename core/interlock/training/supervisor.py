"""Processes below a process: counting them, and a parent that leaves none of them behind.

This file is also run as a script by the `rlimits` level, by path and before any site-packages (``python -I -S``), so
it imports the standard library only. What it guarantees: when it ends, for whatever reason but SIGKILL, no descendant
of it is alive, because orphans come back to it (``PR_SET_CHILD_SUBREAPER``, prctl(2)) instead of to init.
"""

from __future__ import annotations

import marshal
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False  # json, pathlib and typing would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def tasks_below(pid: int) -> Iterator[tuple[int, int]]:
    """Walk the living descendants of `pid`: each one's process id and how many threads it has.

    A walk over moving ground: what starts or ends meanwhile may be missed, so callers repeat it.
    """
    parents = [pid]
    while parents:
        parent = parents.pop()
        for child in _children(parent):
            parents.append(child)
            yield child, max(1, len(_threads(child)))


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 (the names are wanted)
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in _threads(pid):
        try:
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as listed:  # noqa: PTH123
                found += map(int, listed.read().split())
        except OSError:
            continue
    return found


def _prctl(option: int, value: int) -> None:
    import ctypes  # here, because who only starts supervisors imports this module, too

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) was refused")


def _end_all() -> None:
    """Kill every descendant until there is none; new ones come out of dying ones, hence the repetition."""
    me = os.getpid()
    while True:
        for pid, _count in tasks_below(me):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        # Never a blocking wait: an orphan on its way to this process may have been missed by the walk.
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        time.sleep(0.002)


def _on_terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_all()
    os._exit(128 + signal.SIGTERM)


def _become(job: dict[str, Any]) -> NoReturn:
    """In the child: its own session, its limits, then the program."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for name, value in job["limits"].items():
            limit_process(0, name, value)
        os.umask(0o077)
        if job["plan"] is not None:
            _launcher().launch(job["plan"])
        os.chdir(job["cwd"])
        os.execve(job["argv"][0], job["argv"], job["environment"])  # noqa: S606 (no shell is the point)
    except OSError as error:
        os.write(2, f"interlock: the command could not be started: {error}\n".encode())
        os._exit(127)


def _launcher() -> Any:
    """The module beside this file, where an isolated interpreter does not look by itself."""
    sys.dont_write_bytecode = True
    sys.path.append(os.path.dirname(__file__))  # noqa: PTH120
    return __import__("launcher")


def limit_process(pid: int, name: str, value: int) -> None:
    """Lower one resource limit of `pid` (0: this process); a limit is never raised.

    Args:
        pid: Whose limit.
        name: As in `resource`, for example ``RLIMIT_CORE``.
        value: The new soft and hard limit.

    Raises:
        OSError: The process is gone or another user's.
    """
    kind = getattr(resource, name)
    _, hard = resource.prlimit(pid, kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # At the hard limit the kernel sends SIGKILL, which says nothing; at the soft one SIGXCPU, which says why.
    resource.prlimit(pid, kind, (bound, bound + 1 if kind == resource.RLIMIT_CPU and bound != hard else bound))


def main() -> int:
    """Read the job from standard input, run it, and leave nothing behind.

    Returns:
        The program's exit status, or 128 and the number of the signal that ended it.
    """
    job = marshal.load(sys.stdin.buffer)  # noqa: S302 (who started this process wrote it)
    signal.signal(signal.SIGTERM, _on_terminate)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # SIGTERM, not SIGKILL: this process still has to end its descendants when Interlock dies.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != job["parent"]:
        return 128 + signal.SIGTERM
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    child = os.fork()
    if child == 0:
        _become(job)
    status = 0
    while True:
        pid, ended = os.waitpid(-1, 0)
        if pid == child:
            status = ended
            break
    _end_all()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
