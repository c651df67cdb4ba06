"""Scans tar files: folders of files in one, and torch's format from before its version 0.1.10.

Every member is scanned as a file of its own, whatever its name. torch's tar has the members ``storages``, ``tensors``
and ``pickle``, each a row of pickles with raw bytes between them (``torch.serialization._legacy_load``). torch itself
reads it only with ``weights_only=False``, so it is refused whatever its pickles say; what they name is shown.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.containers.tar_container import TarMember, TarStructureError, read_tar
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.file import probe_pickle
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, ScanHeld, hold, stretches

_TORCH: Final = ("storages", "tensors", "pickle")
_MOST_PICKLES: Final = 10_000


def scan_tar(data: Buffer, *, path: str, profile: Profile, record: Record, inner: ScanHeld) -> str:
    """Scan a tar file and all that is in it.

    Args:
        data: The whole file, unverified.
        path: For findings; members are named ``path!member``.
        profile: What pickles may do.
        record: Where findings go.
        inner: Scans a member as a file.

    Returns:
        ``torch-tar`` or ``tar``.

    Raises:
        LimitPassedError: It has too many members.
    """
    try:
        members = read_tar(data, path=path, record=record)
    except TarStructureError as error:
        record.error(rules.TAR_STRUCTURE, str(error), path, error.offset)
        members = ()
    torch = {member.name for member in members}.issuperset(_TORCH)
    if torch:
        record.error(
            rules.TORCH_ARCHIVE,
            "torch's tar format, which it reads only with weights_only=False, so that any pickle in it runs:"
            " load it in a sandbox and save it again",
            path,
        )
    for member in members:
        where = f"{path}!{shown(member.name)}"
        if torch and member.name in _TORCH:
            _scan_row(data, member, where, profile, record)
        else:
            _scan_member(data, member, where, record, inner)
    if not members:
        record.fail(path, "a tar in which there is no file that can be read")
    record.looked(path)
    return "torch-tar" if torch else "tar"


def _scan_member(data: Buffer, member: TarMember, where: str, record: Record, inner: ScanHeld) -> None:
    limits = record.budget.limits
    try:
        record.budget.spend_bytes(member.size)
        with hold(stretches(data, member.start, member.start + member.size), most=limits.expanded_bytes) as content:
            inner(content, where)
    except LimitPassedError as error:
        record.fail(where, str(error))
        record.budget.check_time()


def _scan_row(data: Buffer, member: TarMember, where: str, profile: Profile, record: Record) -> None:
    """Every pickle of a row; what stands between them is not modelled, so each PROTO may start one."""
    at, end = member.start, member.start + member.size
    for _ in range(_MOST_PICKLES):
        if at < 0 or at >= end:
            record.looked(where)
            return
        probe = probe_pickle(data, path=where, profile=profile, record=record, start=at, end=end)
        if probe.gap:
            raise LimitPassedError(probe.gap)
        if probe.named_a_global or probe.called:
            record.merge(probe.record)
        stopped = probe.end is not None and probe.end.stopped
        at = probe.end.position if stopped and probe.end else data.find(b"\x80", at + 1, end)
    record.fail(where, f"more than {_MOST_PICKLES:,} pickles in a row")
