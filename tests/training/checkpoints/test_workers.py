"""Several workers of torchrun inside of the sandbox: one is lost, and all go on from the last verified checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock.gate import OpenSubject
from interlock.training import BwrapSandbox, Limits, Safeguards, TrainingRun, run_training, training_spec
from interlock.training.checkpoints import LineageKey
from interlock.training.checkpoints.safeguard import CheckpointSafeguard

pytestmark = pytest.mark.slow

SOURCE = """
import hashlib, json, os, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from interlock.training import SafeCheckpointer, make_deterministic

make_deterministic(0)
dist.init_process_group("gloo")
rank = dist.get_rank()
model = DistributedDataParallel(torch.nn.Linear(4, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
checkpointer = SafeCheckpointer()
step = checkpointer.resume(model=model, optimizer=optimizer) or 0
began = step
while step < 5:
    rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(10 * step + rank))
    optimizer.zero_grad()
    model(rows).square().mean().backward()
    optimizer.step()
    step += 1
    checkpointer.save(step, model=model, optimizer=optimizer)
    if LOST and step == 3 and rank == 1 and began == 0:
        os._exit(9)
if rank == 0:
    weights = b"".join(value.numpy().tobytes() for value in model.module.state_dict().values())
    with open(sys.argv[1] + "/metrics.json", "w") as out:
        json.dump({"began": began, "weights": hashlib.sha256(weights).hexdigest()}, out)
dist.destroy_process_group()
"""


def ran(lost: bool, dataset: OpenSubject, folder: Path, bwrap: BwrapSandbox) -> tuple[TrainingRun, dict[str, object]]:
    folder.mkdir()
    script, kept = folder / "train.py", folder / "checkpoints"
    script.write_text(SOURCE.replace("LOST", str(lost)))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "0")
    spec = training_spec(
        command=["python", *torchrun, str(script), "{out}"],
        code=[script],
        environment={"OMP_NUM_THREADS": "1"},
        limits=Limits(wall_seconds=120),
    )
    with Safeguards([CheckpointSafeguard(kept, LineageKey(secret=bytes(32)), restarts=1)]) as beside:
        run = run_training(spec, dataset, folder / "box" / "out", sandbox=bwrap, safeguards=beside, checkpoints=kept)
    assert run.exit_status == 0, run.log_tail
    return run, json.loads(run.metrics)


def test_a_lost_worker_costs_nothing_but_time(dataset: OpenSubject, tmp_path: Path, bwrap: BwrapSandbox) -> None:
    _, undisturbed = ran(False, dataset, tmp_path / "whole", bwrap)
    _, disturbed = ran(True, dataset, tmp_path / "lost", bwrap)
    assert undisturbed["began"] == 0
    assert disturbed["began"] in (2, 3)
    assert disturbed["weights"] == undisturbed["weights"]
