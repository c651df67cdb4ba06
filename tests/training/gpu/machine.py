"""A folder laid out as the driver lays out a machine with two GPUs; its nodes are links to /dev/null."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interlock.training.gpu.driver import DriverPlaces


@dataclass(frozen=True)
class Machine:
    places: DriverPlaces
    libraries: Path


def lay_out(root: Path) -> Machine:
    dev, proc, libraries = root / "dev", root / "proc", root / "lib"
    (dev / "nvidia-caps").mkdir(parents=True)
    libraries.mkdir()
    nodes = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidia1"]
    for name in (*nodes, *(f"nvidia-caps/nvidia-cap{number}" for number in (12, 84, 85))):
        (dev / name).symlink_to("/dev/null")
    instance = proc / "capabilities/gpu0/mig/gi9"
    for folder, minor in ((instance, 84), (instance / "ci0", 85)):
        folder.mkdir(parents=True)
        (folder / "access").write_text(f"DeviceFileMinor: {minor}\nDeviceFileMode: 256\nDeviceFileModify: 1\n")
    (libraries / "libcuda.so.580.95.05").write_text("")
    (libraries / "libcuda.so.1").symlink_to("libcuda.so.580.95.05")
    (libraries / "libnvidia-ml.so.1").write_text("")
    cache = root / "ld.so.cache"
    listed = ("libc.so.6", "/usr/lib/libc.so.6", "libcuda.so.1", *map(str, sorted(libraries.iterdir())))
    cache.write_bytes(b"ld.so-1.7.0\0" + b"\0".join(text.encode() for text in listed) + b"\0")
    return Machine(DriverPlaces(dev=dev, proc=proc, cache=cache, folders=(libraries,)), libraries)
