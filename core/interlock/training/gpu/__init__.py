"""GPUs of a training: what state they are in, which one it gets, what was left in their memory, who vouches for them.

Names are loaded when they are first asked for: the checks of a machine without GPUs cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.gpu.nvml import NvmlProbe
    from interlock.training.gpu.probe import GpuProbe, gpu_probe
    from interlock.training.gpu.record import RecordedProbe, read_record, written_record
    from interlock.training.gpu.state import GpuDevice, GpuProcess, GpuState, MigSlice

_PLACES = {
    "GpuDevice": "state",
    "GpuProbe": "probe",
    "GpuProcess": "state",
    "GpuState": "state",
    "MigSlice": "state",
    "NvmlProbe": "nvml",
    "RecordedProbe": "record",
    "gpu_probe": "probe",
    "read_record": "record",
    "written_record": "record",
}

__all__ = [
    "GpuDevice",
    "GpuProbe",
    "GpuProcess",
    "GpuState",
    "MigSlice",
    "NvmlProbe",
    "RecordedProbe",
    "gpu_probe",
    "read_record",
    "written_record",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
