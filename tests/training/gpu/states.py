"""The states that the tests are written against; `records/` holds each one as a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from interlock.training.gpu import GpuDevice, GpuProcess, GpuState, MigSlice
from interlock.training.gpu.state import Confidential, EccCounts, ProcessKind, Repairs

RECORDS = Path(__file__).parent / "records"
UUID = "GPU-5d0ad5b4-0b0e-4f3c-9b7c-1f0d3a6f2a11"
SLICE = "MIG-0f2d9b3e-6a0c-5d19-8d9e-2c5a1b7e4f60"
_NOT_SUPPORTED = "Not Supported"

_H100 = GpuDevice(
    index=0,
    uuid=UUID,
    name="NVIDIA H100 80GB HBM3",
    pci="00000000:18:00.0",
    minor=0,
    memory_bytes=85_520_809_984,
    memory_free_bytes=85_024_768_000,
    mig_enabled=False,
    compute_mode="EXCLUSIVE_PROCESS",
    persistence=True,
    ecc_enabled=True,
    ecc=EccCounts(volatile_corrected=0, volatile_uncorrected=0, aggregate_corrected=3, aggregate_uncorrected=0),
    repairs=Repairs(remapped_rows=0, remap_pending=False, remap_failed=False),
    processes=(),
    vbios="96.00.9F.00.01",
    energy_mj=1_234_567_890,
    # What a Hopper says of the pages that its predecessors retired.
    unknown=(("repairs.retired_pages", _NOT_SUPPORTED), ("repairs.retired_pending", _NOT_SUPPORTED)),
)
HEALTHY = GpuState(
    driver="580.95.05",
    cuda="13.0",
    toolkit="1.18.0",
    confidential=Confidential(enabled=False, production=False, developer_tools=False, ready=True),
    devices=(_H100,),
)


def with_device(state: GpuState = HEALTHY, **changes: object) -> GpuState:
    """`state` with its first device changed."""
    return replace(state, devices=(replace(state.devices[0], **changes), *state.devices[1:]))  # type: ignore[arg-type]


STATES = {
    "healthy": HEALTHY,
    "mps": with_device(
        compute_mode="DEFAULT",
        processes=(
            GpuProcess(pid=2101, kind=ProcessKind.COMPUTE, memory_bytes=31_457_280, name="nvidia-cuda-mps-server"),
            GpuProcess(pid=2207, kind=ProcessKind.MPS, memory_bytes=4_294_967_296, name="/opt/other/python3"),
        ),
    ),
    "mig": with_device(
        mig_enabled=True,
        compute_mode="DEFAULT",
        slices=(
            MigSlice(
                uuid=SLICE,
                index=0,
                gpu_instance=9,
                compute_instance=0,
                memory_bytes=10_468_982_784,
                memory_free_bytes=10_453_254_144,
                processes=(),
            ),
        ),
    ),
    "ecc-errors": with_device(
        ecc=EccCounts(volatile_corrected=41, volatile_uncorrected=2, aggregate_corrected=97, aggregate_uncorrected=5),
        repairs=Repairs(remapped_rows=2, remap_pending=True, remap_failed=True),
    ),
    "foreign-process": with_device(
        compute_mode="DEFAULT",
        processes=(GpuProcess(pid=4_100_001, kind=ProcessKind.COMPUTE, memory_bytes=17_179_869_184, name="python3"),),
    ),
    "old-driver": replace(HEALTHY, driver="470.82.01", cuda="11.4", toolkit="1.17.7"),
    "confidential": replace(
        HEALTHY, confidential=Confidential(enabled=True, production=True, developer_tools=False, ready=True)
    ),
}
