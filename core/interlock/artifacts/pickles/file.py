"""Scans the pickle that a stretch of bytes is, or finds out whether it is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.artifacts import record as rules
from interlock.artifacts.pickles.in_a_row import Row
from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.pickles.walk import PickleWalk, WalkEnd
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer


def has_protocol(head: bytes) -> bool:
    """Whether bytes start as a pickle of protocol 2 or later: PROTO and its number."""
    return len(head) >= 2 and head[0] == 0x80 and head[1] <= 5


def scan_pickle(
    data: Buffer,
    *,
    path: str,
    profile: Profile,
    record: Record,
    start: int = 0,
    storages: Mapping[str, int] | None = None,
) -> frozenset[str]:
    """Walk one pickle that has to fill `data` from `start` to the end.

    Args:
        data: Unverified bytes.
        path: File or member, for findings.
        profile: What is allowed.
        record: Where findings go.
        start: Offset of the first opcode.
        storages: See `Judge`.

    Returns:
        Keys of the storages that it asks for.

    Raises:
        LimitPassedError: It could not be walked to its end.
    """
    if has_protocol(data[start : start + 2]):
        record.pickled.add(path)
    judge = Judge(profile, record, path, storages=storages)
    end = PickleWalk(data, judge, record.budget, start=start).run()
    # A long table of words may begin as a pickle does; it does not end as one.
    if end.stopped or judge.acts:
        record.pickled.add(path)
    if end.problem:
        record.error(rules.MALFORMED_PICKLE, f"no pickle that can be trusted: {end.problem}", path, end.position)
        # Some reader may go on where this one stopped, so show what it would do.
        record.merge(probe_pickle(data, path=path, profile=profile, record=record, start=start).record)
    if record.second_layer is not None and end.stopped and not end.problem and not judge.interleaved:
        record.second_layer.add(data, start, end.position, path=path, names=frozenset(judge.names))
    if end.stopped and end.position < len(data):
        _judge_rest(data, end.position, path=path, profile=profile, record=record)
    record.looked(path)
    return frozenset(judge.storages_used)


def _judge_rest(data: Buffer, position: int, *, path: str, profile: Profile, record: Record) -> None:
    """What stands after STOP: another pickle is walked too, so that the report shows what it would do."""
    rest = f"{len(data) - position:,} bytes after STOP"
    record.error(rules.TRAILING_DATA, f"{rest}, which a loader may read as something else", path, position)
    pickles = 1
    while position < len(data):
        judge = Judge(profile, record, path)
        end = PickleWalk(data, judge, record.budget, start=position).run()
        if not end.stopped:
            break
        pickles += 1
        position = end.position
    if pickles > 1:
        record.error(
            rules.SEVERAL_PICKLES, f"{pickles} pickles in one stream: one load reads only the first", path, position
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What came out when bytes of another format were read as a pickle.

    Args:
        record: What the walk saw; merged only if it counts.
        end: How the first pickle ended; None when it ran out of budget.
        named_a_global: An opcode named a global that Python could import.
        called: An opcode called something.
        acts: One of the pickles in a row imports and calls something: no accident in tensor data or text.
        gap: Why the walk did not come to an end, empty if it did.
    """

    record: Record
    end: WalkEnd | None
    named_a_global: bool
    called: bool
    acts: bool
    gap: str = ""


def probe_pickle(
    data: Buffer, *, path: str, profile: Profile, record: Record, start: int = 0, end: int | None = None
) -> Probe:
    """Read bytes that look like something else as a pickle.

    Any file can also be a pickle from its first byte on: the length field of a safetensors header, the name in a zip
    header and plain text all are opcodes. A loader that is told to unpickle it does not ask what else it is.
    """
    scratch = Record(record.budget)
    judge = Judge(profile, scratch, path)
    # Whoever loads until the file is over comes to what stands behind STOP, whatever is in front of it.
    row = Row(PickleWalk(data, judge, record.budget, start=start, end=end, strict=False))
    return Probe(
        record=scratch,
        end=row.first,
        named_a_global=row.named_a_global,
        called=row.called,
        acts=row.acts,
        gap=row.gap,
    )
