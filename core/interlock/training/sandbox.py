"""What a sandbox is: the protocol behind which isolation levels stand, and the choice of the best one here.

A level says how much the training code is kept from; policy says how much is enough. A further backend (a hardened
pod) implements `Sandbox` and joins `sandboxes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from interlock.gate import Tool, UsageError
from interlock.training.events import Event
from interlock.training.refusals import Refusal
from interlock.training.spec import Limits

HARNESS = Path(__file__).with_name("harness.py")
"""Calls a training function; run by path inside the sandbox."""

PACKAGE = Path(__file__).parents[1]
"""Interlock itself, which training code may import for what is meant for inside (`tell`, checkpoints, the watch)."""


class Isolation(Enum):
    """The levels, by the names that policy and receipts use."""

    BWRAP = "bwrap"
    LANDLOCK = "landlock+seccomp"
    RLIMITS = "rlimits"

    @property
    def rank(self) -> int:
        """The order that policy compares: 3 namespaces, 2 kernel access rules, 1 resource limits only."""
        return {Isolation.BWRAP: 3, Isolation.LANDLOCK: 2, Isolation.RLIMITS: 1}[self]


class LimitHit(Enum):
    """The limit that ended a run, by the name of its field in `Limits`."""

    WALL_SECONDS = "wall_seconds"
    CPU_SECONDS = "cpu_seconds"
    OUTPUT_BYTES = "output_bytes"
    OUTPUT_FILES = "output_files"
    SCRATCH_BYTES = "scratch_bytes"
    PROCESSES = "processes"
    DISK_RESERVE = "disk_reserve_bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether a sandbox works on this machine, tried and not guessed.

    Args:
        available: It started a process.
        reason: Why not, or what it was found to be.
        how_to_get: What a person can do about it; empty when it works.
        tools: The software behind it, with versions.
    """

    available: bool
    reason: str
    how_to_get: str = ""
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where a job's parts lie, outside or inside the sandbox.

    Args:
        data: File or folder of the dataset; read-only.
        code: Folder of the held copy of the training code; read-only.
        out: Folder of the output; empty, writable.
        scratch: Folder for temporary files; writable.
        library: Folder whose ``interlock`` is `PACKAGE`; read-only. None where nothing of Interlock is shown.
        events: FIFO for what the job says of itself; None where nobody listens.
        checkpoints: Folder that outlives a failed run; writable. None where there is none.
    """

    data: Path
    code: Path
    out: Path
    scratch: Path
    library: Path | None = None
    events: Path | None = None
    checkpoints: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process to run in a sandbox; all paths in `argv` and `environment` are already inside ones.

    Args:
        argv: Absolute path of the program, then its arguments.
        environment: The whole environment; nothing is inherited.
        folders: Where the parts lie outside.
        visible: Further folders shown read-only at the place where they are.
        limits: What it may use.
        working_folder: Where it starts, inside.
        devices: Nodes below ``/dev`` that it may read and write.
        root: Root file system that it sees in place of this machine's; None for this machine's. Untrusted.
        secrets: Names and bytes, each handed over by a descriptor; the variable ``INTERLOCK_SECRET_<name>`` holds the
            descriptor's number, and nothing else of it is in any environment.
    """

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    folders: Folders
    visible: tuple[Path, ...]
    limits: Limits
    working_folder: Path
    devices: tuple[Path, ...] = ()
    root: Path | None = None
    secrets: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a run was ended early by whoever watched it.

    Args:
        rule: The finding's rule is ``training.<rule>``.
        message: For people; what was seen, against which bound.
    """

    rule: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A look at a running job.

    Args:
        seconds: Since its start.
        root: Process id above all of its processes, itself none of them; see `supervisor.tasks_below`.
        out: Its output folder, outside; untrusted and moving.
    """

    seconds: float
    root: int
    out: Path


class Overseer(Protocol):
    """Who listens to a running job and may end it."""

    def hear(self, event: Event) -> Stop | None:
        """Take what the job said, untrusted."""
        ...

    def tick(self, moment: Moment) -> Stop | None:
        """Look, about ten times a second."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job came to its end. No process of it is alive any more.

    Args:
        exit_status: As a shell counts: 128 and the signal's number when a signal ended it.
        seconds: Wall clock.
        limit: What ended it, when a limit did.
        log_tail: End of what it printed, unverified text.
        log_bytes: How much it printed.
        stop: Why it was ended early, when its overseer did.
        unreadable_events: How many lines in its channel were no events.
        refused: What it tried and was refused, as far as that shows; unverified text.
        unwatched: Why nobody could see what it was refused, so that `refused` counts nothing; empty when it was seen.
    """

    exit_status: int
    seconds: float
    limit: LimitHit | None
    log_tail: str
    log_bytes: int
    stop: Stop | None = None
    unreadable_events: int = 0
    refused: tuple[Refusal, ...] = ()
    unwatched: str = "this sandbox does not tell what it refuses"

    @property
    def failed(self) -> bool:
        """Whether it did not end well: by a status other than 0, by a limit, or because its overseer ended it."""
        return self.exit_status != 0 or self.limit is not None or self.stop is not None


class Sandbox(Protocol):
    """One way to run code that is not trusted."""

    @property
    def isolation(self) -> Isolation:
        """How much it keeps the code from."""
        ...

    @property
    def level(self) -> str:
        """`isolation` by the name that policy reads."""
        ...

    def probe(self) -> Availability:
        """Try it on this machine."""
        ...

    def inside(self, outside: Folders) -> Folders:
        """Where the job will see its folders."""
        ...

    @property
    def harness(self) -> Path:
        """Where the job will see `HARNESS`."""
        ...

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        """Run `job` to its end, or to the first limit that it passes.

        Args:
            job: What to run.
            on_line: Called with each line of output as it comes; an exception from it ends the job.
            overseer: Hears what the job says of itself, and may end it; an exception from it ends the job.

        Raises:
            UnavailableError: The sandbox could not be built.
        """
        ...


class InPlace:
    """What the levels without a root of their own share: a job sees its files where they lie."""

    def inside(self, outside: Folders) -> Folders:
        """The same as outside: what may not be touched is refused or not, but never hidden."""
        return outside

    @property
    def harness(self) -> Path:
        """Where it is installed."""
        return HARNESS


def resource_limits(limits: Limits) -> tuple[tuple[str, int], ...]:
    """What the kernel holds for each process, by the names of `resource`."""
    cpu = () if limits.cpu_seconds is None else (("RLIMIT_CPU", limits.cpu_seconds),)
    return (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_DATA", limits.memory),
        # A little more than the limit, so that the watch meets a file that is too large.
        ("RLIMIT_FSIZE", limits.output_bytes + (1 << 20)),
        ("RLIMIT_NOFILE", limits.open_files),
        ("RLIMIT_NPROC", limits.processes),
        *cpu,
    )


def sandboxes() -> tuple[Sandbox, ...]:
    """Every sandbox that Interlock knows, the strongest first."""
    from interlock.training.bwrap import BwrapSandbox
    from interlock.training.landlock_sandbox import LandlockSandbox
    from interlock.training.rlimits import RlimitsSandbox

    return (BwrapSandbox(), LandlockSandbox(), RlimitsSandbox())


def best_sandbox(choice: Sequence[Sandbox] | None = None) -> Sandbox:
    """The strongest sandbox that works on this machine.

    Args:
        choice: Those to try, the strongest first; all of them when not given.

    Raises:
        UsageError: None works here.
    """
    tried: list[str] = []
    for sandbox in choice if choice is not None else sandboxes():
        found = sandbox.probe()
        if found.available:
            return sandbox
        tried.append(f"{sandbox.level}: {found.reason}")
    raise UsageError("no sandbox works on this machine", where="; ".join(tried), next_step="apt-get install bubblewrap")
