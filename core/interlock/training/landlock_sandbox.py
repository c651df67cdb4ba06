"""The level for machines where namespaces are off: Landlock's access rules and a system call filter.

The code runs among the host's processes and on its file system, and is kept from them: it reads the system's libraries,
Python, its data and its code, writes its output and its temporary folder, opens no socket, signals and traces nobody
outside, has no capability even when it is run by root, and gains no privileges. What it may not touch it can still see
the names and sizes of (stat(2)), and there is no shared memory: `/dev/shm` is the whole machine's, so data loaders with
worker processes and training on several processes need `bwrap`.

Below stands the supervisor of the `rlimits` level, which Landlock keeps the code from ending (Linux 6.12).
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from interlock.gate import InterlockError, Tool
from interlock.training.attributes import change
from interlock.training.bwrap import SYSTEM_FILES, SYSTEM_FOLDERS, python_folders, refuse_wide
from interlock.training.confine import DEVICES, confined, writable
from interlock.training.handover import descriptors
from interlock.training.landlock import DEVICE, READ, WRITE, Access, abi_version, ruleset
from interlock.training.listener import Watch
from interlock.training.rlimits import run_supervised
from interlock.training.sandbox import (
    HARNESS,
    PACKAGE,
    Availability,
    Ended,
    Folders,
    InPlace,
    Isolation,
    Job,
    Overseer,
)
from interlock.training.seccomp import Confinement, rules
from interlock.training.spec import Limits
from interlock.training.syscalls import this_machine

_SIGNALS_SINCE = 6
_GET = (
    "Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK, and `landlock` in its list of security modules (boot parameter"
    " lsm=, `cat /sys/kernel/security/lsm`); in a container, a seccomp profile that permits landlock_* and seccomp"
)
_USERS = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")
_PROC = (
    *("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version", "vmstat"),
    *("sys/kernel/osrelease", "sys/kernel/pid_max", "sys/kernel/threads-max", "sys/vm/overcommit_memory"),
)
_RANDOM = ("/dev/random", "/dev/urandom")


class LandlockSandbox(InPlace):
    """Runs a job below a supervisor, confined by Landlock and a filter.

    Args:
        abi: Use this version of Landlock's interface; the kernel's when not given.
    """

    def __init__(self, abi: int | None = None) -> None:
        self._abi = abi_version() if abi is None else abi
        self._probed: Availability | None = None

    @property
    def isolation(self) -> Isolation:
        """Kernel access rules."""
        return Isolation.LANDLOCK

    @property
    def level(self) -> str:
        """``landlock+seccomp``."""
        return self.isolation.value

    def probe(self) -> Availability:
        """Run ``true`` confined as a job would be; tried once, then remembered."""
        if self._probed is None:
            self._probed = self._tried()
        return self._probed

    def _tried(self) -> Availability:
        if sys.platform != "linux" or not self._abi:
            reason = "this kernel has no Landlock, or it is switched off"
            return Availability(available=False, reason=reason, how_to_get=_GET)
        try:
            with tempfile.TemporaryDirectory() as folder:
                ended = self.run(_trial(Path(folder)))
        except (InterlockError, OSError) as error:
            return Availability(available=False, reason=str(error), how_to_get=_GET)
        if ended.exit_status != 0:
            reason = f"a trial ended with status {ended.exit_status}: {ended.log_tail[-300:]}"
            return Availability(available=False, reason=reason, how_to_get=_GET)
        open_still = "" if self._abi >= _SIGNALS_SINCE else ", which does not keep it from signalling other processes"
        return Availability(
            available=True,
            reason=f"Landlock ABI {self._abi}{open_still}",
            how_to_get="apt-get install bubblewrap for namespaces",
            tools=(
                Tool(name="linux", version=platform.release()),
                Tool(name="landlock-abi", version=str(self._abi)),
            ),
        )

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        """Run `job`; see `Sandbox.run`.

        Raises:
            UnavailableError: There is no filter for this machine, or the supervisor could not be started.
            UsageError: The program is not there, or a folder that must not be shown would be.
            OSError: The kernel does not take the rules.
        """
        for path in job.visible:
            refuse_wide(path, job)
        folders = [path for path in (job.folders.out, job.folders.scratch, job.folders.checkpoints) if path]
        real = tuple(os.path.realpath(path) for path in folders)
        events = (os.fspath(job.folders.events),) if job.folders.events else ()
        watched = Watch(
            rules=rules(Confinement.LANDLOCK, landlock=self._abi),
            machine=this_machine(),
            writable=writable(job, *map(os.fspath, folders), *real, *events),
            serve=lambda caller: change(caller, real),
        )
        with ExitStack() as stack:
            made = stack.enter_context(ruleset(_allowed(job, folders), abi=self._abi))
            secrets = stack.enter_context(descriptors(dict(job.secrets)))
            launch = stack.enter_context(confined(job, watched, secrets=secrets, ruleset=made))
            return run_supervised(job, on_line=on_line, overseer=overseer, launch=launch)


def _allowed(job: Job, folders: Iterable[Path]) -> list[tuple[Path, Access]]:
    """What the job may read, and what it may write; everything else is refused."""
    read = [Path("/usr"), *(Path("/", name) for name in SYSTEM_FOLDERS), *map(Path, (*SYSTEM_FILES, *_USERS))]
    read += [*python_folders(), *job.visible, job.folders.data, job.folders.code, HARNESS]
    read += [job.folders.library, PACKAGE] if job.folders.library else []
    read += [Path("/proc", name) for name in _PROC]
    # What a GPU's library reads before it opens the device.
    read += [Path("/proc/driver")] if job.devices else []
    devices = [*map(Path, DEVICES), *job.devices, *((job.folders.events,) if job.folders.events else ())]
    return [
        *((path, READ) for path in read),
        *((Path(path), Access.READ_FILE) for path in _RANDOM),
        *((path, DEVICE) for path in devices),
        *((path, WRITE) for path in folders),
    ]


def _trial(folder: Path) -> Job:
    """A job that does nothing, in folders of its own."""
    places = {name: folder / name for name in ("data", "code", "out", "scratch")}
    for place in places.values():
        place.mkdir()
    return Job(
        argv=("/usr/bin/env", "true"),
        environment=(("PATH", "/usr/bin:/bin"),),
        folders=Folders(**places),
        visible=(),
        limits=Limits(wall_seconds=20),
        working_folder=places["scratch"],
    )
