"""Says in words what a system call of a job was at: reads its paths and addresses from the job's memory.

Everything read here is the job's word at the moment of reading, and no decision rests on it.
"""

from __future__ import annotations

import errno
import os
import posixpath
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from interlock.training.refusals import Kind

_PATH_MAX = 4096
_PAGE = 4096
_AT_FDCWD = -100
_HERE: None = None

ORDINARY = frozenset({"connect unix /var/run/nscd/socket"})
"""What the C library tries by itself, in words; it is no attempt of the code's."""

# Which arguments of a call are a path, each after the argument that says what a relative one is relative to.
_PATHS: dict[str, tuple[tuple[int | None, int], ...]] = {
    **dict.fromkeys(("chmod", "chown", "creat", "lchown", "mkdir", "mknod", "open"), ((_HERE, 0),)),
    **dict.fromkeys(("rmdir", "truncate", "unlink", "utime", "utimes"), ((_HERE, 0),)),
    **dict.fromkeys(("fchmodat", "fchmodat2", "fchownat", "futimesat", "mkdirat", "mknodat", "openat"), ((0, 1),)),
    **dict.fromkeys(("unlinkat", "utimensat", "file_setattr"), ((0, 1),)),
    **dict.fromkeys(("link", "rename"), ((_HERE, 0), (_HERE, 1))),
    **dict.fromkeys(("linkat", "renameat", "renameat2"), ((0, 1), (2, 3))),
    "symlink": ((_HERE, 1),),
    "symlinkat": ((1, 2),),
}
_DESCRIPTORS = {"fchmod": 0, "fchown": 0}
_ADDRESSES = {"connect": (1, 2), "bind": (1, 2), "sendto": (4, 5)}
# Calls whose first telling argument is a number, by its place.
_NUMBERS = {"clone": 0, "ioctl": 1, "personality": 0, "ptrace": 0, "unshare": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A call that waits for its answer.

    Args:
        pid: The process or thread, as this process numbers it.
        call: Name of the system call.
        arguments: Six unsigned numbers.
    """

    pid: int
    call: str
    arguments: tuple[int, ...]

    def text(self, address: int) -> str:
        """The path at `address`.

        Raises:
            OSError: It cannot be read.
        """
        found = b""
        while b"\0" not in found and len(found) < _PATH_MAX:
            found += self.bytes(address + len(found), _PAGE - (address + len(found)) % _PAGE)
        return os.fsdecode(found.partition(b"\0")[0])

    def bytes(self, address: int, count: int) -> bytes:
        """`count` bytes at `address`.

        Raises:
            OSError: They cannot be read.
        """
        if address >> 63:
            raise OSError(errno.EFAULT, "no memory of a program lies there")
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            found = memory.read(count)
        if not found:
            raise OSError(errno.EFAULT, "no memory there")
        return found

    def folder(self, argument: int | None) -> str:
        """What a relative path is relative to, by a path in /proc that leads there."""
        if argument is None or signed(self.arguments[argument]) == _AT_FDCWD:
            return f"/proc/{self.pid}/cwd"
        return self.descriptor(argument)

    def descriptor(self, argument: int) -> str:
        """A path in /proc that leads to the open file that an argument names."""
        return f"/proc/{self.pid}/fd/{signed(self.arguments[argument])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A call in words.

    Args:
        what: Unverified text.
        outside: Whether it was at something outside of what the job may write or reach; False when that cannot be told.
    """

    what: str
    outside: bool


def describe(caller: Caller, kind: Kind, writable: Sequence[str]) -> Described:
    """Put `caller` into words.

    Args:
        caller: Whose call it is.
        kind: What a refusal of it counts as.
        writable: Folders and files that may be written, as the job sees them.
    """
    call = caller.call
    try:
        if call in _PATHS or call in _DESCRIPTORS:
            paths = _paths(caller)
            outside = any(not below(path, writable) for path in paths)
            return Described(what=f"{call} {' -> '.join(paths)}", outside=outside)
        if call in _ADDRESSES:
            return _address(caller)
    except (OSError, ValueError, struct.error):
        return Described(what=call, outside=False)
    if call in ("socket", "socketpair"):
        return Described(what=f"{call} {_family(caller.arguments)}", outside=True)
    number = f" {caller.arguments[_NUMBERS[call]] & 0xFFFFFFFF:#x}" if call in _NUMBERS else ""
    return Described(what=f"{call}{number}", outside=kind is not Kind.FILE)


def signed(value: int) -> int:
    """An argument that the kernel reads as int."""
    return (value & 0xFFFFFFFF) - ((value & 0x80000000) << 1)


def _paths(caller: Caller) -> list[str]:
    if caller.call in _DESCRIPTORS:
        return [os.fspath(Path(caller.descriptor(_DESCRIPTORS[caller.call])).readlink())]
    found = []
    for base, place in _PATHS[caller.call]:
        address = caller.arguments[place]
        path = caller.text(address) if address else ""
        if not path.startswith("/"):
            path = posixpath.join(Path(caller.folder(base)).readlink(), path)
        # By its name only: what a link in it leads to is the job's business, and for the report alone.
        found.append(posixpath.normpath(path))
    return found


def below(path: str, folders: Sequence[str]) -> bool:
    """Whether `path` is one of `folders` or lies in one, by its name."""
    return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _address(caller: Caller) -> Described:
    place, size = _ADDRESSES[caller.call]
    raw = caller.bytes(caller.arguments[place], min(caller.arguments[size] & 0xFFFFFFFF, 128))
    family = int.from_bytes(raw[:2], "little")
    if family == socket.AF_UNIX:
        abstract = raw[2:3] == b"\0"
        name = ("@" if abstract else "") + os.fsdecode(raw[3 if abstract else 2 :].partition(b"\0")[0])
        return Described(what=f"{caller.call} unix {name}", outside=False)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return Described(what=f"{caller.call} family {family}", outside=False)
    port = int.from_bytes(raw[2:4], "big")
    host = ip_address(raw[4:8] if family == socket.AF_INET else raw[8:24])
    shown = f"[{host}]" if host.version == 6 else str(host)
    return Described(what=f"{caller.call} {shown}:{port}", outside=not _own(host))


def _own(host: IPv4Address | IPv6Address) -> bool:
    """Loopback, by either of its names and by "any", which connects to it."""
    inner = host.ipv4_mapped if isinstance(host, IPv6Address) and host.ipv4_mapped else host
    return inner.is_loopback or inner.is_unspecified


def _family(arguments: Sequence[int]) -> str:
    family, kind = signed(arguments[0]), arguments[1] & 0xF
    try:
        name = socket.AddressFamily(family).name
    except ValueError:
        name = f"family {family}"
    kinds = {known.value: known.name for known in socket.SocketKind}
    return f"{name} {kinds.get(kind, kind)}"
