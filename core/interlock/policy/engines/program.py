"""Running one program to its end, with a deadline over all of it and a limit on what it may say.

The program gets no environment, its own process group and its own session; at the deadline the whole group is killed.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from interlock.gate.errors import PolicyError
from interlock.policy.engines.question import shown

_MEMORY = 4 * 1024**3
_CHUNK = 1 << 16
_ERROR_TAIL = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A program that came to its end.

    Args:
        status: Exit status; negative for the signal that killed it.
        output: Standard output, unverified bytes.
        complaints: The end of standard error, for people.
    """

    status: int
    output: bytes
    complaints: str


def run_to_end(
    command: Sequence[str], *, body: bytes = b"", seconds: float, limit: int, folder: Path = Path("/")
) -> Finished:
    """Run `command`, give it `body` on standard input, and take what it prints.

    Args:
        command: Program, by its whole path, and arguments.
        body: For standard input.
        seconds: From its start to its end.
        limit: Bytes that it may print.
        folder: Where it runs.

    Raises:
        PolicyError: It cannot be started, does not end in time, or prints more.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=folder,
            env={"LC_ALL": "C.UTF-8", "GOTRACEBACK": "none"},
            start_new_session=True,
        )
    except OSError as error:
        raise PolicyError(
            f"the opa program does not start: {error.strerror}", where=command[0], next_step="check opa_binary"
        ) from error
    with process:
        try:
            _confine(process.pid)
            return _Talk(process, command[0], body, limit=limit).until(time.monotonic() + seconds, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _confine(process: int) -> None:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            resource.prlimit(process, resource.RLIMIT_CORE, (0, 0))


class _Talk:
    """Both directions of one program, served by one selector: neither side can make the other wait for ever."""

    def __init__(self, process: subprocess.Popen[bytes], program: str, body: bytes, *, limit: int) -> None:
        self._process = process
        self._program = program
        self._unsent = memoryview(body)
        self._limit = limit
        self._output = bytearray()
        self._complaints = b""

    def until(self, moment: float, seconds: float) -> Finished:
        with selectors.DefaultSelector() as selector:
            for pipe, events in self._pipes():
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, events)
            while selector.get_map():
                left = moment - time.monotonic()
                if left <= 0:
                    raise _too_slow(seconds, self._program)
                for key, _ in selector.select(left):
                    pipe = cast("IO[bytes]", key.fileobj)
                    if self._ends(pipe):
                        selector.unregister(pipe)
                        pipe.close()
        try:
            status = self._process.wait(timeout=max(0.0, moment - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise _too_slow(seconds, self._program) from error
        return Finished(status=status, output=bytes(self._output), complaints=shown(self._complaints.strip()))

    def _pipes(self) -> list[tuple[IO[bytes], int]]:
        found = (self._process.stdin, self._process.stdout, self._process.stderr)
        ways = (selectors.EVENT_WRITE, selectors.EVENT_READ, selectors.EVENT_READ)
        return [(pipe, way) for pipe, way in zip(found, ways, strict=True) if pipe is not None]

    def _ends(self, pipe: IO[bytes]) -> bool:
        """Serve one pipe; whether it has come to its end."""
        if pipe is self._process.stdin:
            return self._sent(pipe)
        try:
            chunk = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if pipe is self._process.stderr:
            self._complaints = (self._complaints + chunk)[-_ERROR_TAIL:]
        else:
            self._output += chunk
            if len(self._output) > self._limit:
                raise PolicyError(f"the policy engine's answer is larger than {self._limit} bytes")
        return not chunk

    def _sent(self, pipe: IO[bytes]) -> bool:
        try:
            sent = os.write(pipe.fileno(), self._unsent[:_CHUNK]) if self._unsent else 0
        except BlockingIOError:
            return False
        except BrokenPipeError:  # it does not read its input; what it says of that comes on the other pipes
            return True
        self._unsent = self._unsent[sent:]
        return not self._unsent


def _too_slow(seconds: float, program: str) -> PolicyError:
    return PolicyError(f"the policy engine did not answer within {seconds:g} seconds", where=program)
