"""What a Ray worker does: read a share, or join two states. Plain functions, so that they run without Ray too.

Every answer is bytes. Arrays that Ray itself unpacks lie in shared memory and cannot be written, while a detector may
add in place, as it does in one process. A domain error is an answer too, and the one of the first share wins, so that
the same dataset fails with the same words however it was split.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.gate import InterlockError, UsageError
from interlock.poisoning.batches import Batch
from interlock.poisoning.engines.engine import Look
from interlock.poisoning.engines.seals import Seal, check
from interlock.poisoning.engines.shares import Share, files_of, folded, joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all tasks of one pass have in common.

    Args:
        looks: All see every batch.
        seals: By file of the dataset.
        version: Of Interlock, on the driver.
    """

    looks: tuple[Look[Any], ...]
    seals: Mapping[str, Seal]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A share that could not be looked at.

    Args:
        share: Its number.
        error: Why.
    """

    share: int
    error: Exception


def packed(value: object) -> bytes:
    """Bytes that `unpacked` turns back; arrays in them can be written afterwards."""
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(text: bytes) -> Any:
    """What `packed` packed. Only for what this driver's own cluster sends: a pickle is code."""
    return pickle.loads(text)  # noqa: S301 (Ray itself runs whatever the cluster sends)


def look_at(job: bytes, share: Share, number: int) -> bytes:
    """The states of one share.

    Args:
        job: A packed `Job`.
        share: What to read.
        number: Of the share.
    """
    try:
        todo: Job = unpacked(job)
        _check_version(todo.version)
        return packed(folded(todo.looks, checked(todo, share)))
    except Exception as error:  # noqa: BLE001 (sent to the driver, which raises it there)
        return packed(Failed(share=number, error=_portable(error)))


def join(job: bytes, one: bytes, other: bytes) -> bytes:
    """The states of two shares as one, the earlier of the two first."""
    first, second = unpacked(one), unpacked(other)
    failed = [answer for answer in (first, second) if isinstance(answer, Failed)]
    if failed:
        return packed(min(failed, key=lambda answer: answer.share))
    try:
        todo: Job = unpacked(job)
        return packed(joined(todo.looks, first, second))
    except Exception as error:  # noqa: BLE001 (sent to the driver, which raises it there)
        return packed(Failed(share=_BEYOND, error=_portable(error)))


def states_of(answer: bytes) -> tuple[Any, ...]:
    """The states in a final answer.

    Raises:
        InterlockError: As the worker raised it.
        Exception: What a detector raised that it should not have.
    """
    found = unpacked(answer)
    if isinstance(found, Failed):
        raise found.error
    states: tuple[Any, ...] = found
    return states


_BEYOND = 2**62
"""Shares that fail by themselves come before two that do not go together."""


def checked(job: Job, share: Share) -> Iterator[Batch]:
    """The batches of a share whose files are, before and after, those that the driver holds."""
    source = share.source
    files = files_of(source, {piece.file for piece in share.pieces})

    def look_again() -> None:
        for file in files:
            check(source.opened.path / file, source.shown(file), job.seals[file])

    look_again()
    yield from share.batches()
    look_again()


def _check_version(driver: str) -> None:
    from interlock.evidence.receipt import own_tool

    here = own_tool().version
    if here != driver:
        raise UsageError(
            f"a worker runs Interlock {here}, this process {driver}",
            where="ray",
            next_step="install one version on every node",
        )


def _portable(error: Exception) -> Exception:
    """`error`, or its words where it cannot travel."""
    if isinstance(error, InterlockError):
        return error
    try:
        unpacked(packed(error))
    except Exception:  # noqa: BLE001 (whatever an exception does when it is pickled)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
