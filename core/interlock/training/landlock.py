"""Landlock: the kernel's own access rules, which a process without privileges lays upon itself (landlock(7)).

Decides what each version of the kernel's interface can be asked for, and makes the rules; `launcher` follows them.
Which folders they name is decided by `interlock.training.landlock_sandbox`.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntFlag
from pathlib import Path

_CREATE_RULESET, _ADD_RULE = 444, 445  # the same number on every machine
_CREATE_RULESET_VERSION = 1
_PATH_BENEATH = 1
_NETWORK = 0b11  # LANDLOCK_ACCESS_NET_BIND_TCP and CONNECT_TCP
_SCOPES = 0b11  # LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and SIGNAL


class Access(IntFlag):
    """``LANDLOCK_ACCESS_FS_*`` (linux/landlock.h)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


ALL = Access((1 << 16) - 1)
READ = Access.EXECUTE | Access.READ_FILE | Access.READ_DIR
WRITE = ALL & ~(Access.MAKE_CHAR | Access.MAKE_BLOCK | Access.IOCTL_DEV)
DEVICE = Access.READ_FILE | Access.WRITE_FILE | Access.TRUNCATE | Access.IOCTL_DEV
_OF_A_FILE = Access.EXECUTE | DEVICE
# What came with which version of the interface (Linux 5.13, 5.19, 6.2, 6.7, 6.10, 6.12).
_SINCE = {Access.REFER: 2, Access.TRUNCATE: 3, Access.IOCTL_DEV: 5}
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6


def abi_version() -> int:
    """The version of the kernel's interface; 0 where the kernel has no Landlock, or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)))


def handled(abi: int) -> Access:
    """Every right on files that version `abi` can take away."""
    taken = ALL
    for access, since in _SINCE.items():
        if abi < since:
            taken &= ~access
    return taken


@contextmanager
def ruleset(allowed: Iterable[tuple[Path, Access]], *, abi: int) -> Iterator[int]:
    """Rules that refuse every right on files that is not in `allowed`, TCP, and signals and sockets' names outwards.

    Args:
        allowed: Files and folders, with everything below them, and the rights on them; what is not there is passed
            over.
        abi: Version of the interface to make use of, at most the kernel's.

    Yields:
        Descriptor of the rules, for ``landlock_restrict_self``.

    Raises:
        OSError: The kernel does not take them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    words: list[int] = [handled(abi)]
    words += [_NETWORK] if abi >= _NETWORK_SINCE else []
    words += [_SCOPES] if abi >= _SCOPES_SINCE else []
    attributes = struct.pack(f"={len(words)}Q", *words)
    descriptor = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if descriptor < 0:
        raise _refused("Landlock rules cannot be made")
    try:
        for path, access in allowed:
            _allow(libc, descriptor, path, access & handled(abi))
        yield descriptor
    finally:
        os.close(descriptor)


def _allow(libc: ctypes.CDLL, descriptor: int, path: Path, access: Access) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not path.is_dir():
            access &= _OF_A_FILE
        # struct landlock_path_beneath_attr, packed.
        rule = struct.pack("=Qi", access, place)
        if libc.syscall(_ADD_RULE, descriptor, _PATH_BENEATH, rule, 0) != 0:
            raise _refused(f"no Landlock rule can be made for {path}")
    finally:
        os.close(place)


def _refused(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
