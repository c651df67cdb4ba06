"""Lists the tensors of safetensors, GGUF, ``.npy`` and ``.npz`` by their headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from interlock.artifacts.containers.zip_container import STORED, Member, content, inside
from interlock.artifacts.formats.gguf_file import gguf_tensors
from interlock.artifacts.formats.numpy_file import ArrayHeader, MalformedArrayError, described_array
from interlock.artifacts.formats.safetensors_file import read_header
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer, hold
from interlock.artifacts.weights.dtypes import DTYPES, Dtype
from interlock.artifacts.weights.tensor import Hidden, Listing, Tensor
from interlock.artifacts.weights.zip_padding import hidden_in_zip

_GGUF: Final = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
"""``ggml_type`` of plain numbers; every other one is quantised in blocks."""

_NUMPY: Final = re.compile(r"(?P<order>[<>|=])?(?P<kind>[fiucb])(?P<size>\d{1,2})\Z")
_LONGEST_HEADER: Final = 12_000
"""Bytes of an ``.npy`` that surely hold its header; numpy reads 10,000 and a few."""


def list_safetensors(data: Buffer, path: str, record: Record) -> Listing:
    """Every tensor of a safetensors file.

    Args:
        data: Unverified bytes.
        path: For findings.
        record: Whose budget is spent.

    Raises:
        MalformedHeaderError: The header does not describe the file.
        LimitPassedError: The subject may not have so many bytes.
    """
    start, header = read_header(data)
    record.budget.spend_bytes(start)
    tensors, unread = [], []
    for name, entry in header.items():
        dtype = DTYPES.get(entry["dtype"])
        if dtype is None:
            unread.append((name, entry["dtype"]))
            continue
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        tensors.append(
            Tensor(name=name, dtype=dtype, shape=shape, path=path, offset=start + begin, length=end - begin, data=data)
        )
    return Listing(tensors=tensors, unread=unread)


def list_gguf(data: Buffer, path: str, record: Record) -> Listing:
    """Every tensor of a GGUF file; quantised ones are named, not looked into.

    Raises:
        MalformedGgufError: Metadata and tensors do not describe the file.
        LimitPassedError: There is more metadata than may be read.
    """
    big, infos = gguf_tensors(data, record)
    tensors, unread = [], []
    for info in infos:
        name = info.name.decode("utf-8", "backslashreplace")
        dtype = DTYPES.get(_GGUF.get(info.kind, ""))
        if dtype is None:
            unread.append((name, f"ggml type {info.kind}"))
            continue
        tensors.append(
            Tensor(
                name=name,
                dtype=dtype,
                shape=tuple(reversed(info.shape)),
                path=path,
                offset=info.start,
                length=info.end - info.start,
                data=data,
                big=big,
            )
        )
    return Listing(tensors=tensors, unread=unread)


def list_npy(data: Buffer, path: str, *, name: str = "array", start: int = 0, size: int | None = None) -> Listing:
    """The one array of an ``.npy``, which may stand inside of another file.

    Args:
        data: Unverified bytes.
        path: For findings.
        name: Of the array.
        start: Offset of its magic.
        size: Bytes that it has; to the end of `data` when not given.

    Raises:
        MalformedArrayError: The header does not describe these bytes.
    """
    size = len(data) - start if size is None else size
    header = described_array(data[start : start + min(size, _LONGEST_HEADER)])
    if header.objects:
        return Listing(unread=[(name, "Python objects")])
    if header.start + header.size != size:
        raise MalformedArrayError(f"{size - header.start:,} bytes of elements where the header needs {header.size:,}")
    hidden = []
    fill = header.padding.rstrip(b"\n").strip(b" ")
    if fill:
        at = start + header.start - len(header.padding)
        hidden.append(Hidden(path=path, offset=at, size=len(fill), what="the padding of numpy's header"))
    dtype, big = _numpy_dtype(header)
    if dtype is None:
        return Listing(unread=[(name, str(header.descr)[:40])], hidden=hidden)
    whole = Tensor(
        name=name,
        dtype=dtype,
        shape=header.shape,
        path=path,
        offset=start + header.start,
        length=header.size,
        data=data,
        strides=_fortran(header.shape) if header.fortran_order and len(header.shape) > 1 else (),
        big=big,
    )
    return Listing(tensors=[whole], hidden=hidden)


@contextmanager
def list_npz(data: Buffer, members: tuple[Member, ...], path: str, record: Record) -> Iterator[Listing]:
    """Every array of an ``.npz``; compressed ones are expanded and held as long as the context lasts.

    Raises:
        MalformedArrayError: A header does not describe its array.
        LimitPassedError: An array is larger than may be expanded.
        ZipStructureError: A member cannot be expanded.
    """
    tensors: list[Tensor] = []
    unread: list[tuple[str, str]] = []
    hidden = list(hidden_in_zip(members, path))
    with ExitStack() as held:
        for member in members:
            source, start, size = data, member.start, member.size
            if member.method != STORED:
                chunks = content(data, member, record)
                source = held.enter_context(hold(chunks, most=record.budget.limits.expanded_bytes))
                start, size = 0, len(source)
            where, name = inside(path, member), member.name.removesuffix(".npy")
            found = list_npy(source, where, name=name, start=start, size=size)
            tensors += found.tensors
            unread += found.unread
            hidden += found.hidden
        yield Listing(tensors=tensors, unread=unread, hidden=hidden)


def _numpy_dtype(header: ArrayHeader) -> tuple[Dtype | None, bool]:
    match = _NUMPY.match(header.descr) if isinstance(header.descr, str) else None
    if match is None:
        return None, False
    kind, bits = match["kind"], int(match["size"]) * 8
    name = "BOOL" if kind == "b" else f"{kind.upper()}{bits}"
    if kind == "c":
        name = {64: "C64", 128: "C128"}.get(bits, "")
    return DTYPES.get(name), match["order"] == ">"


def _fortran(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in shape:
        strides.append(step)
        step *= size
    return tuple(strides)
