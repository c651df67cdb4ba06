"""What a running job uses up, read from counters outside of it: energy, processor time, restarts.

A counter that is not there or may not be read is unknown, and unknown is never zero. Energy counters are the machine's
or the device's, not the job's: what else runs there counts too, which is why a shared machine pays too much and never
too little.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from interlock.gate import Tool
from interlock.training.gpu.nvml import text_of
from interlock.training.supervisor import tasks_below

POWERCAP = Path("/sys/class/powercap")
_PACKAGE = re.compile(r"intel-rapl:\d+\Z")
_RESTARTS = b"TORCHELASTIC_RESTART_COUNT="
_JOULES_PER_KWH = 3.6e6


class EnergyMeter(Protocol):
    """Counts from when it was made."""

    @property
    def source(self) -> str:
        """Which counters, for the receipt: ``nvml`` or ``rapl``."""
        ...

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The software that was asked."""
        ...

    def kwh(self) -> float | None:
        """Kilowatt-hours since the beginning; None once a counter failed."""
        ...

    def close(self) -> None:
        """Let go of the counters."""
        ...


def energy_meter(uuids: Sequence[str]) -> EnergyMeter | None:
    """The energy counters of a run's devices; None where they cannot be read.

    With GPUs it is theirs alone or nothing: the processors' share would pass for the whole. Without GPUs it is the
    processor packages'.

    Args:
        uuids: Of the assigned GPUs, as NVML names them.
    """
    if uuids:
        return NvmlEnergy.of(uuids)
    return RaplEnergy.of(POWERCAP)


class RaplEnergy:
    """Energy of the processor packages (``Documentation/power/powercap/powercap.rst`` of Linux). Use `of`.

    Since Linux 5.10 only root may read it (CVE-2020-8694, PLATYPUS).
    """

    source = "rapl"
    tools: tuple[Tool, ...] = ()

    def __init__(self, zones: Sequence[Path], last: Sequence[int], ranges: Sequence[int]) -> None:
        self._zones = tuple(zones)
        self._last = list(last)
        self._ranges = tuple(ranges)
        self._microjoules = 0
        self._failed = False

    @classmethod
    def of(cls, root: Path) -> RaplEnergy | None:
        """Every package below `root`, or None where one of them cannot be read."""
        try:
            zones = sorted(path for path in root.iterdir() if _PACKAGE.match(path.name))
            zones = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
            ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
            last = [int((zone / "energy_uj").read_text()) for zone in zones]
        except (OSError, ValueError):
            return None
        return cls(zones, last, ranges) if zones else None

    def kwh(self) -> float | None:
        """Kilowatt-hours; asked often enough that no counter goes round twice (minutes at full load)."""
        try:
            now = [int((zone / "energy_uj").read_text()) for zone in self._zones]
        except (OSError, ValueError):
            self._failed = True
            return None
        if self._failed:
            return None
        for place, (before, after) in enumerate(zip(self._last, now, strict=True)):
            self._microjoules += after - before if after >= before else after + self._ranges[place] - before
        self._last = now
        return self._microjoules / 1e6 / _JOULES_PER_KWH

    def close(self) -> None:
        """Nothing is kept open."""


class NvmlEnergy:
    """Energy of GPUs: ``nvmlDeviceGetTotalEnergyConsumption``, millijoules since the driver was loaded. Use `of`.

    A slice of a device (MIG) has no counter of its own; the device's counts for it.
    """

    source = "nvml"

    def __init__(self, library: Any, handles: Sequence[Any], first: Sequence[int], tools: tuple[Tool, ...]) -> None:
        self._library = library
        self._handles = tuple(handles)
        self._first = tuple(first)
        self._failed = False
        self.tools = tools

    @classmethod
    def of(cls, uuids: Sequence[str], library: Any = None) -> NvmlEnergy | None:
        """The counters of all of `uuids`, or None where one cannot be read.

        Args:
            uuids: As NVML names devices and MIG slices.
            library: Module with pynvml's functions; pynvml itself when not given.
        """
        nvml = library if library is not None else _pynvml()
        if nvml is None:
            return None
        try:
            nvml.nvmlInit()
        except nvml.NVMLError:
            return None
        try:
            # Two slices of one device share its counter.
            whole = {nvml.nvmlDeviceGetUUID(handle): handle for handle in (_device(nvml, uuid) for uuid in uuids)}
            first = [int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in whole.values()]
            tools = (Tool(name="nvidia-driver", version=text_of(nvml.nvmlSystemGetDriverVersion())),)
        except nvml.NVMLError:
            nvml.nvmlShutdown()
            return None
        return cls(nvml, tuple(whole.values()), first, tools)

    def kwh(self) -> float | None:
        """Kilowatt-hours of all devices; None once one does not answer or began again from zero."""
        try:
            now = [int(self._library.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in self._handles]
        except self._library.NVMLError:
            self._failed = True
            return None
        if self._failed or any(after < before for before, after in zip(self._first, now, strict=True)):
            self._failed = True
            return None
        return (sum(now) - sum(self._first)) / 1e3 / _JOULES_PER_KWH

    def close(self) -> None:
        """Let go of NVML."""
        self._library.nvmlShutdown()


def _pynvml() -> Any:
    try:
        return import_module("pynvml")
    except ModuleNotFoundError:
        return None


def _device(nvml: Any, uuid: str) -> Any:
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    if uuid.startswith("MIG-"):
        return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    return handle


def processor_seconds(root: int) -> float:
    """Processor seconds of the living processes below `root`, with those of their ended and awaited children.

    It falls when a process ends that nobody awaited, so callers keep the largest answer (proc(5), ``/proc/pid/stat``).
    """
    ticks = 0
    for pid, _threads in tasks_below(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def restarts(root: int) -> int:
    """How often torchrun started its workers again, by the variable that it gives them.

    It is what the job shows of itself: code that means to can hide it.
    """
    most = 0
    for pid, _threads in tasks_below(root):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        for variable in environment.split(b"\0"):
            count = variable.removeprefix(_RESTARTS)
            if variable.startswith(_RESTARTS) and count.isdigit() and len(count) < 10:
                most = max(most, int(count))
    return most
