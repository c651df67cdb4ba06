"""Keeps one process of an `AirflowStack` and everything it starts, and leaves nothing behind.

Run as a script, never imported by Airflow: ``python -I keeper.py PARENT_PID GRACE_SECONDS COMMAND...``. The keeper

- makes itself the subreaper of its descendants (Linux ``prctl(2)``), so that a task process whose own parent died is
  still found;
- ends them when it gets SIGTERM, when its parent has gone, or when the command itself ends: SIGTERM to the command,
  which knows how to stop its children; then SIGTERM to all that is left, half-way through the grace period or as soon
  as the command has ended; SIGKILL at its end, or `ORPHAN_GRACE` seconds after the command did;
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
ORPHAN_GRACE = 2.0
"""Seconds for what is left when the command has ended: nobody waits for its work any more."""


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
    now = time.monotonic()
    tell_all_at, kill_at = now + grace / 2, now + grace
    told_all = False
    while status is None or _descendants(child):
        now = time.monotonic()
        if status is not None and not told_all:
            tell_all_at, kill_at = now, min(kill_at, now + ORPHAN_GRACE)
        if now >= kill_at:
            _signal_all(child, signal.SIGKILL)
        elif now >= tell_all_at and not told_all:
            told_all = True
            _signal_all(child, signal.SIGTERM)
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


def _signal_all(child: int, number: signal.Signals) -> None:
    for pid in _descendants(child):
        _signal(pid, number)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(keep(sys.argv[3:], parent=int(sys.argv[1]), grace=float(sys.argv[2])))
