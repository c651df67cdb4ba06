"""Reads a tar file the strict way: one meaning for every reader, or a finding.

Readers disagree about tar files as they do about zips: which of two names counts, whose size of a member (a pax
header that overrides the header's size was CVE-2025-62518), what stands behind the end. Formats: POSIX.1-2017, pax,
"ustar Interchange Format" and "pax Interchange Format"; GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, stretches

BLOCK: Final = 512
_LONGEST_EXTENSION: Final = 1 << 20
_MOST_PADDING: Final = 1 << 20
_OCTAL: Final = re.compile(rb" *([0-7]*)[ \0]*\Z")
_PAX_RECORD: Final = re.compile(rb"(\d{1,7}) ([^=\n]{1,256})=")
_LARGEST_OCTAL: Final = 0o77777777777
_REGULAR: Final = (b"0", b"\0", b"7")
_FOLDER: Final = b"5"
_EXTENSIONS: Final = (b"x", b"g", b"L")
_KINDS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"S": "a sparse file",
    b"M": "the rest of another archive's file",
}
# Keywords of pax headers that change nothing but what people see.
_HARMLESS: Final = re.compile(r"(?:[acm]time|[ug]id|[ug]name|comment|(?:SCHILY|LIBARCHIVE)\.[\w.:-]+)\Z")


class TarStructureError(Exception):
    """The file cannot be read as a tar from here on; `str()` says why, `offset` where."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """One regular file.

    Args:
        name: As it stands in the archive without a leading ``./``, unverified.
        size: Bytes of its content.
        header: Offset of its header.
        start: Offset of its content.
    """

    name: str
    size: int
    header: int
    start: int


def has_tar_header(data: Buffer) -> bool:
    """Whether the first block has a tar header's checksum: no accident in anything else, magic number or not."""
    block = data[:BLOCK]
    if len(block) < BLOCK or not any(block[:100]):
        return False
    try:
        return _number(block[148:156], 0) in _sums(block)
    except TarStructureError:
        return False


def says_it_is_tar(data: Buffer) -> bool:
    """Whether the magic number of ustar, pax or GNU tar is where it belongs."""
    return data[257:262] == b"ustar"


def read_tar(data: Buffer, *, path: str, record: Record) -> tuple[TarMember, ...]:
    """Parse every header to the end of the archive.

    Args:
        data: The whole file, unverified.
        path: For findings.
        record: Where findings go.

    Returns:
        The regular files.

    Raises:
        TarStructureError: It cannot be read to its end.
        LimitPassedError: It has too many members.
    """
    members: list[TarMember] = []
    seen: set[str] = set()
    for count, member in enumerate(_Reader(data, path, record).entries()):
        if count >= record.budget.limits.members:
            raise LimitPassedError(f"a tar of more than {record.budget.limits.members:,} members")
        record.budget.check_time()
        if member.name.casefold() in seen:
            record.error(rules.TAR_DUPLICATE, f"two members are named {shown(member.name)!r}", path, member.header)
        seen.add(member.name.casefold())
        members.append(member)
    return tuple(members)


class _Reader:
    """Goes through the headers of one archive."""

    def __init__(self, data: Buffer, path: str, record: Record) -> None:
        self.data = data
        self.path = path
        self.record = record

    def entries(self) -> Iterator[TarMember]:
        """Every regular file, to the end of the archive."""
        data, at = self.data, 0
        said: dict[str, str] = {}
        while True:
            block = data[at : at + BLOCK]
            if len(block) < BLOCK:
                raise TarStructureError("a tar that is cut off: it has no end", at)
            if not any(block):
                break
            if _number(block[148:156], at) != _sums(block)[0]:
                raise TarStructureError("a header whose checksum is wrong", at)
            kind = block[156:157]
            size = _number(block[124:136], at) if kind in _EXTENSIONS else _size(block, said, at)
            start = at + BLOCK
            following = start + -(-size // BLOCK) * BLOCK
            if following > len(data):
                raise TarStructureError("a member that is cut off", at)
            if kind in _EXTENSIONS:
                said |= _extension(data, kind, start, size, said)
            else:
                yield from self._entry(block, said, size, at)
                said = {}
            if any(data[start + size : following]):
                self._structure("bytes between the members", start + size)
            at = following
        if said:
            raise TarStructureError("an extended header that is followed by no member", at)
        self._check_end(at)

    def _entry(self, block: bytes, said: dict[str, str], size: int, at: int) -> Iterator[TarMember]:
        name, kind = said.get("path") or _name(block, at), block[156:157]
        while name.startswith("./"):
            name = name[2:]
        if kind == _FOLDER:
            if size:
                raise TarStructureError("a folder with content", at)
            if name in {"", "."}:
                return
        if _leaves_its_folder(name.rstrip("/") if kind == _FOLDER else name):
            what = f"the member {shown(name)!r} has a name that leaves its folder or that readers take differently"
            self.record.error(rules.TAR_PATH, what, self.path, at)
        if kind in _KINDS:
            what = f"the member {shown(name)!r} is {_KINDS[kind]}, no file"
            self.record.error(rules.TAR_LINK, what, self.path, at)
        elif kind in _REGULAR:
            yield TarMember(name=name, size=size, header=at, start=at + BLOCK)
        elif kind != _FOLDER:
            raise TarStructureError(f"a member of the unknown kind {shown(repr(kind))}", at)

    def _check_end(self, at: int) -> None:
        """Two blocks of zeros, and nothing but zeros behind them: some readers go on there."""
        size = len(self.data)
        if size < at + 2 * BLOCK:
            self._structure("a tar that is cut off: it has half an end", at)
        if size - at > _MOST_PADDING:
            raise LimitPassedError(f"more than {_MOST_PADDING:,} bytes behind the end of a tar")
        if any(any(piece) for piece in stretches(self.data, at, size)):
            self._structure("bytes behind the end of the tar", at)

    def _structure(self, what: str, at: int) -> None:
        self.record.error(rules.TAR_STRUCTURE, what, self.path, at)


def _leaves_its_folder(name: str) -> bool:
    odd = not name.isprintable() or "\\" in name or ":" in name
    return odd or any(part in {"", ".", ".."} for part in name.split("/"))


def _sums(block: bytes) -> tuple[int, int]:
    """The header's checksum: of unsigned bytes as POSIX says, and of signed ones as old writers computed it."""
    # The checksum field itself counts as spaces.
    rest = block[:148] + block[156:]
    unsigned = sum(rest) + 8 * 32
    return unsigned, unsigned - 256 * sum(byte > 127 for byte in rest)


def _number(field: bytes, at: int) -> int:
    """A numeric field: octal digits, or GNU's base 256 for what octal cannot say."""
    if field[:1] == b"\x80":
        value = int.from_bytes(field[1:], "big")
        if value <= _LARGEST_OCTAL:
            raise TarStructureError("a small number in base 256, which readers take differently", at)
        return value
    match = _OCTAL.match(field)
    if not match:
        raise TarStructureError("a number that is not octal", at)
    return int(match[1] or b"0", 8)


def _size(block: bytes, said: dict[str, str], at: int) -> int:
    size = _number(block[124:136], at)
    if "size" not in said:
        return size
    wide = int(said["size"])
    if size != wide and (size or wide <= _LARGEST_OCTAL):
        raise TarStructureError("two sizes for one member (CVE-2025-62518)", at)
    return wide


def _text(raw: bytes, at: int) -> str:
    text, _, rest = raw.partition(b"\0")
    if any(rest):
        raise TarStructureError("bytes behind the end of a name", at)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TarStructureError("a member whose name readers decode differently", at) from error


def _name(block: bytes, at: int) -> str:
    prefix = _text(block[345:500], at)
    if prefix and block[257:265] != b"ustar\x0000":
        raise TarStructureError("a name in two parts in a format that has none", at)
    name = _text(block[:100], at)
    return f"{prefix}/{name}" if prefix else name


def _extension(data: Buffer, kind: bytes, start: int, size: int, said: dict[str, str]) -> dict[str, str]:
    """What a pax header or GNU's long name says of the member behind it."""
    if size > _LONGEST_EXTENSION:
        raise LimitPassedError(f"an extended header of more than {_LONGEST_EXTENSION:,} bytes")
    raw = data[start : start + size]
    found = {"path": _text(raw, start)} if kind == b"L" else _pax(raw, start)
    if kind == b"g":
        if found.keys() & {"path", "size"}:
            raise TarStructureError("one name or size for all members", start)
        return {}
    if said.keys() & found.keys():
        raise TarStructureError("two extended headers that say the same of one member", start)
    return found


def _pax(raw: bytes, start: int) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(raw):
        match = _PAX_RECORD.match(raw, at)
        length = int(match[1]) if match else 0
        if not match or raw[at + length - 1 : at + length] != b"\n" or at + length < match.end():
            raise TarStructureError("a broken record in a pax header", start + at)
        keyword = _text(match[2], start)
        value = _text(raw[match.end() : at + length - 1], start) if keyword in {"path", "size"} else ""
        if keyword in found or (keyword not in {"path", "size"} and not _HARMLESS.match(keyword)):
            raise TarStructureError(f"a pax header with the keyword {shown(keyword)!r}, odd or twice", start + at)
        if keyword == "size" and not re.fullmatch("[0-9]{1,19}", value):
            raise TarStructureError("a size that is no number", start + at)
        found[keyword] = value
        at += length
    return found
