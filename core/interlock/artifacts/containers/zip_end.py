"""Finds the end record of a zip, as the readers do that start from it: where is it, and what does it lead to?

Python's `zipfile` (``_EndRecData``), and with it numpy and Keras, and torch's miniz
(``mz_zip_reader_locate_header_sig``) look for the last record in the last 64 KiB of a file, whatever stands in front of
the zip or behind it. `zipfile` takes the directory from right before the record and moves all offsets by what is in
front; miniz takes them as they are.
Clauses are of PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from interlock.artifacts.source import Buffer

CENTRAL: Final = Struct("<4s6H3L5H2L")  # 4.3.12
END: Final = Struct("<4s4H2LH")  # 4.3.16
END64: Final = Struct("<4sQ2H2L4Q")  # 4.3.14
LOCATOR64: Final = Struct("<4sLQL")  # 4.3.15
FULL32: Final = 0xFFFFFFFF
MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
"""How a file starts that some reader takes for a zip."""

LOCAL_MAGIC, CENTRAL_MAGIC, END_MAGIC, END64_MAGIC, LOCATOR64_MAGIC = (
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07",
)  # fmt: skip
_LONGEST_COMMENT: Final = 0xFFFF
_STEP: Final = 4096  # of miniz, which looks at whole steps
_MOST_RECORDS: Final = 64
_MOST_ENTRIES: Final = 1 << 12


def find_end(data: Buffer) -> int | None:
    """Offset of an end-of-central-directory record from which a reader would get to a member, else None.

    One whose comment reaches the end of the file comes first, and counts whatever it leads to; then the last one that
    has other bytes behind it.
    """
    records = list(_records(data))
    for at in records:
        if comment_end(data, at) == len(data):
            return at
    return next((at for at in records[:_MOST_RECORDS] if _leads_to_a_member(data, at)), None)


def comment_end(data: Buffer, end: int) -> int:
    """Where the comment of the end record at `end` says that it ends; may be past the file."""
    return end + END.size + int(END.unpack_from(data, end)[-1])


def bounds(data: Buffer, end: int) -> tuple[int, int] | None:
    """First byte of the zip with the end record at `end`, and the byte behind its comment, as `zipfile` takes them.

    None if no single stretch is the zip: only miniz gets to a member, or the zip would begin before the file.
    """
    starts = {start - offset for start, offset in _ways(data, end) if _has_a_member(data, start, offset)}
    if len(starts) != 1 or min(starts) < 0:
        return None
    return starts.pop(), min(len(data), comment_end(data, end))


def rows_of(data: Buffer) -> tuple[tuple[int, int], ...]:
    """Start and end of each archive of a row of them, or nothing if this is no row.

    Found from the end on, by what each directory says of its own place, so that nothing is searched.
    """
    pieces: list[tuple[int, int]] = []
    end = len(data)
    while end:
        at = end - END.size
        if at < 0 or data[at : at + 4] != END_MAGIC:
            return ()
        _, _, _, _, _, size, offset, comment = END.unpack_from(data, at)
        directory_end = at
        locator = at - LOCATOR64.size
        if locator >= END64.size and data[locator : locator + 4] == LOCATOR64_MAGIC:
            directory_end = locator - END64.size
            *_, size, offset = END64.unpack_from(data, directory_end)
        start = directory_end - size - offset
        if comment or start < 0 or start >= directory_end:
            return ()
        pieces.append((start, end))
        end = start
    return tuple(reversed(pieces))


def _records(data: Buffer) -> Iterator[int]:
    """Offsets of what begins as an end record, from the end of the file as far as any reader goes back."""
    first = max(0, len(data) - END.size - _LONGEST_COMMENT - _STEP)
    at = data.rfind(END_MAGIC, first)
    while at >= 0:
        if at + END.size <= len(data):
            yield at
        at = data.rfind(END_MAGIC, first, at)


def _leads_to_a_member(data: Buffer, end: int) -> bool:
    return any(_has_a_member(data, start, offset) for start, offset in _ways(data, end))


def _ways(data: Buffer, end: int) -> Iterator[tuple[int, int]]:
    """Where readers would look for the directory, and where the record says that it is."""
    *_, size, offset, _ = END.unpack_from(data, end)
    yield from {(end - size, offset), (offset, offset)}
    locator = end - LOCATOR64.size
    if locator < 0 or data[locator : locator + 4] != LOCATOR64_MAGIC:
        return
    stated = LOCATOR64.unpack_from(data, locator)[2]
    for at in {locator - END64.size, stated}:
        if 0 <= at <= locator - END64.size and data[at : at + 4] == END64_MAGIC:
            *_, size, offset = END64.unpack_from(data, at)
            yield from {(at - size, offset), (offset, offset)}


def _has_a_member(data: Buffer, start: int, offset: int) -> bool:
    """Whether a directory at `start`, said to be at `offset`, has an entry whose local header is where it has to be."""
    at = start
    for _ in range(_MOST_ENTRIES):
        if at < 0 or at + CENTRAL.size > len(data) or data[at : at + 4] != CENTRAL_MAGIC:
            return False
        *_, names, extras, comments, _, _, _, header = CENTRAL.unpack_from(data, at)
        local = header + start - offset
        if header == FULL32 or (local >= 0 and data[local : local + 4] == LOCAL_MAGIC):
            return True
        at += CENTRAL.size + names + extras + comments
    return True
