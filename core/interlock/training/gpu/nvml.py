"""Asks NVIDIA's management library (NVML, through nvidia-ml-py) for the state of the GPUs. Measures, decides nothing.

Every question is asked by itself, and an answer that NVML refuses (``NVMLError``: not supported by the product, not
permitted to the caller, unknown to the driver) is None with NVML's reason beside it. Names of functions, constants and
fields are those of the NVML API reference.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeVar

from interlock.gate import MissingExtraError, Tool, UnavailableError
from interlock.training.gpu.state import (
    Confidential,
    EccCounts,
    GpuDevice,
    GpuProcess,
    GpuState,
    MigSlice,
    ProcessKind,
    Repairs,
)

NO_DRIVER_STEP = (
    "install the NVIDIA driver, or start the container with its GPUs (`--gpus`, `nvidia.com/gpu`); "
    "`nvidia-smi` has to work here"
)
_TOOLKIT = re.compile(r"version:?\s+v?([0-9]+(?:\.[0-9]+)+)")
_COMPUTE_MODES = {0: "DEFAULT", 2: "PROHIBITED", 3: "EXCLUSIVE_PROCESS"}

T = TypeVar("T")


class NvmlProbe:
    """Asks NVML, which is started by the first question and stopped by `close`.

    Args:
        library: Module with pynvml's functions; pynvml itself when not given.
        toolkit: Finds the container toolkit's version.
    """

    def __init__(self, library: Any = None, *, toolkit: Callable[[], str | None] | None = None) -> None:
        self._library = library if library is not None else _pynvml()
        self._toolkit = toolkit or toolkit_version
        self._started = False

    @property
    def recorded(self) -> bool:
        """False: these are the devices of this machine."""
        return False

    @property
    def tools(self) -> tuple[Tool, ...]:
        """nvidia-ml-py."""
        return (Tool(name="nvidia-ml-py", version=version("nvidia-ml-py")),)

    def state(self) -> GpuState:
        """Everything that NVML says now.

        Raises:
            UnavailableError: There is no driver, or NVML does not count the devices.
        """
        nvml = self._nvml()
        asked = _Asked(nvml)
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            raise UnavailableError(f"NVML does not count its GPUs: {error}", next_step="nvidia-smi") from error
        devices: list[GpuDevice] = []
        lost: list[tuple[int, str]] = []
        for index in range(count):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                devices.append(_device(nvml, handle, index, str(text_of(nvml.nvmlDeviceGetUUID(handle)))))
            except nvml.NVMLError as error:
                lost.append((index, str(error)))
        cuda = asked("cuda", lambda: int(nvml.nvmlSystemGetCudaDriverVersion_v2()))
        return GpuState(
            driver=asked("driver", lambda: text_of(nvml.nvmlSystemGetDriverVersion())),
            cuda=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            toolkit=self._toolkit(),
            confidential=_confidential(nvml, asked),
            devices=tuple(devices),
            lost=tuple(lost),
            unknown=tuple(asked.refused),
        )

    def processes(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        """Who is on one device or slice now; None when NVML does not say."""
        nvml = self._nvml()
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        except nvml.NVMLError:
            return None
        return _processes(nvml, _Asked(nvml), handle)

    def close(self) -> None:
        """Stop NVML; the next question starts it again."""
        if self._started:
            self._started = False
            self._library.nvmlShutdown()

    def _nvml(self) -> Any:
        if not self._started:
            try:
                self._library.nvmlInit()
            except self._library.NVMLError as error:
                raise UnavailableError(f"no NVIDIA driver answers here: {error}", next_step=NO_DRIVER_STEP) from error
            self._started = True
        return self._library


def toolkit_version() -> str | None:
    """What ``nvidia-ctk --version`` says; None when it is not here, as inside containers, or says no version."""
    program = shutil.which("nvidia-ctk")
    if program is None:
        return None
    try:
        said = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return toolkit_version_in(said.stdout)


def toolkit_version_in(said: str) -> str | None:
    """The version in what ``nvidia-ctk --version`` printed, for example ``1.17.8``."""
    found = _TOOLKIT.search(said)
    return found[1] if found else None


class _Asked:
    """Asks questions one by one and remembers what was refused."""

    def __init__(self, nvml: Any) -> None:
        self._error: type[Exception] = nvml.NVMLError
        self.refused: list[tuple[str, str]] = []

    def __call__(self, name: str, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except self._error as error:
            self.refused.append((name, str(error)))
            return None


def _pynvml() -> Any:
    try:
        return import_module("pynvml")
    except ModuleNotFoundError as error:
        raise MissingExtraError("pynvml", extra="gpu") from error


def _device(nvml: Any, handle: Any, index: int, uuid: str) -> GpuDevice:
    ask = _Asked(nvml)
    memory = ask("memory_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    mig = ask("mig_enabled", lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]))
    mode = ask("compute_mode", lambda: int(nvml.nvmlDeviceGetComputeMode(handle)))
    return GpuDevice(
        index=index,
        uuid=uuid,
        name=ask("name", lambda: text_of(nvml.nvmlDeviceGetName(handle))),
        pci=ask("pci", lambda: text_of(nvml.nvmlDeviceGetPciInfo_v3(handle).busId)),
        minor=ask("minor", lambda: int(nvml.nvmlDeviceGetMinorNumber(handle))),
        memory_bytes=None if memory is None else int(memory.total),
        memory_free_bytes=None if memory is None else int(memory.free),
        mig_enabled=mig,
        slices=tuple(_slices(nvml, ask, handle)) if mig else (),
        compute_mode=None if mode is None else _COMPUTE_MODES.get(mode, f"MODE_{mode}"),
        persistence=ask("persistence", lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle))),
        ecc_enabled=ask("ecc_enabled", lambda: bool(nvml.nvmlDeviceGetEccMode(handle)[0])),
        ecc=_ecc(nvml, ask, handle),
        repairs=_repairs(nvml, ask, handle),
        processes=_processes(nvml, ask, handle),
        vbios=ask("vbios", lambda: text_of(nvml.nvmlDeviceGetVbiosVersion(handle))),
        energy_mj=ask("energy_mj", lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))),
        unknown=tuple(ask.refused),
    )


def _slices(nvml: Any, ask: _Asked, handle: Any) -> Iterator[MigSlice]:
    """The MIG devices that there are; their indices have holes (NVML: nvmlDeviceGetMigDeviceHandleByIndex)."""
    for index in range(ask("slices", lambda: int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))) or 0):
        try:
            mig = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            uuid = str(text_of(nvml.nvmlDeviceGetUUID(mig)))
        except nvml.NVMLError:
            continue
        yield _slice(nvml, ask, mig, index, uuid)


def _slice(nvml: Any, ask: _Asked, mig: Any, index: int, uuid: str) -> MigSlice:
    memory = ask(f"slices[{index}].memory_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(mig))
    return MigSlice(
        uuid=uuid,
        index=index,
        gpu_instance=ask(f"slices[{index}].gpu_instance", lambda: int(nvml.nvmlDeviceGetGpuInstanceId(mig))),
        compute_instance=ask(
            f"slices[{index}].compute_instance", lambda: int(nvml.nvmlDeviceGetComputeInstanceId(mig))
        ),
        memory_bytes=None if memory is None else int(memory.total),
        memory_free_bytes=None if memory is None else int(memory.free),
        processes=_processes(nvml, ask, mig),
    )


def _ecc(nvml: Any, ask: _Asked, handle: Any) -> EccCounts:
    def count(name: str, error: int, counter: int) -> int | None:
        return ask(f"ecc.{name}", lambda: int(nvml.nvmlDeviceGetTotalEccErrors(handle, error, counter)))

    corrected, uncorrected = nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    volatile, aggregate = nvml.NVML_VOLATILE_ECC, nvml.NVML_AGGREGATE_ECC
    return EccCounts(
        volatile_corrected=count("volatile_corrected", corrected, volatile),
        volatile_uncorrected=count("volatile_uncorrected", uncorrected, volatile),
        aggregate_corrected=count("aggregate_corrected", corrected, aggregate),
        aggregate_uncorrected=count("aggregate_uncorrected", uncorrected, aggregate),
    )


def _repairs(nvml: Any, ask: _Asked, handle: Any) -> Repairs:
    causes = (
        nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
        nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
    )
    rows = ask("repairs.remapped_rows", lambda: tuple(map(int, nvml.nvmlDeviceGetRemappedRows(handle))))
    return Repairs(
        retired_pages=ask(
            "repairs.retired_pages",
            lambda: sum(len(nvml.nvmlDeviceGetRetiredPages(handle, cause)) for cause in causes),
        ),
        retired_pending=ask(
            "repairs.retired_pending", lambda: bool(nvml.nvmlDeviceGetRetiredPagesPendingStatus(handle))
        ),
        remapped_rows=None if rows is None else rows[0] + rows[1],
        remap_pending=None if rows is None else bool(rows[2]),
        remap_failed=None if rows is None else bool(rows[3]),
    )


def _processes(nvml: Any, ask: _Asked, handle: Any) -> tuple[GpuProcess, ...] | None:
    """The lists of compute and MPS clients have to be known; that of graphics only where the product has one."""
    lists = (
        (ProcessKind.COMPUTE, nvml.nvmlDeviceGetComputeRunningProcesses_v3),
        (ProcessKind.GRAPHICS, nvml.nvmlDeviceGetGraphicsRunningProcesses_v3),
        (ProcessKind.MPS, nvml.nvmlDeviceGetMPSComputeRunningProcesses_v3),
    )
    found: list[GpuProcess] = []
    for kind, listed in lists:
        try:
            answer = listed(handle)
        except nvml.NVMLError as error:
            ask.refused.append((f"processes.{kind.value}", str(error)))
            if kind is ProcessKind.GRAPHICS and isinstance(error, nvml.NVMLError_NotSupported):
                continue
            return None
        found += [_process(nvml, kind, process) for process in answer]
    return tuple(found)


def _process(nvml: Any, kind: ProcessKind, process: Any) -> GpuProcess:
    memory = process.usedGpuMemory
    try:
        name = str(text_of(nvml.nvmlSystemGetProcessName(process.pid)))
    except (nvml.NVMLError, UnicodeDecodeError):
        name = ""
    return GpuProcess(
        pid=int(process.pid), kind=kind, memory_bytes=None if memory is None else int(memory), name=name[:256]
    )


def _confidential(nvml: Any, ask: _Asked) -> Confidential:
    state = ask("confidential", nvml.nvmlSystemGetConfComputeState)
    if state is None:
        return Confidential()
    ready = ask("confidential.ready", lambda: int(nvml.nvmlSystemGetConfComputeGpusReadyState()))
    return Confidential(
        enabled=state.ccFeature == nvml.NVML_CC_SYSTEM_FEATURE_ENABLED,
        production=state.environment == nvml.NVML_CC_SYSTEM_ENVIRONMENT_PROD,
        developer_tools=state.devToolsMode != nvml.NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF,
        ready=None if ready is None else ready == nvml.NVML_CC_ACCEPTING_CLIENT_REQUESTS_TRUE,
    )


def text_of(value: str | bytes) -> str:
    """What NVML's Python modules give as bytes or as text, by version."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
