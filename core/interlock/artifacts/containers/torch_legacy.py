"""torch's format from before 1.6, which ``_use_new_zipfile_serialization=False`` still writes.

A row of pickles (magic number, protocol version, system information, the object, the keys of its storages), then for
each key the number of its elements and their bytes (``torch.serialization._legacy_save``). `torch.load` gives each
storage as much memory as the object's pickle says and then reads the file into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.pickles.file import probe_pickle
from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.kinds import is_device, is_size, kind_of
from interlock.artifacts.pickles.rules import GlobalRule, Profile
from interlock.artifacts.pickles.values import UNKNOWN, DictValue, Value, preview
from interlock.artifacts.pickles.walk import PickleWalk
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_MAGIC_NUMBER: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION: Final = 1001
_STARTS: Final = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_OF_KEYS: Final = frozenset({
    "PROTO", "FRAME", "EMPTY_LIST", "MARK", "BINUNICODE", "SHORT_BINUNICODE", "BINPUT", "LONG_BINPUT", "MEMOIZE",
    "APPEND", "APPENDS", "STOP",
})  # fmt: skip


class _OddFileError(Exception):
    """It is not what torch writes: what, and where."""


class _LegacyJudge(Judge):
    """Allows the storages of this format and remembers them."""

    def __init__(self, profile: Profile, record: Record, path: str) -> None:
        super().__init__(profile, record, path)
        self.asked: dict[str, tuple[int, int]] = {}

    def persistent_id(self, identity: object, at: int) -> object:
        """BINPERSID: ("storage", type, key, location, number of elements, None)."""
        problem = self._problem(identity)
        if not problem and isinstance(identity, tuple):
            _, kind, key, _, count, _ = identity
            self.asked[key] = (count, kind.size)
            return Value("storage", fact=(count, kind.size))
        self._error(rules.UNSAFE_PERSISTENT_ID, problem, at, identity=shown(preview(identity), limit=400))
        return UNKNOWN

    def _problem(self, identity: object) -> str:
        if not isinstance(identity, tuple) or len(identity) != 6 or identity[0] != "storage":
            return "asks the loader for something that is no storage of this file"
        _, kind, key, location, count, view = identity
        if kind_of(kind) not in {"storage-type", "untyped-storage-type"} or not isinstance(kind, GlobalRule):
            return "asks for a storage of a type that the profile does not allow"
        if not isinstance(key, str) or not is_device(location) or not is_size(count) or view is not None:
            return "asks for a view of a storage, or for one at an odd location or of an odd size"
        if self.asked.setdefault(key, (count, kind.size)) != (count, kind.size):
            return "asks for one storage in two sizes"
        return ""


def is_torch_legacy(head: bytes) -> bool:
    """Whether a file starts with the pickle of torch's magic number; takes 32 bytes."""
    return _STARTS.match(head) is not None


def scan_torch_legacy(data: Buffer, *, path: str, profile: Profile, record: Record) -> str:
    """Walk every pickle and check every storage to the end of the file.

    Args:
        data: The whole file, unverified.
        path: For findings.
        profile: What its pickles may do.
        record: Where findings go.

    Returns:
        ``torch-legacy``.

    Raises:
        LimitPassedError: It could not be walked to its end.
    """
    try:
        at = _after_head(data, Judge(profile, record, path))
        judge = _LegacyJudge(profile, record, path)
        _, at = _pickle(data, at, judge, "the object")
        _, end = _pickle(data, at, Judge(profile, record, path), "the storages' keys")
        keys, unread = _keys(data[at:end], at), dict(judge.asked)
        # Whoever loads until the file is over comes to the number of elements, and over it to the elements.
        _read_on(data, end, len(data), path=path, profile=profile, record=record)
        for key in keys:
            # Each is read once; one that nobody asked for is not in `asked`.
            asked = unread.pop(key, None)
            end = _check_storage(data, end, asked, path=path, profile=profile, record=record)
        _all_read(unread, end)
    except _OddFileError as error:
        what, at = error.args
        record.error(rules.TORCH_LEGACY, f"torch's format from before 1.6, but it {what}", path, at)
    else:
        if end != len(data):
            record.error(rules.TRAILING_DATA, f"{len(data) - end:,} bytes behind the last storage", path, end)
    record.looked(path)
    return "torch-legacy"


def _after_head(data: Buffer, judge: Judge) -> int:
    magic, at = _pickle(data, 0, judge, "the magic number")
    version, at = _pickle(data, at, judge, "the protocol version")
    system, at = _pickle(data, at, judge, "the system information")
    if magic != _MAGIC_NUMBER or version != _PROTOCOL_VERSION or not isinstance(system, DictValue):
        raise _OddFileError("does not start with what torch writes there", 0)
    return at


def _pickle(data: Buffer, at: int, judge: Judge, what: str) -> tuple[object, int]:
    walk = PickleWalk(data, judge, judge.record.budget, start=at)
    end = walk.run() if at < len(data) else None
    if end is None or end.problem or not end.stopped:
        raise _OddFileError(f"has no whole pickle of {what}: {end.problem if end else 'it is cut off'}", at)
    return walk.result, end.position


def _keys(raw: bytes, at: int) -> list[str]:
    """A list of texts; the walk does not keep what is in lists."""
    import pickletools

    keys = []
    try:
        for opcode, argument, _ in pickletools.genops(raw):
            if opcode.name not in _OF_KEYS:
                break
            if isinstance(argument, str):
                keys.append(argument)
        else:
            return keys
    except ValueError:
        pass  # An argument that pickletools reads more strictly than the walk.
    raise _OddFileError("lists its storages in another way than torch does", at)


def _all_read(unread: Mapping[str, object], at: int) -> None:
    if unread:
        raise _OddFileError("lacks storages that its object asks for", at)


def _check_storage(
    data: Buffer, at: int, asked: tuple[int, int] | None, *, path: str, profile: Profile, record: Record
) -> int:
    """The number of elements, then their bytes; the offset behind them."""
    if asked is None:
        raise _OddFileError("lists a storage twice, or one that its object does not ask for", at)
    count, size = asked
    start, end = at + 8, at + 8 + count * size
    if end > len(data) or int.from_bytes(data[at:start], "little") != count:
        raise _OddFileError(f"has no storage of {count:,} elements there, or it is cut off", at)
    record.budget.check_time()
    if count:
        _read_on(data, start, end, path=path, profile=profile, record=record)
    return end


def _read_on(data: Buffer, start: int, end: int, *, path: str, profile: Profile, record: Record) -> None:
    """Numbers, which somebody may take for a further pickle."""
    probe = probe_pickle(data, path=path, profile=profile, record=record, start=start, end=end)
    if probe.acts:
        record.merge(probe.record)
        what = "a tensor's bytes are a pickle that imports and calls something"
        record.error(rules.EXTRA_PICKLE, what, path, start)
    elif probe.gap:
        record.fail(path, f"a tensor whose bytes read as an endless pickle: {probe.gap}")
