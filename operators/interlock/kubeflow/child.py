"""The step behind a guard: its own command, as a child that gets the guard's signals, and whose end is the guard's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def say(line: str) -> None:
    """A line of the guard's own in the step's log."""
    sys.stderr.write(f"interlock guard: {line}\n")
    sys.stderr.flush()


def run_child(command: Sequence[str]) -> int:
    """Run a command to its end, and forward to it what the orchestrator sends to this process.

    Args:
        command: What to run; its standard streams are those of this process.

    Returns:
        Its exit status; 128 and the signal's number when one killed it, 126 or 127 when it could not be started, as
        shells have it.
    """
    with _forwarding() as child:
        try:
            started = subprocess.Popen(list(command))
        except FileNotFoundError:
            say(f"{command[0]} is not in this image")
            return 127
        except OSError as error:
            say(f"{command[0]} cannot be started: {error.strerror}")
            return 126
        child.take(started)
        status = started.wait()
    return 128 - status if status < 0 else status


class _Child:
    """Who gets the signals; those that came before it was there are kept for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def take(self, process: subprocess.Popen[bytes]) -> None:
        """From now on `process` gets them."""
        self._process = process
        while self._early:
            process.send_signal(self._early.pop(0))

    def send(self, number: int, _frame: FrameType | None) -> None:
        """A signal's handler."""
        if self._process is None:
            self._early.append(number)
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


@contextmanager
def _forwarding() -> Iterator[_Child]:
    child = _Child()
    before = {number: signal.signal(number, child.send) for number in _FORWARDED}
    try:
        yield child
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
