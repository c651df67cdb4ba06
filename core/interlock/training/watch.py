"""The eye on a running job: its output text, its events, its clock, its output folder, its processes and the disk.

What the kernel can hold by itself (memory, file size, processor seconds, open files) is held by resource limits. What
it cannot is measured here, often enough that a run which passes its limit ends within a fraction of a second.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from interlock.training.events import EventReader
from interlock.training.log import BoundedLog
from interlock.training.sandbox import Ended, Job, LimitHit, Moment, Overseer, Stop
from interlock.training.spec import Limits
from interlock.training.supervisor import tasks_below

_TICK = 0.1
_CHUNK = 1 << 16
# /proc/sys/fs/pipe-max-size of an unprivileged process, unless an administrator raised it.
_FULL_PIPE = 1 << 20
# A check that takes t seconds is repeated after 50 t at the earliest, so that watching costs at most 2 %.
_DUTY = 50
_CPU_LIMIT_STATUS = 128 + 24  # SIGXCPU


class Running(Protocol):
    """A started job, as a backend hands it over."""

    @property
    def output(self) -> int:
        """Descriptor of what the job prints; not blocking."""
        ...

    @property
    def exited(self) -> int:
        """Descriptor that becomes readable when the job's first process has ended (pidfd_open(2))."""
        ...

    @property
    def root(self) -> int:
        """Process id above all of the job's processes, itself none of them."""
        ...

    def end(self) -> None:
        """Kill every process of the job; returns when none is left."""
        ...

    def wait(self) -> int:
        """The exit status, once nothing of the job is left."""
        ...


def watch(
    running: Running, job: Job, *, on_line: Callable[[str], None] | None, overseer: Overseer | None = None
) -> Ended:
    """Follow `running` to its end, or end it at the first limit that it passes or when its overseer says so.

    Whatever happens here, an exception included, no process of the job is left when this returns or raises.
    """
    started = time.monotonic()
    log = BoundedLog(keep=job.limits.log_bytes, on_line=on_line)
    with _Channel(job.folders.events, overseer) as channel:
        try:
            hit = _follow(running, _Meter(job, running.root, started, overseer), log, channel)
        finally:
            running.end()
        status = running.wait()
        seconds = time.monotonic() - started
        while data := _read(running.output):
            log.feed(data)
        log.close()
        said = channel.rest()
    stop = hit if isinstance(hit, Stop) else said if hit is None else None
    limit = hit if isinstance(hit, LimitHit) else None
    if stop is None and limit is None and status == _CPU_LIMIT_STATUS and job.limits.cpu_seconds is not None:
        limit = LimitHit.CPU_SECONDS
    if stop is None and limit is None:
        # The last moments before the end lie after the last look.
        limit = over_output(job.folders.out, job.limits) or over_scratch(job.folders.scratch, job.limits)
    return Ended(
        exit_status=status,
        seconds=seconds,
        limit=limit,
        log_tail=log.tail,
        log_bytes=log.seen,
        stop=stop,
        unreadable_events=channel.unreadable,
    )


def _follow(running: Running, meter: _Meter, log: BoundedLog, channel: _Channel) -> LimitHit | Stop | None:
    with selectors.DefaultSelector() as selector:
        for descriptor in (running.output, running.exited, channel.descriptor):
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(_TICK)}
            if running.output in ready and (data := _read(running.output)) is not None:
                log.feed(data)
                if not data:
                    selector.unregister(running.output)
            stop = channel.heard() if channel.descriptor in ready else None
            if stop is not None:
                return stop
            if running.exited in ready:
                return None
            hit = meter.passed()
            if hit is not None:
                return hit


class _Channel:
    """The outer end of a job's events; nothing when nobody listens."""

    def __init__(self, path: Path | None, overseer: Overseer | None) -> None:
        self._overseer = overseer
        self._reader = EventReader()
        self.descriptor: int | None = None
        if path is not None and overseer is not None:
            # Open for writing, too: a FIFO without a writer would count as readable for ever.
            self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)

    def __enter__(self) -> _Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    @property
    def unreadable(self) -> int:
        """How many lines were no events."""
        return self._reader.unreadable

    def heard(self) -> Stop | None:
        """Take what is there, one chunk at most; the first reason to stop counts, and all of the chunk is heard."""
        return self._take(self._next() or b"")

    def rest(self) -> Stop | None:
        """Take what was said before the end and not heard yet: at most what the kernel lets a pipe hold."""
        first: Stop | None = None
        for _ in range(_FULL_PIPE // _CHUNK):
            data = self._next()
            if not data:
                break
            first = first or self._take(data)
        return first

    def _next(self) -> bytes | None:
        return None if self.descriptor is None else _read(self.descriptor)

    def _take(self, data: bytes) -> Stop | None:
        if self._overseer is None:
            return None
        stops = [self._overseer.hear(event) for event in self._reader.feed(data)]
        return next((stop for stop in stops if stop is not None), None)


def _read(descriptor: int) -> bytes | None:
    """What is there, one chunk at most: empty at the end, None when there is nothing yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


class _Meter:
    """Compares a running job with its limits."""

    def __init__(self, job: Job, root: int, started: float, overseer: Overseer | None) -> None:
        self._limits = job.limits
        self._out = job.folders.out
        self._scratch = job.folders.scratch
        self._root = root
        self._overseer = overseer
        self._started = started
        self._next = started + _TICK

    def passed(self) -> LimitHit | Stop | None:
        """The first limit that is passed now, or the overseer's reason to stop."""
        now = time.monotonic()
        if now >= self._started + self._limits.wall_seconds:
            return LimitHit.WALL_SECONDS
        if now < self._next:
            return None
        hit = self._looked() or self._asked(now)
        self._next = now + max(_TICK, _DUTY * (time.monotonic() - now))
        return hit

    def _asked(self, now: float) -> Stop | None:
        if self._overseer is None:
            return None
        return self._overseer.tick(Moment(seconds=now - self._started, root=self._root, out=self._out))

    def _looked(self) -> LimitHit | None:
        if sum(threads for _, threads in tasks_below(self._root)) > self._limits.processes:
            return LimitHit.PROCESSES
        disk = os.statvfs(self._out)
        # What is written to a file that has no name any more shows only here.
        if disk.f_bavail * disk.f_frsize < self._limits.disk_reserve_bytes:
            return LimitHit.DISK_RESERVE
        return over_output(self._out, self._limits) or over_scratch(self._scratch, self._limits)


def over_output(out: Path, limits: Limits) -> LimitHit | None:
    """Whether the files below `out` are too many or too large, links not followed; a sparse file counts whole."""
    return _over(out, (limits.output_bytes, LimitHit.OUTPUT_BYTES), (limits.output_files, LimitHit.OUTPUT_FILES))


def over_scratch(scratch: Path, limits: Limits) -> LimitHit | None:
    """Whether the temporary files are too large, where they are on the disk and no file system limits them."""
    return _over(scratch, (limits.scratch_bytes, LimitHit.SCRATCH_BYTES), None)


def _over(folder: Path, bytes_at_most: tuple[int, LimitHit], files: tuple[int, LimitHit] | None) -> LimitHit | None:
    count, size = 0, 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                    if size > bytes_at_most[0]:
                        return bytes_at_most[1]
                    if files is not None and count > files[0]:
                        return files[1]
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            # It moves while it is looked at; the look after the end meets it standing still.
            continue
    return None
