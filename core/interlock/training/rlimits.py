"""The level for machines without bubblewrap: resource limits, a cleared environment, no new privileges.

It ends what runs too long or takes too much, leaves no process behind and hands over no variable. It does **not** keep
code from the network, from other files of the same user, or from that user's other processes: the receipt says
``rlimits``, and policy decides whether that is enough.
"""

from __future__ import annotations

import marshal
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from interlock.gate import Tool, UnavailableError
from interlock.training.confine import Confined
from interlock.training.events import SECRET
from interlock.training.handover import descriptors
from interlock.training.sandbox import Availability, Ended, InPlace, Isolation, Job, Overseer, resource_limits
from interlock.training.watch import watch

_SUPERVISOR = Path(__file__).with_name("supervisor.py")


class RlimitsSandbox(InPlace):
    """Runs a job below a supervisor process that inherits its orphans and ends them."""

    @property
    def isolation(self) -> Isolation:
        """Resource limits only."""
        return Isolation.RLIMITS

    @property
    def level(self) -> str:
        """``rlimits``."""
        return self.isolation.value

    def probe(self) -> Availability:
        """Linux has all that it takes."""
        if sys.platform != "linux":
            return Availability(
                available=False, reason=f"{sys.platform} has no prctl", how_to_get="run the training on Linux"
            )
        return Availability(
            available=True,
            reason="weak: neither network nor files are isolated",
            how_to_get="apt-get install bubblewrap for a real sandbox",
            tools=(Tool(name="linux", version=platform.release()),),
        )

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        """Run `job`; see `Sandbox.run`.

        Raises:
            UnavailableError: The supervisor could not be started.
        """
        return run_supervised(job, on_line=on_line, overseer=overseer)


def run_supervised(
    job: Job, *, on_line: Callable[[str], None] | None, overseer: Overseer | None, launch: Confined | None = None
) -> Ended:
    """Run `job` below a supervisor.

    Args:
        job: What to run.
        on_line: As in `Sandbox.run`.
        overseer: As in `Sandbox.run`.
        launch: What confines it further; nothing when not given.

    Raises:
        UnavailableError: The supervisor could not be started.
        UsageError: The job's program could not be, where `launch` tells.
    """
    with ExitStack() as stack:
        secrets = stack.enter_context(descriptors(dict(job.secrets))) if launch is None else {}
        read, write = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, read)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", os.fspath(_SUPERVISOR)],
                stdin=subprocess.PIPE,
                stdout=write,
                stderr=write,
                pass_fds=launch.descriptors if launch else tuple(secrets.values()),
                env={},
                cwd="/",
            )
        except OSError as error:
            raise UnavailableError(f"a process cannot be started: {error}", where=sys.executable) from error
        finally:
            os.close(write)
        os.set_blocking(read, False)
        supervised = stack.enter_context(_Supervised(process, output=read))
        supervised.send(job, secrets, launch)
        if launch is None:
            ended = watch(supervised, job, on_line=on_line, overseer=overseer)
            return replace(ended, unwatched="nothing is refused at this level")
        return launch.followed(lambda: watch(supervised, job, on_line=on_line, overseer=overseer))


class _Supervised:
    """A supervisor at work."""

    def __init__(self, process: subprocess.Popen[bytes], *, output: int) -> None:
        self._process = process
        self.output = output
        self.root = process.pid
        self.exited = os.pidfd_open(process.pid)

    def __enter__(self) -> _Supervised:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        os.close(self.exited)

    def send(self, job: Job, secrets: Mapping[str, int], launch: Confined | None) -> None:
        """Tell the supervisor what to run, where the job finds its secrets, and what confines it."""
        limits = dict(resource_limits(job.limits))
        # The kernel counts all processes of the user here, not only the job's.
        limits["RLIMIT_NPROC"] += _tasks_of_user()
        document = {
            "parent": os.getpid(),
            "argv": job.argv,
            "environment": {**dict(job.environment), **{SECRET + name: str(at) for name, at in secrets.items()}},
            "cwd": os.fspath(job.working_folder),
            "limits": limits,
            "plan": launch.plan if launch else None,
        }
        stream = self._process.stdin
        if stream is not None:
            with suppress(BrokenPipeError), stream:
                stream.write(marshal.dumps(document))

    def end(self) -> None:
        """Ask the supervisor to end everything below it and itself."""
        # A supervisor that the job has stopped (SIGSTOP) would wait with the request for ever.
        with suppress(ProcessLookupError):
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)
        self._process.wait()

    def wait(self) -> int:
        """The job's status, as the supervisor ends with it."""
        status = self._process.wait()
        return status if status >= 0 else 128 - status


def _tasks_of_user() -> int:
    count = 0
    with os.scandir("/proc") as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                    # A folder has a link to itself, one in its parent, and one in each folder below it.
                    count += Path(entry.path, "task").stat().st_nlink - 2
    return count
