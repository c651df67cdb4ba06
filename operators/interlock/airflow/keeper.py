"""Keeps one process of an `AirflowStack` and everything it starts, and leaves nothing behind.

Run as a script, never imported by Airflow: ``python -I keeper.py PARENT_PID GRACE_SECONDS COMMAND...``. The keeper

- makes itself the subreaper of its descendants (Linux ``prctl(2)``), so that a task process whose own parent died is
  still found;
- ends them when it gets SIGTERM, when its parent has gone, or when the command itself ends: SIGTERM to the command,
  which knows how to stop its children; after the grace period SIGTERM to all that is left; then SIGKILL;
- exits with the status of the command.

The parent is watched by its process id rather than by ``PR_SET_PDEATHSIG``, because that signal comes when the
*thread* that started the process ends. The command itself does get ``PR_SET_PDEATHSIG``: it must not outlive a keeper
that somebody killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TICK = 0.1


class _Stop:
    """Set by SIGTERM and SIGINT."""

    asked = False

    @classmethod
    def ask(cls, _number: int, _frame: FrameType | None) -> None:
        cls.asked = True


def keep(command: list[str], *, parent: int, grace: float) -> int:
    """Run `command` until it ends, `parent` goes, or a signal asks to stop; return its exit status.

    Args:
        command: Program and arguments.
        parent: Process id whose death ends the command.
        grace: Seconds to stop in before SIGKILL.
    """
    signal.signal(signal.SIGTERM, _Stop.ask)
    signal.signal(signal.SIGINT, _Stop.ask)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = _start(command)
    status: int | None = None
    while status is None and not _Stop.asked and os.getppid() == parent:
        time.sleep(TICK)
        status = _reap(child)
    return _end(child, status, grace)


def _start(command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setpgid(0, 0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.execvp(command[0], command)  # noqa: S606 (a fixed argument list from the stack)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _reap(child: int) -> int | None:
    """Collect ended descendants; return the status of `child` if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = os.waitstatus_to_exitcode(status)


def _end(child: int, status: int | None, grace: float) -> int:
    if status is None:
        _signal(child, signal.SIGTERM)
    started = time.monotonic()
    told_all = False
    while status is None or _descendants(child):
        passed = time.monotonic() - started
        if passed > grace:
            for pid in _descendants(child):
                _signal(pid, signal.SIGKILL)
        elif not told_all and (status is not None or passed > grace / 2):
            told_all = True
            for pid in _descendants(child):
                _signal(pid, signal.SIGTERM)
        time.sleep(TICK)
        ended = _reap(child)
        status = ended if ended is not None else status
    return status if status >= 0 else 128 - status


def _descendants(child: int) -> set[int]:
    """All live processes below the keeper; without /proc only the command's process group can be asked for."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(child, 0)
        except OSError:
            return set()
        return {-child}
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except (OSError, IndexError, ValueError):
                continue  # it ended while we looked
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found = {os.getpid()}
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found - {os.getpid()}


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(keep(sys.argv[3:], parent=int(sys.argv[1]), grace=float(sys.argv[2])))
