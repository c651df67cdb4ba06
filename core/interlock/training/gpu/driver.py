"""What of the driver a job needs to use its GPUs: device nodes of these and no others, and the driver's libraries.

The nodes are those of NVIDIA's driver README ("device files") and MIG user guide ("/dev based nvidia-capabilities").
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.gate import UnavailableError
from interlock.training.gpu.choice import Assigned
from interlock.training.safeguards import Provision

_LIBRARY = re.compile(rb"/[^\0]{1,1000}/lib(?:cuda|cudadebugger|nvidia-[0-9a-z-]+)\.so[^\0/]*\0")
_LIBRARY_NAMES = ("libcuda.so*", "libcudadebugger.so*", "libnvidia-*.so*")
_MINOR = re.compile(r"^DeviceFileMinor:\s*([0-9]+)$", re.MULTILINE)
_NODES = ("nvidiactl", "nvidia-uvm")
_SHOWN_ANYWAY = (Path("/usr"), Path("/lib"), Path("/lib64"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverPlaces:
    """Where the driver's parts lie on this machine.

    Args:
        dev: Device nodes.
        proc: What the driver tells of itself.
        cache: The dynamic linker's list of libraries.
        folders: Where libraries lie that the linker does not know: containers of GKE, WSL, NixOS, others.
    """

    dev: Path = Path("/dev")
    proc: Path = Path("/proc/driver/nvidia")
    cache: Path = Path("/etc/ld.so.cache")
    folders: tuple[Path, ...] = (
        Path("/usr/local/nvidia/lib64"),
        Path("/usr/local/nvidia/lib"),
        Path("/usr/lib/wsl/lib"),
        Path("/run/opengl-driver/lib"),
        Path("/opt/nvidia/lib64"),
    )


def provision_of(assigned: Sequence[Assigned], places: DriverPlaces | None = None) -> Provision:
    """Devices, libraries and environment for a job that may use `assigned`, and no other GPU.

    Args:
        assigned: In the order in which CUDA will count them.
        places: Replaced in tests.

    Raises:
        UnavailableError: A node or the driver's library is not here.
    """
    places = places or DriverPlaces()
    listed = sorted(_listed(places))
    unlisted = [path for path in _in_folders(places) if path not in listed]
    libraries = (*listed, *unlisted)
    if not any(path.name.startswith("libcuda.so") for path in libraries):
        raise UnavailableError(
            "the driver's library libcuda.so is not here",
            where=", ".join(map(str, (places.cache, *places.folders))),
            next_step="in a container, start it with NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        )
    environment = [
        # CUDA counts by speed otherwise, NVML by bus.
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        ("CUDA_VISIBLE_DEVICES", ",".join(place.uuid for place in assigned)),
    ]
    if unlisted:
        folders = dict.fromkeys(str(path.parent) for path in unlisted)
        environment.append(("LD_LIBRARY_PATH", ":".join(folders)))
    return Provision(
        environment=tuple(environment),
        devices=tuple(dict.fromkeys(_nodes(assigned, places))),
        visible=tuple(dict.fromkeys(_outside_usr(libraries))),
    )


def _nodes(assigned: Sequence[Assigned], places: DriverPlaces) -> Iterator[Path]:
    for name in _NODES:
        yield _node(places.dev / name)
    tools = places.dev / "nvidia-uvm-tools"
    if tools.exists():
        yield _node(tools)
    for place in assigned:
        if place.device.minor is None:
            raise UnavailableError("NVML does not say which device node the GPU has", where=place.device.uuid)
        yield _node(places.dev / f"nvidia{place.device.minor}")
        if place.mig is not None:
            yield from _capabilities(place, places)


def _capabilities(place: Assigned, places: DriverPlaces) -> Iterator[Path]:
    """The nodes that let a process use one GPU instance and one compute instance of it."""
    mig = place.mig
    if mig is None or mig.gpu_instance is None or mig.compute_instance is None:
        raise UnavailableError("NVML does not say which instance the slice is", where=place.uuid)
    instance = places.proc / f"capabilities/gpu{place.device.minor}/mig/gi{mig.gpu_instance}"
    for access in (instance / "access", instance / f"ci{mig.compute_instance}" / "access"):
        try:
            found = _MINOR.search(access.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"the slice's capability cannot be read: {error}", where=str(access)) from error
        if found is None:
            raise UnavailableError("the slice's capability names no device node", where=str(access))
        yield _node(places.dev / "nvidia-caps" / f"nvidia-cap{found[1]}")


def _node(path: Path) -> Path:
    try:
        if stat.S_ISCHR(path.stat().st_mode):
            return path
    except OSError:
        pass
    raise UnavailableError(
        "a device node of the NVIDIA driver is not here",
        where=str(path),
        next_step="run nvidia-modprobe -u -c 0 as root",
    )


def _in_folders(places: DriverPlaces) -> Iterator[Path]:
    for folder in places.folders:
        for pattern in _LIBRARY_NAMES:
            yield from sorted(folder.glob(pattern))


def _listed(places: DriverPlaces) -> set[Path]:
    """Paths in the linker's cache, which are texts that end with NUL (glibc, dl-cache.h)."""
    try:
        cache = places.cache.read_bytes()
    except OSError:
        return set()
    found = (match[0].rstrip(b"\0") for match in _LIBRARY.finditer(cache))
    return {path for path in (Path(text.decode("utf-8", "surrogateescape")) for text in found) if path.exists()}


def _outside_usr(libraries: Sequence[Path]) -> Iterator[Path]:
    """Each library and what it links to, where the sandbox does not show it anyway."""
    for path in libraries:
        for one in (path, path.resolve()):
            if not any(folder in one.parents for folder in _SHOWN_ANYWAY):
                yield one
