"""Reads a zip file the strict way: one meaning for every reader, or a finding.

Python's `zipfile`, torch's miniz and system tools disagree about zip files: which directory counts, whose name of a
member, what stands before and between members. Every disagreement has been a scanner bypass (CVE-2025-1944, -1945,
-10156). Here members have to tile the file from byte 0 to the central directory, the two headers of each have to
agree, and checksums are computed. Clauses are of PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from struct import Struct

from interlock.artifacts import record as rules
from interlock.artifacts.containers.zip_end import (
    CENTRAL,
    CENTRAL_MAGIC,
    END,
    END64,
    END64_MAGIC,
    FULL32,
    LOCAL_MAGIC,
    LOCATOR64,
    LOCATOR64_MAGIC,
    find_end,
)
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, stretches

_LOCAL = Struct("<4s5H3L2H")  # 4.3.7
_FULL16 = 0xFFFF
_NEWEST = 63
STORED, DEFLATED = 0, 8
_ENCRYPTED = 0x2041
_DESCRIPTOR = 0x0008
ZIP64_FIELD = 0x0001
_UNICODE_PATH = 0x7075  # Info-ZIP's, 4.6.9; Python's zipfile follows it since 3.13
_KNOWN_FLAGS = 0x0806 | _DESCRIPTOR
_CHUNK = 1 << 20
_LARGE = 16 << 20


def fastest_crc32() -> Callable[[bytes, int], int]:
    """CRC-32 of bytes behind others that have the given one; libdeflate's, if it is here, is three times as fast."""
    try:
        from deflate import crc32
    except ImportError:
        return zlib.crc32
    return crc32


_crc32 = fastest_crc32()


class ZipStructureError(Exception):
    """The file cannot be read as a zip at all; `str()` says why, `offset` where."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of the central directory, its local header agreed.

    Args:
        name: As it stands in the file, unverified; empty for a directory entry's content.
        method: `STORED` or `DEFLATED`; anything else cannot be read here.
        crc: What the zip says the CRC-32 of the content is.
        packed: Bytes in the file.
        size: Bytes of the content, as the zip says.
        header: Offset of the local header.
        start: Offset of the packed content.
        flags: As they stand in the file.
        local: Bytes of the local header's extra fields, which stand before the content.
        central: The directory's extra fields: their offset, themselves, and the comment that stands behind them.
    """

    name: str
    method: int
    crc: int
    packed: int
    size: int
    header: int
    start: int
    flags: int
    local: bytes = b""
    central: tuple[int, bytes, bytes] = (0, b"", b"")

    @property
    def is_folder(self) -> bool:
        """An entry that only names a folder."""
        return self.name.endswith("/") and self.size == 0


def inside(path: str, member: Member) -> str:
    """How findings name a member of the zip at `path`."""
    return f"{path}!{shown(member.name)}"


def read_members(data: Buffer, *, path: str, record: Record) -> tuple[Member, ...]:
    """Parse the directory and check it against the local headers.

    Args:
        data: The whole zip file, unverified.
        path: For findings.
        record: Where findings go.

    Raises:
        ZipStructureError: Nothing can be read.
        LimitPassedError: It has too many members.
    """
    end = find_end(data)
    if end is None:
        raise ZipStructureError("a zip file that is cut off: it has no central directory", len(data))
    if end + END.size != len(data):
        record.error(rules.ZIP_STRUCTURE, "bytes after the end of the zip (a comment, or more)", path, end)
    count, size, offset, directory_end = _directory(data, end)
    if count > record.budget.limits.members:
        raise LimitPassedError(f"a zip of more than {record.budget.limits.members:,} members")
    if offset + size != directory_end:
        raise ZipStructureError(
            "the central directory is not where the zip says: bytes stand before or inside it", offset
        )
    members = _central_entries(data, offset, directory_end, count)
    _check_names(members, path, record)
    return _checked_against_local(data, members, offset, path, record)


def _directory(data: Buffer, end: int) -> tuple[int, int, int, int]:
    """Entries, size, offset and end of the central directory; zip64's word counts where there is one."""
    _, disk, start_disk, here, count, size, offset, _ = END.unpack_from(data, end)
    locator = end - LOCATOR64.size
    if locator < 0 or data[locator : locator + 4] != LOCATOR64_MAGIC:
        if disk or start_disk or here != count:
            raise ZipStructureError("a zip of several disks", end)
        return count, size, offset, end
    _, _, at, disks = LOCATOR64.unpack_from(data, locator)
    if disks != 1 or at + END64.size != locator or data[at : at + 4] != END64_MAGIC:
        raise ZipStructureError("a zip64 directory that is not where its locator says", locator)
    _, record_size, _, _, disk, start_disk, here64, count64, size64, offset64 = END64.unpack_from(data, at)
    if record_size != END64.size - 12 or disk or start_disk or here64 != count64:
        raise ZipStructureError("a zip64 directory of several disks or of an odd size", at)
    for small, large, full in ((count, count64, _FULL16), (size, size64, FULL32), (offset, offset64, FULL32)):
        if small not in (large, full):
            raise ZipStructureError("the two ends of the zip's directory disagree", at)
    return count64, size64, offset64, at


def _central_entries(data: Buffer, at: int, end: int, count: int) -> list[Member]:
    members = []
    for _ in range(count):
        if at + CENTRAL.size > end:
            raise ZipStructureError("a central directory that is cut off", at)
        (magic, _, needs, flags, method, _, _, crc, packed, size, names, extras, comments, disk, _, mode, header) = (
            CENTRAL.unpack_from(data, at)
        )
        if magic != CENTRAL_MAGIC or disk not in (0, _FULL16) or needs > _NEWEST:
            raise ZipStructureError("a broken entry in the central directory", at)
        after = at + CENTRAL.size + names + extras + comments
        if after > end:
            raise ZipStructureError("a central directory that is cut off", at)
        raw = data[at + CENTRAL.size : at + CENTRAL.size + names]
        extra = data[after - comments - extras : after - comments]
        size, packed, header = _zip64(extra, (size, packed, header), at)
        name = _name(raw, flags, at)
        if stat.S_ISLNK(mode >> 16):
            raise ZipStructureError(f"the member {shown(name)} is a symbolic link", at)
        members.append(
            Member(
                name=name,
                method=method,
                crc=crc,
                packed=packed,
                size=size,
                header=header,
                start=0,
                flags=flags,
                central=(after - comments - extras, extra, data[after - comments : after]),
            )
        )
        at = after
    if at != end:
        raise ZipStructureError("bytes between the last entry and the end of the central directory", at)
    return members


def _name(raw: bytes, flags: int, at: int) -> str:
    try:
        # 4.4.4: bit 11 says UTF-8, else IBM code page 437, of which only ASCII is read alike by all readers.
        return raw.decode("utf-8" if flags & 0x0800 else "ascii")
    except UnicodeDecodeError as error:
        raise ZipStructureError("a member whose name readers decode differently", at) from error


def _zip64(extra: bytes, fields: tuple[int, ...], at: int) -> tuple[int, ...]:
    """Replace fields that are full by those of the zip64 extra field (4.5.3)."""
    values = _extra_field(extra, ZIP64_FIELD, at)
    wide: list[int] = []
    for field in fields:
        if field != FULL32:
            wide.append(field)
            continue
        if len(values) < 8:
            raise ZipStructureError("a size that is missing from the zip64 field", at)
        wide.append(int.from_bytes(values[:8], "little"))
        values = values[8:]
    if values:
        raise ZipStructureError("a zip64 field with more than the header asks for", at)
    return tuple(wide)


def extra_fields(extra: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, offset and content of each extra field (4.5.1); a last one that is cut off is given as it is."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = (int.from_bytes(extra[place : place + 2], "little") for place in (at, at + 2))
        yield kind, at, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _extra_field(extra: bytes, wanted: int, at: int) -> bytes:
    found = b""
    seen = 0
    position = 0
    for kind, start, field in extra_fields(extra):
        if kind == _UNICODE_PATH:
            raise ZipStructureError("a second name in an extra field, which only some readers take", at)
        if kind == wanted:
            found = field
            seen += 1
        position = start + 4 + int.from_bytes(extra[start + 2 : start + 4], "little")
    if position != len(extra) or seen > 1:
        raise ZipStructureError("a broken extra field", at)
    return found


def _check_names(members: list[Member], path: str, record: Record) -> None:
    seen: set[str] = set()
    for member in members:
        name = member.name
        parts = name.rstrip("/").split("/")
        if not name.isprintable() or "\\" in name or ":" in name or any(part in {"", ".", ".."} for part in parts):
            record.error(
                rules.ZIP_PATH,
                f"the member {shown(name)!r} has a name that leaves its folder or that readers take differently",
                path,
                member.header,
            )
        # torch's reader looks names up without regard to case.
        if name.casefold() in seen:
            record.error(rules.ZIP_DUPLICATE, f"two members are named {shown(name)!r}", path, member.header)
        seen.add(name.casefold())


def _checked_against_local(
    data: Buffer, members: list[Member], directory: int, path: str, record: Record
) -> tuple[Member, ...]:
    checked = []
    cursor = 0
    for member in sorted(members, key=lambda member: member.header):
        if member.header < cursor:
            raise ZipStructureError(f"the member {shown(member.name)} overlaps the one before it", member.header)
        if member.header > cursor:
            what = "bytes before the first member" if cursor == 0 else "bytes between members"
            record.error(rules.ZIP_STRUCTURE, f"{what} that no entry speaks of", path, cursor)
        placed = _local(data, member, directory, path, record)
        cursor = _after(data, placed, directory, path, record)
        checked.append(placed)
    if cursor != directory:
        record.error(rules.ZIP_STRUCTURE, "bytes between the last member and the directory", path, cursor)
    return tuple(checked)


def _local(data: Buffer, member: Member, directory: int, path: str, record: Record) -> Member:
    at = member.header
    if at + _LOCAL.size > directory:
        raise ZipStructureError(f"the member {shown(member.name)} has no local header", at)
    magic, _, flags, method, _, _, crc, packed, size, names, extras = _LOCAL.unpack_from(data, at)
    start = at + _LOCAL.size + names + extras
    if magic != LOCAL_MAGIC or start + member.packed > directory:
        raise ZipStructureError(f"the member {shown(member.name)} reaches over the directory or has no header", at)
    raw = data[at + _LOCAL.size : at + _LOCAL.size + names]
    size, packed = _zip64(data[start - extras : start], (size, packed), at)
    central = (member.name.encode(), member.flags, member.method, member.crc, member.packed, member.size)
    local = (raw, flags, method, crc, packed, size)
    # 4.4.4 bit 3: sizes and CRC stand behind the content, and are zero here.
    if local != central and not (flags & _DESCRIPTOR and local == (*central[:3], 0, 0, 0)):
        record.error(
            rules.ZIP_STRUCTURE,
            f"the local header of {shown(member.name)!r} and the central directory disagree",
            path,
            at,
            local=shown(repr(local)),
            central=shown(repr(central)),
        )
    if flags & _ENCRYPTED or member.flags & _ENCRYPTED:
        record.error(rules.ZIP_ENCRYPTED, f"the member {shown(member.name)!r} says it is encrypted", path, at)
    elif (flags | member.flags) & ~_KNOWN_FLAGS:
        record.error(rules.ZIP_STRUCTURE, f"the member {shown(member.name)!r} has odd flags", path, at, flags=flags)
    return replace(member, start=start, local=data[start - extras : start])


def _after(data: Buffer, member: Member, directory: int, path: str, record: Record) -> int:
    """Where the next member has to start: after the content and its descriptor (4.3.9)."""
    at = member.start + member.packed
    if not member.flags & _DESCRIPTOR:
        return at
    for layout in ("<4sLLL", "<4sLQQ"):
        descriptor = Struct(layout)
        if at + descriptor.size > directory:
            continue
        expected = (b"PK\x07\x08", member.crc, member.packed, member.size)
        if descriptor.unpack_from(data, at) == expected:
            return at + descriptor.size
    record.error(rules.ZIP_STRUCTURE, f"what stands behind {shown(member.name)!r} and the directory disagree", path, at)
    return at


def content(data: Buffer, member: Member, record: Record) -> Iterator[bytes]:
    """The content of a member in chunks, expanded, never more than the zip says it has.

    Raises:
        LimitPassedError: It is compressed in a way that is not read here, grows too much, or is too much to read.
        ZipStructureError: It cannot be expanded to the size that the zip says.
    """
    limits = record.budget.limits
    if member.method == STORED:
        if member.packed != member.size:
            raise ZipStructureError(f"the member {shown(member.name)} is stored but has two sizes", member.header)
        yield from _packed(data, member, record)
        return
    if member.method != DEFLATED:
        raise LimitPassedError(f"the compression method {member.method} is not read here")
    if member.size > max(_LARGE, member.packed * limits.expansion):
        raise LimitPassedError(f"expands more than {limits.expansion} times: a zip bomb, or nothing but zeros")
    yield from _inflated(data, member, record)


def whole(data: Buffer, member: Member, record: Record) -> bytes:
    """The content of a member at once; its checksum is not looked at.

    Raises:
        LimitPassedError, ZipStructureError: See `content`; or it is too large to hold.
    """
    record.budget.hold_member(member.size)
    return b"".join(content(data, member, record))


def check_content(data: Buffer, member: Member, *, path: str, record: Record) -> None:
    """Compare the CRC-32 of a member with what the zip says.

    Raises:
        LimitPassedError, ZipStructureError: See `content`.
    """
    crc = 0
    for chunk in content(data, member, record):
        crc = _crc32(chunk, crc)
    if crc != member.crc:
        record.error(
            rules.ZIP_CHECKSUM,
            "the content does not have the checksum that the zip says: damaged, or made to be skipped by scanners",
            path,
            member.start,
            stated=f"{member.crc:08x}",
            computed=f"{crc:08x}",
        )


def _packed(data: Buffer, member: Member, record: Record) -> Iterator[bytes]:
    for piece in stretches(data, member.start, member.start + member.packed):
        record.budget.spend_bytes(len(piece))
        yield piece


def _inflated(data: Buffer, member: Member, record: Record) -> Iterator[bytes]:
    expander = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    total = 0
    try:
        for packed in _packed(data, member, record):
            if expander.eof:  # `unused_data` holds what is behind the end in the same piece only
                raise ZipStructureError(f"the member {shown(member.name)} is smaller than it says", member.start)
            pending = packed
            while pending and not expander.eof:
                chunk = expander.decompress(pending, _CHUNK)
                pending = expander.unconsumed_tail
                total += len(chunk)
                if total > member.size:
                    raise ZipStructureError(f"the member {shown(member.name)} is larger than it says", member.start)
                record.budget.spend_bytes(len(chunk))
                yield chunk
        yield (tail := expander.flush())
    except zlib.error as error:
        raise ZipStructureError(f"the member {shown(member.name)} cannot be expanded: {error}", member.start) from error
    if total + len(tail) != member.size or not expander.eof or expander.unused_data:
        raise ZipStructureError(f"the member {shown(member.name)} is not as large as it says", member.start)
