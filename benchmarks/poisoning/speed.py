"""How long the model-free scan of images takes and how much memory it needs, detector by detector.

Run from the root of the repository, with Fashion-MNIST installed (Debian's package dataset-fashion-mnist)::

    python -m benchmarks.poisoning.speed                             # 10,000 and 60,000 images, 1 and 2 threads
    python -m benchmarks.poisoning.speed --rows 10000 --threads 1    # one of them

Each measurement is the whole gate, with all of its detectors, over the IDX files, in a process of its own. Beside it in
the same process: one pass of reading, and one float32 product of all rows with a square matrix. A machine that others
use too is told by these two: the ratios to them say more than the seconds do. ``CPU`` counts every thread; ``peak`` is
what a detector's steps need beyond what the process held before the scan (Linux only).
"""

from __future__ import annotations

import argparse
import gzip
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.poisoning.attacks import FASHION_MNIST

from interlock.gate import OpenSubject, Subject
from interlock.poisoning import Detector, PoisoningGate, Profile, Scores, Survey
from interlock.poisoning.batches import Batch, Columns, Source
from interlock.poisoning.scan import survey

MEBIBYTE = 2**20
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(slots=True)
class Cost:
    """Of one detector, or of anything else that is measured.

    Args:
        cpu: Seconds of all threads.
        wall: Seconds.
        peak: Bytes that the process held at most.
    """

    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Add what happens inside."""
        fresh_peak()
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu += time.process_time() - cpu
        self.wall += time.perf_counter() - wall
        self.peak = max(self.peak, held("VmHWM"))


@dataclass(frozen=True, slots=True)
class Timed:
    """A detector, or what it turned into, that is watched.

    Args:
        inner: The detector.
        cost: What it costs.
    """

    inner: Detector[Any]
    cost: Cost = field(default_factory=Cost)

    @property
    def name(self) -> str:
        """As the detector."""
        return self.inner.name

    def unfit(self) -> str:
        """As the detector."""
        return self.inner.unfit()

    def partial(self, batch: Batch) -> Any:
        """As the detector."""
        with self.cost.counted():
            return self.inner.partial(batch)

    def merge(self, one: Any, other: Any) -> Any:
        """As the detector."""
        with self.cost.counted():
            return self.inner.merge(one, other)

    def finalize(self, state: Any) -> Any:
        """As the detector."""
        with self.cost.counted():
            found = self.inner.finalize(state)
        return found if isinstance(found, Scores) else Timed(found, self.cost)


class Watched(PoisoningGate):
    """The gate with a watch on each detector."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[Timed] = []

    def detectors(self, profile: Profile) -> tuple[Detector[Any], ...]:
        """As the gate's, each watched."""
        self.watched += [Timed(detector) for detector in super().detectors(profile)]
        return tuple(self.watched)


def fresh_peak() -> None:
    """Let the kernel forget how much the process held at most (proc(5), clear_refs)."""
    with Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")


def held(what: str) -> int:
    """Bytes that the process holds (``VmRSS``), or held at most since its peak was forgotten (``VmHWM``)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def cut(folder: Path, rows: int) -> OpenSubject:
    """The first images of the training set as IDX files, packed as they come.

    Args:
        folder: An empty folder.
        rows: How many.
    """
    for kind, name, head in (("images-idx3-ubyte", "images-idx3-ubyte", 16), ("labels-idx1-ubyte",) * 2 + (8,)):
        content = gzip.decompress((FASHION_MNIST / f"train-{kind}.gz").read_bytes())
        size = 784 if head == 16 else 1
        header = content[:4] + struct.pack(">I", rows) + content[8:head]
        (folder / f"train-{name}.gz").write_bytes(gzip.compress(header + content[head : head + rows * size], 6))
    subject = Subject(name="fashion-mnist", uri=folder.as_uri(), digest="ab" * 32)
    return OpenSubject(subject=subject, path=folder, files=tuple(sorted(file.name for file in folder.iterdir())))


def measured(rows: int) -> Iterator[tuple[str, Cost]]:
    """The whole gate, each of its detectors, and what they are compared with."""
    with tempfile.TemporaryDirectory() as folder:
        opened = cut(Path(folder), rows)
        warm_up()
        before = held("VmRSS")
        reading, product, whole, first = Cost(), Cost(), Cost(), Cost()
        with reading.counted():
            source = Source.of(opened, Columns())
            for _ in source.batches():
                pass
        with product.counted():
            multiplied(rows)
        with first.counted():
            survey(source, Survey(seed=0, one_scale=True))
        gate = Watched()
        fresh_peak()
        cpu, wall = time.process_time(), time.perf_counter()
        seen = gate.look(opened)
        whole.cpu, whole.wall = time.process_time() - cpu, time.perf_counter() - wall
        # The rest of the gate holds less than its detectors do: they are given the same batches.
        whole.peak = max(held("VmHWM"), *(timed.cost.peak for timed in gate.watched))
        for finding in seen.findings:
            print(f"  {finding.rule_id}: {finding.message}")
        named = [("one reading", reading), ("one product", product), ("survey", first)]
        named += [(timed.name, timed.cost) for timed in gate.watched if timed.cost.wall]
        for name, cost in (*named, ("whole gate", whole)):
            cost.peak -= before
            yield name, cost


def multiplied(rows: int) -> None:
    """One float32 product of the size of the dataset with a square matrix, in blocks."""
    import torch

    matrix, block = torch.rand(784, 784), torch.rand(min(rows, 5000), 784)
    for _ in range(0, rows, len(block)):
        torch.mm(block, matrix)


def warm_up() -> None:
    """Load the libraries, which is no part of a scan."""
    import pyarrow  # type: ignore[import-untyped]  # no stubs are published  # noqa: F401
    import torch

    (torch.rand(64, 64) @ torch.rand(64, 64)).topk(2)
    torch.linalg.eigh(torch.eye(8, dtype=torch.float64))
    np.linalg.eigh(np.eye(8))


def report(rows: int, threads: int) -> None:
    """Print the table of this process."""
    import torch

    torch.set_num_threads(threads)
    costs = list(measured(rows))
    unit = sum(cost.cpu for name, cost in costs if name in ("one reading", "one product"))
    print(
        f"\n{rows} x 784, {threads} thread{'s' * (threads > 1)}; unit: one reading and one product, {unit:.2f} s CPU\n"
    )
    print("| what | CPU, s | in units | wall, s | peak, MiB |\n|---|---:|---:|---:|---:|")
    for name, cost in costs:
        print(f"| {name} | {cost.cpu:.2f} | {cost.cpu / unit:.2f} | {cost.wall:.2f} | {cost.peak / MEBIBYTE:.0f} |")


def main() -> None:
    """One process for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 60_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        report(given.rows[0], given.threads[0])
        return
    for rows in given.rows:
        for threads in given.threads:
            said = ["--here", "--rows", str(rows), "--threads", str(threads)]
            few = {name: str(threads) for name in THREAD_VARIABLES}
            subprocess.run(
                [sys.executable, "-m", "benchmarks.poisoning.speed", *said], check=True, env=os.environ | few
            )


if __name__ == "__main__":
    main()
