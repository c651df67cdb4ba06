"""Scans the zip files that say what they are in a JSON member: Keras's ``.keras`` and skops's ``.skops``.

The zip itself was checked before. Each member is either one of those that the library writes, or an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from interlock.artifacts import record as rules
from interlock.artifacts.containers.zip_container import Member, inside, whole
from interlock.artifacts.formats import keras_file, skops_file
from interlock.artifacts.formats.strict_json import MalformedJsonError, strict_json
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

ScanMember: TypeAlias = Callable[[Buffer, Member, str, Record], str]
"""Scans a member as a file of its own; gives the format that it was recognised as."""

# keras.src.saving.saving_lib: _VARS_FNAME and its formats, shards of it, _ASSETS_DIRNAME.
_KERAS_MEMBERS: Final = (
    (re.compile(r"model(_\d{5})?\.weights\.h5\Z"), frozenset({"hdf5"})),
    (re.compile(r"model\.weights\.npz\Z"), frozenset({"numpy"})),
    (re.compile(r"model\.weights\.json\Z"), frozenset({"json"})),
    (re.compile(r"assets/."), frozenset({"text", "json", "numpy", "hdf5", "safetensors"})),
)


# Bytes of a `bytes` object may be anything; let in is what can be told apart from code.
_SKOPS_MEMBERS: Final = {"BytesNode": ("text", "json"), "BytearrayNode": ("text", "json")}


def scan_described(
    data: Buffer, members: Sequence[Member], *, path: str, record: Record, member: ScanMember
) -> str | None:
    """Scan an archive of Keras or skops.

    Args:
        data: The zip file, unverified.
        members: Those of its members that can be read.
        path: For findings.
        record: Where findings go.
        member: Scans a member as a file.

    Returns:
        ``keras`` or ``skops``, or None if it is neither; then nothing was scanned.

    Raises:
        LimitPassedError: A description is larger than may be read.
    """
    by_name = {item.name: item for item in members}
    keras, skops = keras_file.CONFIG in by_name, skops_file.SCHEMA in by_name
    if keras and skops:
        record.error(rules.POLYGLOT, "both Keras and skops would load this zip, each something else", path)
    if skops:
        _scan_skops(data, by_name, path, record, member)
        return "skops"
    if keras and _is_keras(data, by_name, record):
        _scan_keras(data, by_name, path, record, member)
        return "keras"
    return None


def _is_keras(data: Buffer, members: Mapping[str, Member], record: Record) -> bool:
    """Whether Keras is what would load it. A folder of another library that was zipped is none of Keras's."""
    if any(pattern.match(name) for name in members for pattern, _ in _KERAS_MEMBERS[:3]):
        return True
    try:
        return keras_file.looks_like_keras(strict_json(whole(data, members[keras_file.CONFIG], record), record))
    except MalformedJsonError:
        return True


def _scan_keras(data: Buffer, members: Mapping[str, Member], path: str, record: Record, scan: ScanMember) -> None:
    for name, member in members.items():
        where = inside(path, member)
        if name == keras_file.CONFIG:
            keras_file.scan_keras_config(_text(data, member, path, record), path=where, record=record)
        elif name == keras_file.METADATA:
            keras_file.scan_keras_metadata(_text(data, member, path, record), path=where, record=record)
        else:
            wanted = next((formats for pattern, formats in _KERAS_MEMBERS if pattern.match(name)), None)
            found = scan(data, member, path, record)
            if wanted is None:
                record.error(rules.MALFORMED_KERAS, f"a member that Keras does not write, {shown(name)!r}", where)
            elif found == "pickle":
                record.error(rules.EXTRA_PICKLE, "a pickle among the members of a Keras archive", where)
            elif found not in wanted:
                record.fail(where, f"{found} where Keras has {' or '.join(sorted(wanted))}")


def _text(data: Buffer, member: Member, path: str, record: Record) -> bytes:
    raw = whole(data, member, record)
    record.keep_text(raw.decode("utf-8", "replace"), inside(path, member))
    return raw


def _scan_skops(data: Buffer, members: Mapping[str, Member], path: str, record: Record, scan: ScanMember) -> None:
    schema = members[skops_file.SCHEMA]
    wanted = skops_file.scan_schema(_text(data, schema, path, record), path=inside(path, schema), record=record)
    for name in sorted(wanted.keys() - members.keys()):
        record.error(rules.MALFORMED_SKOPS, f"the schema names the member {shown(name)!r}, which is not there", path)
    for name, member in members.items():
        if name == skops_file.SCHEMA:
            continue
        where = inside(path, member)
        found = scan(data, member, path, record)
        if name not in wanted:
            record.error(rules.MALFORMED_SKOPS, f"a member that the schema does not name, {shown(name)!r}", where)
        elif found == "pickle":
            record.error(rules.EXTRA_PICKLE, "a pickle among the members of a skops archive", where)
        elif found not in _SKOPS_MEMBERS.get(wanted[name], ("numpy",)):
            record.fail(where, f"{found} where skops has what {wanted[name]} reads")
