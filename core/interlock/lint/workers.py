"""The workers, seen from the command: started, asked with a deadline, ended with all that came of them.

Which module knows which kind of file is a table. A worker that dies or does not answer costs the file that it was
asked about, and no other: the next file gets a new one.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from interlock.gate.errors import InterlockError, SettingsError, UnavailableError
from interlock.gate.values import Json
from interlock.lint.forked import MAX_ANSWER

KINDS = {"airflow": "interlock.airflow_plugin.linting", "kubeflow": "interlock.kubeflow_plugin.linting"}
"""Kind of file to the module that is run as its worker (`interlock.lint.serving`)."""

_STARTING = 300.0
"""Seconds that a worker may take to import its orchestrator."""
_ENDING = 5.0
"""Seconds that a worker has to end by itself, and then to end its offspring."""
_GRACE = 15.0
"""Seconds that a worker has on top of its own deadlines."""
_KEPT_BACK = ("INTERLOCK_SIGNER", "INTERLOCK_LEDGER_URL", "INTERLOCK_OPA_TOKEN_FILE")
"""Variables that no worker needs, because none of them signs, stores or decides."""


class WorkerError(UnavailableError):
    """The worker ended, or did not answer in time."""


class Worker:
    """One worker process; use it as a context manager, from one thread.

    Args:
        kind: One of `KINDS`.
        environ: Variables that it gets besides this process's own.
    """

    def __init__(self, kind: str, environ: Mapping[str, str]) -> None:
        read, write = os.pipe()
        asked, self._requests = os.pipe()
        self._answers = read
        self._buffer = b""
        kept = {name: value for name, value in os.environ.items() if name not in _KEPT_BACK}
        try:
            self._process = subprocess.Popen(
                # -P: no folder of whoever calls goes before the installed modules.
                [sys.executable, "-P", "-m", KINDS[kind], str(write)],
                stdin=asked,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(write,),
                start_new_session=True,
                env=kept | dict(environ),
            )
        except OSError as error:
            os.close(read)
            os.close(self._requests)
            raise WorkerError(f"a process cannot be started: {error}", where=sys.executable) from error
        finally:
            os.close(write)
            os.close(asked)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Wait until it is ready.

        Raises:
            SettingsError: It cannot work here, for example because the orchestrator is not installed.
            WorkerError: It ended, or was not ready in time.
        """
        answer = self._read(_STARTING)
        if answer.get("ready") is not True:
            raise _told(answer, SettingsError)

    def ask(self, request: Mapping[str, Json], *, seconds: float) -> Mapping[str, Any]:
        """Ask one thing.

        Args:
            request: As `interlock.lint.serving` reads it.
            seconds: That the answer may take, besides some grace.

        Raises:
            InterlockError: What the worker says went wrong.
            WorkerError: It ended, or did not answer in time; it is of no use any more.
        """
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise WorkerError("the worker process has ended") from error
        answer = self._read(seconds + _GRACE)
        if "error" in answer:
            raise _told(answer, InterlockError)
        return answer

    def close(self) -> None:
        """End it, and all that came of it."""
        os.close(self._requests)  # without requests it ends by itself
        for signalled in (signal.SIGTERM, signal.SIGKILL):
            try:
                self._process.wait(timeout=_ENDING)
                break
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signalled)
        self._process.wait()
        os.close(self._answers)

    def _read(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise WorkerError("the worker process did not answer in time")
            chunk = os.read(self._answers, 1 << 20)
            if not chunk:
                raise WorkerError("the worker process has ended", next_step="look for what ended it: memory, a signal")
            self._buffer += chunk
            if len(self._buffer) > 2 * MAX_ANSWER:
                raise WorkerError("the worker's answer is too long")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise WorkerError("the worker's answer cannot be read") from error
        if not isinstance(answer, dict):
            raise WorkerError("the worker's answer is no object")
        return answer


class Crew:
    """The workers that one thread drives, one for each kind of file, started when a file first needs it.

    Args:
        environ: Variables that they get besides this process's own.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for known in list(self._workers):
            self.dismiss(known)

    def of(self, kind: str) -> Worker:
        """The worker for a kind of file.

        Raises:
            SettingsError: It cannot work here, for example because the orchestrator is not installed.
            WorkerError: It ended, or was not ready in time.
        """
        if kind not in self._workers:
            worker = Worker(kind, self._environ)
            try:
                worker.start()
            except BaseException:
                worker.close()
                raise
            self._workers[kind] = worker
        return self._workers[kind]

    def dismiss(self, kind: str) -> None:
        """End a worker; the next file of its kind gets a new one."""
        self._workers.pop(kind).close()


def _told(answer: Mapping[str, Any], kind: type[InterlockError]) -> InterlockError:
    error = answer.get("error")
    said = error if isinstance(error, dict) else {}
    return kind(
        str(said.get("what", "the worker did not say what is wrong")),
        where=str(said.get("where", "")),
        next_step=str(said.get("next_step", "")),
    )
