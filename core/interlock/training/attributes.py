"""Changes rights and times of a job's own files on its behalf, where Landlock cannot tell them from other files.

Landlock does not restrict chmod(2) and utimensat(2) (landlock(7), "Current limitations"), so the filter refuses them,
and they are done here if the file lies in a folder that the job may write. It is opened first, and what is judged and
changed is the opened file, so that nothing the job does meanwhile makes a difference.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from interlock.training.attempts import Caller, below

_AT_SYMLINK_NOFOLLOW = 0x100
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_TIMES = struct.Struct("=4q")  # struct timespec[2]
_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
# For each call: the arguments that are folder, path, what to set, and flags.
_ARGUMENTS: dict[str, tuple[int | None, int | None, int, int | None]] = {
    "chmod": (None, 0, 1, None),
    "fchmod": (0, None, 1, None),
    "fchmodat": (0, 1, 2, None),
    "fchmodat2": (0, 1, 2, 3),
    "utimensat": (0, 1, 2, 3),
}


def change(caller: Caller, writable: Sequence[str]) -> int:
    """Do `caller`'s call if it may be done.

    Args:
        caller: Whose call it is.
        writable: Real paths of the folders that the job may write.

    Returns:
        0, or the error's number.

    Raises:
        OSError: The file is not there, or its rights cannot be changed.
    """
    folder, path, setting, flags = _ARGUMENTS[caller.call]
    follow = flags is None or not caller.arguments[flags] & _AT_SYMLINK_NOFOLLOW
    place = _opened(caller, folder, path, follow=follow)
    try:
        itself = f"/proc/self/fd/{place}"
        if not below(os.fspath(Path(itself).readlink()), writable):
            return errno.EPERM
        if caller.call == "utimensat":
            return _set_times(caller, caller.arguments[setting], itself)
        mode = caller.arguments[setting] & 0o7777
        if mode & _SPECIAL:
            return errno.EPERM
        Path(itself).chmod(mode)
        return 0
    finally:
        os.close(place)


def _opened(caller: Caller, folder: int | None, path: int | None, *, follow: bool) -> int:
    """The file that a call is about, opened for no more than its name (O_PATH)."""
    flags = os.O_PATH | os.O_CLOEXEC
    if folder is not None and (path is None or not caller.arguments[path]):
        return os.open(caller.descriptor(folder), flags)
    name = caller.text(caller.arguments[path or 0])
    place = name if name.startswith("/") else f"{caller.folder(folder)}/{name}"
    return os.open(place, flags if follow else flags | os.O_NOFOLLOW)


def _set_times(caller: Caller, address: int, itself: str) -> int:
    if not address:
        os.utime(itself)
        return 0
    values = _TIMES.unpack(caller.bytes(address, _TIMES.size))
    now, known = time.time_ns(), Path(itself).stat()
    wanted = []
    for seconds, fraction, kept in zip(values[::2], values[1::2], (known.st_atime_ns, known.st_mtime_ns), strict=True):
        special = {_UTIME_NOW: now, _UTIME_OMIT: kept}
        wanted.append(special.get(fraction, seconds * 10**9 + fraction))
    os.utime(itself, ns=(wanted[0], wanted[1]))
    return 0
