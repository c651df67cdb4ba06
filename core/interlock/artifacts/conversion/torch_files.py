"""Reads torch's two formats, the zip archive and the one from before 1.6, as values with views of storages in them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from interlock.artifacts.containers.zip_container import STORED, Member, read_members, whole
from interlock.artifacts.conversion.tensors import ConversionError, Stored, Tensor
from interlock.artifacts.conversion.torch_pickle import TorchUnpickler
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

PYTORCH: Final = (("format", "pt"),)
"""What torch's users put into the metadata, and transformers asks for."""

_BIG_ENDIAN: Final = "its numbers are big-endian: load and save it with torch on this machine first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file holds.

    Args:
        value: Nested containers with `Tensor` in them.
        storages: What the tensors are views of, by key.
        metadata: For the safetensors file.
        tensor_of: Gives the tensor that a value is, None for what is none.
    """

    value: object
    storages: Mapping[str, Stored]
    metadata: tuple[tuple[str, str], ...] = ()
    tensor_of: Callable[[object], Tensor | None] = lambda value: value if isinstance(value, Tensor) else None


def read_torch_zip(data: Buffer, *, profile: Profile, record: Record) -> Contents:
    """Read an archive of ``torch.save``.

    Args:
        data: The whole file, already scanned under `profile`.
        profile: Whose names its pickle may use.
        record: Whose budget is spent.

    Raises:
        ConversionError: It holds what is not converted.
        LimitPassedError, ZipStructureError: It was not scanned.
    """
    members = {one.name.partition("/")[2]: one for one in read_members(data, path="", record=record)}
    if "byteorder" in members and whole(data, members["byteorder"], record) != b"little":
        raise ConversionError(_BIG_ENDIAN)
    storages: dict[str, Stored] = {}

    def size_of(key: str, _: int) -> int:
        stored = _stored(data, members.get(f"data/{key}"), key)
        storages[key] = stored
        return stored.size

    pickled = io.BytesIO(whole(data, members["data.pkl"], record))
    return Contents(value=TorchUnpickler(pickled, profile, size_of).load(), storages=storages, metadata=PYTORCH)


def _stored(data: Buffer, member: Member | None, key: str) -> Stored:
    if member is None or member.method != STORED:
        raise ConversionError(f"the storage {shown(key)!r} is missing or compressed, which torch does not write")
    return Stored(data, member.start, member.size)


def read_torch_legacy(data: Buffer, *, profile: Profile, record: Record) -> Contents:
    """Read a file from before torch 1.6; see `interlock.artifacts.containers.torch_legacy`.

    Args:
        data: The whole file, already scanned under `profile`.
        profile: Whose names its pickle may use.
        record: Whose budget is spent.

    Raises:
        ConversionError: It holds what is not converted.
    """
    asked: dict[str, int] = {}

    def size_of(key: str, size: int) -> int:
        return asked.setdefault(key, size)

    file = io.BufferedReader(_Window(data))  # so that the unpickler can look ahead and give back
    unpickled = [TorchUnpickler(file, profile, size_of).load() for _ in range(5)]
    system, value, keys = unpickled[2:]
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ConversionError(_BIG_ENDIAN)
    storages, at = {}, file.tell()
    for key in keys if isinstance(keys, list) else ():
        if key not in asked or at + 8 + asked[key] > len(data):
            raise ConversionError(f"the storage {shown(str(key))!r} is cut off, or nobody asks for it")
        record.budget.check_time()
        storages[key] = Stored(data, at + 8, asked[key])
        at += 8 + asked[key]
    if asked.keys() != storages.keys():
        raise ConversionError("it lacks storages that its object asks for")
    return Contents(value=value, storages=storages, metadata=PYTORCH)


class _Window(io.RawIOBase):
    """A `Buffer` as a file."""

    def __init__(self, data: Buffer) -> None:
        super().__init__()
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece = self._data[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        return self._at

    def tell(self) -> int:
        return self._at
