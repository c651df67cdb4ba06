"""Bytes handed to another process by a descriptor: in memory, sealed, gone when nobody has it open any more."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from interlock.training.events import MEMORY

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@contextmanager
def descriptors(texts: Mapping[str, bytes]) -> Iterator[dict[str, int]]:
    """Each value as a descriptor that another process can read and nobody can write (memfd_create(2), file seals).

    Args:
        texts: By any names.

    Yields:
        The descriptors by the same names, placed at the beginning; closed here when the context ends.
    """
    opened: dict[str, int] = {}
    try:
        for name, text in texts.items():
            opened[name] = os.memfd_create(MEMORY, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            with open(opened[name], "wb", closefd=False) as stream:
                stream.write(text)
            os.lseek(opened[name], 0, os.SEEK_SET)
            fcntl.fcntl(opened[name], fcntl.F_ADD_SEALS, _SEALS)
        yield opened
    finally:
        for descriptor in opened.values():
            os.close(descriptor)
