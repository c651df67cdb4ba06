"""Embeddings streamed from Parquet: how long, how much memory, and what two Ray workers gain over one.

Run from the root of the repository; a million rows of 512 need 2 GiB of disk in the folder for temporary files::

    python -m benchmarks.poisoning.streaming                                   # 100k, 300k and 1M rows, and Ray at 300k
    python -m benchmarks.poisoning.streaming --rows 100000 --ray-rows 100000   # a first look

The unit is one pass of reading the Parquet plus one float32 product of all rows with a square matrix of 512, measured
with the same threads. Peak memory is what the process held at most beyond what it held before the scan
(Linux only); it shall not grow with the number of rows. Each measurement has a process of its own. The rows are ten
classes of a few clusters each; 0.3 % carry one direction in common and the label of another class.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
from numpy.typing import NDArray

from interlock.gate import OpenSubject, Subject
from interlock.poisoning import PoisoningGate
from interlock.poisoning.batches import BatchSource, Columns, Source
from interlock.poisoning.engines import Look, RayEngine

WIDTH = 512
CLASSES = 10
CLUSTERS = 4
BLOCK = 10_000
FILES = 8
"""Parquet files of one dataset, so that workers have something to share."""

POISON = 0.003
COLUMNS = Columns(label="label", embedding="embedding")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MEBIBYTE = 2**20


def make(folder: Path, rows: int) -> None:
    """Write `rows` embeddings and labels as Parquet files, a block at a time.

    Args:
        folder: Where to; made new.
        rows: How many in all.
    """
    folder.mkdir(parents=True)
    centres = np.random.default_rng(0).normal(size=(CLASSES, CLUSTERS, WIDTH)).astype(np.float32)
    schema = pa.schema([("embedding", pa.list_(pa.float32(), WIDTH)), ("label", pa.int64())])
    starts = range(0, rows, BLOCK)
    for number, part in enumerate(np.array_split(np.array(starts), min(FILES, len(starts)))):
        with pq.ParquetWriter(folder / f"part-{number}.parquet", schema, compression="none") as writer:
            for start in part.tolist():
                features, labels = _block(centres, start, min(BLOCK, rows - start))
                column = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), WIDTH)
                writer.write_table(pa.Table.from_arrays([column, pa.array(labels)], schema=schema))


def _block(centres: NDArray[np.float32], start: int, rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng([1, start])
    labels = rng.integers(0, CLASSES, rows)
    features = centres[labels, rng.integers(0, CLUSTERS, rows)]
    features += rng.standard_normal(features.shape, dtype=np.float32)
    poisoned = rng.random(rows) < POISON
    features[poisoned, :16] += 3
    labels[poisoned] = 0
    return features, labels


def held(what: str) -> int:
    """Bytes that the process holds (``VmRSS``), or held at most since its peak was forgotten (``VmHWM``)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def opened(folder: Path) -> OpenSubject:
    """The files as a gate is given them."""
    subject = Subject(name="embeddings", uri=folder.as_uri(), digest="ab" * 32)
    return OpenSubject(subject=subject, path=folder, files=tuple(sorted(file.name for file in folder.iterdir())))


def unit(folder: Path, rows: int) -> dict[str, float]:
    """One pass of reading, and one product."""
    import torch

    began = time.perf_counter()
    for _ in Source.of(opened(folder), COLUMNS).batches():
        pass
    read = time.perf_counter()
    matrix, block = torch.rand(WIDTH, WIDTH), torch.rand(min(rows, BLOCK), WIDTH)
    for _ in range(0, rows, len(block)):
        block @ matrix
    return {"reading": read - began, "product": time.perf_counter() - read}


class Kept:
    """An engine that is running already and goes on running: what it takes to start is not measured.

    Args:
        running: The engine.
    """

    name = "ray"

    def __init__(self, running: RayEngine) -> None:
        self._running = running

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def fold(
        self, source: BatchSource, looks: Sequence[Look[Any]], *, lengths: Sequence[int] | None = None
    ) -> tuple[Any, ...]:
        """As the engine."""
        return self._running.fold(source, looks, lengths=lengths)


def scanned(folder: Path, workers: int) -> dict[str, float]:
    """The whole gate, in this process or on so many workers of a Ray cluster that is up already.

    Args:
        folder: With the files.
        workers: 0 for this process.
    """
    gate = PoisoningGate("label", embedding="embedding")
    with ExitStack() as stack:
        if workers:
            running = stack.enter_context(RayEngine(workers=workers))
            gate._engine = Kept(running)  # noqa: SLF001 (users take all processors, and a cluster for each scan)
        gate.look(opened(_few(stack)))  # starts workers, and loads the libraries, which is no part of a scan
        Path("/proc/self/clear_refs").write_text("5")
        before, cpu, wall = held("VmRSS"), time.process_time(), time.perf_counter()
        seen = gate.look(opened(folder))
        found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": held("VmHWM") - before}
    return found | {m.name: m.value for m in seen.measures if m.name in ("flagged_rows", "strongest", "detectors_run")}


def _few(stack: ExitStack) -> Path:
    """A small dataset of the same form, for a first scan that nobody measures."""
    small = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "few"
    make(small, 20_000)
    return small


def here(options: argparse.Namespace) -> None:
    """One measurement in this process, as JSON."""
    if options.here == "unit":
        print(json.dumps(unit(options.folder, options.rows[0])))
    else:
        print(json.dumps(scanned(options.folder, int(options.here))))


def elsewhere(what: str, folder: Path, rows: int, threads: int) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.poisoning.streaming", "--here", what, "--folder", str(folder)]
    few = dict.fromkeys(THREADS, str(threads)) | {"PYTHONWARNINGS": "ignore", "RAY_USAGE_STATS_ENABLED": "0"}
    ended = subprocess.run(
        [*command, "--rows", str(rows)], check=True, env=os.environ | few, stdout=subprocess.PIPE, text=True
    )
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said


def report(options: argparse.Namespace, place: Path) -> None:
    """Make the data, measure, and print the two tables."""
    print("| rows x 512 | reading, s | product, s | scan, s | in units | peak, MiB | flagged rows | strength |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for rows in options.rows:
        folder = place / str(rows)
        make(folder, rows)
        base, scan = (elsewhere(what, folder, rows, options.threads) for what in ("unit", "0"))
        one = base["reading"] + base["product"]
        print(
            f"| {rows} | {base['reading']:.1f} | {base['product']:.1f} | {scan['wall']:.1f} | {scan['wall'] / one:.1f} "
            f"| {scan['peak'] / MEBIBYTE:.0f} | {scan['flagged_rows']:.0f} | {scan['strongest']:.2f} |",
            flush=True,
        )
        if rows != options.ray_rows:
            shutil.rmtree(folder)
    if options.ray_rows:
        _report_ray(options, place)


def _report_ray(options: argparse.Namespace, place: Path) -> None:
    folder = place / str(options.ray_rows)
    if not folder.exists():
        make(folder, options.ray_rows)
    one, two = (elsewhere(workers, folder, options.ray_rows, 1) for workers in ("1", "2"))
    print(f"\nRay, {options.ray_rows} rows: one worker {one['wall']:.1f} s, two {two['wall']:.1f} s, ", end="")
    print(f"{one['wall'] / two['wall']:.2f} times as fast; flagged {one['flagged_rows']:.0f} and ", end="")
    print(f"{two['flagged_rows']:.0f} rows. This machine has {os.cpu_count()} processors.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--ray-rows", type=int, default=300_000, help="rows that Ray is measured with; 0 for no Ray")
    parser.add_argument("--threads", type=int, default=2, help="of one process")
    parser.add_argument("--folder", type=Path, help="where the data is made; a temporary folder by default")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        here(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        needed = 2 * max((*options.rows, options.ray_rows)) * (WIDTH * 4 + 8)
        free = shutil.disk_usage(place).free
        if free < needed:
            sys.exit(f"{free / 2**30:.1f} GiB are free in {place}, {needed / 2**30:.1f} are needed: give --folder")
        report(options, Path(place))


if __name__ == "__main__":
    main()
