"""The probe asks NVML and takes no answer for none."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml  # type: ignore[import-untyped] # it has no stubs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.gpu.nvml_library import NvmlDouble
from tests.training.gpu.states import HEALTHY, SLICE, STATES, UUID, with_device

from interlock.gate import UnavailableError
from interlock.training.gpu import GpuDevice, GpuState, NvmlProbe
from interlock.training.gpu.nvml import toolkit_version, toolkit_version_in
from interlock.training.gpu.state import Confidential, EccCounts, Repairs


def probe_of(double: NvmlDouble) -> NvmlProbe:
    return NvmlProbe(double.module(), toolkit=lambda: double.state.toolkit)


def asked(state: GpuState, **errors: int) -> GpuState:
    return probe_of(NvmlDouble(state, errors=errors)).state()


def test_the_double_has_the_functions_and_parameters_of_pynvml() -> None:
    ours = dict(inspect.getmembers(NvmlDouble, inspect.isfunction))
    names = [name for name in ours if name.startswith("nvml")]
    assert len(names) > 25
    for name in names:
        theirs = inspect.signature(inspect.unwrap(getattr(pynvml, name)))
        parameters = list(inspect.signature(ours[name]).parameters)[1:]
        assert parameters == list(theirs.parameters), name


def test_every_function_and_constant_that_the_probe_names_is_pynvml_s() -> None:
    source = inspect.getsource(inspect.getmodule(NvmlProbe) or NvmlProbe)
    words = {word.strip("(),:") for line in source.splitlines() for word in line.replace("nvml.", " nvml.").split()}
    named = {word.removeprefix("nvml.").split("(")[0].split(")")[0] for word in words if word.startswith("nvml.")}
    assert len(named) > 30
    assert {name for name in named if not hasattr(pynvml, name)} == set()


@pytest.mark.parametrize("name", STATES)
def test_what_nvml_says_is_what_is_reported(name: str) -> None:
    assert asked(STATES[name]) == STATES[name]


def test_an_answer_that_is_not_supported_is_unknown_and_not_zero() -> None:
    bare = GpuDevice(index=0, uuid=UUID)
    found = asked(GpuState(devices=(bare,)))
    device = found.devices[0]
    assert replace(device, unknown=()) == bare
    assert (device.ecc, device.repairs, found.confidential) == (EccCounts(), Repairs(), Confidential())
    assert device.repairs.out_of_use is None
    assert found.confidential.protects is None
    reasons = dict(device.unknown)
    assert reasons["ecc.volatile_uncorrected"] == "Not Supported"
    assert reasons["processes.compute"] == "Not Supported"


OPTIONAL: dict[str, Any] = {
    "ecc_enabled": st.none() | st.booleans(),
    "mig_enabled": st.none() | st.just(False),
    "energy_mj": st.none() | st.integers(0, 2**63),
    "compute_mode": st.none() | st.sampled_from(["DEFAULT", "PROHIBITED", "EXCLUSIVE_PROCESS"]),
    "vbios": st.none() | st.text("0123456789.", min_size=1),
    "persistence": st.none() | st.booleans(),
}


@given(st.fixed_dictionaries(OPTIONAL))
def test_each_answer_is_known_or_not_by_itself(values: dict[str, Any]) -> None:
    found = asked(with_device(**values)).devices[0]
    assert {name: getattr(found, name) for name in values} == values
    assert {name for name, _ in found.unknown} >= {name for name, value in values.items() if value is None}


@pytest.mark.parametrize(
    "error", ["NO_PERMISSION", "FUNCTION_NOT_FOUND", "GPU_IS_LOST", "TIMEOUT", "UNKNOWN", "CORRUPTED_INFOROM"]
)
def test_any_other_refusal_is_unknown_too(error: str) -> None:
    code = getattr(pynvml, f"NVML_ERROR_{error}")
    found = asked(HEALTHY, nvmlDeviceGetTotalEccErrors=code, nvmlDeviceGetComputeRunningProcesses_v3=code)
    assert found.devices[0].ecc == EccCounts()
    assert found.devices[0].processes is None


@pytest.mark.parametrize("listed", ["Compute", "MPSCompute"])
def test_a_list_of_processes_that_is_refused_is_not_an_empty_one(listed: str) -> None:
    name = f"nvmlDeviceGet{listed}RunningProcesses_v3"
    assert asked(HEALTHY, **{name: pynvml.NVML_ERROR_NOT_SUPPORTED}).devices[0].processes is None


def test_a_product_without_graphics_has_no_graphics_processes() -> None:
    name = "nvmlDeviceGetGraphicsRunningProcesses_v3"
    assert asked(HEALTHY, **{name: pynvml.NVML_ERROR_NOT_SUPPORTED}).devices[0].processes == ()
    assert asked(HEALTHY, **{name: pynvml.NVML_ERROR_NO_PERMISSION}).devices[0].processes is None


def test_a_lost_device_is_named_and_the_others_are_measured() -> None:
    lost = replace(HEALTHY, lost=((1, "GPU is lost"),))
    assert asked(lost) == lost


def test_no_driver_is_an_error_that_says_what_to_do() -> None:
    probe = probe_of(NvmlDouble(HEALTHY, errors={"nvmlInit": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND}))
    with pytest.raises(UnavailableError, match=r"no NVIDIA driver .*Next: install the NVIDIA driver"):
        probe.state()
    with pytest.raises(UnavailableError, match="no NVIDIA driver"):
        probe.processes(UUID)


def test_devices_that_are_not_counted_are_an_error() -> None:
    with pytest.raises(UnavailableError, match="does not count"):
        asked(HEALTHY, nvmlDeviceGetCount=pynvml.NVML_ERROR_UNKNOWN)


def test_nvml_is_started_once_and_stopped_when_closed() -> None:
    double = NvmlDouble(HEALTHY)
    probe = probe_of(double)
    probe.state()
    probe.state()
    assert (double.started, double.calls.count("nvmlInit")) == (1, 1)
    probe.close()
    probe.close()
    assert double.started == 0
    assert probe.state() == HEALTHY


def test_processes_of_one_device_or_slice_are_asked_for_by_uuid() -> None:
    foreign = STATES["foreign-process"]
    assert probe_of(NvmlDouble(foreign)).processes(UUID) == foreign.devices[0].processes
    assert probe_of(NvmlDouble(STATES["mig"])).processes(SLICE) == ()
    assert probe_of(NvmlDouble(HEALTHY)).processes("GPU-other") is None


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80a9b9d0db00d9b1d73c0128c8962c55f4d\n", "1.17.8"),
        ("cli-version: 1.18.0\nlib-version: 1.18.0\n", "1.18.0"),
        ("NVIDIA Container Toolkit CLI version unknown\n", None),
        ("", None),
    ],
)
def test_the_toolkit_s_version_is_read_from_what_it_prints(said: str, version: str | None) -> None:
    assert toolkit_version_in(said) == version


def test_a_toolkit_that_is_not_here_or_fails_has_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert toolkit_version() is None
    program = tmp_path / "nvidia-ctk"
    program.write_text("#!/bin/sh\necho 'NVIDIA Container Toolkit CLI version 1.17.8'\n")
    program.chmod(0o755)
    assert toolkit_version() == "1.17.8"
    program.write_text("not a program")
    assert toolkit_version() is None
