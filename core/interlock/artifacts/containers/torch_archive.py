"""Scans zip files that hold models: torch's archives, numpy's ``.npz``, and what is neither.

A torch archive (torch 1.6 and later, ``torch.serialization``, ``caffe2/serialize/inline_container.h``) has one root
folder with ``data.pkl``, ``version``, ``byteorder``, a few more small members and ``data/<key>``, one for each
storage. It is known by that structure. Members outside of it are identified by content like files of their own, so
that a second pickle under another name is walked too (CVE-2025-1889).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.containers.torch_script import is_code, is_script, script_profile
from interlock.artifacts.containers.zip_container import (
    DEFLATED,
    STORED,
    Member,
    ZipStructureError,
    check_content,
    content,
    inside,
    read_members,
    whole,
)
from interlock.artifacts.containers.zip_end import rows_of
from interlock.artifacts.formats.native import HDF5_MAGIC, NUMPY_MAGIC
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.file import probe_pickle, scan_pickle
from interlock.artifacts.pickles.judge import UNKNOWN_SIZE
from interlock.artifacts.pickles.profiles import DISTRIBUTED, Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, ScanHeld, hold, stretches

_SMALL_MEMBERS: Final = {
    "version": re.compile(rb"\d{1,4}\n?\Z"),
    "byteorder": re.compile(rb"(?:little|big)\Z"),
    ".format_version": re.compile(rb"\d{1,4}\n?\Z"),
    ".storage_alignment": re.compile(rb"\d{1,6}\n?\Z"),
    ".data/serialization_id": re.compile(rb"\d{1,64}\Z"),
}
_LONGEST_SMALL = 64
_PICKLES: Final = ("data.pkl", "constants.pkl", "traced_inputs.pkl")
"""What torch writes as pickles with storages beside them; all but the first only in TorchScript."""


def scan_zip(data: Buffer, *, path: str, profile: Profile, record: Record, inner: ScanHeld) -> str:
    """Scan a zip file and all that is in it.

    Args:
        data: The whole file, unverified.
        path: For findings; members are named ``path!member``.
        profile: What pickles may do.
        record: Where findings go.
        inner: Scans a member as a file.

    Returns:
        ``torch-zip``, ``torchscript``, ``torch-zip-row``, ``torch-export``, ``keras``, ``skops``, ``numpy`` or ``zip``.

    Raises:
        LimitPassedError: It has too many members.
    """
    row = rows_of(data)
    if len(row) > 1:
        return _scan_row(data, row, path=path, profile=profile, record=record, inner=inner)
    record.pieces[path] = frozenset({(0, len(data))})
    return _scan_one(data, path=path, profile=profile, record=record, inner=inner)


def _scan_one(data: Buffer, *, path: str, profile: Profile, record: Record, inner: ScanHeld) -> str:
    try:
        members = [member for member in read_members(data, path=path, record=record) if not member.is_folder]
    except ZipStructureError as error:
        record.error(rules.ZIP_STRUCTURE, str(error), path, error.offset)
        record.looked(path)
        return "zip"
    readable = [member for member in members if _checked(data, member, path, record)]
    root = torch_root(members)
    if root is not None:
        return _scan_torch(data, readable, root, path=path, profile=profile, record=record, inner=inner)
    from interlock.artifacts.containers.described_archive import scan_described

    described = scan_described(data, readable, path=path, record=record, member=partial(_scan_member, inner=inner))
    if described is not None:
        record.looked(path)
        return described
    formats = {_scan_member(data, member, path, record, inner=inner) for member in readable}
    record.looked(path)
    if formats == {"numpy"} and len(readable) == len(members):
        return "numpy"
    if any(_says_export(data, member, record) for member in readable):
        record.fail(path, "an archive of torch.export, whose graph is not read here: save the weights as safetensors")
        return "torch-export"
    # DataFrame.to_pickle writes such a zip, and read_pickle opens its one member.
    if profile.name != "pandas" or formats != {"pickle"} or len(members) != 1:
        record.fail(path, "a zip file of no known kind: not torch's, numpy's, Keras's or skops's")
    return "zip"


def _scan_row(
    data: Buffer,
    row: Sequence[tuple[int, int]],
    *,
    path: str,
    profile: Profile,
    record: Record,
    inner: ScanHeld,
) -> str:
    """A ``*.distcp`` file of torch.distributed.checkpoint: one archive of torch.save behind the other."""
    if len(row) > record.budget.limits.members:
        raise LimitPassedError(f"more than {record.budget.limits.members:,} archives in a row")
    if profile.name != DISTRIBUTED:
        what = f"{len(row):,} zip files in a row, of which readers open the first or the last; only a checkpoint of"
        record.error(
            rules.ZIP_STRUCTURE,
            f"{what} torch.distributed.checkpoint has that (profile {DISTRIBUTED})",
            path,
            row[1][0],
        )
    record.pieces[path] = frozenset((start, end - start) for start, end in row)
    for start, end in row:
        with hold(stretches(data, start, end), most=record.budget.limits.expanded_bytes) as piece:
            inner(piece, f"{path}!{start}")
    record.looked(path)
    return "torch-zip-row"


def _checked(data: Buffer, member: Member, path: str, record: Record) -> bool:
    """Whether the member's content can be read and has its checksum or a finding that says it has not."""
    where = inside(path, member)
    try:
        check_content(data, member, path=where, record=record)
    except ZipStructureError as error:
        record.error(rules.ZIP_STRUCTURE, str(error), where, error.offset)
    except LimitPassedError as error:
        record.fail(where, str(error))
        record.budget.check_time()
    else:
        return True
    return False


def torch_root(members: Sequence[Member]) -> str | None:
    """The one folder that holds everything, if it has torch's ``data.pkl``."""
    roots = {member.name.split("/", 1)[0] for member in members}
    if len(roots) != 1:
        return None
    root = roots.pop()
    return root if any(member.name == f"{root}/data.pkl" for member in members) else None


def _says_export(data: Buffer, member: Member, record: Record) -> bool:
    """The member by which ``torch.export.load`` knows its archives (``torch.export.pt2_archive.constants``)."""
    return member.name.endswith("/archive_format") and member.size == 3 and whole(data, member, record) == b"pt2"


def _scan_torch(
    data: Buffer,
    members: Sequence[Member],
    root: str,
    *,
    path: str,
    profile: Profile,
    record: Record,
    inner: ScanHeld,
) -> str:
    by_name = {member.name.removeprefix(f"{root}/"): member for member in members}
    script = is_script(by_name)
    if script:
        profile = script_profile(data, by_name, path=path, profile=profile, record=record)
    pickles = {name: f"{name.removesuffix('.pkl')}/" for name in _PICKLES[: None if script else 1] if name in by_name}
    used: set[str] = set()
    for name, folder in pickles.items():
        used |= _scan_main_pickle(data, by_name, name, folder, path=path, profile=profile, record=record)
    for name, member in by_name.items():
        if name in pickles or (script and is_code(name)):
            continue
        if name in _SMALL_MEMBERS:
            _check_small(data, member, name, path, record)
        elif name in used:
            _check_storage(data, member, path, profile, record)
        elif script and not member.size:
            record.looked(inside(path, member))  # a class without code has no debug information
        elif _scan_member(data, member, path, record, inner=inner) == "pickle" and not script:
            record.error(
                rules.EXTRA_PICKLE,
                f"a pickle beside torch's own, {shown(name)!r}: torch writes none, so something else is to load it",
                inside(path, member),
            )
    missing = sorted({"version"} - by_name.keys())
    if missing:
        record.error(rules.TORCH_ARCHIVE, f"torch's archive lacks its member {missing[0]!r}", path)
    record.looked(path)
    return "torchscript" if script else "torch-zip"


def _scan_main_pickle(
    data: Buffer,
    by_name: dict[str, Member],
    name: str,
    folder: str,
    *,
    path: str,
    profile: Profile,
    record: Record,
) -> set[str]:
    """Walk a pickle that torch itself writes; gives the members that are its storages."""
    # The inputs of a trace are kept without their bytes (``writeArchive``, ``skip_tensor_data``).
    left_out = folder == "traced_inputs/"
    sizes = {
        key.removeprefix(folder): UNKNOWN_SIZE if left_out and not member.size else member.size
        for key, member in by_name.items()
        if key.startswith(folder)
    }
    member = by_name[name]
    where = inside(path, member)
    try:
        used = scan_pickle(whole(data, member, record), path=where, profile=profile, record=record, storages=sizes)
    except LimitPassedError as error:
        record.fail(where, str(error))
        # Nothing is known of what the storages are for, so all of them count as storages.
        used = frozenset(sizes)
    return {folder + key for key in used}


def _check_small(data: Buffer, member: Member, name: str, path: str, record: Record) -> None:
    where = inside(path, member)
    content = whole(data, member, record) if member.size <= _LONGEST_SMALL else b""
    if not _SMALL_MEMBERS[name].match(content):
        record.error(rules.TORCH_ARCHIVE, f"torch's member {name!r} does not hold what torch writes there", where)
    record.looked(where)


def _check_storage(data: Buffer, member: Member, path: str, profile: Profile, record: Record) -> None:
    """A tensor's bytes: anything goes, except a pickle that would act if something else loads it."""
    where = inside(path, member)
    if member.method == STORED:
        end = member.start + member.size
        probe = probe_pickle(data, path=where, profile=profile, record=record, start=member.start, end=end)
    else:
        probe = probe_pickle(whole(data, member, record), path=where, profile=profile, record=record)
    if probe.acts:
        record.merge(probe.record)
        record.error(rules.EXTRA_PICKLE, "a tensor's bytes are a pickle that imports and calls something", where)
    elif probe.gap:
        record.fail(where, f"a tensor whose bytes read as an endless pickle: {probe.gap}")
    else:
        record.looked(where)


def _scan_member(data: Buffer, member: Member, path: str, record: Record, *, inner: ScanHeld) -> str:
    where = inside(path, member)
    if member.method not in (STORED, DEFLATED):
        return "unreadable"
    try:
        if member.method == STORED and data[member.start : member.start + len(HDF5_MAGIC)] == HDF5_MAGIC:
            from interlock.artifacts.formats.hdf5_file import scan_hdf5

            # Its structure is read where it lies, so weights of any size need not be held.
            scan_hdf5(data, path=where, record=record, start=member.start, end=member.start + member.size)
            record.format(where, "hdf5")
            return "hdf5"
        head = next(content(data, member, record), b"")
        if member.size > len(head) and head.startswith(NUMPY_MAGIC):
            from interlock.artifacts.formats.numpy_file import plain_array, scan_numpy_header

            if plain_array(head):
                # A large array is judged by its header, so its elements need not be held.
                scan_numpy_header(head, member.size, path=where, record=record)
                record.format(where, "numpy")
                return "numpy"
        return inner(whole(data, member, record), where)
    except LimitPassedError as error:
        record.fail(where, str(error))
        return "unreadable"
