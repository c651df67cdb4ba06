"""How long the look at the weights takes, next to numpy on the same file, in one run.

    OMP_NUM_THREADS=1 python benchmarks/artifacts/weights.py [--repeat 5]

Peer: for each tensor, `numpy.isfinite(x).all()` and `numpy.linalg.norm(x)` as safetensors loads it, which finds nothing
else. Also the sha256 of the same file, which every gate computes anyway. Processor time of a process of its own,
imports left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

START = """
import json, sys, time
from pathlib import Path
import numpy as np
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
base, started = peak(), time.process_time()
"""
END = """
print(json.dumps([time.process_time() - started, peak() - base]))
"""
LOOK = """
from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record
from interlock.artifacts.weights.look import WeightsLook
from interlock.gate.protocols import OpenSubject
from interlock.gate.values import Subject
record = Record(Budget(Limits()))
record.formats["m"] = sys.argv[2]
opened = OpenSubject(subject=Subject(name="m", uri="m", digest="0" * 64), path=Path(sys.argv[1]), files=("",))
base, started = peak(), time.process_time()
WeightsLook(opened, {"": "m"}, profile=profile_named("torch-state-dict"), record=record).run()
assert not record.failed and record.counted["tensors"]
"""
NUMPY = """
from safetensors.numpy import safe_open
import ml_dtypes
base, started = peak(), time.process_time()
with safe_open(sys.argv[1], framework="numpy") as file:
    for name in file.keys():
        x = file.get_tensor(name)
        assert np.isfinite(x).all() and np.linalg.norm(x.astype(np.float32, copy=False)) > 0
"""
DIGEST = """
import hashlib
with open(sys.argv[1], "rb") as file:
    hashlib.file_digest(file, "sha256")
"""


def timed(program: str, *arguments: str, repeat: int) -> tuple[float, float]:
    """The fastest of several runs: seconds of the processor, MiB of memory on top."""
    runs = []
    for _ in range(repeat):
        whole = START + program + END
        done = subprocess.run([sys.executable, "-c", whole, *arguments], capture_output=True, text=True, check=True)
        runs.append(tuple(json.loads(done.stdout)))
    return min(runs)


def model(path: Path, dtype: str, mebibytes: int) -> None:
    """Normal weights in tensors of 16 MiB."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    kind: torch.dtype = getattr(torch, dtype)
    size = torch.empty(0, dtype=kind).element_size()
    save_file(
        {f"layer.{index}": (0.02 * torch.randn((16 << 20) // size)).to(kind) for index in range(mebibytes // 16)}, path
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    print("| model | interlock s | GB/s | MiB on top | numpy s | ratio | sha256 s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for dtype, mebibytes in (("float32", 256), ("float32", 1024), ("bfloat16", 256)):
            path = Path(folder) / "model"
            model(path, dtype, mebibytes)
            seconds, memory = timed(LOOK, str(path), "safetensors", repeat=repeat)
            peer, _ = timed(NUMPY, str(path), repeat=repeat)
            digest, _ = timed(DIGEST, str(path), repeat=repeat)
            speed = path.stat().st_size / seconds / 1e9
            print(
                f"| {dtype}, {mebibytes:,} MiB | {seconds:.2f} | {speed:.2f} | {memory:.0f} | {peer:.2f} "
                f"| {seconds / peer:.1f} | {digest:.2f} | {seconds / digest:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
