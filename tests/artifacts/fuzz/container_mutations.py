"""Mutations of what holds other bytes: the inner bytes change and the container stays right, or the container lies."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from tests.artifacts.corpus import CALL, Entry, called, raw_zip
from tests.artifacts.corpus_containers import END, block, tar
from tests.artifacts.fuzz.byte_mutations import mutate_bytes

Mutate = Callable[[Random, bytes], bytes]
"""Changes bytes that stand inside of a container, by what they are themselves."""

_ODD_NAMES = ("archive/data.pkl", "data.pkl", "archive/data/0", "../up", "/root", "a\\b", "archive/data.pkl ", "x.npy",
              "config.json", "archive/code/x.py", "archive//data.pkl", "archive/DATA.PKL", "", "archive/")  # fmt: skip
_FIELDS = {b"PK\x03\x04": "HHHHHIIIHH", b"PK\x01\x02": "HHHHHHIIIHHHHHII", b"PK\x05\x06": "HHHHIIH"}
"""Kind of header to the widths of its fields (APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16)."""


def zip_members(data: bytes) -> list[Entry]:
    """The members as Python's `zipfile` reads them; none where it cannot."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = [
                Entry(name=info.filename, data=archive.read(info), method=min(info.compress_type, 8))
                for info in archive.infolist()[:64]
                if info.file_size <= 1 << 20
            ]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return []
    return found


def _lie(rng: Random, entry: Entry) -> Entry:
    lies: tuple[dict[str, Any], ...] = (
        {"crc": rng.randrange(1 << 32)},
        {"size": max(0, len(entry.data) + rng.choice((-1, 1, 1 << 20)))},
        {"flags": 1 << rng.randrange(16)},
        {"local_flags": 1 << rng.randrange(16)},
        {"method": rng.choice((0, 8))},
        {"local_name": rng.choice(_ODD_NAMES)},
        {"name": rng.choice(_ODD_NAMES)},
        {"mode": rng.choice((0o120777, 0o040755, 0o060644, 0o100644))},
        {"gap": rng.choice((b"\0", CALL, bytes(30)))},
        {"at": rng.randrange(64)},
        {"data": CALL},
    )
    return Entry(**(vars(entry) | rng.choice(lies)))


def _entries(rng: Random, entries: list[Entry]) -> bytes:
    at = rng.randrange(len(entries))
    what = rng.randrange(6)
    if what == 0:
        entries[at] = _lie(rng, entries[at])
    elif what == 1:
        entries.insert(rng.randrange(len(entries) + 1), _lie(rng, entries[at]))
    elif what == 2:
        del entries[at]
    elif what == 3:
        rng.shuffle(entries)
    elif what == 4:
        entries.append(Entry(name=rng.choice(_ODD_NAMES), data=rng.choice((CALL, called("os", "system"), b""))))
    else:
        prefix, comment = rng.choice(((CALL, b""), (b"", CALL), (b"", b"PK\x05\x06" + bytes(18)), (bytes(7), b"")))
        return raw_zip(entries, prefix=prefix, comment=comment)
    return raw_zip(entries, count=len(entries) + 1 if rng.random() < 0.05 else None)


def _header(rng: Random, data: bytes) -> bytes:
    """One field of one header says something else."""
    magic = rng.choice(tuple(_FIELDS))
    places: list[int] = []
    at = data.find(magic)
    while at >= 0 and len(places) < 64:
        places.append(at)
        at = data.find(magic, at + 1)
    if not places:
        return mutate_bytes(rng, data)
    widths = [2 if code == "H" else 4 for code in _FIELDS[magic]]
    which = rng.randrange(len(widths))
    start = rng.choice(places) + 4 + sum(widths[:which])
    width = widths[which]
    held = int.from_bytes(data[start : start + width], "little")
    other = rng.choice((held + 1, held - 1, 0, 1, (1 << 8 * width) - 1, 1 << rng.randrange(8 * width), len(data)))
    return data[:start] + (other % (1 << 8 * width)).to_bytes(width, "little") + data[start + width :]


def mutate_zip(rng: Random, data: bytes, inner: Mutate) -> bytes:
    """A member, the list of members, or one header changes."""
    entries = zip_members(data)
    how = rng.random()
    if not entries or how < 0.25:
        return _header(rng, data) if how < 0.2 else mutate_bytes(rng, data)
    if how < 0.5:
        return _entries(rng, entries)
    # What a loader acts on is changed more often than the rest.
    acting = [at for at, entry in enumerate(entries) if entry.name.endswith((".pkl", ".json", ".npy", ".py"))]
    at = rng.choice(acting) if acting and rng.random() < 0.8 else rng.randrange(len(entries))
    entries[at] = replace(entries[at], data=inner(rng, entries[at].data))
    return raw_zip(entries)


def tar_members(data: bytes) -> list[tuple[str, bytes]]:
    """The regular members as Python's `tarfile` reads them; none where it cannot."""
    found: list[tuple[str, bytes]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                held = archive.extractfile(info) if info.isreg() else None
                if held is not None and info.size <= 1 << 20 and len(found) < 64:
                    found.append((info.name[:99], held.read()))
    except (tarfile.TarError, OSError, ValueError, UnicodeError):
        return []
    return found


def _checked(data: bytearray, at: int) -> bytes:
    """`data` with the checksum of the header at `at` made right."""
    header = data[at : at + 512]
    data[at + 148 : at + 156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 256)
    return bytes(data)


def mutate_tar(rng: Random, data: bytes, inner: Mutate) -> bytes:
    """A member, a header (its checksum right or not), or the row of blocks changes."""
    members = tar_members(data)
    how = rng.random()
    if members and how < 0.45:
        at = rng.randrange(len(members))
        members[at] = members[at][0], inner(rng, members[at][1])
        return tar(members, form=rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))
    if members and how < 0.6:
        name, content = rng.choice(members)
        kind = rng.choice((b"0", b"1", b"2", b"3", b"5", b"L", b"K", b"S", b"x", b"g", b"\0", b"7"))
        made = block(rng.choice((name, *_ODD_NAMES)), rng.choice((content[:2048], CALL)), kind=kind, link=b"x")
        blocks = [block(name, content) for name, content in members]
        blocks.insert(rng.randrange(len(blocks) + 1), made)
        return b"".join(blocks) + END
    if how < 0.85 and len(data) >= 512:
        at = rng.randrange(len(data) // 512) * 512
        changed = bytearray(data)
        place = at + rng.choice((rng.randrange(512), 124 + rng.randrange(12), 156, 257 + rng.randrange(8)))
        changed[place] = rng.choice((0, 0x20, 0x30, 0x37, 0x39, 0x80, 0xFF, rng.randrange(256)))
        return _checked(changed, at) if rng.random() < 0.8 else bytes(changed)
    return mutate_bytes(rng, data)


_STREAMS: Mapping[bytes, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": (gzip.decompress, lambda raw: gzip.compress(raw, 1, mtime=0)),
    b"BZh": (bz2.decompress, lambda raw: bz2.compress(raw, 1)),
    b"\xfd7zXZ": (lzma.decompress, lambda raw: lzma.compress(raw, preset=0)),
    b"]\0\0": (lzma.decompress, lambda raw: lzma.compress(raw, format=lzma.FORMAT_ALONE, preset=0)),
    b"x": (zlib.decompress, lambda raw: zlib.compress(raw, 1)),
}


def mutate_stream(rng: Random, data: bytes, inner: Mutate) -> bytes:
    """What is packed changes, or the stream, or another one follows."""
    for magic, (unpack, pack) in _STREAMS.items():
        if not data.startswith(magic) or rng.random() < 0.3:
            continue
        try:
            raw = unpack(data)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
            break
        if len(raw) > 1 << 20:
            break
        packed = pack(inner(rng, raw))
        return packed + rng.choice((b"", b"", b"", b"\0", packed, pack(CALL), CALL))
    return mutate_bytes(rng, data)


def mutate_numpy(rng: Random, data: bytes, inner: Mutate) -> bytes:
    """The header with its length right, or the pickle behind it."""
    width = 2 if data[6:7] == b"\x01" else 4
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    if start >= len(data) or rng.random() < 0.3:
        return mutate_bytes(rng, data)
    if b"'|O'" in data[:start] and rng.random() < 0.6:
        return data[:start] + inner(rng, data[start:])
    header = data[8 + width : start]
    old = rng.choice((b"'|O'", b"'<f8'", b"'<f4'", b"False", b"'descr'", b"(", b")", b",", b"'<i8'", b"True"))
    new = rng.choice(
        (b"'|O'", b"'<f8'", b"'V0'", b"True", b"()", b"(1,)", b"(-1,)", b"[('a','|O')]", b"__import__", b"")
    )
    header = header.replace(old, new, 1)
    return data[:8] + struct.pack("<H" if width == 2 else "<I", len(header)) + header + data[start:]


_VALUES: tuple[object, ...] = (
    None, True, -1, 0, 1, 1 << 40, 1.5, "", "F32", "../x", "http://x", [], {}, [0, 0], "O8", "os.system",
    {"auto_map": {"A": "m.M"}}, {"_target_": "os.system"}, "{{ x.__class__ }}",
)  # fmt: skip


def _changed(rng: Random, value: object, left: list[int]) -> object:
    """The value with one part of it replaced, doubled or gone; `left` counts down to that part."""
    left[0] -= 1
    if left[0] < 0:
        left[0] = 1 << 30
        return rng.choice(_VALUES)
    if isinstance(value, dict):
        made = {key: _changed(rng, part, left) for key, part in value.items()}
        if made and rng.random() < 0.02:
            made[rng.choice(("auto_map", "_target_", "shape", "x"))] = made.pop(rng.choice(tuple(made)))
        return made
    if isinstance(value, list):
        return [_changed(rng, part, left) for part in value]
    return value


def _json(rng: Random, raw: bytes) -> bytes:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return mutate_bytes(rng, raw)
    try:
        return json.dumps(_changed(rng, value, [rng.randrange(40)])).encode()
    except RecursionError:
        return mutate_bytes(rng, raw)


def mutate_json(rng: Random, data: bytes, _: Mutate) -> bytes:
    """A value in it, or its bytes."""
    return _json(rng, data) if rng.random() < 0.6 else mutate_bytes(rng, data)


def mutate_safetensors(rng: Random, data: bytes, _: Mutate) -> bytes:
    """A value of the header, its length made right, or any bytes."""
    size = int.from_bytes(data[:8], "little")
    if not 0 < size < len(data) or rng.random() < 0.4:
        return mutate_bytes(rng, data)
    header = _json(rng, data[8 : 8 + size])
    return struct.pack("<Q", len(header)) + header + data[8 + size :]
