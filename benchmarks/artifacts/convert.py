"""How long a conversion to safetensors takes, next to `torch.load` and `safetensors.torch.save_file`, in one run.

    python benchmarks/artifacts/convert.py [--repeat 3] [--mib 200]

The peer proves nothing and is not in a sandbox. Every conversion runs in a process of its own, so that its memory is
its own. What runs in the sandbox cannot be measured from outside, so the writer is run once more without one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURE = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
def measured():
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps([time.perf_counter() - started, peak]))
"""
CONVERT = """
from interlock.artifacts.conversion import Converter
from interlock.evidence import Store
source, target, store, by_torch = sys.argv[1:]
done = Converter(opener=Store(Path(store)), by_torch=by_torch == "torch").convert(source, Path(target))
assert done.result is not None, done.reasons
measured()
"""
WRITE = """
from interlock.artifacts.conversion.inside import convert
options = {"format": "torch-zip", "profile": "torch-state-dict", "key": None, "keep_duplicates": False, "seconds": 600}
convert(Path(sys.argv[1]), Path(sys.argv[2]), options)
measured()
"""
PEER = """
import torch
from safetensors.torch import save_file
torch.set_num_threads(1)
save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2], metadata={"format": "pt"})
measured()
"""


def timed(program: str, *arguments: str, repeat: int) -> tuple[float, float]:
    """The fastest of several runs: seconds from the first import on, and MiB of memory."""
    runs = []
    for _ in range(repeat):
        command = [sys.executable, "-c", MEASURE + program, *arguments]
        runs.append(tuple(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)))
    return min(runs)


def save(path: Path, mib: int) -> None:
    """In a process of its own: the memory of this one would count as that of those that it starts."""
    program = (
        f"import torch; torch.save({{f'layer.{{i}}': torch.rand(1 << 20) for i in range({mib // 4})}}, {str(path)!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--mib", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, ours, theirs = (Path(folder, name) for name in ("model.pt", "ours.safetensors", "theirs.safetensors"))
        save(source, asked.mib)
        print(f"| {asked.mib} MiB | s | ratio | MiB of memory |")
        print("| --- | --- | --- | --- |")
        peer = timed(PEER, str(source), str(theirs), repeat=asked.repeat)
        print(f"| torch.load, save_file | {peer[0]:.2f} | 1 | {peer[1]:.0f} |")
        places = (str(source), str(ours))
        for name, program, arguments in (
            ("convert, proven by torch", CONVERT, (*places, str(Path(folder, "store")), "torch")),
            ("convert, proven by the storages", CONVERT, (*places, str(Path(folder, "store")), "storages")),
            ("the writer alone", WRITE, places),
        ):
            own = timed(program, *arguments, repeat=asked.repeat)
            print(f"| {name} | {own[0]:.2f} | {own[0] / peer[0]:.2f} | {own[1]:.0f} |")
        print(f"\nthe same bytes: {ours.read_bytes() == theirs.read_bytes()}")


if __name__ == "__main__":
    main()
