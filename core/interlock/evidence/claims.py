"""Temporary folders that a crash cannot leave behind for good, and that nobody sweeps away from a living owner.

A claim is a folder with a lock file beside it. The owner holds an exclusive ``flock`` on the lock file for as long as
it lives; the kernel lets go of it however the process ends, so "can be locked" means "the owner is gone" - where a
process id could have been taken over by another process and an age could be wrong.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK_SUFFIX = ".lock"


@contextmanager
def claimed(parent: Path, prefix: str) -> Iterator[Path]:
    """A fresh private folder below `parent`; gone when the context ends, or swept by the next claim after a crash.

    Args:
        parent: Existing folder.
        prefix: What the names of such folders start with; only those are swept.
    """
    sweep(parent, prefix)
    folder = parent / f"{prefix}{os.getpid()}-{secrets.token_hex(8)}"
    lock = folder.with_name(folder.name + _LOCK_SUFFIX)
    with locked(lock):
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            remove_tree(folder)
            lock.unlink(missing_ok=True)


def sweep(parent: Path, prefix: str) -> None:
    """Remove the claims below `parent` whose owners are gone."""
    with os.scandir(parent) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix) and e.name.endswith(_LOCK_SUFFIX)]
    for name in names:
        with suppress(BlockingIOError, FileNotFoundError), locked(parent / name, create=False, wait=False):
            remove_tree(parent / name.removesuffix(_LOCK_SUFFIX))
            (parent / name).unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, shared: bool = False, create: bool = True, wait: bool = True) -> Iterator[None]:
    """Hold a lock on the file at `path`.

    Args:
        path: Lock file; must not be a link.
        shared: Whether others may hold it too, shared.
        create: Whether to make it when it is not there.
        wait: Whether to wait for whoever holds it.

    Raises:
        BlockingIOError: Somebody holds it, and `wait` is false.
        FileNotFoundError: It is not there, and `create` is false.
    """
    descriptor = _lock(path, shared=shared, create=create, wait=wait)
    try:
        yield
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a file or folder, read-only folders included; nothing happens when it is not there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path)


def _lock(path: Path, *, shared: bool, create: bool, wait: bool) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, how)
            if _still_there(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody removed the file between our opening and our locking: start over


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
