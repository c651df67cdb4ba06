"""Scans an HDF5 file: what Keras would load out of it, and what would make HDF5 open other files or load code.

Keras's legacy format keeps the model in the attributes ``model_config`` and ``training_config``, and loads them with
no safe mode at all (CVE-2025-9905). Weights may point elsewhere: external links, external storage, virtual datasets
(CVE-2026-1669), or say a shape that fills the memory (CVE-2026-0897). Datasets' elements are never read.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats import hdf5_structure as h5
from interlock.artifacts.formats.hdf5_messages import (
    Attribute,
    Link,
    Space,
    Storage,
    attribute,
    filters,
    item_type,
    link,
    space,
    storage,
)
from interlock.artifacts.formats.hdf5_structure import MalformedError, Message, Structure, UnreadError
from interlock.artifacts.formats.keras_file import scan_keras_config
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

CONFIGURATIONS: Final = frozenset({b"model_config", b"training_config"})
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
_FILTERS, _ATTRIBUTE, _DRIVER, _ATTRIBUTE_INFO = 0x0B, 0x0C, 0x14, 0x15
_ELSEWHERE: Final = {
    _EXTERNAL: "keeps its elements in other files (CVE-2026-1669)",
    _DRIVER: "is a part of a file that lies in several others",
}
# Nil, dataspace, datatype, both fill values, layout, group info, comment, times, continuation, B-tree sizes,
# reference count. The table of shared messages (0x0F) is not among them.
_HARMLESS: Final = frozenset({0x00, 0x01, 0x03, 0x04, 0x05, 0x08, 0x0A, 0x0D, 0x0E, 0x10, 0x12, 0x13, 0x16})
# Deflate, shuffle, Fletcher-32, szip, n-bit, scale-offset; the library loads a plug-in for every other one.
_BUILT_IN_FILTERS: Final = frozenset(range(1, 7))
_REFERENCE = 7
_LARGE = 64 << 20
_MOST_GROWTH = 1_000


def scan_hdf5(data: Buffer, *, path: str, record: Record, start: int = 0, end: int | None = None) -> None:
    """Look at every object that can be reached.

    Args:
        data: Unverified bytes.
        path: For findings; objects are named in messages.
        record: Where findings go.
        start: Where in `data` the file begins.
        end: Where it has to end; None for the end of `data`, or before it where `start` is not 0.

    Raises:
        LimitPassedError: It is more than may be read, or uses what is not read here.
    """
    try:
        structure = Structure(data, start, len(data) if end is None else end, record.budget)
        if structure.end != structure.size and (start == 0 or end is not None):
            record.error(rules.TRAILING_DATA, "bytes behind the end of the HDF5 file", path, structure.end)
        _Walk(structure, path, record).run()
    except UnreadError as error:
        raise LimitPassedError(f"HDF5 with {error}, which is not read here") from error
    except MalformedError as error:
        record.error(rules.MALFORMED_HDF5, f"no HDF5 file that can be trusted: {error}", path)
    record.looked(path)


class _Walk:
    """One way through all objects, each of which is looked at once."""

    def __init__(self, structure: Structure, path: str, record: Record) -> None:
        self.structure, self.path, self.record = structure, path, record
        self.left: list[tuple[int, str]] = []
        self.seen: set[int] = set()

    def run(self) -> None:
        self._follow(self.structure.root, "/")
        if self.structure.extension != h5.UNDEFINED:
            self._follow(self.structure.extension, "the superblock's extension")
        while self.left:
            address, name = self.left.pop()
            self._object(self.structure.messages(address), name)

    def _follow(self, address: int, name: str) -> None:
        if address not in self.seen:
            self.seen.add(address)
            self.left.append((address, name))
        if len(self.seen) > self.record.budget.limits.members:
            raise LimitPassedError(f"more than {self.record.budget.limits.members:,} objects in an HDF5 file")

    def _object(self, messages: list[Message], name: str) -> None:
        for message in messages:
            if message.shared:
                self._deny(f"{name} has a named datatype or another shared part", rules.HDF5_FEATURE)
            else:
                self._message(message, name)
        kinds = {message.kind for message in messages}
        if _LAYOUT in kinds:
            self._dataset(messages, name)
        elif _DATATYPE in kinds:
            self._deny(f"{name} is a named datatype", rules.HDF5_FEATURE)

    def _message(self, message: Message, name: str) -> None:
        kind, body = message.kind, message.body
        if kind == h5.SYMBOL_TABLE:
            for symbol in self.structure.symbols(body):
                self._link(Link(name=symbol.name, address=symbol.address, kind=int(symbol.address is None)), name)
        elif kind == _LINK:
            self._link(link(body), name)
        elif kind == _ATTRIBUTE:
            self._attribute(attribute(body), name)
        elif kind == _FILTERS:
            self._filters(body, name)
        elif kind in _ELSEWHERE:
            self._deny(f"{name} {_ELSEWHERE[kind]}", rules.EXTERNAL_FILE)
        elif kind in (_LINK_INFO, _ATTRIBUTE_INFO):
            self._dense(body, attributes=kind == _ATTRIBUTE_INFO)
        elif kind not in _HARMLESS:
            raise UnreadError(f"the message {kind:#04x}")

    def _dense(self, body: bytes, *, attributes: bool) -> None:
        fields = h5.Fields(body)
        fields.take(1)
        tracked = fields.number(1) & 1
        fields.take((2 if attributes else 8) if tracked else 0)
        if fields.number(8) != h5.UNDEFINED:
            raise UnreadError("dense storage of links or attributes")

    def _link(self, found: Link, name: str) -> None:
        target = f"{name.rstrip('/')}/{shown(found.name.decode('utf-8', 'backslashreplace'), 80)}"
        if found.kind == 0 and found.address is not None:
            self._follow(found.address, shown(target, 300))
        elif found.kind == 1:
            self._deny(f"{target} is a soft link, which no model needs and Keras refuses", rules.HDF5_FEATURE)
        else:
            self._deny(f"{target} is a link into another file (CVE-2026-1669)", rules.EXTERNAL_FILE)

    def _attribute(self, found: Attribute, name: str) -> None:
        if found.name not in CONFIGURATIONS:
            return
        text = found.text
        if text is None and found.reference is not None:
            text = self.structure.heap_text(found.reference)
        if text is None:
            raise MalformedError(f"{name} has a {found.name.decode()} that is no text")
        # Zero bytes fill a text up. Behind one inside, h5py reads on or not, by type; the JSON reader refuses it.
        where = f"{self.path}@{found.name.decode()}"
        scan_keras_config(text.rstrip(b"\0"), path=where, record=self.record)

    def _filters(self, body: bytes, name: str) -> None:
        for number in filters(body):
            if number not in _BUILT_IN_FILTERS:
                self._deny(f"{name} needs the filter {number}, for which HDF5 loads a plug-in", rules.HDF5_FEATURE)

    def _dataset(self, messages: list[Message], name: str) -> None:
        bodies = {message.kind: message.body for message in messages if not message.shared}
        if _DATATYPE not in bodies or _DATASPACE not in bodies or _LAYOUT not in bodies:
            raise MalformedError(f"{name} is a dataset without a type or a shape")
        kind, size = item_type(bodies[_DATATYPE])
        if kind == _REFERENCE:
            raise UnreadError("references")
        self._elements(space(bodies[_DATASPACE]), size, storage(bodies[_LAYOUT]), name)

    def _elements(self, shape: Space, size: int, place: Storage, name: str) -> None:
        needed = shape.count * size
        if place.kind == "virtual":
            self._deny(f"{name} takes its elements from other files (CVE-2026-1669)", rules.EXTERNAL_FILE)
            return
        stored = place.size
        if place.kind == "chunked":
            stored = self.structure.size
        elif place.address is not None and place.address + stored > self.structure.end:
            raise MalformedError(f"{name} has elements past the end of the file")
        elif stored and stored < needed:
            raise MalformedError(f"{name} holds {stored:,} bytes where its shape needs {needed:,}")
        if needed > _LARGE and needed > _MOST_GROWTH * stored:
            raise MalformedError(f"{name} says it has {needed:,} bytes and stores {stored:,} (CVE-2026-0897)")

    def _deny(self, what: str, rule: str) -> None:
        self.record.error(rule, what, self.path)
