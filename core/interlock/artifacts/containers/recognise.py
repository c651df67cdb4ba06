"""Finds out by content which container a file is, and has it scanned by that container's scanner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from interlock.artifacts import record as rules
from interlock.artifacts.containers.tar_container import has_tar_header, says_it_is_tar
from interlock.artifacts.containers.torch_archive import scan_zip
from interlock.artifacts.containers.zip_end import MAGICS, bounds, comment_end, find_end
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer, ScanHeld, hold, stretches

ScanContainer: TypeAlias = Callable[[ScanHeld], str]
"""Given what scans a file, scans everything inside; gives the container's format."""

_ZFILE: Final = b"ZF0x"
_PACKS: Final = frozenset({"tar", "gzip", "zlib", "bzip2", "xz", "lzma", "zstd", "lz4"})


def container_of(data: Buffer, path: str, *, profile: Profile, record: Record) -> ScanContainer | None:
    """The scan of the container that `data` is, or None if it is none.

    Args:
        data: Unverified bytes.
        path: For findings and coverage.
        profile: What pickles may do.
        record: Where findings go.
    """
    head = data[:32]
    if head.startswith(MAGICS):
        return lambda inner: scan_zip(data, path=path, profile=profile, record=record, inner=inner)
    from interlock.artifacts.containers.torch_legacy import is_torch_legacy, scan_torch_legacy

    if is_torch_legacy(head):
        return lambda _: scan_torch_legacy(data, path=path, profile=profile, record=record)
    from interlock.artifacts.containers.packed_by_others import OTHERS, scan_packed

    others = next((what for magic, what in OTHERS.items() if head.startswith(magic)), "")
    if others:
        return lambda inner: scan_packed(data, others, path=path, record=record, inner=inner)
    return _stream_or_tar(data, path, profile=profile, record=record)


def _stream_or_tar(data: Buffer, path: str, *, profile: Profile, record: Record) -> ScanContainer | None:
    if data[: len(_ZFILE)] == _ZFILE:
        return lambda _: _old_joblib(path, record)
    from interlock.artifacts.containers.streams import scan_stream, stream_format

    form = stream_format(data, profile=profile, record=record)
    if form:
        return lambda inner: scan_stream(data, form, path=path, profile=profile, record=record, inner=inner)
    if says_it_is_tar(data) or has_tar_header(data):
        from interlock.artifacts.containers.tar_archive import scan_tar

        return lambda inner: scan_tar(data, path=path, profile=profile, record=record, inner=inner)
    return None


def report_other_containers(data: Buffer, found: str, *, path: str, record: Record, inner: ScanHeld) -> None:
    """A file that one reader takes for `found` and another for a container is what neither scanned for.

    Args:
        data: Unverified bytes.
        found: What they were recognised as.
        path: For findings.
        record: Where findings go.
        inner: Scans bytes inside of the file as a file of their own.

    Raises:
        LimitPassedError: A zip inside of it is too deep inside, or too large to be held.
    """
    end = None if data[:4].startswith(MAGICS) else find_end(data)
    if end is not None:
        # An archive that packs nothing has the bytes of its last member before its end, so a zip is no lie there.
        piece = bounds(data, end) if found in _PACKS and comment_end(data, end) < len(data) else None
        if piece is None:
            record.error(rules.POLYGLOT, f"a {found} file that is also a zip: readers may open either", path)
        else:
            start, behind = piece
            most = record.budget.limits.expanded_bytes
            with hold(stretches(data, start, behind), most=most) as held:
                inner(held, f"{path}!{start}")
    # torch.load tries tar before everything else but zip.
    if found not in {"tar", "torch-tar"} and has_tar_header(data):
        record.error(rules.POLYGLOT, f"a {found} file that is also a tar: readers may open either", path)


def _old_joblib(path: str, record: Record) -> str:
    """What joblib before 0.10 wrote: a zlib stream behind a length, its arrays in files that the pickle names."""
    record.fail(path, "joblib's format from before version 0.10 is not read here: load it in a sandbox and dump again")
    return "joblib-zfile"
