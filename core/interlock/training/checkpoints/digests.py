"""sha256 of bytes on their way: counted beside the reading and the writing, on a processor of its own."""

from __future__ import annotations

import hashlib
from queue import SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType

_WAITING = 8
"""Pieces that may wait, so that tensors on their way from an accelerator do not fill the memory."""

_LARGE = 1 << 20


class RunningDigest:
    """Counts what it is fed; from the first large piece on in a thread, which hashlib lets run beside Python."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pieces: SimpleQueue[memoryview | None] = SimpleQueue()
        self._room = Semaphore(_WAITING)
        self._thread: Thread | None = None

    def __enter__(self) -> RunningDigest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()

    def feed(self, piece: memoryview) -> None:
        """Take the next bytes; they must not change any more."""
        if self._thread is None and len(piece) < _LARGE:
            self._hash.update(piece)
            return
        if self._thread is None:
            self._thread = Thread(target=self._count, name="interlock-digest", daemon=True)
            self._thread.start()
        self._room.acquire()
        self._pieces.put(piece)

    def hexdigest(self) -> str:
        """The digest, once the context has ended."""
        return self._hash.hexdigest()

    def _count(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)
            self._room.release()
