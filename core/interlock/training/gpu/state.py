"""What is known of the GPUs of a machine at one moment. Values only: `interlock.training.gpu.nvml` measures them.

None means not known, whatever the reason (the device does not count it, the caller may not ask, the driver is too old);
it is never written as zero or false. Policy denies what it asks for and does not find.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from interlock.gate import Tool


class ProcessKind(Enum):
    """How a process uses a GPU, by NVML's three lists."""

    COMPUTE = "compute"
    GRAPHICS = "graphics"
    MPS = "mps"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process on a device.

    Args:
        pid: In the machine's first process namespace; inside a container it may be nobody that is seen there.
        kind: The list it stood in; one process may stand in several.
        memory_bytes: Device memory.
        name: Its program, as NVML tells it; empty when it does not. Unverified.
    """

    pid: int
    kind: ProcessKind
    memory_bytes: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EccCounts:
    """Memory errors: volatile ones since the driver was loaded, aggregate ones over the device's life."""

    volatile_corrected: int | None = None
    volatile_uncorrected: int | None = None
    aggregate_corrected: int | None = None
    aggregate_uncorrected: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """Memory that a device took out of use: pages up to Volta and Turing, rows since Ampere.

    Args:
        retired_pages: For single-bit and double-bit errors together.
        retired_pending: A page waits for a restart of the device.
        remapped_rows: For corrected and uncorrected errors together.
        remap_pending: A row waits for a reset of the device.
        remap_failed: A row could not be replaced: the device needs repair.
    """

    retired_pages: int | None = None
    retired_pending: bool | None = None
    remapped_rows: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None

    @property
    def out_of_use(self) -> int | None:
        """Pages or rows out of use; None when the device counts neither."""
        counted = [count for count in (self.retired_pages, self.remapped_rows) if count is not None]
        return sum(counted) if counted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigSlice:
    """A MIG device: a part of a GPU with memory and multiprocessors of its own.

    Args:
        uuid: ``MIG-...``, what ``CUDA_VISIBLE_DEVICES`` takes.
        index: Among the slices of its GPU.
        gpu_instance: Its GPU instance, for the capability device in ``/dev/nvidia-caps``.
        compute_instance: Its compute instance, likewise.
        memory_bytes: All of its memory.
        memory_free_bytes: The part of it that nobody uses.
        processes: On this slice; None when not known.
    """

    uuid: str
    index: int
    gpu_instance: int | None = None
    compute_instance: int | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    processes: tuple[GpuProcess, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU.

    Args:
        index: NVML's, by PCI bus; not the index that CUDA counts by.
        uuid: ``GPU-...``.
        name: The product.
        pci: Bus id.
        minor: N of its node ``/dev/nvidiaN``.
        memory_bytes: All of its memory.
        memory_free_bytes: The part of it that nobody uses.
        mig_enabled: Whether it is cut into slices; None when the product cannot be.
        slices: Its MIG devices.
        compute_mode: ``DEFAULT``, ``PROHIBITED`` or ``EXCLUSIVE_PROCESS``.
        persistence: Whether the driver stays loaded while nobody uses the device.
        ecc_enabled: Whether memory errors are corrected and counted.
        ecc: The counts.
        repairs: Memory out of use.
        processes: On the whole device; None when not known.
        vbios: Its version.
        energy_mj: Millijoules since the driver was loaded.
        unknown: Names of what could not be read, each with NVML's reason.
    """

    index: int
    uuid: str
    name: str | None = None
    pci: str | None = None
    minor: int | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    mig_enabled: bool | None = None
    slices: tuple[MigSlice, ...] = ()
    compute_mode: str | None = None
    persistence: bool | None = None
    ecc_enabled: bool | None = None
    ecc: EccCounts = EccCounts()
    repairs: Repairs = Repairs()
    processes: tuple[GpuProcess, ...] | None = None
    vbios: str | None = None
    energy_mj: int | None = None
    unknown: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidential:
    """Confidential computing, which NVML knows of the machine and not of each device.

    Args:
        enabled: The feature is on.
        production: The environment is production, not simulation.
        developer_tools: Debugging is allowed, which undoes the protection.
        ready: The GPUs accept work, as set after attestation.
    """

    enabled: bool | None = None
    production: bool | None = None
    developer_tools: bool | None = None
    ready: bool | None = None

    @property
    def protects(self) -> bool | None:
        """Whether data on the GPUs is protected; None when that is not known."""
        parts = (self.enabled, self.production, None if self.developer_tools is None else not self.developer_tools)
        if False in parts:
            return False
        return None if None in parts else True


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """All GPUs of a machine.

    Args:
        driver: Version of the driver.
        cuda: The newest CUDA that the driver serves.
        toolkit: Version of NVIDIA's container toolkit; None when ``nvidia-ctk`` is not here or says nothing.
        confidential: Confidential computing.
        devices: Those that answered.
        lost: Index and NVML's reason of those that did not.
        unknown: Names of what could not be read of the machine, each with NVML's reason.
    """

    driver: str | None = None
    cuda: str | None = None
    toolkit: str | None = None
    confidential: Confidential = Confidential()
    devices: tuple[GpuDevice, ...] = ()
    lost: tuple[tuple[int, str], ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()

    def place(self, uuid: str) -> GpuDevice | MigSlice | None:
        """The device or slice of that name; None when there is none."""
        places: list[GpuDevice | MigSlice] = []
        for device in self.devices:
            places += [device, *device.slices]
        return next((place for place in places if place.uuid == uuid), None)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The driver and the toolkit as tools of a report."""
        named = (("nvidia-driver", self.driver), ("nvidia-container-toolkit", self.toolkit))
        return tuple(Tool(name=name, version=version) for name, version in named if version)
