"""GPUs of a training: what state they are in, which one it gets, what was left in their memory, who vouches for them.

Names are loaded when they are first asked for: the checks of a machine without GPUs cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.training.gpu.attestation import (
        Attestation,
        AttestedGpu,
        MeasurementRules,
        new_nonce,
        verify_attestation,
    )
    from interlock.training.gpu.attester import Attester
    from interlock.training.gpu.choice import GpuLocks, GpuRequest, gpu_request
    from interlock.training.gpu.nvml import NvmlProbe
    from interlock.training.gpu.probe import GpuProbe, gpu_probe
    from interlock.training.gpu.record import RecordedProbe, read_record, written_record
    from interlock.training.gpu.safeguard import GpuSafeguard, NoGpus
    from interlock.training.gpu.scrubbing import Scrub, scrub_devices
    from interlock.training.gpu.state import GpuDevice, GpuProcess, GpuState, MigSlice
    from interlock.training.gpu.tokens import PinnedKeys, read_keys

_PLACES = {
    "Attestation": "attestation",
    "AttestedGpu": "attestation",
    "Attester": "attester",
    "GpuDevice": "state",
    "GpuLocks": "choice",
    "GpuProbe": "probe",
    "GpuProcess": "state",
    "GpuRequest": "choice",
    "GpuSafeguard": "safeguard",
    "GpuState": "state",
    "MeasurementRules": "attestation",
    "MigSlice": "state",
    "NoGpus": "safeguard",
    "NvmlProbe": "nvml",
    "PinnedKeys": "tokens",
    "RecordedProbe": "record",
    "Scrub": "scrubbing",
    "gpu_probe": "probe",
    "gpu_request": "choice",
    "new_nonce": "attestation",
    "read_keys": "tokens",
    "read_record": "record",
    "scrub_devices": "scrubbing",
    "verify_attestation": "attestation",
    "written_record": "record",
}

__all__ = [
    "Attestation",
    "AttestedGpu",
    "Attester",
    "GpuDevice",
    "GpuLocks",
    "GpuProbe",
    "GpuProcess",
    "GpuRequest",
    "GpuSafeguard",
    "GpuState",
    "MeasurementRules",
    "MigSlice",
    "NoGpus",
    "NvmlProbe",
    "PinnedKeys",
    "RecordedProbe",
    "Scrub",
    "gpu_probe",
    "gpu_request",
    "new_nonce",
    "read_keys",
    "read_record",
    "scrub_devices",
    "verify_attestation",
    "written_record",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
