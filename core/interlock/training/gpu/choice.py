"""Which GPUs a training gets, and that no other training of this machine takes them meanwhile.

A device is locked by a file that is locked (flock(2)), so that a run which is killed leaves nothing to clean up. The
files lie where every user of the machine can open them; they hold nothing, and nobody has to be able to write them.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from interlock.gate import UnavailableError, UsageError
from interlock.training.gpu.state import GpuDevice, GpuProcess, GpuState, MigSlice

_NAME = re.compile(r"[0-9]{1,3}(:[0-9]{1,2})?\Z|(GPU|MIG)-[0-9A-Za-z/-]{1,100}\Z")
_SHARED_FOLDER = Path("/run/lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRequest:
    """What a training asks for.

    Args:
        count: How many GPUs, any of them; 0 when `names` says which, or none are wanted.
        names: Which ones: ``0`` or ``GPU-...`` for a GPU, ``0:1`` or ``MIG-...`` for a slice of one. NVML's indices.
        confidential: Only GPUs whose memory is protected, for policy to judge.
        scrub: Whether their free memory is overwritten before and after.
    """

    count: int = 0
    names: tuple[str, ...] = ()
    confidential: bool = False
    scrub: bool = False

    def __post_init__(self) -> None:
        if (self.count and self.names) or self.count < 0:
            raise UsageError("GPUs are asked for either by their number or by their names")
        for name in self.names:
            if not _NAME.match(name):
                raise UsageError("this names no GPU", where=repr(name), next_step="interlock gpu show")

    @property
    def wanted(self) -> int:
        """How many."""
        return self.count or len(self.names)


def gpu_request(
    gpus: int | Sequence[str] | None, *, confidential: bool = False, scrub: bool = False
) -> GpuRequest | None:
    """What a step or a command line says of GPUs, as a request.

    Args:
        gpus: How many, or which; None where nothing is said.
        confidential: As in `GpuRequest`.
        scrub: As in `GpuRequest`.

    Raises:
        UsageError: It is neither a number nor names, or it says how GPUs have to be and not how many.
    """
    if gpus is None:
        if confidential or scrub:
            raise UsageError("it is said how GPUs have to be, and not how many", next_step="say how many, or which")
        return None
    if isinstance(gpus, str | bool):
        raise UsageError("GPUs are a number, or a list of names", where=repr(gpus))
    if isinstance(gpus, int):
        return GpuRequest(count=gpus, confidential=confidential, scrub=scrub)
    return GpuRequest(names=tuple(gpus), confidential=confidential, scrub=scrub)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """A device, or a slice of one, that a training may get.

    Args:
        device: The GPU.
        mig: The slice of it; None for the whole.
    """

    device: GpuDevice
    mig: MigSlice | None = None

    @property
    def uuid(self) -> str:
        """What ``CUDA_VISIBLE_DEVICES`` takes."""
        return (self.mig or self.device).uuid

    @property
    def processes(self) -> tuple[GpuProcess, ...] | None:
        """Those on the device, or on the slice; None when not known."""
        return (self.mig or self.device).processes

    @property
    def memory_bytes(self) -> int | None:
        """All of its memory."""
        return (self.mig or self.device).memory_bytes

    @property
    def memory_free_bytes(self) -> int | None:
        """The part of it that nobody uses."""
        return (self.mig or self.device).memory_free_bytes


def places_of(state: GpuState) -> tuple[Assigned, ...]:
    """What can be given away: GPUs that are not cut, and the slices of those that are."""
    return tuple(
        Assigned(device=device, mig=mig)
        for device in state.devices
        for mig in (device.slices if device.mig_enabled else (None,))
    )


class GpuLocks:
    """Locks on devices of this machine, held until `release`.

    Args:
        folder: Where their files lie; ``/run/lock``, or the folder for temporary files, when not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        usable = os.access(_SHARED_FOLDER, os.W_OK)
        self._folder = folder or (_SHARED_FOLDER if usable else Path(tempfile.gettempdir()))
        self._held: dict[str, int] = {}

    def take(self, uuid: str) -> bool:
        """Whether it is ours now.

        Raises:
            UnavailableError: The lock's file cannot be made or opened.
        """
        path = self._folder / f"interlock-{re.sub(r'[^0-9A-Za-z-]', '_', uuid)}.lock"
        try:
            descriptor = _opened(path)
        except OSError as error:
            raise UnavailableError(f"the lock of a GPU cannot be used: {error.strerror}", where=str(path)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held[uuid] = descriptor
        return True

    def release(self) -> None:
        """Let go of all of them."""
        while self._held:
            _, descriptor = self._held.popitem()
            os.close(descriptor)


def choose(request: GpuRequest, state: GpuState, locks: GpuLocks) -> tuple[Assigned, ...]:
    """Lock what `request` asks for.

    Args:
        request: What the training asks for.
        state: Of this moment.
        locks: Take the locks, all or none.

    Raises:
        UsageError: A name is of no device here, or of one that is cut into slices.
        UnavailableError: Too few are free.
    """
    places = places_of(state)
    candidates = (
        tuple(_named(name, state, places) for name in request.names)
        if request.names
        else sorted(places, key=lambda place: (place.processes is None, len(place.processes or ())))
    )
    chosen = tuple(_locked(candidates, request.wanted, locks))
    if len(chosen) == request.wanted:
        return chosen
    locks.release()
    taken = [place.uuid for place in candidates if place not in chosen]
    raise UnavailableError(
        f"{request.wanted} GPUs are asked for, {len(chosen)} of {len(candidates)} are free",
        where=f"taken by other trainings: {', '.join(taken) or 'none'}",
        next_step="ask for fewer, or wait for the others (`interlock gpu show`)",
    )


def _locked(candidates: Sequence[Assigned], wanted: int, locks: GpuLocks) -> Iterator[Assigned]:
    got = 0
    for place in candidates:
        if got < wanted and locks.take(place.uuid):
            got += 1
            yield place


def _named(name: str, state: GpuState, places: Sequence[Assigned]) -> Assigned:
    for place in places:
        mig = "" if place.mig is None else f":{place.mig.index}"
        if name in {place.uuid, f"{place.device.index}{mig}"}:
            return place
    for index, reason in state.lost:
        if name == str(index):
            raise UnavailableError(f"the GPU does not answer: {reason}", where=f"GPU {index}", next_step="nvidia-smi")
    cut = [device for device in state.devices if name in {device.uuid, str(device.index)}]
    if cut:
        slices = ", ".join(mig.uuid for mig in cut[0].slices) or "it has none; `nvidia-smi mig -cgi`"
        raise UsageError("the GPU is cut into slices", where=name, next_step=f"name one of them: {slices}")
    known = ", ".join(place.uuid for place in places) or "none"
    raise UsageError("no such GPU is here", where=name, next_step=f"name one of: {known}")


def _opened(path: Path) -> int:
    """Never through a link, and without making a file that is there (fs.protected_regular in sticky folders)."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileExistsError):
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
    return os.open(path, flags)
