"""Files and folders of this machine, read so that nothing can be slipped in between listing and opening.

A file is opened without following links, from the root's own descriptor, one path component at a time, and looked at
again once it is open; links, devices, FIFOs and sockets are refused.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from interlock.evidence.listing import Listing, Reader, SnapshotLimits, Tally, changed_while_read, checked_path
from interlock.gate.errors import SubjectError, SubjectNotFoundError, UnsafeSubjectError

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalSource:
    """A file or folder of this machine, held by a descriptor of its root."""

    def __init__(self, path: Path) -> None:
        """Open the root without following it.

        Raises:
            SubjectError: Missing, unreadable, a link, a device or a FIFO.
        """
        self.name = checked_path(path.name, str(path)) if path.name else "root"
        self.uri = path.absolute().as_uri()
        self.workers = min(8, os.cpu_count() or 1)
        self._path = path
        with _os_errors(str(path)):
            _refuse_unless_plain(os.lstat(path).st_mode, str(path))
            self._root = os.open(path, _OPEN)
        try:
            self._single = stat.S_ISREG(_refuse_unless_plain(os.fstat(self._root).st_mode, str(path)))
        except BaseException:
            os.close(self._root)
            raise

    def __enter__(self) -> LocalSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._root)

    def listing(self, limits: SnapshotLimits) -> Listing:
        """List the tree; see `Source`."""
        tally = Tally(limits, str(self._path))
        if self._single:
            tally.add("", os.fstat(self._root).st_size)
            return Listing(single_file=True, files=tuple(tally.files))
        folders = [""]
        while folders:
            folders += self._list_folder(folders.pop(), tally, limits)
        return Listing(single_file=False, files=tuple(tally.files))

    def _list_folder(self, folder: str, tally: Tally, limits: SnapshotLimits) -> list[str]:
        where = str(self._path / folder)
        inside: list[str] = []
        with _os_errors(where), self._beneath(folder, os.O_DIRECTORY) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(_refuse_unless_plain(found.st_mode, str(self._path / path))):
                    tally.add(path, found.st_size)
                    continue
                inside.append(checked_path(path, str(self._path)))
                if path.count("/") + 1 > limits.depth:
                    raise UnsafeSubjectError(f"folders are nested deeper than {limits.depth}", where=where)
        return inside

    @contextmanager
    def open(self, path: str) -> Iterator[Reader]:
        """Open one file from the root's descriptor; see `Source`."""
        where = str(self._path / path)
        with _os_errors(where), self._beneath(path, 0) as descriptor:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(_refuse_unless_plain(before.st_mode, where)):
                raise SubjectError("a file became a folder while it was read", where=where)
            with open(descriptor, "rb", buffering=0, closefd=False) as stream:
                yield stream
            after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise changed_while_read(where)

    @contextmanager
    def _beneath(self, path: str, flags: int) -> Iterator[int]:
        """A descriptor of `path`, reached from the root without following a link in any component."""
        descriptor = self._root if path else os.dup(self._root)
        try:
            parts = path.split("/") if path else []
            for place, part in enumerate(parts, start=1):
                outer = descriptor
                descriptor = os.open(part, _OPEN | (flags if place == len(parts) else os.O_DIRECTORY), dir_fd=outer)
                if outer != self._root:
                    os.close(outer)
            if not path and self._single:
                os.lseek(descriptor, 0, os.SEEK_SET)
            yield descriptor
        finally:
            if descriptor != self._root:
                os.close(descriptor)


@contextmanager
def _os_errors(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise _unsafe("a link or device took the place of a file", where) from error
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            raise SubjectNotFoundError("nothing is there", where=where) from error
        raise SubjectError(f"cannot be read: {error.strerror}", where=where) from error


def _refuse_unless_plain(mode: int, where: str) -> int:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return mode
    kinds = {stat.S_IFLNK: "a symlink", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    raise _unsafe(f"{kinds.get(stat.S_IFMT(mode), 'a device')} is neither file nor folder", where)


def _unsafe(what: str, where: str) -> UnsafeSubjectError:
    return UnsafeSubjectError(what, where=where, next_step="put the bytes themselves there")
