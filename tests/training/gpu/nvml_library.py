"""A double of the module pynvml that answers from a state, so that the probe's own code runs without a GPU.

Its exceptions and constants are pynvml's own. `test_nvml.py` holds its functions against pynvml's names and parameters.
"""

# ruff: noqa: N802, N803 (the names are NVML's)
from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pynvml  # type: ignore[import-untyped] # it has no stubs

from interlock.training.gpu import GpuDevice, GpuProcess, GpuState, MigSlice
from interlock.training.gpu.state import ProcessKind

T = TypeVar("T")
_MODES = {"DEFAULT": 0, "PROHIBITED": 2, "EXCLUSIVE_PROCESS": 3}


@dataclass
class Handle:
    device: GpuDevice
    mig: MigSlice | None = None

    @property
    def place(self) -> GpuDevice | MigSlice:
        return self.mig or self.device


@dataclass
class NvmlDouble:
    """pynvml's functions over `state`, which a test may change between two questions."""

    state: GpuState
    errors: dict[str, int] = field(default_factory=dict)
    """Functions that fail whatever the state says, each with its NVML error."""
    started: int = 0
    calls: list[str] = field(default_factory=list)

    def module(self) -> ModuleType:
        """The double as a module object."""
        module = ModuleType("pynvml")
        for name in dir(pynvml):
            if name.startswith(("NVMLError", "NVML_")):
                setattr(module, name, getattr(pynvml, name))
        for name, function in inspect.getmembers(self, inspect.ismethod):
            if name.startswith("nvml"):
                setattr(module, name, self._watched(name, function))
        return module

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if not self.started and name != "nvmlInit":
                raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
            if name in self.errors:
                raise pynvml.NVMLError(self.errors[name])
            return function(*arguments)

        return call

    def nvmlInit(self) -> None:
        self.started += 1

    def nvmlShutdown(self) -> None:
        self.started -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.state.devices) + len(self.state.lost)

    def nvmlSystemGetDriverVersion(self) -> str:
        return known(self.state.driver)

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        major, minor = known(self.state.cuda).split(".")
        return int(major) * 1000 + int(minor) * 10

    def nvmlSystemGetProcessName(self, pid: int) -> str:
        places: list[GpuDevice | MigSlice] = []
        for device in self.state.devices:
            places += [device, *device.slices]
        names = [process.name for place in places for process in place.processes or () if process.pid == pid]
        return known(next(iter(names), "") or None)

    def nvmlSystemGetConfComputeState(self) -> Any:
        found = self.state.confidential
        known(found.enabled)
        return SimpleNamespace(
            ccFeature=int(bool(found.enabled)),
            environment=pynvml.NVML_CC_SYSTEM_ENVIRONMENT_PROD if found.production else 0,
            devToolsMode=int(bool(found.developer_tools)),
        )

    def nvmlSystemGetConfComputeGpusReadyState(self) -> int:
        return int(known(self.state.confidential.ready))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle:
        if index in {place for place, _ in self.state.lost}:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return Handle(next(device for device in self.state.devices if device.index == index))

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Handle:
        for device in self.state.devices:
            for mig in (None, *device.slices):
                handle = Handle(device, mig)
                if handle.place.uuid == uuid:
                    return handle
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle: Handle) -> str:
        return handle.place.uuid

    def nvmlDeviceGetName(self, handle: Handle) -> str:
        return known(handle.device.name)

    def nvmlDeviceGetPciInfo_v3(self, handle: Handle) -> Any:
        return SimpleNamespace(busId=known(handle.device.pci).encode())

    def nvmlDeviceGetMinorNumber(self, handle: Handle) -> int:
        return known(handle.device.minor)

    def nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int | None = None) -> Any:
        total, free = known(handle.place.memory_bytes), known(handle.place.memory_free_bytes)
        return SimpleNamespace(total=total, free=free, used=total - free)

    def nvmlDeviceGetMigMode(self, device: Handle) -> list[int]:
        return [int(known(device.device.mig_enabled))] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Handle) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Handle, index: int) -> Handle:
        for mig in device.device.slices:
            if mig.index == index:
                return Handle(device.device, mig)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetGpuInstanceId(self, device: Handle) -> int:
        assert device.mig
        return known(device.mig.gpu_instance)

    def nvmlDeviceGetComputeInstanceId(self, device: Handle) -> int:
        assert device.mig
        return known(device.mig.compute_instance)

    def nvmlDeviceGetComputeMode(self, handle: Handle) -> int:
        return _MODES[known(handle.device.compute_mode)]

    def nvmlDeviceGetPersistenceMode(self, handle: Handle) -> int:
        return int(known(handle.device.persistence))

    def nvmlDeviceGetEccMode(self, handle: Handle) -> list[int]:
        return [int(known(handle.device.ecc_enabled))] * 2

    def nvmlDeviceGetTotalEccErrors(self, handle: Handle, errorType: int, counterType: int) -> int:
        ecc = handle.device.ecc
        return known(
            {
                (0, 0): ecc.volatile_corrected,
                (1, 0): ecc.volatile_uncorrected,
                (0, 1): ecc.aggregate_corrected,
                (1, 1): ecc.aggregate_uncorrected,
            }[errorType, counterType]
        )

    def nvmlDeviceGetRetiredPages(self, device: Handle, sourceFilter: int) -> list[int]:
        count = known(device.device.repairs.retired_pages)
        return list(range(count)) if sourceFilter == 0 else []

    def nvmlDeviceGetRetiredPagesPendingStatus(self, device: Handle) -> int:
        return int(known(device.device.repairs.retired_pending))

    def nvmlDeviceGetRemappedRows(self, device: Handle) -> tuple[int, int, int, int]:
        repairs = device.device.repairs
        return (known(repairs.remapped_rows), 0, int(bool(repairs.remap_pending)), int(bool(repairs.remap_failed)))

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Handle) -> list[Any]:
        return self._listed(handle, ProcessKind.COMPUTE)

    def nvmlDeviceGetGraphicsRunningProcesses_v3(self, handle: Handle) -> list[Any]:
        return self._listed(handle, ProcessKind.GRAPHICS)

    def nvmlDeviceGetMPSComputeRunningProcesses_v3(self, handle: Handle) -> list[Any]:
        return self._listed(handle, ProcessKind.MPS)

    def _listed(self, handle: Handle, kind: ProcessKind) -> list[Any]:
        processes: tuple[GpuProcess, ...] = known(handle.place.processes)
        return [SimpleNamespace(pid=p.pid, usedGpuMemory=p.memory_bytes) for p in processes if p.kind is kind]

    def nvmlDeviceGetVbiosVersion(self, handle: Handle) -> str:
        return known(handle.device.vbios)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Handle) -> int:
        return known(handle.device.energy_mj)


def known(value: T | None) -> T:
    """NVML does not answer with nothing: it refuses."""
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value
