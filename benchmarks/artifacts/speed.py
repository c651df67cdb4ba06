"""How long a scan takes, next to peers, in one run.

    python benchmarks/artifacts/speed.py [--repeat 3]

Peers: `pickletools.genops` (reads opcodes, understands nothing), `zipfile.ZipFile.testzip` (checks the checksums) and
``torch.load(weights_only=True)``. picklescan, modelscan and fickling are not among the project's dependencies, so they
are not measured here. Every scan runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

SCAN = """
import json, sys, time
from pathlib import Path
from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record
from interlock.artifacts.scan import scan_file
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
base = peak()
record = Record(Budget(Limits()))
started = time.perf_counter()
scan_file(Path(sys.argv[1]), "m", profile=profile_named(sys.argv[2]), record=record)
seconds = time.perf_counter() - started
print(json.dumps([seconds, peak() - base, record.budget.opcodes, record.clean]))
"""
GENOPS = """
import json, pickletools, sys, time
from pathlib import Path
data = Path(sys.argv[1]).read_bytes()
started = time.perf_counter()
count = sum(1 for _ in pickletools.genops(data))
print(json.dumps([time.perf_counter() - started, 0, count, True]))
"""
TESTZIP = """
import json, sys, time, zipfile
started = time.perf_counter()
zipfile.ZipFile(sys.argv[1]).testzip()
print(json.dumps([time.perf_counter() - started, 0, 0, True]))
"""
LOAD = """
import json, sys, time, torch
torch.set_num_threads(1)
started = time.perf_counter()
torch.load(sys.argv[1], weights_only=True)
print(json.dumps([time.perf_counter() - started, 0, 0, True]))
"""


def timed(program: str, *arguments: str, repeat: int) -> tuple[float, float, int, bool]:
    """The fastest of several runs: seconds, MiB of memory on top, opcodes, whether it was clean."""
    runs = []
    for _ in range(repeat):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
        runs.append(tuple(json.loads(done.stdout)))
    return min(runs)


def torch_zip(path: Path) -> None:
    """200 MiB in 50 tensors."""
    import torch

    torch.manual_seed(0)
    torch.save({f"layer.{i}": torch.rand(1 << 20) for i in range(50)}, path)


def many_opcodes(path: Path) -> None:
    """2.7 million opcodes of plain containers."""
    rows = [{"id": i, "xs": [i % 7, 1.5, None, True], "s": str(i % 1000)} for i in range(150_000)]
    path.write_bytes(pickle.dumps(rows, protocol=4))


def sparse_safetensors(path: Path) -> None:
    """10 GiB that take no room on the disk."""
    size = 10 << 30
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(path, 8 + len(header) + size)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    cases: list[tuple[str, Callable[[Path], None], str, tuple[tuple[str, str], ...]]] = [
        ("torch zip, 200 MiB", torch_zip, "torch-state-dict", (("zipfile.testzip", TESTZIP), ("torch.load", LOAD))),
        ("pickle, 2.7 M opcodes", many_opcodes, "numpy", (("pickletools.genops", GENOPS),)),
        ("safetensors, 10 GiB sparse", sparse_safetensors, "numpy", ()),
    ]
    print("| file | interlock s | MiB on top | clean | peer | peer s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, write, profile, peers in cases:
            path = Path(folder) / "model"
            write(path)
            seconds, memory, opcodes, clean = timed(SCAN, str(path), profile, repeat=repeat)
            row = f"| {name} ({opcodes:,} opcodes) | {seconds:.3f} | {memory:.0f} | {clean} "
            for peer, program in peers or (("-", ""),):
                other = timed(program, str(path), repeat=repeat)[0] if program else 0.0
                ratio = f"{other:.3f} | {seconds / other:.2f}" if other else "- | -"
                print(f"{row}| {peer} | {ratio} |")


if __name__ == "__main__":
    main()
