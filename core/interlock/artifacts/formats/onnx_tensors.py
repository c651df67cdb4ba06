"""Checks one tensor of an ONNX model: its bytes against its shape, and the file that it may take them from.

External data (ONNX, ``docs/ExternalData.md``) has let models read any file of the machine that loads them:
CVE-2022-25882, CVE-2024-27318, CVE-2024-5187 and CVE-2025-51480 are paths and links out of the model's folder,
GHSA-538c-55jv-c5g9 is unknown keys and impossible lengths.
"""

from __future__ import annotations

import re
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.beside import path_beside, stays_beside
from interlock.artifacts.formats.onnx_schema import BITS, EXTERNAL, TEXTS
from interlock.artifacts.formats.protobuf import BYTES, Kept, fields, numbers, text
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.kinds import LARGEST
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL_DATA, _LOCATION = 1, 2, 8, 9, 13, 14
_SIZE: Final = re.compile(r"\d{1,19}\Z", re.ASCII)
_KEYS: Final = frozenset({"location", "offset", "length", "checksum", "basepath"})
_CHECKSUM: Final = re.compile(r"[0-9A-Fa-f]{40}\Z")
EXTERNAL_FORMAT: Final = "onnx-external-data"
"""Format of a file that a model takes tensors from."""


class TensorCheck:
    """Checks the tensors of one model.

    Args:
        data: The model, unverified.
        path: Of the model, for findings and for finding files beside it.
        record: Where findings go.
    """

    def __init__(self, data: Buffer, path: str, record: Record) -> None:
        self.data = data
        self.path = path
        self.record = record
        self._missing: set[str] = set()

    def check(self, kept: Kept, at: int) -> None:
        """Check one tensor.

        Args:
            kept: Fields of its message.
            at: Its offset.

        Raises:
            MalformedMessageError: Its shape is cut off.
            LimitPassedError: The budget is spent.
        """
        needed = self._needed(kept, at)
        stated = kept.get(_LOCATION, [(0, 0)])[0][0]
        if stated > EXTERNAL:
            self._malformed(f"has the unknown data_location {stated}", kept, at)
        if stated == EXTERNAL or _EXTERNAL_DATA in kept:
            self._external(kept, needed, at)
        elif _RAW in kept and needed is not None:
            first, last = kept[_RAW][0]
            if last - first != needed:
                self._malformed(f"holds {last - first:,} bytes where its shape and type need {needed:,}", kept, at)

    def _needed(self, kept: Kept, at: int) -> int | None:
        """Bytes that shape and type ask for; None where nobody can tell."""
        kind = kept.get(_TYPE, [(0, 0)])[0][0]
        if kind not in BITS:
            if kind == TEXTS and _RAW in kept:
                self._malformed("is of texts and has raw_data", kept, at)
            elif kind != TEXTS:
                self.record.fail(self.path, f"a tensor of the data type {kind}, which ONNX up to 1.23 has not")
            return None
        bits = BITS[kind]
        for size in numbers(self.data, kept.get(_DIMS, ()), self.record.budget):
            bits *= size
            if bits > LARGEST * 8:
                self._malformed("has a shape that no memory holds, or a negative one", kept, at)
                return None
        return -(-bits // 8)

    def _external(self, kept: Kept, needed: int | None, at: int) -> None:
        said = self._entries(kept, at)
        if not self._location_allowed(said.get("location", ""), kept, at):
            return
        base = said.get("basepath", "")
        if base and not self._location_allowed(base, kept, at):
            return
        odd = [key for key in ("offset", "length") if key in said and not _SIZE.match(said[key])]
        if odd or ("checksum" in said and not _CHECKSUM.match(said["checksum"])):
            self._refused("has an offset, length or checksum that is no such thing", kept, at)
            return
        offset, length = int(said.get("offset", "0")), int(said["length"]) if "length" in said else None
        if needed is not None and length not in (None, needed):
            self._refused(f"takes {length:,} bytes where its shape and type need {needed:,}", kept, at)
        self._inside(said["location"], offset, needed if length is None else length, kept, at)

    def _inside(self, location: str, offset: int, length: int | None, kept: Kept, at: int) -> None:
        beside = path_beside(self.path, location)
        size = self.record.sizes.get(beside)
        if size is None:
            if location not in self._missing:
                self._missing.add(location)
                what = f"its tensors are in {shown(location)!r}, which is not part of what was scanned"
                self.record.fail(self.path, f"{what}: scan the folder that holds both")
        elif offset + (length or 0) > size:
            what = f"takes bytes {offset:,} to {offset + (length or 0):,} of {shown(location)!r}, which has {size:,}"
            self._refused(what, kept, at)
        else:
            self.record.claim(beside, EXTERNAL_FORMAT)

    def _location_allowed(self, location: str, kept: Kept, at: int) -> bool:
        if not stays_beside(location):
            self._refused(f"takes its bytes from {shown(location)!r}, outside of the model's folder", kept, at)
            return False
        return True

    def _entries(self, kept: Kept, at: int) -> dict[str, str]:
        said: dict[str, str] = {}
        for start, end in kept.get(_EXTERNAL_DATA, ()):
            pair = {
                number: text(self.data, (first, last), self.record.budget)
                for number, wire, first, last in fields(self.data, start, end, self.record.budget)
                if wire == BYTES
            }
            key = pair.get(1, "")
            if key in said or key not in _KEYS:
                self._refused(f"has the key {shown(key, 60)!r} twice or without need in external_data", kept, at)
            said[key] = pair.get(2, "")
        return said

    def _refused(self, what: str, kept: Kept, at: int) -> None:
        self.record.error(rules.EXTERNAL_DATA, f"the tensor {self._name(kept)} {what}", self.path, at)

    def _malformed(self, what: str, kept: Kept, at: int) -> None:
        self.record.error(rules.MALFORMED_GRAPH, f"the tensor {self._name(kept)} {what}", self.path, at)

    def _name(self, kept: Kept) -> str:
        try:
            return repr(shown(text(self.data, kept[_NAME][0], self.record.budget), 60)) if _NAME in kept else "''"
        except LimitPassedError:
            return "with an endless name"
