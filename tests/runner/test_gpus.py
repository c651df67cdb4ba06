"""GPUs on the whole way: real policy, real ledger, real sandbox; NVML is a double, or a record is played back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.runner.test_budgets import run, vouch
from tests.training.gpu.attester import Attester
from tests.training.gpu.machine import Machine, lay_out
from tests.training.gpu.nvml_library import NvmlDouble
from tests.training.gpu.states import HEALTHY, RECORDS, STATES, UUID

from interlock.gate import GuardError, Settings, UsageError, Verdict
from interlock.runner import LocalRunner, TrainOutcome, TrainRequest
from interlock.training import training_spec
from interlock.training.gpu import GpuRequest

SCRIPT = """
import json, os, sys
print("running")
found = {"visible": os.environ.get("CUDA_VISIBLE_DEVICES", "unset")}
json.dump(found, open(sys.argv[1] + "/metrics.json", "w"))
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = lay_out(tmp_path / "machine")
    monkeypatch.setattr("interlock.training.gpu.driver.DriverPlaces", lambda: made.places)
    monkeypatch.setattr("interlock.training.gpu.choice._SHARED_FOLDER", made.places.dev)
    return made


@pytest.fixture
def nvml(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> NvmlDouble:
    double = NvmlDouble(HEALTHY)
    monkeypatch.setattr("interlock.training.gpu.nvml._pynvml", double.module)
    return double


@pytest.fixture
def runner(home: Path) -> Iterator[LocalRunner]:
    with LocalRunner(Settings.load()) as opened:
        yield opened


def train(runner: LocalRunner, folder: Path, gpus: GpuRequest | None, **more: Any) -> TrainOutcome:
    data, script = folder / "train.csv", folder / "train.py"
    data.write_text("a,label\n1,0\n2,1\n")
    script.write_text(SCRIPT)
    for kind in ("data-validation", "data-poisoning"):
        vouch(runner, data, kind)
    spec = training_spec(command=["python", str(script), "{out}"], wall_clock=60)
    request = TrainRequest(data=str(data), out=str(folder / "out"), spec=spec, gpus=gpus, run=run("train"))
    return runner.train(request, **more)


def gpu_facts(trained: TrainOutcome) -> Any:
    return json.loads(dict(trained.outcome.report.observation.facts)["gpu"])


def metrics(folder: Path) -> Any:
    return json.loads((folder / "out" / "metrics.json").read_text())


def test_a_training_gets_its_gpu_and_its_report_tells_of_it(
    runner: LocalRunner, tmp_path: Path, nvml: NvmlDouble
) -> None:
    trained = train(runner, tmp_path, GpuRequest(count=1))
    assert trained.outcome.decision.verdict is Verdict.ALLOW, trained.outcome.decision.reasons
    [device] = gpu_facts(trained)["devices"]
    assert (device["uuid"], device["foreign_processes"]) == (UUID, 0)
    assert metrics(tmp_path) == {"visible": UUID}
    measures = {measure.name: measure.value for measure in trained.outcome.report.observation.measures}
    assert measures["gpu_energy_kwh"] == 0
    assert measures["gpu_hours"] > 0
    assert nvml.started == 0


def test_memory_errors_that_came_meanwhile_deny_what_came_out(
    runner: LocalRunner, tmp_path: Path, nvml: NvmlDouble
) -> None:
    def spoil(line: str) -> None:
        nvml.state = STATES["ecc-errors"]

    trained = train(runner, tmp_path, GpuRequest(count=1), on_line=spoil)
    assert trained.outcome.decision.verdict is Verdict.DENY
    assert "gate.findings" in {reason.id for reason in trained.outcome.decision.reasons}
    assert not (tmp_path / "out").exists()


def test_a_recorded_state_says_so_all_the_way(
    runner: LocalRunner, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_GPU_RECORD", str(RECORDS / "healthy.json"))
    with LocalRunner(Settings.load()) as opened:
        trained = train(opened, tmp_path, GpuRequest(count=1))
    assert trained.outcome.decision.verdict is Verdict.ALLOW
    assert gpu_facts(trained)["recorded"] is True
    assert "interlock-gpu-record" in {tool.name for tool in trained.outcome.report.tools}
    assert "training.gpu-recorded" in {finding.rule_id for finding in trained.outcome.report.observation.findings}
    assert metrics(tmp_path) == {"visible": "unset"}


BAD = {"mps": "mps", "foreign-process": "foreign-process", "ecc-errors": "memory"}


@pytest.mark.parametrize("state", BAD)
def test_the_guard_of_a_stricter_profile_stays_shut(
    state: str, tmp_path: Path, home: Path, nvml: NvmlDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.state = STATES[state]
    monkeypatch.setenv("INTERLOCK_PROFILE", "standard")
    with LocalRunner(Settings.load()) as opened:
        with pytest.raises(GuardError) as refused:
            train(opened, tmp_path, GpuRequest(count=1))
        receipt = opened.ledger.get(refused.value.receipt_id)
    statement = base64.b64decode(json.loads(receipt.envelope)["payload"]).decode()
    assert f'"training.gpu-{BAD[state]}"' in statement
    assert not (tmp_path / "out").exists()


def test_the_deployment_s_attester_is_asked_and_its_word_has_to_hold(
    tmp_path: Path, home: Path, nvml: NvmlDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Attester().write_keys(tmp_path / "jwks.json")
    monkeypatch.setenv("INTERLOCK_GPU_KEYS", str(keys))
    monkeypatch.setenv("INTERLOCK_GPU_ATTESTER", "/bin/echo {nonce}")
    with LocalRunner(Settings.load()) as opened, pytest.raises(GuardError, match="attestation does not hold"):
        train(opened, tmp_path, GpuRequest(count=1))
    assert not (tmp_path / "out").exists()


def test_no_gpus_is_said_out_loud_and_none_are_visible(runner: LocalRunner, tmp_path: Path) -> None:
    trained = train(runner, tmp_path, GpuRequest())
    assert trained.outcome.decision.verdict is Verdict.ALLOW
    assert metrics(tmp_path) == {"visible": ""}
    assert "gpu" not in dict(trained.outcome.report.observation.facts)


def test_where_nothing_is_said_of_gpus_nothing_is_set(runner: LocalRunner, tmp_path: Path) -> None:
    assert train(runner, tmp_path, None).outcome.decision.verdict is Verdict.ALLOW
    assert metrics(tmp_path) == {"visible": "unset"}


def test_an_image_gets_no_gpus_yet(runner: LocalRunner, tmp_path: Path, nvml: NvmlDouble) -> None:
    spec = replace(training_spec(command=["true"]), image="registry.example/train@sha256:" + "0" * 64)
    request = TrainRequest(data="x", out=str(tmp_path / "out"), spec=spec, gpus=GpuRequest(count=1), run=run("train"))
    with pytest.raises(UsageError, match="gets no GPUs yet"):
        runner.train(request)
