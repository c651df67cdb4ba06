"""One spawned helper, its three pipes, and a deadline over everything that is said through them.

All pipes are served by one `poll`: an input larger than a pipe, a helper that fills standard error, one that says
nothing and one that says too much all end at the deadline or at the size limit, never in a hang.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.engines.install import Library

WORKER = Path(__file__).with_name("opa_worker.py")
_CHUNK = 1 << 16
_ERROR_TAIL = 4096
# Go collects its garbage after each few questions, with a second processor's help; less often is a fifth less work for
# 6 MB more, and the limit makes it frequent again where a document is large.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "GOTRACEBACK": "none", "GOGC": "400", "GOMEMLIMIT": "1GiB"}


class Helper:
    """A running helper process. Not thread safe; its engine holds a lock.

    Args:
        command: Program and arguments; it gets none of this process's environment.
        answer_limit: Bytes that one answer may have.
    """

    def __init__(self, command: tuple[str, ...], *, answer_limit: int) -> None:
        self.owner = os.getpid()
        self._limit = answer_limit
        self._said = bytearray()
        self._complaints = b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
        self._pipes = [self._process.stdin, self._process.stdout, self._process.stderr]
        self._in, self._out, self._err = (pipe.fileno() for pipe in self._pipes if pipe is not None)
        for descriptor in (self._in, self._out, self._err):
            os.set_blocking(descriptor, False)

    @property
    def process_id(self) -> int:
        """Of the helper, or of the bubblewrap around it."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs, as far as the kernel says."""
        return self._process.poll() is None

    def exchange(self, message: bytes, *, seconds: float) -> Json:
        """Send `message` and read one line of JSON.

        Raises:
            PolicyError: Deadline passed, helper gone, answer too large or no JSON. The helper must then be killed,
                because nobody knows to which question its next line would belong.
        """
        until = time.monotonic() + seconds
        unsent = memoryview(message)
        while not self._said.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0:
                raise PolicyError(f"the policy engine did not answer within {seconds:g} seconds")
            unsent = self._turn(unsent, left)
        line, self._said = bytes(self._said), bytearray()
        try:
            answer: Json = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise PolicyError(f"the policy engine's answer is no JSON: {error}", where=_shown(line)) from error
        return answer

    def kill(self) -> None:
        """End the helper with everything it started, and wait for it."""
        if self.owner == os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close this process's ends of the pipes; in a forked child the helper stays the parent's."""
        for pipe in self._pipes:
            if pipe is not None:
                pipe.close()
        if self._process.returncode is None:
            self._process.returncode = 0  # otherwise `Popen` warns that it still runs, which is the parent's business

    def _turn(self, unsent: memoryview, seconds: float) -> memoryview:
        """Wait for one of the pipes and serve it; returns what is still to be sent."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        poll.register(self._err, select.POLLIN)
        if unsent:
            poll.register(self._in, select.POLLOUT)
        for descriptor, _ in poll.poll(seconds * 1000):
            if descriptor == self._in:
                unsent = unsent[self._send(unsent) :]
            elif descriptor == self._err:
                self._complaints = (self._complaints + self._receive(descriptor))[-_ERROR_TAIL:]
            else:
                self._take_answer()
        return unsent

    def _take_answer(self) -> None:
        chunk = self._receive(self._out)
        if not chunk:
            raise PolicyError("the policy engine's helper died", where=self.complaints())
        self._said += chunk
        if len(self._said) > self._limit:
            raise PolicyError(f"the policy engine's answer is larger than {self._limit} bytes")

    def complaints(self) -> str:
        """The end of what the helper wrote to standard error."""
        with contextlib.suppress(PolicyError):
            self._complaints = (self._complaints + self._receive(self._err))[-_ERROR_TAIL:]
        return _shown(self._complaints.strip())

    def _send(self, unsent: memoryview) -> int:
        try:
            return os.write(self._in, unsent[:_CHUNK])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise PolicyError("the policy engine's helper died", where=self.complaints()) from error

    def _receive(self, descriptor: int) -> bytes:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PolicyError(f"the policy engine's pipe broke: {error.strerror}") from error


def start_helper(library: Library, *, seconds: float, answer_limit: int) -> tuple[Helper, Mapping[str, Json]]:
    """Start a helper as isolated as this machine lets it be.

    Args:
        library: What it shall load.
        seconds: How long it may take until it says that it is ready.
        answer_limit: See `Helper`.

    Returns:
        The helper, and what it said of itself: ``version`` of OPA, ``isolation`` (``bwrap`` or ``process``) and
        ``network`` (``none`` or ``host``).

    Raises:
        PolicyError: It does not start; the message holds what it said last.
    """
    refusals: list[str] = []
    for isolation, command in _commands(library):
        helper = Helper(command, answer_limit=answer_limit)
        try:
            hello = helper.exchange(b"", seconds=seconds)
            if isinstance(hello, Mapping) and hello.get("ready") is True:
                return helper, {**hello, "isolation": isolation}
            fatal = hello.get("fatal", hello) if isinstance(hello, Mapping) else hello
            refusals.append(str(fatal))
        except PolicyError as error:
            refusals.append(str(error))
        except BaseException:
            helper.kill()
            raise
        helper.kill()
    raise PolicyError(f"the policy engine does not start: {refusals[-1]}", where=str(library.path))


def _commands(library: Library) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The ways to start a helper, the best isolated first."""
    python = os.path.realpath(sys.executable)
    worker = (python, "-I", "-S", str(WORKER), str(library.path), ",".join(library.accepted) or "-")
    bwrap = shutil.which("bwrap")
    if bwrap:
        visible = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", sys.base_prefix, python, str(WORKER))
        binds = [part for path in (*visible, str(library.path)) for part in ("--ro-bind-try", path, path)]
        lone = ("--unshare-all", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev", "--hostname", "policy")
        yield "bwrap", (bwrap, *lone, *binds, "--", *worker)
    yield "process", worker


def _shown(text: bytes) -> str:
    return text[-200:].decode("utf-8", "replace").strip()
