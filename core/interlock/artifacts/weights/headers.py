"""Lists the tensors of safetensors, GGUF, ``.npy`` and ``.npz`` by their headers."""

from __future__ import annotations

import re
from typing import Final

from interlock.artifacts.containers.zip_container import STORED, Member, content, inside
from interlock.artifacts.formats.gguf_file import gguf_tensors
from interlock.artifacts.formats.native import NUMPY_MAGIC
from interlock.artifacts.formats.numpy_file import ArrayHeader, MalformedArrayError, described_array
from interlock.artifacts.formats.safetensors_file import read_header
from interlock.artifacts.layout import column_major
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer
from interlock.artifacts.weights.dtypes import DTYPES, Dtype, opaque
from interlock.artifacts.weights.holders import ExpandedMember, Holder
from interlock.artifacts.weights.tensor import Hidden, Listing, Tensor
from interlock.artifacts.weights.zip_padding import hidden_in_zip

_GGUF: Final = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
"""``ggml_type`` of plain numbers; every other one is quantised in blocks."""

_NUMPY: Final = re.compile(r"(?P<order>[<>|=])?(?P<kind>[fiucb])(?P<size>\d{1,2})\Z")
LONGEST_HEADER: Final = 12_000
"""Bytes of an ``.npy`` that surely hold its header; numpy reads 10,000 and a few."""


def list_safetensors(data: Buffer, holder: Holder, path: str, record: Record) -> Listing:
    """Every tensor of a safetensors file.

    Args:
        data: Unverified bytes.
        holder: Gives the same bytes.
        path: For findings.
        record: Whose budget is spent.

    Raises:
        MalformedHeaderError: The header does not describe the file.
        LimitPassedError: The subject may not have so many bytes.
    """
    start, header = read_header(data)
    record.budget.spend_bytes(start)
    tensors: list[Tensor] = []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors.append(
            Tensor(
                name=name,
                dtype=DTYPES.get(entry["dtype"]) or opaque(entry["dtype"]),
                shape=tuple(entry["shape"]),
                path=path,
                offset=start + begin,
                length=end - begin,
                holder=holder,
            )
        )
    return Listing.of(tensors)


def list_gguf(data: Buffer, holder: Holder, path: str, record: Record) -> Listing:
    """Every tensor of a GGUF file; quantised ones are named, not looked into.

    Args:
        data: Unverified bytes.
        holder: Gives the same bytes.
        path: For findings.
        record: Whose budget is spent.

    Raises:
        MalformedGgufError: Metadata and tensors do not describe the file.
        LimitPassedError: There is more metadata than may be read.
    """
    big, infos = gguf_tensors(data, record)
    tensors = [
        Tensor(
            # What is no UTF-8 stays apart from a text that only reads like its escapes.
            name=info.name.decode("utf-8", "surrogateescape"),
            dtype=DTYPES.get(_GGUF.get(info.kind, "")) or opaque(f"ggml type {info.kind}"),
            shape=tuple(reversed(info.shape)),
            path=path,
            offset=info.start,
            length=info.end - info.start,
            holder=holder,
            big=big,
        )
        for info in infos
    ]
    return Listing.of(tensors)


def list_npy(head: bytes, holder: Holder, path: str, *, size: int, name: str = "array", start: int = 0) -> Listing:
    """The one array of an ``.npy``, which may stand inside of another file.

    Args:
        head: Its first `LONGEST_HEADER` bytes, unverified.
        holder: Gives the bytes that it stands in.
        path: For findings.
        size: Bytes that it has.
        name: Of the array.
        start: Offset of its magic.

    Raises:
        MalformedArrayError: The header does not describe these bytes.
    """
    header = described_array(head)
    if not header.objects and header.start + header.size != size:
        raise MalformedArrayError(f"{size - header.start:,} bytes of elements where the header needs {header.size:,}")
    hidden = []
    fill = header.padding.rstrip(b"\n").strip(b" ")
    if fill:
        at = start + header.start - len(header.padding)
        hidden.append(Hidden(path=path, offset=at, size=len(fill), what="the padding of numpy's header"))
    dtype, big = _numpy_dtype(header)
    fortran = dtype.known and header.fortran_order and len(header.shape) > 1
    array = Tensor(
        name=name,
        dtype=dtype,
        shape=header.shape,
        path=path,
        offset=start + header.start,
        length=size - header.start,
        holder=holder,
        strides=column_major(header.shape) if fortran else (),
        big=big,
    )
    return Listing.of([array], hidden)


def list_npz(data: Buffer, holder: Holder, members: tuple[Member, ...], path: str, record: Record) -> Listing:
    """Every array of an ``.npz``, none of another zip; of compressed ones only the header is expanded.

    Args:
        data: Unverified bytes.
        holder: Gives the same bytes.
        members: Of the zip.
        path: For findings.
        record: Whose budget is spent.

    Raises:
        MalformedArrayError: A header does not describe its array.
        LimitPassedError: An array is larger than may be expanded.
        ZipStructureError: A member cannot be expanded.
    """
    tensors: list[Tensor] = []
    hidden = list(hidden_in_zip(members, path))
    for member in members:
        head = _head(data, member, record)
        if not head.startswith(NUMPY_MAGIC):
            return Listing()
        source, start = holder, member.start
        if member.method != STORED:
            source, start = ExpandedMember(archive=holder, member=member, budget=record.budget), 0
        where, name = inside(path, member), member.name.removesuffix(".npy")
        found = list_npy(head, source, where, size=member.size, name=name, start=start)
        tensors += (*found.tensors, *found.unread)
        hidden += found.hidden
    return Listing.of(tensors, hidden)


def _head(data: Buffer, member: Member, record: Record) -> bytes:
    head = b""
    for chunk in content(data, member, record):
        head += chunk
        if len(head) >= LONGEST_HEADER:
            break
    return head[:LONGEST_HEADER]


def _numpy_dtype(header: ArrayHeader) -> tuple[Dtype, bool]:
    match = _NUMPY.match(header.descr) if isinstance(header.descr, str) else None
    if match is None:
        return opaque("Python objects" if header.objects else str(header.descr)[:40]), False
    kind, bits = match["kind"], int(match["size"]) * 8
    name = "BOOL" if kind == "b" else f"{kind.upper()}{bits}"
    return DTYPES.get(name) or opaque(name), match["order"] == ">"
