"""One piece of work in a process of its own that is forked from this one: what it answers, or how it ended.

The work runs an author's code, which may do anything: end the process, print, start others, never return. Its answer
therefore comes by a pipe of its own with a word that was drawn for it, its standard streams lead nowhere, its whole
offspring is ended after it, and only a whole answer with that word counts. Code that looks for the pipe and the word in
its own process will find them: this keeps accidents out, not intent.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import secrets
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from interlock.gate.errors import SubjectError, UnavailableError
from interlock.gate.values import Json
from interlock.training.supervisor import tasks_below

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MEMORY = 4 << 30
"""Bytes of data that one file may take while it is loaded."""
_WRITES = 1 << 30
"""Bytes of one file that it may write."""
MAX_ANSWER = 64 << 20
_TICK = 0.02


class TooLongError(SubjectError):
    """The work did not end in its time."""


class NoAnswerError(SubjectError):
    """The process ended without an answer that counts."""


class FailedError(SubjectError):
    """The work raised; `what` is its last line.

    Args:
        trace: The traceback, untrusted.
    """

    def __init__(self, what: str, *, trace: str = "") -> None:
        super().__init__(what)
        self.trace = trace


def inherit_orphans() -> None:
    """Let what the forked processes leave behind come back to this process, and end with the one that started it.

    Raises:
        UnavailableError: This Linux refuses it.
    """
    signal.signal(signal.SIGTERM, _on_terminate)
    if _LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def in_a_fork(
    work: Callable[[], Json], *, seconds: float, environ: Mapping[str, str], private: tuple[int, ...] = ()
) -> Json:
    """Do `work` in a fork of this process.

    Args:
        work: Returns what can be written as JSON.
        seconds: After which it is ended.
        environ: Variables that it gets besides this process's own.
        private: File descriptors of this process that it must not have.

    Returns:
        What `work` returned, as that process says it; untrusted.

    Raises:
        TooLongError: It did not end in time.
        FailedError: `work` raised.
        NoAnswerError: The process ended in any other way.
    """
    word = secrets.token_hex(16)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(work, write, word, environ, (*private, read))
    os.close(write)
    try:
        answer = _read_answer(read, child, seconds)
    finally:
        os.close(read)
        end_offspring(child)
    return _checked(answer, word)


def end_offspring(child: int) -> None:
    """End `child` and all that came of it; new ones come out of dying ones, hence the repetition."""
    while True:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        if _LINUX:
            for pid, _threads in tasks_below(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        time.sleep(0.002)


def _be_the_child(
    work: Callable[[], Json], write: int, word: str, environ: Mapping[str, str], private: tuple[int, ...]
) -> NoReturn:
    leave, dump, send = os._exit, json.dumps, os.write  # before the author's code can replace them
    answer: dict[str, Any]
    try:
        _settle(private)
        os.environ.update(environ)
        answer = {"word": word, "seen": work()}
        text = dump(answer)
    except BaseException as error:  # noqa: BLE001  # SystemExit and the like are an author's, too
        text = dump({"word": word, "failed": _last_line(error), "trace": getattr(error, "trace", "")})
    left = memoryview(text.encode())
    while left:
        left = left[send(write, left) :]
    leave(0)


def _settle(private: tuple[int, ...]) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for descriptor in private:
        os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    if _LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _limit(resource.RLIMIT_DATA, _MEMORY)
    _limit(resource.RLIMIT_FSIZE, _WRITES)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))


def _read_answer(read: int, child: int, seconds: float) -> bytes:
    """Until the child has ended: others may hold the pipe open, so its end says nothing."""
    found = bytearray()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        while select.select([read], [], [], 0 if ended else _TICK)[0]:
            chunk = os.read(read, 1 << 16)
            found += chunk
            if len(found) > MAX_ANSWER:
                raise NoAnswerError(f"its answer is longer than {MAX_ANSWER} bytes")
            if not chunk:
                if not ended:
                    time.sleep(_TICK)
                break
        if ended:
            if status:
                raise NoAnswerError(f"its process {_ending(os.waitstatus_to_exitcode(status))}")
            return bytes(found)
    raise TooLongError(f"it did not load within {seconds:g} seconds")


def _checked(answer: bytes, word: str) -> Json:
    silent = NoAnswerError("its process ended without an answer", next_step="leave out os._exit() at import")
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise silent from error
    if not isinstance(document, dict) or document.get("word") != word:
        raise silent
    if "failed" in document:
        raise FailedError(str(document["failed"]), trace=str(document.get("trace", "")))
    seen: Json = document.get("seen")
    return seen


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended by itself with exit status {status}"
    return f"was ended by {signal.Signals(-status).name}" if -status in set(signal.Signals) else "was ended by a signal"


def _last_line(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001  # an author's class may raise here, too
        text = ""
    lines = text.splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise UnavailableError(f"prctl({option}) was refused: {os.strerror(ctypes.get_errno())}")


def _on_terminate(_number: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _LINUX:
        for pid, _threads in tasks_below(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    raise SystemExit(128 + signal.SIGTERM)
