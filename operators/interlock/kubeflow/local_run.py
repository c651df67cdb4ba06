"""Runs a compiled pipeline on this machine, offline, under `kfp.local`, in a process of its own; says how tasks ended.

kfp.local keeps its settings in a global and gives a failed run's tasks to nobody, so each run is a process whose log is
read. What the log says is for people: kfp 2.16 says SUCCESS of a pipeline whose branch it skipped by mistake. Whether a
gate let something pass stands in the ledger.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interlock.gate import Json

_SAID = re.compile(
    # A task's own output is indented by four spaces, so none of it begins like this.
    r"^\d\d:\d\d:\d\d\.\d{3} - [A-Z]+ - (?:Executing task '(?P<began>[^']+)'"
    r"|Task '(?P<ended>[^']+)' finished with status (?P<status>[A-Z]+))"
)
_COLOUR = re.compile(r"\x1b\[\d+m")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """One task that was started.

    Args:
        name: Its component's name, as `kfp.local` shows it.
        succeeded: What it ended with; False also when the run ended before it.
        seconds: How long it ran.
    """

    name: str
    succeeded: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """One run of a pipeline, as `kfp.local` shows it.

    Args:
        succeeded: What kfp says of the whole; see the module for why nobody should trust it.
        tasks: Those that were started, in the order in which they ended.
        root: Where their artifacts are.
        log: All that they wrote.
    """

    succeeded: bool
    tasks: tuple[TaskEnd, ...]
    root: Path
    log: Path


def run_locally(
    pipeline: Path,
    root: Path,
    arguments: Mapping[str, Json],
    *,
    environment: Mapping[str, str] | None = None,
    on_end: Callable[[TaskEnd], None] = lambda _: None,
) -> RunEnd:
    """Run it whole, and wait.

    Args:
        pipeline: The compiled YAML.
        root: A folder of this run's own, for artifacts and the log; made.
        arguments: Values of the pipeline's parameters.
        environment: Replaces that of this process.
        on_end: Gets each task when it has ended.
    """
    root.mkdir(parents=True, exist_ok=True)
    log = root / "log.txt"
    tasks: list[TaskEnd] = []
    with _started(pipeline, root, arguments, environment) as process, log.open("w", encoding="utf-8") as copy:
        assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
        for task in _ends(_copied(process.stdout, copy.write)):
            tasks.append(task)
            on_end(task)
    return RunEnd(succeeded=process.returncode == 0, tasks=tuple(tasks), root=root, log=log)


@contextmanager
def _started(
    pipeline: Path, root: Path, arguments: Mapping[str, Json], environment: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[str]]:
    """The run's process, with all that it starts in a group of its own; on the way out nothing of it is left.

    It holds the other end of a pipe, by which it knows when this process has died.
    """
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", __name__, str(pipeline), str(root / "artifacts"), json.dumps(dict(arguments))],
        env=None if environment is None else dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not reaped: its group's number stays its own
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _copied(lines: Iterator[str], write: Callable[[str], object]) -> Iterator[str]:
    for line in lines:
        write(line)
        yield line


def _ends(lines: Iterator[str]) -> Iterator[TaskEnd]:
    """The tasks that a log tells of, as each ends; those that it leaves open have failed."""
    began: dict[str, float] = {}
    for line in lines:
        said = _SAID.match(_COLOUR.sub("", line))
        if said is None:
            continue
        if said["began"]:
            began[said["began"]] = time.monotonic()
        elif (start := began.pop(said["ended"], None)) is not None:
            seconds = time.monotonic() - start
            yield TaskEnd(name=said["ended"], succeeded=said["status"] == "SUCCESS", seconds=seconds)
    for name, start in began.items():
        yield TaskEnd(name=name, succeeded=False, seconds=time.monotonic() - start)


def _own_stdin() -> int:
    """Standard input under a number of its own; the steps of the pipeline get none."""
    kept, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return kept


def _die_with(other_end: int) -> None:
    """End this run and all that it started once nobody holds the pipe's other end any more."""
    while os.read(other_end, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """In the run's own process: load the YAML and run what it says."""
    from kfp import local
    from kfp.components import load_component_from_file

    pipeline, root, values = arguments
    threading.Thread(target=_die_with, args=(_own_stdin(),), daemon=True).start()
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
    load_component_from_file(pipeline)(**json.loads(values))


if __name__ == "__main__":
    main(sys.argv[1:])
