"""The eye on a running job: its output text, its clock, its output folder, its processes and the disk.

What the kernel can hold by itself (memory, file size, processor seconds, open files) is held by resource limits. What
it cannot is measured here, often enough that a run which passes its limit ends within a fraction of a second.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from interlock.training.log import BoundedLog
from interlock.training.sandbox import Ended, Job, LimitHit
from interlock.training.spec import Limits
from interlock.training.supervisor import tasks_below

_TICK = 0.1
_CHUNK = 1 << 16
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


def watch(running: Running, job: Job, *, on_line: Callable[[str], None] | None) -> Ended:
    """Follow `running` to its end, or end it at the first limit that it passes.

    Whatever happens here, an exception included, no process of the job is left when this returns or raises.
    """
    started = time.monotonic()
    log = BoundedLog(keep=job.limits.log_bytes, on_line=on_line)
    try:
        hit = _follow(running, _Meter(job, running.root, started), log)
    finally:
        running.end()
    status = running.wait()
    seconds = time.monotonic() - started
    while data := _read(running.output):
        log.feed(data)
    log.close()
    if hit is None and status == _CPU_LIMIT_STATUS and job.limits.cpu_seconds is not None:
        hit = LimitHit.CPU_SECONDS
    if hit is None:
        # The last moments before the end lie after the last look.
        hit = over_output(job.folders.out, job.limits)
    return Ended(exit_status=status, seconds=seconds, limit=hit, log_tail=log.tail, log_bytes=log.seen)


def _follow(running: Running, meter: _Meter, log: BoundedLog) -> LimitHit | None:
    with selectors.DefaultSelector() as selector:
        selector.register(running.output, selectors.EVENT_READ)
        selector.register(running.exited, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(_TICK)}
            if running.output in ready and (data := _read(running.output)) is not None:
                log.feed(data)
                if not data:
                    selector.unregister(running.output)
            if running.exited in ready:
                return None
            hit = meter.passed()
            if hit is not None:
                return hit


def _read(descriptor: int) -> bytes | None:
    """What is there, one chunk at most: empty at the end, None when there is nothing yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


class _Meter:
    """Compares a running job with its limits."""

    def __init__(self, job: Job, root: int, started: float) -> None:
        self._limits = job.limits
        self._out = job.folders.out
        self._root = root
        self._deadline = started + job.limits.wall_seconds
        self._next = started + _TICK

    def passed(self) -> LimitHit | None:
        """The first limit that is passed now."""
        now = time.monotonic()
        if now >= self._deadline:
            return LimitHit.WALL_SECONDS
        if now < self._next:
            return None
        hit = self._looked()
        self._next = now + max(_TICK, _DUTY * (time.monotonic() - now))
        return hit

    def _looked(self) -> LimitHit | None:
        if sum(threads for _, threads in tasks_below(self._root)) > self._limits.processes:
            return LimitHit.PROCESSES
        disk = os.statvfs(self._out)
        # What is written to a file that has no name any more shows only here.
        if disk.f_bavail * disk.f_frsize < self._limits.disk_reserve_bytes:
            return LimitHit.DISK_RESERVE
        return over_output(self._out, self._limits)


def over_output(out: Path, limits: Limits) -> LimitHit | None:
    """Whether the files below `out` are too many or too large, links not followed; a sparse file counts whole."""
    count, size = 0, 0
    folders = [os.fspath(out)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                    if size > limits.output_bytes:
                        return LimitHit.OUTPUT_BYTES
                    if count > limits.output_files:
                        return LimitHit.OUTPUT_FILES
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            # It moves while it is looked at; the look after the end meets it standing still.
            continue
    return None
