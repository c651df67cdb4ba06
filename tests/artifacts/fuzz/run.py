"""Runs many mutants in processes that may die: a mutant that ends or stops its process is a failure like any other."""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import TextIO

from tests.artifacts.fuzz.engine import Engine, Mutant, Seed
from tests.artifacts.fuzz.law import LIMITS, LOADERS, Said, hold
from tests.artifacts.oracle_client import Oracle

SEEDS = Path(__file__).parents[1] / "seeds"
"""Mutants that failed once: ``PROFILE-DIGEST.bin``, and what happened in a JSON file beside it."""

MEMORY = 3 << 30
"""Bytes that a process which scans may take beyond what it begins with."""
_PATIENCE = 20.0
"""Seconds beyond the scan's own limit after which it counts as one that never ends."""
_UNMADE = "unmade"
"""Stands for the format of a mutant that ended its process while it was made."""
_COLUMNS = ("mutants", *(said.value for said in Said), "oracle killed", "failed")


@dataclass
class Table:
    """How many mutants of each format ended in which way."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: int = 0

    def add(self, family: str, outcome: str, *, killed: bool = False) -> None:
        """Count one mutant."""
        for column in ("mutants", outcome, *(("oracle killed",) if killed else ())):
            self.counts[family, column] += 1
        self.failures += outcome == "failed"

    @property
    def blind(self) -> bool:
        """Whether the loaders died of more than one in a hundred files that the scan allows: nobody knows of those."""
        killed, allowed = (
            sum(count for (_, column), count in self.counts.items() if column == wanted)
            for wanted in ("oracle killed", Said.ALLOWED.value)
        )
        return killed * 100 > allowed

    def text(self) -> str:
        """As a table of Markdown, the most frequent format first."""
        families = sorted({family for family, _ in self.counts}, key=lambda name: -self.counts[name, "mutants"])
        lines = ["| seed | " + " | ".join(_COLUMNS) + " |", "| --- |" + " --- |" * len(_COLUMNS)]
        for family in families:
            cells = (f"{self.counts[family, column]:,}" for column in _COLUMNS)
            lines += ["| " + " | ".join((family, *cells)) + " |"]
        sums = (sum(self.counts[family, column] for family in families) for column in _COLUMNS)
        return "\n".join([*lines, "| all | " + " | ".join(f"{count:,}" for count in sums) + " |"])


class _NeverEndsError(Exception):
    """A scan went on past its limit."""


def _never_ends(*_: object) -> None:
    raise _NeverEndsError(f"the scan goes on {_PATIENCE:g} s past its limit")


def judged(mutant: Mutant, oracle: Oracle) -> tuple[str, bool, str]:
    """Hold the law for one mutant: how it ended, whether the oracle was killed, and what went wrong."""
    signal.setitimer(signal.ITIMER_REAL, LIMITS.seconds + _PATIENCE)
    try:
        said, killed = hold(mutant.data, mutant.profile, oracle)
    except BaseException:  # noqa: BLE001 (whatever comes out of the scan is what is looked for)
        return "failed", False, traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return said.value, killed, ""


def _work(connection: Connection, engine: Engine, numbers: range) -> None:
    """Judge these mutants; each number is told before and after, so that the parent knows which one ended a process."""
    signal.signal(signal.SIGALRM, _never_ends)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    oracle = Oracle(LOADERS)
    for number in numbers:
        connection.send((number, _UNMADE))
        mutant = engine.mutant(number)
        connection.send((number, mutant.seed.family))
        connection.send((number, *judged(mutant, oracle)))
    oracle.close()
    connection.close()


def keep_failure(folder: Path, mutant: Mutant, why: str, number: int, seed: int) -> None:
    """Write a mutant down with what happened, to be replayed."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{mutant.profile}-{sha256(mutant.data).hexdigest()[:12]}"
    (folder / f"{stem}.bin").write_bytes(mutant.data)
    note = {"made_of": mutant.seed.name, "number": number, "seed": seed, "why": why.strip().splitlines()[-1][:500]}
    (folder / f"{stem}.json").write_text(json.dumps(note, indent=1) + "\n")


class _Job:
    """A process with the numbers that it has not done yet."""

    def __init__(self, engine: Engine, numbers: range) -> None:
        self.engine = engine
        self.begun = numbers.start
        self.end = numbers.stop
        self.step = numbers.step
        self.family = _UNMADE
        self.start(numbers)

    def start(self, numbers: range) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe(duplex=False)
        self.process: ForkProcess = context.Process(target=_work, args=(theirs, self.engine, numbers), daemon=True)
        self.process.start()
        theirs.close()

    def go_on(self) -> bool:
        """Start again behind the mutant that ended the process; whether there is anything left."""
        self.process.join()
        rest = range(self.begun + self.step, self.end, self.step)
        if rest:
            self.begun, self.family = rest.start, _UNMADE
            self.start(rest)
        return bool(rest)


def run(seeds: Sequence[Seed], *, mutants: int, jobs: int, seed: int, keep: Path, tell: TextIO) -> Table:
    """Judge mutants 0 to `mutants`, and keep those that fail.

    Args:
        seeds: What they are made of.
        mutants: How many.
        jobs: Processes beside each other.
        seed: Decides which mutants.
        keep: Where those that fail are written to.
        tell: Where progress goes.
    """
    engine, table, begin, done = Engine(seeds, seed), Table(), time.monotonic(), 0
    running = [_Job(engine, range(first, mutants, jobs)) for first in range(min(jobs, mutants))]
    while running:
        for job in [job for job in running if job.connection in wait([one.connection for one in running])]:
            try:
                number, *ended = job.connection.recv()
            except EOFError:
                job.process.join()
                if job.process.exitcode == 0:
                    running.remove(job)
                    continue
                number, ended = job.begun, ["failed", False, f"it ended the process: {job.process.exitcode}"]
                if not job.go_on():
                    running.remove(job)
            if len(ended) == 1:
                job.begun, job.family = number, ended[0]
                continue
            outcome, killed, why = ended
            table.add(job.family, outcome, killed=killed)
            done += 1
            if outcome == "failed":
                mutant = engine.mutant(number)
                keep_failure(keep, mutant, why, number, seed)
                print(f"mutant {number} of {mutant.seed.name}: {why}", file=tell, flush=True)
            if done % 5_000 == 0:
                rate = done / (time.monotonic() - begin)
                print(f"{done:,} of {mutants:,}, {rate:,.0f} a second, {table.failures} failed", file=tell, flush=True)
    return table
