"""Finds out by content what a file is, and has it scanned by the scanner of that format.

The name of a file never decides its format (CVE-2025-10155). Whatever it is recognised as, it is also read as a
pickle from its first byte on, because a loader that unpickles it does not ask what else it is.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.containers.recognise import container_of, report_other_containers
from interlock.artifacts.containers.tar_container import has_tar_header
from interlock.artifacts.containers.zip_end import MAGICS
from interlock.artifacts.formats.graph_file import graph_formats, scan_graph
from interlock.artifacts.formats.native import NUMPY_MAGIC, find_hdf5, native_format, scanner_of
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.file import Probe, has_protocol, probe_pickle, scan_pickle
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, open_bytes

_DEEPEST = 4

_PICKLES: Final = frozenset({"pickle", "torch-legacy"})
"""Formats whose scanners walk every pickle from the first byte on, and read on as pickles what stands behind them."""

_EXECUTABLES: Final = {
    b"\x7fELF": "an ELF program or library",
    b"MZ": "a Windows program or library",
    b"\xcf\xfa\xed\xfe": "a Mach-O program or library",
    b"\xca\xfe\xba\xbe": "a Mach-O or Java program",
    b"\x00asm": "a WebAssembly module",
}


def scan_file(file: Path, name: str, *, profile: Profile, record: Record) -> None:
    """Scan one file of a subject.

    Args:
        file: Where its bytes are; trusted to hold still.
        name: For findings and coverage, relative to the subject.
        profile: What pickles may do.
        record: Where findings go.

    Raises:
        SubjectError: The file cannot be read.
    """
    with open_bytes(file) as data:
        record.files += 1
        record.bytes += len(data)
        scan_bytes(data, name, profile=profile, record=record)


def scan_bytes(data: Buffer, path: str, *, profile: Profile, record: Record, depth: int = 0) -> str:
    """Scan bytes as a file of their own.

    Args:
        data: Unverified bytes.
        path: For findings and coverage.
        profile: What pickles may do.
        record: Where findings go.
        depth: How many archives the bytes are inside of.

    Returns:
        The format they were recognised as, or ``unknown``.
    """
    seen = _Seen(data, path, profile, record)
    try:
        found = _recognise_and_scan(seen, depth)
        if found not in _PICKLES:
            _scan_as_pickle_too(seen)
        inner = partial(_scan_inner, profile=profile, record=record, depth=depth + 1)
        report_other_containers(data, found, path=path, record=record, inner=inner)
        if len(seen.graphs) > 1 or (seen.graphs and found != seen.graphs[0]):
            graphs = " and ".join(seen.graphs)
            record.error(rules.POLYGLOT, f"a {found} file that loaders also take for {graphs}", path)
        _scan_as_hdf5_too(data, path, record)
    except LimitPassedError as error:
        record.fail(path, str(error))
        found = "unknown"
    if found != "unknown":
        record.format(path, found)
    return found


class _Seen:
    """One file, and what more than one look at it asks for: worked out once."""

    def __init__(self, data: Buffer, path: str, profile: Profile, record: Record) -> None:
        self.data = data
        self.path = path
        self.profile = profile
        self.record = record

    @cached_property
    def graphs(self) -> list[str]:
        return graph_formats(self.data, self.record.budget)

    @cached_property
    def probe(self) -> Probe:
        return probe_pickle(self.data, path=self.path, profile=self.profile, record=self.record)


def _recognise_and_scan(seen: _Seen, depth: int) -> str:
    data, path, profile, record = seen.data, seen.path, seen.profile, seen.record
    head = data[:16]
    if not head:
        record.fail(path, "an empty file: there is nothing to look at")
        return "unknown"
    scan_container = container_of(data, path, profile=profile, record=record)
    if scan_container is not None:
        if depth >= _DEEPEST:
            raise LimitPassedError(f"archives inside each other deeper than {_DEEPEST}")
        return scan_container(partial(_scan_inner, profile=profile, record=record, depth=depth + 1))
    native = native_format(head)
    if native:
        scanner_of(native)(data, path=path, record=record)
        return native
    if head.startswith(NUMPY_MAGIC):
        from interlock.artifacts.formats.numpy_file import scan_numpy

        scan_numpy(data, path=path, profile=profile, record=record)
        return "numpy"
    if has_protocol(head):
        scan_pickle(data, path=path, profile=profile, record=record)
        return "pickle"
    return _scan_without_magic(seen)


def _scan_inner(data: Buffer, path: str, *, profile: Profile, record: Record, depth: int) -> str:
    return scan_bytes(data, path, profile=profile, record=record, depth=depth)


def _scan_without_magic(seen: _Seen) -> str:
    """A graph, text, a pickle of protocol 0 or 1, or something that is not read here."""
    from interlock.artifacts.formats.text_file import read_text, scan_text

    data, path, record = seen.data, seen.path, seen.record
    text = read_text(data) if len(data) <= record.budget.limits.text_bytes else None
    if text is not None:
        record.keep_text(text, path)
    if seen.graphs:
        scan_graph(data, seen.graphs[0], path=path, record=record)
        return seen.graphs[0]
    probe = seen.probe
    whole = probe.end is not None and probe.end.stopped and probe.end.position == len(data)
    # Almost any text begins with something that reads as an opcode; a pickle is one that ends or that acts.
    if whole or probe.acts or (probe.named_a_global and text is None):
        scan_pickle(data, path=path, profile=seen.profile, record=record)
        return "pickle"
    if probe.gap:
        raise LimitPassedError(probe.gap)
    if text is not None:
        record.budget.spend_bytes(len(data))
        return scan_text(text, path=path, record=record)
    _report_unknown(data[:16], path, record, large=len(data) > record.budget.limits.text_bytes)
    return "unknown"


def _report_unknown(head: bytes, path: str, record: Record, *, large: bool) -> None:
    for magic, what in _EXECUTABLES.items():
        if head.startswith(magic):
            record.error(rules.EXECUTABLE, f"{what}, not a model", path, 0)
    if large:
        what = f"an unknown format, or a text of more than {record.budget.limits.text_bytes:,} bytes"
        record.unknown(path, what)
    else:
        record.unknown(path, f"unknown format, it starts with {shown(repr(head))}")


def _scan_as_pickle_too(seen: _Seen) -> None:
    if not seen.data:
        return
    if seen.probe.acts:
        seen.record.pickled.add(seen.path)
        seen.record.merge(seen.probe.record)
        what = "these bytes are also a pickle that imports and calls something"
        seen.record.error(rules.POLYGLOT, what, seen.path, 0)
    elif seen.probe.gap:
        raise LimitPassedError(seen.probe.gap)


def _scan_as_hdf5_too(data: Buffer, path: str, record: Record) -> None:
    """HDF5 lets other bytes stand before its file; whoever asks for HDF5 gets the one that is found there."""
    at = find_hdf5(data)
    if at <= 0:
        return
    from interlock.artifacts.formats.hdf5_file import scan_hdf5

    if data[:4].startswith(MAGICS) or has_tar_header(data):  # where a member of it may well begin
        scan_hdf5(data, path=path, record=record, start=at)
    else:
        record.error(rules.POLYGLOT, "also an HDF5 file, which begins inside: readers may open either", path, at)
