"""Reads the structure of an HDF5 file: superblock, object headers, groups and attributes; no elements of datasets.

Format: "HDF5 File Format Specification Version 3.0"; clause numbers are of it. Read is what h5py and Keras write:
superblocks 0 to 3, object headers 1 and 2, groups with symbol tables or with links in their header, attributes in
their object's header, texts in global heaps. Dense storage, shared messages and sizes other than 8 bytes are valid
and not read: `UnreadError`. Every address is checked, every loop is bounded by the bytes that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from struct import Struct

from interlock.artifacts.limits import Budget
from interlock.artifacts.source import Buffer

UNDEFINED = 0xFFFFFFFFFFFFFFFF
CONTINUATION, SYMBOL_TABLE = 0x10, 0x11
_SHARED = 0x02
_U64 = Struct("<Q")
_TREE = Struct("<4sBBHQQ")
_SYMBOL = Struct("<QQL4x16s")
_MOST_LEVELS = 16
_MOST_MESSAGES = 0xFFFF
_LONGEST_NAME = 4096
_FIRST_V0 = Struct("<8s8B2HL")


class MalformedError(Exception):
    """The file is not what the format says; `str()` says how."""


class UnreadError(Exception):
    """The file uses a part of the format that is not read here; `str()` says which."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an object header: its number (IV.A.2), whether its body is elsewhere, its body."""

    kind: int
    shared: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Symbol:
    """One entry of a group: its name, and the address of an object or None for a soft link."""

    name: bytes
    address: int | None


class Fields:
    """Reads numbers one after the other out of a few bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            MalformedError: There are fewer.
        """
        piece = self.body[self.at : self.at + count]
        if len(piece) != count:
            raise MalformedError("a structure that is cut off")
        self.at += count
        return piece

    def number(self, size: int) -> int:
        """The next little-endian number of `size` bytes."""
        return int.from_bytes(self.take(size), "little")


class Structure:
    """One HDF5 file, which may be a part of a larger file.

    Args:
        data: Unverified bytes.
        start: Where the file begins.
        end: Where it ends.
        budget: What reading spends from.

    Raises:
        MalformedError, UnreadError: The superblock (II) cannot be read.
    """

    def __init__(self, data: Buffer, start: int, end: int, budget: Budget) -> None:
        self._data, self._start, self.size, self._budget = data, start, end - start, budget
        self._heap: tuple[int, dict[int, bytes]] = (-1, {})
        self.extension = UNDEFINED
        version = self.read(8, 1)[0]
        if version in (0, 1):
            self.root, self.end = self._superblock_with_symbols(version)
        elif version in (2, 3):
            self.root, self.end = self._superblock()
        else:
            raise MalformedError(f"a superblock of the unknown version {version}")
        if self.end > self.size:
            raise MalformedError(f"cut off: the superblock says {self.end:,} bytes, there are {self.size:,}")

    def read(self, at: int, size: int) -> bytes:
        """`size` bytes at an address.

        Raises:
            MalformedError: They reach over the end.
            LimitPassedError: They are more than may be held or read.
        """
        if at + size > self.size:
            raise MalformedError(f"an address past the end of the file ({at:,} and {size:,} bytes)")
        self._budget.hold_text(size)
        self._budget.spend_bytes(size)
        return self._data[self._start + at : self._start + at + size]

    def messages(self, address: int) -> list[Message]:
        """Every message of an object header (IV.A.1), its continuations included."""
        if self.read(address, 4) == b"OHDR":
            return list(islice(self._messages_v2(address), _MOST_MESSAGES))
        version, _, count, _, size = Struct("<BBHLL").unpack(self.read(address, 12))
        if version != 1:
            raise MalformedError(f"no object header at the address {address:,}")
        found = list(islice(self._messages_v1(address + 16, size), _MOST_MESSAGES))
        if len(found) != count:
            raise MalformedError(f"an object header of {count} messages that has {len(found)}")
        return found

    def symbols(self, body: bytes) -> Iterator[Symbol]:
        """The entries of a group with a symbol table (IV.A.2.r): a B-tree (III.A.1), and a heap for names (III.D)."""
        tree, heap = Struct("<QQ").unpack(Fields(body).take(16))
        magic, version, size, _, names_at = Struct("<4sB3xQQQ").unpack(self.read(heap, 32))
        if magic != b"HEAP" or version != 0:
            raise MalformedError("a group whose names are nowhere")
        names = self.read(names_at, size)
        for node in self._leaves(tree):
            magic, version, count = Struct("<4sBxH").unpack(self.read(node, 8))
            if magic != b"SNOD" or version != 1:
                raise MalformedError("a group whose entries are nowhere")
            entries = self.read(node + 8, count * _SYMBOL.size)
            for offset, address, cached, _ in _SYMBOL.iter_unpack(entries):
                if cached > 2 or offset >= len(names):
                    raise MalformedError("a broken entry of a group")
                end = names.find(b"\0", offset, offset + _LONGEST_NAME)
                if end < 0:
                    raise MalformedError("a name in a group that does not end")
                yield Symbol(names[offset:end], None if cached == 2 else address)

    def heap_text(self, reference: bytes) -> bytes:
        """The bytes that a variable-length value refers to (VIII.B): length, collection, index."""
        length, address, index = Struct("<LQL").unpack(Fields(reference).take(16))
        if length == 0:
            return b""
        held = self._collection(address).get(index)
        if held is None or len(held) < length:
            raise MalformedError("a text that is not in its heap")
        return held[:length]

    def _superblock_with_symbols(self, version: int) -> tuple[int, int]:
        fields = _FIRST_V0.unpack(self.read(0, _FIRST_V0.size))
        if fields[6:8] != (8, 8):
            raise UnreadError("addresses of other than 8 bytes")
        at = _FIRST_V0.size + (4 if version == 1 else 0)
        base, _, end, driver, _, root = Struct("<6Q").unpack(self.read(at, 48))
        if base != 0:
            raise UnreadError("a base address")
        if driver != UNDEFINED:
            raise UnreadError("a file of several parts (driver information)")
        return root, end

    def _superblock(self) -> tuple[int, int]:
        _, offsets, lengths, _, base, self.extension, end, root = Struct("<4B4Q").unpack(self.read(8, 36))
        if (offsets, lengths) != (8, 8):
            raise UnreadError("addresses of other than 8 bytes")
        if base != 0:
            raise UnreadError("a base address")
        return root, end

    def _messages_v1(self, at: int, size: int) -> Iterator[Message]:
        left = [(at, size)]
        seen: set[int] = set()
        while left:
            fields = Fields(self.read(*self._once(left.pop(), seen)))
            while fields.at < len(fields.body):
                kind, length, flags = fields.number(2), fields.number(2), fields.number(1)
                fields.take(3)
                message = Message(kind, bool(flags & _SHARED), fields.take(length))
                if kind == CONTINUATION:
                    left.append(self._continued(message))
                yield message

    def _messages_v2(self, address: int) -> Iterator[Message]:
        version, flags = self.read(address + 4, 2)
        if version != 2:
            raise MalformedError(f"no object header at the address {address:,}")
        at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self.read(at, width), "little")
        left = [(at + width, size)]
        seen: set[int] = set()
        while left:
            fields = Fields(self.read(*self._once(left.pop(), seen)))
            prefix = 6 if flags & 4 else 4
            while len(fields.body) - fields.at >= prefix:  # less is a gap
                kind, length, bits = fields.number(1), fields.number(2), fields.number(1)
                fields.take(prefix - 4)
                message = Message(kind, bool(bits & _SHARED), fields.take(length))
                if kind == CONTINUATION:
                    block, room = self._continued(message)
                    if room < 8 or self.read(block, 4) != b"OCHK":
                        raise MalformedError("an object header that does not go on where it says")
                    left.append((block + 4, room - 8))
                yield message

    @staticmethod
    def _once(block: tuple[int, int], seen: set[int]) -> tuple[int, int]:
        if block[0] in seen:
            raise MalformedError("a structure that comes back to itself")
        seen.add(block[0])
        return block

    @staticmethod
    def _continued(message: Message) -> tuple[int, int]:
        fields = Fields(message.body)
        return fields.number(8), fields.number(8)

    def _leaves(self, tree: int) -> Iterator[int]:
        left = [(tree, _MOST_LEVELS)]
        seen: set[int] = set()
        while left:
            at, above = left.pop()
            self._once((at, 0), seen)
            magic, kind, level, count, _, _ = _TREE.unpack(self.read(at, _TREE.size))
            if magic != b"TREE" or kind != 0 or level >= above:
                raise MalformedError("a group whose tree is broken")
            body = self.read(at + _TREE.size, 16 * count + 8)  # key, child, key, ..., key
            children = [_U64.unpack_from(body, 16 * number + 8)[0] for number in range(count)]
            if level == 0:
                for child in children:
                    yield self._once((child, 0), seen)[0]
            else:
                left += [(child, level) for child in reversed(children)]

    def _collection(self, address: int) -> dict[int, bytes]:
        """The objects of one global heap (III.E) by their index."""
        if self._heap[0] == address:
            return self._heap[1]
        magic, version, size = Struct("<4sB3xQ").unpack(self.read(address, 16))
        if magic != b"GCOL" or version != 1 or size < 16:
            raise MalformedError("a text whose heap is nowhere")
        fields = Fields(self.read(address + 16, size - 16))
        objects: dict[int, bytes] = {}
        while len(fields.body) - fields.at >= 16:
            index = fields.number(2)
            fields.take(6)
            length = fields.number(8)
            if index == 0:  # the free rest
                break
            if index in objects:
                raise MalformedError("a heap with an object twice, of which readers take either")
            objects[index] = fields.take(length)
            fields.take(min(-length % 8, len(fields.body) - fields.at))
        # The last one only: heaps of a hostile file may overlap, and be many times as large as the file.
        self._heap = (address, objects)
        return objects
