"""Reads a TensorFlow checkpoint's index: a sorted table that says where each tensor's bytes are.

Layout: ``tensorflow/core/lib/io/format.cc`` (the table format of LevelDB) and ``tensor_bundle.proto``. The index is
read whole, its checksums are not. The tensors' bytes (``.data-00000-of-00001``) are not read: the index claims them,
once it is known that they are as many as it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.beside import path_beside
from interlock.artifacts.formats.graph_file import INDEX_FOOTER
from interlock.artifacts.formats.protobuf import Kept, MalformedMessageError, Walk, varint
from interlock.artifacts.formats.tensorflow_schema import SCHEMA
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer

_TRAILER: Final = 5
_MOST_SHARDS: Final = 10_000
DATA_FORMAT: Final = "tensorflow-checkpoint-data"
"""Format of a file that an index takes tensors from."""


def scan_index(data: Buffer, path: str, record: Record) -> None:
    """Check every entry against the files that hold the tensors.

    Args:
        data: Unverified bytes.
        path: For findings, and for finding the data files beside it.
        record: Where findings go.

    Raises:
        LimitPassedError: It is too large, or compressed.
    """
    record.budget.hold_member(len(data))
    try:
        _Index(data, path, record).check()
    except MalformedMessageError as error:
        record.error(rules.MALFORMED_GRAPH, f"a checkpoint's index that is broken: {error}", path, error.offset)
    record.looked(path)


class _Index:
    def __init__(self, data: Buffer, path: str, record: Record) -> None:
        self.data = data
        self.path = path
        self.record = record
        self.shards = 0
        self.ends: dict[int, int] = {}

    def check(self) -> None:
        """Read all entries, then compare with the data files."""
        end = len(self.data)
        _, at = self._handle(end - INDEX_FOOTER, end)
        index, _ = self._handle(at, end)
        for _, handle, stop in self._block(*index):
            span, _ = self._handle(handle, stop)
            for key, start, after in self._block(*span):
                self._entry(key, start, after)
        if not 0 < self.shards <= _MOST_SHARDS:
            raise MalformedMessageError("no header, or an impossible number of data files", 0)
        for shard in range(self.shards):
            self._shard(shard, self.ends.pop(shard, 0))
        if self.ends:
            raise MalformedMessageError("an entry in a data file that there is none of", 0)

    def _entry(self, key: bytes, start: int, end: int) -> None:
        walk = Walk(
            data=self.data, schema=SCHEMA, budget=self.record.budget, leave=self._leave, unknown=self._unknown_field
        )
        walk.message("BundleEntry" if key else "BundleHeader", start, end)

    def _leave(self, name: str, kept: Kept, around: tuple[str, ...], at: int) -> None:
        del around, at
        value = {number: spans[0][0] for number, spans in kept.items()}
        if name == "BundleHeader":
            self.shards = value.get(1, 0)
        else:
            shard, offset, size = value.get(3, 0), value.get(4, 0), value.get(5, 0)
            self.ends[shard] = max(self.ends.get(shard, 0), offset + size)

    def _unknown_field(self, name: str, number: int, at: int) -> None:
        raise MalformedMessageError(f"{name} has a field {number}", at)

    def _shard(self, shard: int, needed: int) -> None:
        prefix = self.path.rpartition("/")[2].removesuffix(".index")
        beside = path_beside(self.path, f"{prefix}.data-{shard:05d}-of-{self.shards:05d}")
        size = self.record.sizes.get(beside)
        if size is None:
            self.record.fail(self.path, f"its tensors' file {shard} is not part of what was scanned: scan the folder")
        elif size < needed:
            what = f"takes {needed:,} bytes from its file {shard}, which has {size:,}"
            self.record.error(rules.EXTERNAL_DATA, what, self.path)
        else:
            self.record.claim(beside, DATA_FORMAT)

    def _handle(self, at: int, end: int) -> tuple[tuple[int, int], int]:
        """Where a block begins and ends, without its trailer; and the offset after the handle."""
        start, at = varint(self.data, at, end, strict=True)
        size, at = varint(self.data, at, end, strict=True)
        if start + size + _TRAILER > len(self.data) - INDEX_FOOTER:
            raise MalformedMessageError("a block outside of the file", start)
        if self.data[start + size]:
            raise LimitPassedError("a compressed checkpoint index, which is not read here")
        return (start, start + size), at

    def _block(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Key, and where the value begins and ends, of each entry; keys share what they have in common."""
        restarts = int.from_bytes(self.data[end - 4 : end], "little") if end - start >= 4 else -1
        limit = end - 4 - 4 * restarts
        if restarts < 0 or limit < start:
            raise MalformedMessageError("a block that is shorter than its own table", start)
        key, at = b"", start
        while at < limit:
            shared, at = varint(self.data, at, limit, strict=True)
            own, at = varint(self.data, at, limit, strict=True)
            size, at = varint(self.data, at, limit, strict=True)
            self.record.budget.spend_fields(1)
            if shared > len(key) or at + own + size > limit:
                raise MalformedMessageError("an entry outside of its block", at)
            self.record.budget.hold_text(shared + own)
            key = key[:shared] + bytes(self.data[at : at + own])
            yield key, at + own, at + own + size
            at += own + size
