"""The safeguard takes devices, measures them before, during and after, and says what it could not know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.training.conftest import RunScript
from tests.training.gpu.attester import NONCE, Attester
from tests.training.gpu.machine import Machine
from tests.training.gpu.nvml_library import NvmlDouble
from tests.training.gpu.states import HEALTHY, RECORDS, SLICE, STATES, UUID, with_device

from interlock.gate import Level, Observation, Subject, UnavailableError
from interlock.training import BwrapSandbox, Ended, Moment, Part, Safeguards
from interlock.training.gpu import GpuRequest, GpuSafeguard, GpuState, NvmlProbe, RecordedProbe, attester, report
from interlock.training.gpu.choice import GpuLocks
from interlock.training.gpu.state import EccCounts, GpuProcess, ProcessKind, Repairs

DATA = Subject(name="rows", uri="file:///rows", digest="0" * 64)
ENDED = Ended(exit_status=0, seconds=5.0, limit=None, log_tail="", log_bytes=0)
ONE = GpuRequest(count=1)


class Bench:
    """One safeguard over a double, whose state a test changes between two moments."""

    def __init__(self, state: GpuState, machine: Machine, request: GpuRequest = ONE, **more: Any) -> None:
        self.double = NvmlDouble(state)
        probe = NvmlProbe(self.double.module(), toolkit=lambda: self.double.state.toolkit)
        locks = GpuLocks(machine.places.dev.parent)
        self.safeguard = GpuSafeguard(request, probe, locks=locks, places=machine.places, **more)

    def before(self) -> Observation:
        return self.safeguard.beforehand(DATA)

    def tick(self, seconds: float) -> None:
        assert self.safeguard.tick(Moment(seconds=seconds, root=os.getpid(), out=Path("/nowhere"))) is None

    def after(self) -> Part:
        return self.safeguard.after(ENDED, Path("/nowhere"))


def facts(seen: Observation) -> Any:
    return json.loads(dict(seen.facts)["gpu"])


def device_of(part: Part) -> Any:
    listed: Any = part.facts["gpu"]["devices"]
    return listed[0]


def rules(seen: Observation | Part) -> dict[str, Level]:
    return {finding.rule_id: finding.level for finding in seen.findings}


def test_it_asks_for_what_was_asked(machine: Machine) -> None:
    assert Bench(HEALTHY, machine).safeguard.requested() == {"gpus": 1}
    request = GpuRequest(names=("0", "1"), confidential=True)
    assert Bench(HEALTHY, machine, request).safeguard.requested() == {"gpus": 2, "confidential": True}


def test_a_healthy_device_is_told_of_by_the_names_that_policy_reads(machine: Machine) -> None:
    seen = Bench(HEALTHY, machine).before()
    [device] = facts(seen)["devices"]
    assert {name: device[name] for name in ("uuid", "mig", "mps", "compute_mode", "driver", "confidential")} == {
        "uuid": UUID,
        "mig": False,
        "mps": False,
        "compute_mode": "EXCLUSIVE_PROCESS",
        "driver": "580.95.05",
        "confidential": False,
    }
    assert (device["ecc_uncorrected"], device["retired_pages"], device["foreign_processes"]) == (0, 0, 0)
    assert facts(seen)["toolkit"] == "1.18.0"
    assert facts(seen)["recorded"] is False
    assert rules(seen) == {}


def test_what_is_not_known_is_left_out_of_the_facts(machine: Machine) -> None:
    bare = replace(HEALTHY.devices[0], ecc=EccCounts(), repairs=Repairs(), processes=None, compute_mode=None)
    seen = Bench(replace(HEALTHY, driver=None, devices=(bare,)), machine).before()
    [device] = facts(seen)["devices"]
    left_out = {"ecc_uncorrected", "retired_pages", "foreign_processes", "compute_mode", "driver", "mps"}
    assert left_out.isdisjoint(device)
    assert "ecc.volatile_uncorrected: Not Supported" in device["unknown"]


@pytest.mark.parametrize(
    ("state", "field", "value", "rule"),
    [
        ("mps", "mps", True, "training.gpu-foreign-process"),
        ("mps", "foreign_processes", 2, "training.gpu-foreign-process"),
        ("foreign-process", "foreign_processes", 1, "training.gpu-foreign-process"),
        ("ecc-errors", "ecc_uncorrected", 2, "training.gpu-repair-failed"),
        ("ecc-errors", "retired_pages", 2, "training.gpu-repair-pending"),
        ("old-driver", "driver", "470.82.01", ""),
        ("confidential", "confidential", True, ""),
    ],
)
def test_each_recorded_state_is_told_of(state: str, field: str, value: object, rule: str, machine: Machine) -> None:
    seen = Bench(STATES[state], machine).before()
    assert facts(seen)["devices"][0][field] == value
    assert not rule or rule in rules(seen)


def test_a_slice_is_told_of_as_one(machine: Machine) -> None:
    seen = Bench(STATES["mig"], machine, GpuRequest(names=("0:0",))).before()
    [device] = facts(seen)["devices"]
    assert (device["uuid"], device["mig"], device["memory_bytes"]) == (SLICE, True, 10_468_982_784)


def test_ecc_that_is_off_is_warned_of(machine: Machine) -> None:
    assert rules(Bench(with_device(ecc_enabled=False), machine).before())["training.gpu-ecc-off"] is Level.WARNING


def test_this_process_and_those_below_it_are_not_foreign(machine: Machine) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        mine = [GpuProcess(pid=pid, kind=ProcessKind.COMPUTE) for pid in (os.getpid(), child.pid)]
        bench = Bench(with_device(processes=tuple(mine)), machine)
        assert facts(bench.before())["devices"][0]["foreign_processes"] == 0
    finally:
        child.kill()
        child.wait()


STRANGER = GpuProcess(pid=4_100_007, kind=ProcessKind.COMPUTE, memory_bytes=1, name="python3")


def test_a_process_that_came_and_went_while_the_job_ran_is_in_the_report(machine: Machine) -> None:
    bench = Bench(HEALTHY, machine)
    bench.before()
    bench.double.state = with_device(processes=(STRANGER,))
    bench.tick(0.5)
    assert bench.double.calls.count("nvmlDeviceGetHandleByUUID") == 0
    bench.tick(1.1)
    bench.double.state = HEALTHY
    bench.tick(2.2)
    part = bench.after()
    assert device_of(part)["foreign_processes"] == 1
    assert rules(part)["training.gpu-foreign-process"] is Level.WARNING
    assert any(str(STRANGER.pid) in finding.evidence for finding in part.findings)


def test_a_process_that_is_gone_in_the_second_look_is_the_job_s_own(machine: Machine) -> None:
    class Fleeting(NvmlDouble):
        def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any) -> list[Any]:  # noqa: N802
            found = super().nvmlDeviceGetComputeRunningProcesses_v3(handle)
            self.state = HEALTHY
            return found

    bench = Bench(HEALTHY, machine)
    bench.before()
    fleeting = Fleeting(with_device(processes=(STRANGER,)))
    bench.safeguard._probe = NvmlProbe(fleeting.module(), toolkit=lambda: None)
    bench.tick(1.5)
    assert device_of(bench.after())["foreign_processes"] == 0


def test_one_look_that_was_not_answered_leaves_the_count_unknown(machine: Machine) -> None:
    bench = Bench(HEALTHY, machine)
    bench.before()
    bench.double.state = with_device(processes=None)
    bench.tick(1.5)
    bench.double.state = HEALTHY
    device = device_of(bench.after())
    assert "foreign_processes" not in device
    assert "mps" not in device


def test_in_a_container_others_are_looked_for_before_and_after_only(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.training.gpu.safeguard.counts_own_processes", lambda: False)
    bench = Bench(HEALTHY, machine)
    assert rules(bench.before()) == {"training.gpu-container": Level.NOTE}
    bench.double.state = with_device(processes=(STRANGER,))
    bench.tick(1.5)
    bench.double.state = HEALTHY
    assert device_of(bench.after())["foreign_processes"] == 0


def test_the_first_process_namespace_is_told_from_others() -> None:
    assert report.counts_own_processes() is (os.stat("/proc/self/ns/pid").st_ino == 4026531836)  # noqa: PTH116


def test_errors_that_came_during_the_run_are_found(machine: Machine) -> None:
    bench = Bench(HEALTHY, machine)
    bench.before()
    bench.double.state = STATES["ecc-errors"]
    part = bench.after()
    found = rules(part)
    assert found["training.gpu-memory-errors"] is Level.ERROR
    assert found["training.gpu-memory-errors-corrected"] is Level.NOTE
    assert found["training.gpu-memory-worn"] is Level.WARNING
    assert device_of(part)["ecc_uncorrected"] == 2


def test_energy_is_the_difference_of_the_counters(machine: Machine) -> None:
    bench = Bench(with_device(energy_mj=1_000), machine)
    bench.before()
    bench.double.state = with_device(energy_mj=1_000 + 3_600_000_000)
    part = bench.after()
    assert {measure.name: (measure.value, measure.unit) for measure in part.measures} == {
        "gpu_energy_kwh": (1.0, "kWh")
    }
    assert [tool.name for tool in part.tools] == ["nvidia-ml-py", "nvidia-driver", "nvidia-container-toolkit"]


@pytest.mark.parametrize(
    ("start", "end"), [(None, 5), (5, None), (5, 4)], ids=["unknown-before", "unknown-after", "counter-restarted"]
)
def test_energy_that_was_not_counted_is_no_zero(start: int | None, end: int | None, machine: Machine) -> None:
    bench = Bench(with_device(energy_mj=start), machine)
    bench.before()
    bench.double.state = with_device(energy_mj=end)
    assert bench.after().measures == ()


def test_a_slice_has_no_energy_of_its_own(machine: Machine) -> None:
    bench = Bench(STATES["mig"], machine, GpuRequest(names=(SLICE,)))
    bench.before()
    assert bench.after().measures == ()


def test_a_device_that_is_gone_afterwards_is_an_error(machine: Machine) -> None:
    bench = Bench(HEALTHY, machine)
    bench.before()
    bench.double.state = replace(HEALTHY, devices=(), lost=((0, "GPU is lost"),))
    part = bench.after()
    assert rules(part) == {"training.gpu-lost": Level.ERROR}
    assert part.facts == {}


def test_the_device_is_locked_until_it_is_closed(machine: Machine) -> None:
    first, second = Bench(HEALTHY, machine), Bench(HEALTHY, machine)
    first.before()
    with pytest.raises(UnavailableError, match="0 of 1 are free"):
        second.before()
    first.safeguard.close()
    assert first.double.started == 0
    second.before()


def test_a_recorded_state_is_never_presented_as_real(machine: Machine) -> None:
    probe = RecordedProbe(RECORDS / "healthy.json")
    request = GpuRequest(count=1, scrub=True)
    safeguard = GpuSafeguard(request, probe, locks=GpuLocks(machine.places.dev), places=machine.places)
    seen = safeguard.beforehand(DATA)
    assert facts(seen)["recorded"] is True
    assert rules(seen)["training.gpu-recorded"] is Level.WARNING
    assert facts(seen)["scrub"]["before"]["done"] is False
    assert safeguard.provision().devices == ()
    assert safeguard.provision().environment == ()
    part = safeguard.after(ENDED, Path("/nowhere"))
    assert part.facts["gpu"]["recorded"] is True
    assert [tool.name for tool in part.tools] == ["interlock-gpu-record"]
    assert rules(part)["training.gpu-recorded"] is Level.WARNING


def test_a_scrub_that_could_not_be_is_found_before_and_after(machine: Machine) -> None:
    for node in machine.places.dev.glob("nvidia0"):
        node.unlink()
    bench = Bench(HEALTHY, machine, GpuRequest(count=1, scrub=True))
    seen = bench.before()
    assert rules(seen) == {"training.gpu-unscrubbed": Level.WARNING}
    part = bench.after()
    scrub: Any = part.facts["gpu"]["scrub"]
    assert {when: found["done"] for when, found in scrub.items()} == {"before": False, "after": False}


class Zeroes:
    """A sandbox in which the scrub program succeeds."""

    def inside(self, outside: Any) -> Any:
        return outside

    def run(self, job: Any, **_: Any) -> Ended:
        device = {"free_bytes": 100, "scrubbed_bytes": 99, "nonzero_samples": 0}
        (job.folders.out / "scrub.json").write_text(json.dumps({"devices": [device]}))
        return ENDED


def test_a_scrub_is_reported_as_best_effort(machine: Machine) -> None:
    bench = Bench(HEALTHY, machine, GpuRequest(count=1, scrub=True), sandbox=Zeroes())
    seen = bench.before()
    assert facts(seen)["scrub"]["before"]["done"] is True
    [finding] = seen.findings
    assert (finding.rule_id, finding.level) == ("training.gpu-scrubbed", Level.NOTE)
    assert "best effort" in finding.message


@contextmanager
def attested(tmp_path: Path, source: str) -> Iterator[attester.Attester]:
    """An attester whose program is `source`, which finds the nonce in its first argument."""
    program = tmp_path / "attest.py"
    program.write_text(source)
    keys = SIGNER.write_keys(tmp_path / "jwks.json")
    yield attester.Attester(keys=keys, command=(sys.executable, str(program), "{nonce}"))


SIGNER = Attester()


def answer(**changes: str) -> str:
    """A program that prints a good answer to NONCE, with our nonce in its place and signed by a key of the test."""
    return f"""
import json, sys, time
sys.path[:0] = {sys.path!r}
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.training.gpu import attester
signer = attester.Attester(key=load_pem_private_key({pem()!r}, None))
attester.NOW, attester.NONCE = time.time(), sys.argv[1]
claims = attester.gpu_claims() | {changes!r}
print(json.dumps({{"result_code": 0, "detached_eat": signer.bundle(claims)}}))
"""


def pem() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return SIGNER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_an_attestation_with_our_own_nonce_is_a_fact(machine: Machine, tmp_path: Path) -> None:
    with attested(tmp_path, answer()) as asked:
        seen = Bench(HEALTHY, machine, attester=asked).before()
    found = facts(seen)["attestation"]
    assert found["verified"] is True, found
    assert found["nonce"] != NONCE
    assert [gpu["driver"] for gpu in found["devices"]] == ["580.95.05"]
    assert rules(seen) == {}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (answer(**{"x-nvidia-gpu-driver-version": "550.90.07"}), "driver 580.95.05 is not the attested one"),
        (answer(**{"x-nvidia-gpu-vbios-version": "1.2.3"}), "VBIOS 96.00.9F.00.01 is not attested"),
        (answer(measres="fail"), "measres is 'fail'"),
        ("import sys; sys.exit('no GPU in confidential mode')", "status 1: no GPU in confidential mode"),
        ("print('{}')", "no detached EAT"),
        (f"import json\nprint(json.dumps({Attester().bundle()!r}))", "signature does not hold"),
        (f"import json\nprint(json.dumps({SIGNER.bundle()!r}))", "another nonce than ours"),
    ],
    ids=["other-driver", "other-vbios", "measres-fail", "program-fails", "no-token", "stranger", "replayed"],
)
def test_an_attestation_that_does_not_hold_is_an_error(
    source: str, problem: str, machine: Machine, tmp_path: Path
) -> None:
    with attested(tmp_path, source) as asked:
        seen = Bench(HEALTHY, machine, attester=asked).before()
    assert facts(seen)["attestation"]["verified"] is False
    assert rules(seen)["training.gpu-attestation"] is Level.ERROR
    assert problem in " ".join(facts(seen)["attestation"]["problems"])


def test_the_job_sees_its_own_gpu_s_nodes_and_no_others(
    run_script: RunScript, bwrap: BwrapSandbox, machine: Machine
) -> None:
    bench = Bench(HEALTHY, machine)
    bench.before()
    source = f"""
        import json, os, sys
        folder = {os.fspath(machine.places.dev)!r}
        found = {{"nodes": sorted(os.listdir(folder)), "visible": os.environ["CUDA_VISIBLE_DEVICES"]}}
        open(folder + "/nvidia0", "wb").write(b"x")
        json.dump(found, open(sys.argv[2] + "/metrics.json", "w"))
        """
    run = run_script(source, sandbox=bwrap, safeguards=Safeguards([bench.safeguard]))
    assert run.exit_status == 0, run.log_tail
    assert json.loads(run.metrics) == {
        "nodes": ["nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidiactl"],
        "visible": UUID,
    }
    [(name, part)] = run.parts
    assert name == "gpu"
    assert part.facts["gpu"]["devices"]
