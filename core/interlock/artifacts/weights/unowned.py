"""Bytes of torch's storages that are not zero and that no tensor shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from interlock.artifacts.containers.zip_container import Member, inside
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer, stretches
from interlock.artifacts.weights.tensor import Hidden
from interlock.artifacts.weights.views import View, is_dense, runs, shows

_UNSEEN: Final = "the part of a storage that no tensor shows, which a tensor cut out of a larger one leaves as well"


def unowned(
    data: Buffer, storages: Mapping[str, Member], views: Iterable[View], path: str, record: Record
) -> Iterator[Hidden]:
    """What lies in front of, behind and between the elements of all views, and in storages that have none.

    Args:
        data: The whole archive, unverified.
        storages: Its members, stored as they are, by the keys of the views.
        views: Each inside of its storage.
        path: Of the archive.
        record: Whose budget is spent.

    Raises:
        LimitPassedError: The subject may not have so many bytes, or a view is not read.
    """
    dense: dict[str, list[tuple[int, int]]] = defaultdict(list)
    loose: dict[str, list[View]] = defaultdict(list)
    for view in views:
        if is_dense(runs(view.shape, view.strides)):
            dense[view.key].append((view.first, view.first + view.length))
        else:
            loose[view.key].append(view)
    for key, member in storages.items():
        waiting = sorted(loose[key], key=lambda view: view.first, reverse=True)
        over: list[View] = []
        for start, end in _between(dense[key], member.size):
            while waiting and waiting[-1].first < end:
                over.append(waiting.pop())
            over = [view for view in over if view.first + view.length > start]
            at, size = _left(stretches(data, member.start + start, member.start + end), start, over, record)
            if at is not None:
                yield Hidden(path=inside(path, member), offset=member.start + at, size=size, what=_UNSEEN)


def _between(used: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    cursor = 0
    for start, end in (*sorted(used), (size, size)):
        if start > cursor:
            yield cursor, start
        cursor = max(cursor, end)


def _left(pieces: Iterable[bytes], start: int, over: Sequence[View], record: Record) -> tuple[int | None, int]:
    """Offset in the storage of the first byte that is not zero and in no view, and how many are in none."""
    found, size, at = None, 0, start
    for piece in pieces:
        record.budget.spend_bytes(len(piece))
        first, left = _of_none(piece, at, over)
        size += left
        if found is None and first is not None:
            found = at + first
        at += len(piece)
    return found, size


def _of_none(piece: bytes, at: int, over: Sequence[View]) -> tuple[int | None, int]:
    zeros = len(piece) - len(piece.lstrip(b"\0"))
    if not over:
        return (zeros if zeros < len(piece) else None), len(piece)
    import numpy as np

    free = np.ones(len(piece), dtype=np.bool_)
    for view in over:
        offsets = np.arange(at - view.first, at - view.first + len(piece))
        free &= ~shows(runs(view.shape, view.strides), offsets // view.size)
    filled = np.flatnonzero(free & (np.frombuffer(piece, np.uint8) != 0))
    return (int(filled[0]) if filled.size else None), int(np.count_nonzero(free))
