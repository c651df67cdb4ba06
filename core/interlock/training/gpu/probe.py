"""Who can be asked for the state of the GPUs: the real devices, or a record for machines that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from interlock.gate import Tool
from interlock.training.gpu.state import GpuProcess, GpuState


class GpuProbe(Protocol):
    """Asked before, during and after a training."""

    @property
    def recorded(self) -> bool:
        """Whether the answers come from a record: then they say nothing of this machine."""
        ...

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The software that was asked."""
        ...

    def state(self) -> GpuState:
        """Everything, as it is now.

        Raises:
            UnavailableError: There is no driver, or it does not answer.
        """
        ...

    def processes(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        """Who is on one device or slice now, cheaply; None when that cannot be known.

        Args:
            uuid: As the state names it.
        """
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...


def gpu_probe(record: str = "") -> GpuProbe:
    """The real devices, or a record where the deployment names one, which every report then says.

    Args:
        record: Path of a record (setting `gpu_record`).

    Raises:
        MissingExtraError: nvidia-ml-py is not installed.
        UsageError: The record cannot be used.
    """
    if record:
        from interlock.training.gpu.record import RecordedProbe

        return RecordedProbe(Path(record).expanduser())
    from interlock.training.gpu.nvml import NvmlProbe

    return NvmlProbe()
