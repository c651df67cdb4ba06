"""How a job's program is started in bubblewrap: by the launcher, or in an image by bubblewrap itself.

The launcher is a Python program. An image brings its own Python or none, and it is not trusted, so there bubblewrap
loads the same filter (``--seccomp``) and what it refuses stays untold.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.training.confine import confined, writable
from interlock.training.events import SECRET
from interlock.training.handover import descriptors
from interlock.training.listener import Watch
from interlock.training.sandbox import Ended, Folders, Job
from interlock.training.seccomp import Confinement, program, rules
from interlock.training.syscalls import this_machine

_UNTOLD = "a filter that bubblewrap itself loads, as for an image, does not tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What bubblewrap is told besides what it shows.

    Args:
        options: Further options.
        command: What it starts.
        descriptors: What that inherits.
        followed: Calls the function that follows the started job to its end, and adds what was refused.
    """

    options: tuple[str, ...]
    command: tuple[str, ...]
    descriptors: tuple[int, ...]
    followed: Callable[[Callable[[], Ended]], Ended]


@contextmanager
def start(job: Job, inside: Folders, *, launcher: Path, secrets: dict[str, int]) -> Iterator[Start]:
    """Make what the start of `job` takes.

    Args:
        job: What to run.
        inside: Where it sees its folders.
        launcher: Where the launcher is shown.
        secrets: Descriptors by the names of the secrets.

    Raises:
        UnavailableError: There is no filter for this machine.
    """
    of_level = rules(Confinement.NAMESPACES)
    machine = this_machine()
    if job.root is not None:
        with descriptors({"filter": program(of_level, machine, heard=False)}) as made:
            yield _by_bubblewrap(job, made["filter"], secrets)
        return
    shown = (inside.out, inside.scratch, Path("/dev/shm"), inside.events, inside.checkpoints)  # noqa: S108
    places = writable(job, *(os.fspath(path) for path in shown if path is not None))
    watched = Watch(rules=of_level, machine=machine, writable=places)
    with confined(job, watched, secrets=secrets) as launch:
        command = (sys.executable, "-I", "-S", os.fspath(launcher), str(launch.plan))
        yield Start(options=(), command=command, descriptors=launch.descriptors, followed=launch.followed)


def _by_bubblewrap(job: Job, loaded: int, secrets: dict[str, int]) -> Start:
    variables = (*job.environment, *((SECRET + name, str(number)) for name, number in secrets.items()))
    return Start(
        options=(
            *(word for name, value in variables for word in ("--setenv", name, value)),
            *("--chdir", os.fspath(job.working_folder), "--seccomp", str(loaded)),
        ),
        command=job.argv,
        descriptors=(loaded, *secrets.values()),
        followed=lambda follow: replace(follow(), unwatched=_UNTOLD),
    )
