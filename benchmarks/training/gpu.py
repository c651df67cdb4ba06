"""What a training pays on a GPU for being looked after: questions to NVML, scrubbing, the sandbox against bare.

Prints a table of medians, with the product and the driver that it was measured on; ends with status 3 where there is no
GPU, and prints no number then.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from interlock.gate import InterlockError, OpenSubject, Subject
from interlock.training import BwrapSandbox, Limits, Safeguards, run_training, training_spec
from interlock.training.gpu import GpuRequest, GpuSafeguard, NvmlProbe, scrub_devices
from interlock.training.gpu.choice import Assigned, places_of
from interlock.training.gpu.driver import provision_of

SCRIPT = """
import sys, torch
torch.manual_seed(0)
model = torch.nn.Sequential(*[torch.nn.Linear(2048, 2048) for _ in range(8)]).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
data = torch.randn(4096, 2048, device="cuda")
for _ in range(int(sys.argv[1])):
    optimizer.zero_grad()
    (model(data) - data).pow(2).mean().backward()
    optimizer.step()
torch.cuda.synchronize()
open(sys.argv[2] + "/done", "w").write("x")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    probe = NvmlProbe()
    try:
        state = probe.state()
        place = places_of(state)[0]
    except (InterlockError, IndexError) as error:
        print(f"no GPU to measure on: {error}", file=sys.stderr)
        return 3
    print(f"{place.device.name}, driver {state.driver}, CUDA {state.cuda}, {given.pairs} pairs, medians\n")
    print("| what | measured |\n|---|---|")
    print(f"| whole state from NVML | {1000 * median(probe.state, 20):.1f} ms |")
    print(f"| processes of one device | {1000 * median(lambda: probe.processes(place.uuid), 50):.2f} ms |")
    print_scrub(place, given.pairs)
    print_training(probe, given.pairs, given.steps)
    probe.close()
    return 0


def median(work: Callable[[], object], times: int) -> float:
    """Seconds."""
    return statistics.median(timed(work) for _ in range(times))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def print_scrub(place: Assigned, pairs: int) -> None:
    provision = provision_of([place])
    found = scrub_devices(provision, 1)
    if found.problem:
        print(f"| scrub | {found.problem} |")
        return
    seconds = median(lambda: scrub_devices(provision, 1), pairs)
    size = f"{found.scrubbed_bytes / 2**30:.1f} GiB, {found.fraction:.1%} of what was free"
    print(f"| scrub of {size}, with its start | {seconds:.1f} s |")


def print_training(probe: NvmlProbe, pairs: int, steps: int) -> None:
    """Bare and in the sandbox with its GPU, one after the other, so that both meet the same machine."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        script, rows = root / "train.py", root / "rows.csv"
        script.write_text(SCRIPT)
        rows.write_text("a\n1\n")
        bare, inside = [], []
        for pair in range(pairs):
            out = root / f"bare-{pair}"
            out.mkdir()
            words = [sys.executable, str(script), str(steps), str(out)]
            bare.append(timed(lambda words=words: subprocess.run(words, check=True)))  # type: ignore[misc]
            inside.append(timed(lambda pair=pair: sandboxed(probe, script, rows, root / f"out-{pair}", steps)))  # type: ignore[misc]
    ratio = statistics.median(b / a for a, b in zip(bare, inside, strict=True))
    print(f"| training of {steps} steps, bare | {statistics.median(bare):.1f} s |")
    print(f"| the same in bubblewrap with the safeguard | {statistics.median(inside):.1f} s, ratio {ratio:.3f} |")


def sandboxed(probe: NvmlProbe, script: Path, rows: Path, out: Path, steps: int) -> None:
    digest = hashlib.sha256(rows.read_bytes()).hexdigest()
    data = OpenSubject(subject=Subject(name=rows.name, uri=rows.as_uri(), digest=digest), path=rows, files=("",))
    spec = training_spec(command=["python", str(script), str(steps), "{out}"], limits=Limits(wall_seconds=600.0))
    safeguard = GpuSafeguard(GpuRequest(count=1), probe)
    with Safeguards([safeguard]) as beside:
        beside.beforehand(data.subject)
        run = run_training(spec, data, out, sandbox=BwrapSandbox(), safeguards=beside)
    if run.failed:
        raise SystemExit(f"the training failed: {run.log_tail}")


if __name__ == "__main__":
    sys.exit(main())
