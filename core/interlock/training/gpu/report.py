"""The state of a training's GPUs as facts and findings, by the names that policy and docs/training-gpu.md use.

What is not known is left out, never written as zero or false: a rule that asks for it denies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from interlock.gate import Finding, Json, Level
from interlock.training.gpu.choice import Assigned
from interlock.training.gpu.record import plain
from interlock.training.gpu.state import GpuProcess, GpuState, ProcessKind
from interlock.training.supervisor import tasks_below

MPS_SERVER = "nvidia-cuda-mps-server"
_INITIAL_PROCESS_NAMESPACE = 0xEFFFFFFC
"""Inode number of the machine's first process namespace (Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO)."""


def counts_own_processes(namespace: Path = Path("/proc/self/ns/pid")) -> bool:
    """Whether the process ids that NVML names are those that are seen here; inside a container they are not."""
    return namespace.stat().st_ino == _INITIAL_PROCESS_NAMESPACE


def own_processes() -> frozenset[int]:
    """This process and all below it."""
    me = os.getpid()
    return frozenset({me, *(pid for pid, _ in tasks_below(me))})


def foreign(processes: Sequence[GpuProcess], own: frozenset[int]) -> tuple[GpuProcess, ...]:
    """Those that are neither this process nor below it, each once."""
    others = {process.pid: process for process in processes if process.pid not in own}
    return tuple(others[pid] for pid in sorted(others))


def shares_by_mps(processes: Sequence[GpuProcess]) -> bool:
    """Whether CUDA's multi-process service serves the device: its clients share one address space server."""
    return any(
        process.kind is ProcessKind.MPS or process.name.rpartition("/")[2] == MPS_SERVER for process in processes
    )


def device_facts(
    state: GpuState, assigned: Assigned, foreign_processes: int | None, *, mps: bool | None
) -> dict[str, Json]:
    """One entry of ``report.facts.gpu.devices``.

    Args:
        state: Of the machine.
        assigned: The device or slice, as it is in `state`.
        foreign_processes: How many were seen; None when that is not known.
        mps: Whether MPS serves it; None when that is not known.
    """
    device = assigned.device
    found: Mapping[str, Json] = {
        "uuid": assigned.uuid,
        "name": device.name,
        "index": device.index,
        "pci": device.pci,
        "mig": assigned.mig is not None,
        "mps": mps,
        "compute_mode": device.compute_mode,
        "persistence": device.persistence,
        "memory_bytes": assigned.memory_bytes,
        "memory_free_bytes": assigned.memory_free_bytes,
        "ecc": device.ecc_enabled,
        "ecc_uncorrected": device.ecc.volatile_uncorrected,
        "ecc_corrected": device.ecc.volatile_corrected,
        "ecc_uncorrected_ever": device.ecc.aggregate_uncorrected,
        "ecc_corrected_ever": device.ecc.aggregate_corrected,
        "retired_pages": device.repairs.out_of_use,
        "repair_pending": _any(device.repairs.retired_pending, device.repairs.remap_pending),
        "repair_failed": device.repairs.remap_failed,
        "foreign_processes": foreign_processes,
        "driver": state.driver,
        "vbios": device.vbios,
        "confidential": state.confidential.protects,
    }
    unknown: dict[str, Json] = {"unknown": [f"{name}: {reason}" for name, reason in device.unknown]}
    return {name: value for name, value in found.items() if value is not None} | unknown


def machine_facts(state: GpuState, *, recorded: bool) -> dict[str, Json]:
    """The entries of ``report.facts.gpu`` beside the devices."""
    found: Mapping[str, Json] = {
        "recorded": recorded,
        "cuda": state.cuda,
        "toolkit": state.toolkit,
        "confidential_computing": {
            name: value for name, value in _object(plain(state.confidential)).items() if value is not None
        },
    }
    return {name: value for name, value in found.items() if value is not None}


def state_findings(assigned: Sequence[Assigned], *, recorded: bool) -> list[Finding]:
    """What a person should know of the devices, whatever policy says of them."""
    found: list[Finding] = []
    if recorded:
        message = "the GPUs' state was played back from a record; nothing of this machine was measured"
        found.append(_finding("recorded", Level.WARNING, message))
    for place in assigned:
        device = place.device
        if device.repairs.remap_failed:
            message = "a memory row could not be replaced: the GPU needs repair"
            found.append(_finding("repair-failed", Level.ERROR, message, uuid=place.uuid))
        if _any(device.repairs.retired_pending, device.repairs.remap_pending):
            message = "memory waits to be taken out of use: the GPU needs a reset"
            found.append(_finding("repair-pending", Level.WARNING, message, uuid=place.uuid))
        if device.ecc_enabled is False:
            message = "ECC is off, so that memory errors, also those made on purpose (GPUHammer), are not met"
            found.append(_finding("ecc-off", Level.WARNING, message, uuid=place.uuid))
    return found


def foreign_finding(processes: Mapping[str, Sequence[GpuProcess]]) -> list[Finding]:
    """Who else was on the devices, by uuid."""
    return [
        _finding(
            "foreign-process",
            Level.WARNING,
            f"{len(seen)} processes of others were on the GPU",
            uuid=uuid,
            processes=plain(tuple(seen)[:20]),
        )
        for uuid, seen in processes.items()
        if seen
    ]


def error_findings(before: Sequence[Assigned], after: Sequence[Assigned]) -> list[Finding]:
    """Memory errors that came while the job ran; the devices are the same and in the same order."""
    found: list[Finding] = []
    for old, new in zip(before, after, strict=True):
        gained = _gained(old.device.ecc.volatile_uncorrected, new.device.ecc.volatile_uncorrected)
        if gained:
            message = f"{gained} uncorrected memory errors came during the training: its weights are not to be trusted"
            found.append(_finding("memory-errors", Level.ERROR, message, uuid=new.uuid))
        corrected = _gained(old.device.ecc.volatile_corrected, new.device.ecc.volatile_corrected)
        if corrected:
            message = f"{corrected} memory errors came during the training and were corrected"
            found.append(_finding("memory-errors-corrected", Level.NOTE, message, uuid=new.uuid))
        worn = _gained(old.device.repairs.out_of_use, new.device.repairs.out_of_use)
        if worn:
            message = f"{worn} pages or rows of memory were taken out of use during the training"
            found.append(_finding("memory-worn", Level.WARNING, message, uuid=new.uuid))
    return found


def energy_kwh(before: Sequence[Assigned], after: Sequence[Assigned]) -> float | None:
    """Used between two states; None for slices, whose share nobody counts, and when a counter is not there."""
    used = 0
    for old, new in zip(before, after, strict=True):
        start, end = old.device.energy_mj, new.device.energy_mj
        if old.mig is not None or start is None or end is None or end < start:
            return None
        used += end - start
    return used / 3.6e9  # 1 kWh is 3.6 MJ


def _gained(old: int | None, new: int | None) -> int:
    return max(0, new - old) if old is not None and new is not None else 0


def _any(*values: bool | None) -> bool | None:
    known = [value for value in values if value is not None]
    return any(known) if known else None


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _finding(rule: str, level: Level, message: str, **evidence: Json) -> Finding:
    return Finding(
        rule_id=f"training.gpu-{rule}",
        level=level,
        message=message,
        evidence=json.dumps(evidence, sort_keys=True) if evidence else "",
    )
