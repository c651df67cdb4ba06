"""What holds the bytes of tensors: opened while one is read, so that a model of many files needs few open ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from interlock.artifacts.containers.zip_container import Member, ZipStructureError, content
from interlock.artifacts.limits import Budget, LimitPassedError
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer, hold, open_bytes

_MAPPED: Final = 1
"""Files of more bytes are mapped, so that no tensor is held in memory."""


class Holder(Protocol):
    """Gives the bytes that offsets of tensors count in."""

    def opened(self) -> AbstractContextManager[Buffer]:
        """Unverified bytes, as long as the context lasts.

        Raises:
            SubjectError: The file cannot be read.
            LimitPassedError: The bytes cannot be expanded.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """Bytes that somebody else holds open for longer than the tensors are read."""

    data: Buffer = field(repr=False)

    def opened(self) -> AbstractContextManager[Buffer]:
        """See `Holder.opened`."""
        return nullcontext(self.data)


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file of the subject, opened each time."""

    file: Path

    def opened(self) -> AbstractContextManager[Buffer]:
        """See `Holder.opened`."""
        return open_bytes(self.file, small=_MAPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandedMember:
    """A compressed member of a zip, expanded each time.

    Args:
        archive: Holds the zip.
        member: Of it.
        budget: What may be spent.
    """

    archive: Holder
    member: Member
    budget: Budget = field(repr=False)

    @contextmanager
    def opened(self) -> Iterator[Buffer]:
        """See `Holder.opened`."""
        with self.archive.opened() as data:
            chunks = content(data, self.member, Record(self.budget))
            try:
                with hold(chunks, most=self.budget.limits.expanded_bytes) as expanded:
                    yield expanded
            except ZipStructureError as error:
                raise LimitPassedError(f"it cannot be expanded: {error}") from error
