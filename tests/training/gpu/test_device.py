"""The same on a real GPU, where there is one: `pytest -m gpu tests/training/gpu`. Elsewhere each test says why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.training.conftest import RunScript

from interlock.gate import MissingExtraError, Subject, UnavailableError
from interlock.training import BwrapSandbox, Limits, Safeguards, TrainingRun
from interlock.training.gpu import GpuRequest, GpuSafeguard, GpuState, NvmlProbe
from interlock.training.gpu.choice import places_of

pytestmark = pytest.mark.gpu
DATA = Subject(name="rows", uri="file:///rows", digest="0" * 64)
LIMITS = Limits(wall_seconds=300.0)


@pytest.fixture(scope="module")
def probe() -> Iterator[NvmlProbe]:
    try:
        found = NvmlProbe()
        state = found.state()
    except (UnavailableError, MissingExtraError) as error:
        pytest.skip(f"no GPU to try this on: {error}")
    if not places_of(state):
        pytest.skip("no GPU to try this on: the driver shows none")
    yield found
    found.close()


@pytest.fixture(scope="module")
def state(probe: NvmlProbe) -> GpuState:
    return probe.state()


@pytest.fixture
def cuda(probe: NvmlProbe) -> Any:
    torch = pytest.importorskip("torch")
    if not torch.version.cuda:
        pytest.skip("this torch is not built for CUDA")
    return torch


def test_the_driver_says_what_policy_asks_for(state: GpuState) -> None:
    assert state.driver
    for place in places_of(state):
        assert place.uuid.startswith(("GPU-", "MIG-"))
        assert place.device.minor is not None
        assert place.memory_bytes
        assert place.processes is not None


def trained(
    probe: NvmlProbe, run_script: RunScript, sandbox: BwrapSandbox, source: str, *, scrub: bool = False
) -> TrainingRun:
    safeguard = GpuSafeguard(GpuRequest(count=1, scrub=scrub), probe)
    try:
        safeguard.beforehand(DATA)
        return run_script(source, sandbox=sandbox, limits=LIMITS, safeguards=Safeguards([safeguard]))
    finally:
        safeguard.close()


TRAINING = """
    import json, os, sys, torch
    found = {"count": torch.cuda.device_count(), "nodes": sorted(n for n in os.listdir("/dev") if n[-1:].isdigit())}
    weights = torch.zeros(64, 64, device="cuda", requires_grad=True)
    data = torch.randn(4096, 64, device="cuda")
    for _ in range(100):
        loss = ((data @ weights - data) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            weights -= 10 * weights.grad
            weights.grad = None
    found["loss"] = float(loss)
    json.dump(found, open(sys.argv[2] + "/metrics.json", "w"))
    """


def test_a_training_in_the_sandbox_uses_the_one_gpu_that_it_got(
    probe: NvmlProbe, cuda: Any, run_script: RunScript, bwrap: BwrapSandbox
) -> None:
    run = trained(probe, run_script, bwrap, TRAINING)
    assert run.exit_status == 0, run.log_tail
    found = json.loads(run.metrics)
    assert found["count"] == 1
    assert len([node for node in found["nodes"] if node.startswith("nvidia")]) == 1
    assert found["loss"] < 1
    [(_, part)] = run.parts
    assert not [finding for finding in part.findings if finding.rule_id == "training.gpu-foreign-process"]


def test_free_memory_is_overwritten_before_and_after(
    probe: NvmlProbe, cuda: Any, run_script: RunScript, bwrap: BwrapSandbox
) -> None:
    run = trained(probe, run_script, bwrap, TRAINING, scrub=True)
    assert run.exit_status == 0, run.log_tail
    [(_, part)] = run.parts
    scrub: Any = part.facts["gpu"]["scrub"]
    for when in ("before", "after"):
        assert scrub[when]["done"] is True, scrub
        assert scrub[when]["scrubbed_bytes"] >= 0.9 * scrub[when]["free_bytes"]


DISTRIBUTED = """
    import os, subprocess, sys
    worker = '''
import json, os, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("nccl")
model = DistributedDataParallel(torch.nn.Linear(8, 1).cuda())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(10):
    optimizer.zero_grad()
    model(torch.ones(16, 8, device="cuda")).pow(2).mean().backward()
    optimizer.step()
json.dump({"world": dist.get_world_size()}, open(os.environ["INTERLOCK_OUT"] + "/metrics.json", "w"))
dist.destroy_process_group()
'''
    path = os.environ["TMPDIR"] + "/worker.py"
    open(path, "w").write(worker)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", path]
    sys.exit(subprocess.run(words).returncode)
    """


def test_torchrun_trains_over_nccl_in_the_sandbox(
    probe: NvmlProbe, cuda: Any, run_script: RunScript, bwrap: BwrapSandbox
) -> None:
    run = trained(probe, run_script, bwrap, DISTRIBUTED)
    assert run.exit_status == 0, run.log_tail
    assert json.loads(run.metrics) == {"world": 1}


def test_energy_that_a_training_used_is_counted(
    probe: NvmlProbe, cuda: Any, run_script: RunScript, bwrap: BwrapSandbox, state: GpuState
) -> None:
    if state.devices[0].energy_mj is None:
        pytest.skip("this GPU does not count energy")
    run = trained(probe, run_script, bwrap, TRAINING)
    [(_, part)] = run.parts
    [measure] = part.measures
    assert measure.value > 0
