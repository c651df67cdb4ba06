"""Bytes in a zip file that belong to no member: extra fields and comments that the writer does not use.

torch fills up the space before each storage with an extra field ``FB`` of nothing but ``Z``
(``caffe2/serialize/inline_container.cc``, ``detail::getPadding``); sizes past 4 GiB take the field of zip64. numpy
writes zip64 alone. Anything else is room for what no reader shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from interlock.artifacts.containers.zip_container import ZIP64_FIELD, Member, extra_fields, inside
from interlock.artifacts.weights.tensor import Hidden

_TORCH_FIELD: Final = 0x4246
_TORCH_FILL: Final = b"Z"


def hidden_in_zip(members: Sequence[Member], path: str) -> Iterator[Hidden]:
    """What the headers of a zip hold beside what torch and numpy write there.

    Args:
        members: Of the zip, as they stand in the file.
        path: Of the zip.
    """
    for member in members:
        where = inside(path, member)
        yield from _fields(member.local, member.start - len(member.local), where, "its local header")
        at, extra, comment = member.central
        yield from _fields(extra, at, where, "its entry in the directory")
        if comment:
            yield Hidden(path=where, offset=at + len(extra), size=len(comment), what="a comment of the zip's directory")


def _fields(extra: bytes, start: int, path: str, where: str) -> Iterator[Hidden]:
    for kind, at, content in extra_fields(extra):
        filled = kind == _TORCH_FIELD and not content.strip(_TORCH_FILL)
        if kind != ZIP64_FIELD and not filled:
            yield Hidden(path=path, offset=start + at + 4, size=len(content), what=f"an extra field of {where}")
