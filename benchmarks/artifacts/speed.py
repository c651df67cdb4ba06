"""How long each scanner takes for one large file, and how much memory; see `benchmarks.artifacts.peers`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.artifacts.detection import DRIVER, environment

SLOW = 8.0
"""Processor seconds from which on one run is enough."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One call in a fresh process.

    Args:
        inside: Seconds of the call itself; the whole process where the call is a command.
        processor: Processor seconds of the same.
        whole: Seconds from the start of the process to its end.
        held: MiB that it and its children held at most.
        grown: MiB that the call added to the imported scanner.
        verdict: What it said.
    """

    inside: float
    processor: float
    whole: float
    held: float
    grown: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, and who is asked about it.

    Args:
        title: For the table.
        path: Below the folder.
        profile: Interlock's.
        tools: Of `driver`, beside the scanners.
        scanners: Whether the other scanners are asked.
        peer: Whose time ours is divided by.
    """

    title: str
    path: str
    profile: str
    tools: tuple[str, ...]
    scanners: bool
    peer: str


CASES = (
    Case(
        title="torch zip, 200 MiB in 50 tensors", path="zip/model.pt", profile="torch-state-dict",
        tools=("zipfile.testzip", "torch.load"), scanners=True, peer="picklescan",
    ),
    Case(
        title="pickle, 2.7 million opcodes", path="opcodes/many.pkl", profile="numpy",
        tools=("pickletools.genops",), scanners=True, peer="pickletools.genops",
    ),
    Case(
        title="safetensors, 10 GiB sparse", path="sparse/sparse.safetensors", profile="torch-state-dict",
        tools=("safetensors.safe_open",), scanners=False, peer="safetensors.safe_open",
    ),
)  # fmt: skip


def tables(folder: Path, pythons: Mapping[str, Path], *, repeat: int, timeout: float) -> Iterator[str]:
    """One table a file; a call that takes longer than `timeout` seconds is ended."""
    for case in CASES:
        yield "\n".join(_table(case, folder / case.path, pythons, repeat, timeout))


def _table(case: Case, path: Path, pythons: Mapping[str, Path], repeat: int, timeout: float) -> list[str]:
    calls = _calls(case, path, pythons)
    runs: dict[str, list[Run]] = {tool: [] for tool in calls}
    for turn in range(repeat):
        for tool, argv in calls.items():
            if turn == 0 or runs[tool][0].processor < SLOW:
                runs[tool].append(_once(argv, path.parent, timeout))
    clock, processor = _medians(runs[case.peer])
    lines = [
        f"{case.title}:",
        "",
        f"| | scan s | to {case.peer} | processor s | to {case.peer} | process s | MiB | MiB added | says | runs |",
        "|" + " --- |" * 10,
    ]
    for tool, made in runs.items():
        last = made[-1]
        seconds, used = _medians(made)
        added = "" if last.grown is None else f"{last.grown:.0f}"
        lines.append(
            f"| {tool} | {seconds:.3f} | {seconds / clock:.2f} | {used:.3f} | {used / processor:.2f}"
            f" | {median(run.whole for run in made):.3f} | {last.held:.0f} | {added} | {last.verdict} | {len(made)} |"
        )
    return lines


def _medians(runs: Sequence[Run]) -> tuple[float, float]:
    return median(run.inside for run in runs), median(run.processor for run in runs)


def _calls(case: Case, path: Path, pythons: Mapping[str, Path]) -> dict[str, Sequence[str]]:
    def driver(tool: str, python: Path) -> list[str]:
        return [str(python), str(DRIVER), tool, str(path), case.profile]

    own = Path(sys.executable)
    ours = ("interlock without weights", "interlock")
    calls: dict[str, Sequence[str]] = {tool: driver(tool, own) for tool in (*ours, *case.tools)}
    calls["`interlock artifacts scan`"] = [
        sys.executable, "-m", "interlock.cli", "artifacts", "scan", "--scanner-profile", case.profile, path.name,
    ]  # fmt: skip
    if case.scanners:
        calls |= {tool: driver(tool, python) for tool, python in pythons.items() if "--" not in tool}
        calls["`picklescan -p`"] = [str(pythons["picklescan"].with_name("picklescan")), "-p", str(path)]
    return calls


def _once(argv: Sequence[str], folder: Path, timeout: float) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(Path(argv[0])), cwd=folder, text=True
    )
    assert process.stdout is not None
    alarm = threading.Timer(timeout, process.kill)
    alarm.start()
    answer = process.stdout.read()
    # By number and not by `wait`, since only this says what the process used.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    alarm.cancel()
    whole, held = time.perf_counter() - started, used.ru_maxrss / 1024
    if not answer.startswith('{"verdict"'):
        processor = used.ru_utime + used.ru_stime
        status_said = f"exit status {process.returncode}"
        return Run(inside=whole, processor=processor, whole=whole, held=held, grown=None, verdict=status_said)
    said = json.loads(answer)
    return Run(
        inside=said["seconds"],
        processor=said["processor"],
        whole=whole,
        held=held,
        grown=said["grown"],
        verdict=said["verdict"],
    )
