"""Snapshots against bare `hashlib.file_digest` with the same threads, on a folder of 1 GiB and on many small files.

Run it with::

    python benchmarks/evidence/hashing.py [--bytes 1073741824] [--rounds 5]

It makes its files in a temporary folder, reads everything once so that all of it comes from the page cache, and then
takes turns: peer, snapshot, held copy. The ratio is the median of the peer's seconds over the median of ours, so 1.0
is as fast as the peer and the bar is 0.8. The held copy also writes every byte, which the peer does not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interlock.evidence import Store, take_snapshot
from interlock.evidence.claims import remove_tree


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, default=20_000, help="number of small files of 4 KiB")
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, {given.rounds} rounds, seconds are medians")
    print(f"{'folder':28} {'threads':>7} {'peer s':>8} {'ours s':>8} {'ratio':>6}  {'MiB/s':>6}")
    with tempfile.TemporaryDirectory() as folder:
        large = filled(Path(folder) / "large", files=64, size=given.bytes // 64)
        small = filled(Path(folder) / "small", files=given.small, size=4096)
        for name, root in (("64 large files", large), (f"{given.small} files of 4 KiB", small)):
            for threads in (1, 2):
                row(name, root, threads, given.rounds)
        held_copy(large, Path(folder) / "store", given.rounds)


def filled(root: Path, *, files: int, size: int) -> Path:
    root.mkdir()
    block = os.urandom(min(size, 1 << 20))
    for number in range(files):
        with (root / f"{number:06}.bin").open("wb") as stream:
            for start in range(0, size, len(block)):
                stream.write(block[: size - start])
    return root


def bare(root: Path, threads: int) -> None:
    """The peer: the same threads, `hashlib.file_digest`, nothing else."""

    def one(path: Path) -> str:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, sorted(root.iterdir())))


def row(name: str, root: Path, threads: int, rounds: int) -> None:
    peer, ours = in_turns(
        lambda: bare(root, threads), lambda: take_snapshot(str(root), threads=threads).digest, rounds=rounds
    )
    size = sum(path.stat().st_size for path in root.iterdir())
    print(f"{name:28} {threads:7} {peer:8.3f} {ours:8.3f} {peer / ours:6.2f}  {size / ours / (1 << 20):6.0f}")


def held_copy(root: Path, store: Path, rounds: int) -> None:
    """First opening (copies and hashes) and second opening (hashes the source and the copy)."""

    def opened() -> None:
        with Store(store, threads=2).open(str(root)):
            pass

    first = []
    for _ in range(rounds):
        remove_tree(store)
        first.append(seconds(opened))
    second = [seconds(opened) for _ in range(rounds)]
    peer = statistics.median(seconds(lambda: bare(root, 2)) for _ in range(rounds))
    for name, ours in (("held copy, first opening", first), ("held copy, opened again", second)):
        median = statistics.median(ours)
        print(f"{name:28} {2:7} {peer:8.3f} {median:8.3f} {peer / median:6.2f}")


def in_turns(peer: Callable[[], object], ours: Callable[[], object], *, rounds: int) -> tuple[float, float]:
    peer()
    ours()
    pairs = [(seconds(peer), seconds(ours)) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
