"""What the sandbox costs: the start of a process, files written, a training that lasts, bare and inside, in pairs.

    python benchmarks/training/sandbox.py [--pairs 40] [--long-pairs 5] [--minute-pairs 4]

Each pair runs the same Python program twice, once bare and once in the sandbox, in an order that changes from pair to
pair, so that whatever else the machine does meets both. Printed are medians over the pairs: wall clock bare and inside,
their difference, the difference of the fastest ones, the ratio, and the ratio of processor seconds (the program's own,
its launcher's, and those of the watch on it); a busy machine disturbs the last and the fastest ones least. `hold and
check` is what `run_training` adds around it: holding the code, checking and hashing the output. Each of the files that
are written is a call that the filter asks about. The minute is a training with PyTorch on one thread, as many steps as
take a minute bare on this machine, which prints its loss and saves its weights after every hundred; it runs at the best
level only, with hold and check.
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

from interlock.gate import OpenSubject, Subject
from interlock.training import Folders, Job, Limits, Sandbox, run_training, sandboxes, training_spec

FILES = 500
START = "import sys, time; open(sys.argv[1] + '/model', 'w').write(str(time.process_time()))"
WRITES = f"""
import sys, time
for n in range({FILES}):
    open(f"{{sys.argv[1]}}/{{n}}", "w").close()
open(sys.argv[1] + '/model', 'w').write(str(time.process_time()))
"""
LONG = """
import sys, time
total = 0
for n in range(15_000_000):
    total += n * n
open(sys.argv[1] + '/model', 'w').write(str(time.process_time()))
"""

MINUTE = """
import sys, time, torch
torch.set_num_threads(1)
torch.manual_seed(7)
rows, labels = torch.randn(4096, 784), torch.randint(0, 10, (4096,))
model = torch.nn.Sequential(torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
started = time.perf_counter()
for step in range(int(sys.argv[2])):
    picked = torch.arange(step * 128, (step + 1) * 128) % 4096
    loss = torch.nn.functional.cross_entropy(model(rows[picked]), labels[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 99:
        print(step, loss.item(), flush=True)
        torch.save(model.state_dict(), sys.argv[1] + '/weights.pt')
open(sys.argv[1] + '/seconds', 'w').write(str(time.perf_counter() - started))
open(sys.argv[1] + '/model', 'w').write(str(time.process_time()))
"""
CALIBRATING = 2000


def timed(step: Callable[[Path], None], out: Path) -> tuple[float, float]:
    """Wall-clock seconds of `step`, and processor seconds of the program and of this process."""
    before, started = time.process_time(), time.perf_counter()
    step(out)
    wall, watched = time.perf_counter() - started, time.process_time() - before
    return wall, watched + float((out / "model").read_text())


def bare(script: Path, out: Path, *arguments: str) -> None:
    command = [sys.executable, str(script), str(out), *arguments]
    subprocess.run(command, check=True, env={"PATH": "/usr/bin:/bin"}, stdout=subprocess.DEVNULL)


def inside(sandbox: Sandbox, script: Path, out: Path, data: Path) -> None:
    scratch = out.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    outside = Folders(data=data, code=script.parent, out=out, scratch=scratch)
    seen = sandbox.inside(outside)
    job = Job(
        argv=(sys.executable, str(seen.code / script.name), str(seen.out)),
        environment=(("PATH", "/usr/bin:/bin"),),
        folders=outside,
        visible=(),
        limits=Limits(),
        working_folder=seen.scratch,
    )
    ended = sandbox.run(job)
    assert ended.exit_status == 0, ended.log_tail


def steps_in(seconds: float, script: Path, root: Path) -> int:
    """The steps of `script` that take that long, bare, on this machine."""
    with tempfile.TemporaryDirectory(dir=root) as out:
        bare(script, Path(out), str(CALIBRATING))
        return round(seconds / float(Path(out, "seconds").read_text()) * CALIBRATING)


def whole(sandbox: Sandbox, script: Path, out: Path, data: Path, *arguments: str) -> None:
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    opened = OpenSubject(subject=Subject(name=data.name, uri=data.as_uri(), digest=digest), path=data, files=("",))
    run = run_training(
        training_spec(command=["python", str(script), "{out}", *arguments]), opened, out, sandbox=sandbox
    )
    assert not run.failed, run.log_tail


def compare(name: str, pairs: int, one: Callable[[Path], None], other: Callable[[Path], None], root: Path) -> None:
    if not pairs:
        return
    pairs_of: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for pair in range(pairs + 1):
        measured = [(0.0, 0.0), (0.0, 0.0)]
        for side in (0, 1) if pair % 2 else (1, 0):
            with tempfile.TemporaryDirectory(dir=root) as box:
                out = Path(box, "out")
                out.mkdir()
                measured[side] = timed((one, other)[side], out)
        if pair:  # the first pair warms the caches
            pairs_of.append((measured[0], measured[1]))
    first = statistics.median(a[0] for a, _ in pairs_of) * 1e3
    second = statistics.median(b[0] for _, b in pairs_of) * 1e3
    apart = statistics.median(b[0] - a[0] for a, b in pairs_of) * 1e3
    wall = statistics.median(b[0] / a[0] for a, b in pairs_of)
    used = statistics.median(b[1] / a[1] for a, b in pairs_of)
    least = (min(b[0] for _, b in pairs_of) - min(a[0] for a, _ in pairs_of)) * 1e3
    print(
        f"| {name} | {pairs} | {first:.1f} ms | {second:.1f} ms | {apart:+.1f} ms | {least:+.1f} ms | {wall:.3f} |"
        f" {used:.3f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--long-pairs", type=int, default=5)
    parser.add_argument("--minute-pairs", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = root / "rows.csv"
        data.write_text("a\n1\n")
        (root / "code").mkdir()
        start, long, writes, minute = (root / "code" / f"{name}.py" for name in ("start", "long", "writes", "minute"))
        for path, text in ((start, START), (long, LONG), (writes, WRITES), (minute, MINUTE)):
            path.write_text(text)
        print(
            "| program, bare against | pairs | bare | inside | difference | of the fastest | ratio | processor ratio |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for sandbox in sandboxes():
            found = sandbox.probe()
            if not found.available:
                print(f"| {sandbox.level} | - | - | - | - | - | - | not here: {found.reason} |")
                continue

            def boxed(out: Path, sandbox: Sandbox = sandbox) -> None:
                inside(sandbox, start, out, data)

            def boxed_long(out: Path, sandbox: Sandbox = sandbox) -> None:
                inside(sandbox, long, out, data)

            def boxed_writes(out: Path, sandbox: Sandbox = sandbox) -> None:
                inside(sandbox, writes, out, data)

            def around(out: Path, sandbox: Sandbox = sandbox) -> None:
                whole(sandbox, start, out, data)

            compare(f"start, {sandbox.level}", given.pairs, lambda out: bare(start, out), boxed, root)
            compare(
                f"start, {sandbox.level} with hold and check", given.pairs, lambda out: bare(start, out), around, root
            )
            compare(
                f"{FILES} files written, {sandbox.level}",
                given.pairs,
                lambda out: bare(writes, out),
                boxed_writes,
                root,
            )
            compare(
                f"seconds of arithmetic, {sandbox.level}",
                given.long_pairs,
                lambda out: bare(long, out),
                boxed_long,
                root,
            )
        if given.minute_pairs:
            best = next(one for one in sandboxes() if one.probe().available)
            steps = str(steps_in(60, minute, root))
            compare(
                f"a training of {steps} steps, {best.level} with hold and check",
                given.minute_pairs,
                lambda out: bare(minute, out, steps),
                lambda out: whole(best, minute, out, data, steps),
                root,
            )


if __name__ == "__main__":
    main()
