"""Hands a job to the launcher that confines it, and listens to what it is refused: what `bwrap` and Landlock share.

Decides nothing: which calls are refused is in `interlock.training.seccomp`.
"""

from __future__ import annotations

import marshal
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.gate import UnavailableError, UsageError
from interlock.training.events import SECRET
from interlock.training.handover import descriptors
from interlock.training.landlock import READ
from interlock.training.listener import Listener, Watch
from interlock.training.sandbox import Ended, Job
from interlock.training.seccomp import program
from interlock.training.syscalls import number

LAUNCHER = Path(__file__).with_name("launcher.py")
"""Confines itself, then becomes the job's program; run by path."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
"""What every program may write."""

# What is written through them is open already, or the job's own.
_OPEN_ALREADY = ("/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd", "/dev/tty", "/dev/ptmx", "/dev/pts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """A job that is ready to be launched.

    Args:
        plan: Descriptor that `launcher` takes its orders from.
        descriptors: All that the launcher has to inherit.
    """

    plan: int
    descriptors: tuple[int, ...]
    _ours: socket.socket
    _theirs: socket.socket
    _watch: Watch
    _program: str

    def followed(self, follow: Callable[[], Ended]) -> Ended:
        """Listen while `follow` follows the started job to its end, which then says what was refused, too.

        Raises:
            UnavailableError: The kernel does not take the filter or the rules.
            UsageError: The program could not be started.
        """
        self._theirs.close()
        listener = Listener(self._ours, self._watch)
        try:
            ended = follow()
        finally:
            heard = listener.end()
        if heard.unconfined:
            raise UnavailableError(f"the kernel does not confine the job: {heard.unconfined}", where=self._program)
        if heard.failed:
            raise UsageError(
                f"the training's program cannot be started in the sandbox: {heard.failed}",
                where=self._program,
                next_step="make it executable, and name its folder in `code` or `visible`",
            )
        return replace(ended, refused=heard.refused, unwatched=heard.unheard)


@contextmanager
def confined(job: Job, watch: Watch, *, secrets: dict[str, int], ruleset: int = -1) -> Iterator[Confined]:
    """Make what the launcher needs.

    Args:
        job: What to run.
        watch: The rules, and what to go by when one is asked about.
        secrets: Descriptors by the names of the secrets.
        ruleset: Descriptor of Landlock rules; -1 where there are none.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        variables = {SECRET + name: str(descriptor) for name, descriptor in secrets.items()}
        orders = {
            "argv": list(job.argv),
            "environment": dict(job.environment) | variables,
            "cwd": os.fspath(job.working_folder),
            "control": theirs.fileno(),
            "seccomp": number("seccomp", watch.machine),
            "heard": program(watch.rules, watch.machine, heard=True),
            "unheard": program(watch.rules, watch.machine, heard=False),
            "ruleset": ruleset,
            "own_process": int(READ),
        }
        with descriptors({"plan": marshal.dumps(orders)}) as made:
            rules = (ruleset,) if ruleset >= 0 else ()
            yield Confined(
                plan=made["plan"],
                descriptors=(made["plan"], theirs.fileno(), *rules, *secrets.values()),
                _ours=ours,
                _theirs=theirs,
                _watch=watch,
                _program=job.argv[0],
            )


def writable(inside: Job, *further: str) -> tuple[str, ...]:
    """What a job may write besides `further`, by the paths that it sees."""
    return (*DEVICES, *_OPEN_ALREADY, *map(os.fspath, inside.devices), *further)
