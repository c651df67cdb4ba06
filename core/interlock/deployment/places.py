"""Where a registry lies: a local folder or an object store. Small files are replaced whole; one promotion at a time.

On a local disk a lock file per model keeps promotions apart and a rename replaces an alias. An object store offers
neither; there one PUT replaces an alias, and of two promotions at the same moment the later one stands.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from interlock.gate import SubjectNotFoundError, UnavailableError
from interlock.gate.durable import sync


class Place(Protocol):
    """A folder of small files, seen from the registry's root."""

    def uri(self, path: str) -> str:
        """`path` as `interlock.evidence` opens it."""
        ...

    def read(self, path: str) -> bytes | None:
        """The file's bytes, or None when it is not there."""
        ...

    def replace(self, path: str, content: bytes) -> None:
        """Put `content` there, whole or not at all, durably."""
        ...

    def protect(self, path: str) -> None:
        """Take away the right to write the files below `path`, where there is such a thing."""
        ...

    def alone(self, path: str) -> AbstractContextManager[None]:
        """Keep others out of `path`, where that can be done."""
        ...


class LocalPlace:
    """A folder of this machine.

    Args:
        root: Made when it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def uri(self, path: str) -> str:
        """The absolute path."""
        return os.fspath(self._root / path)

    def read(self, path: str) -> bytes | None:
        """The file's bytes, or None when it is not there."""
        with _errors(self.uri(path)):
            try:
                return (self._root / path).read_bytes()
            except FileNotFoundError:
                return None

    def replace(self, path: str, content: bytes) -> None:
        """Write beside, make durable, rename, make the rename durable."""
        target = self._root / path
        unfinished = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        with _errors(os.fspath(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("xb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
            sync(target.parent)

    def protect(self, path: str) -> None:
        """Mode 0444 for files; folders stay writable by their owner, who may have to move them."""
        with _errors(self.uri(path)):
            for folder, _, files in os.walk(self._root / path):
                for name in files:
                    Path(folder, name).chmod(0o444)

    @contextmanager
    def alone(self, path: str) -> Iterator[None]:
        """Hold the lock file of `path`; the kernel lets go of it when this process ends, however it ends."""
        from interlock.evidence.claims import locked

        lock = self._root / path / ".lock"
        with ExitStack() as stack:
            with _errors(os.fspath(lock)):
                lock.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(lock))
            yield


class RemotePlace:
    """A prefix of an object store.

    Args:
        root: URL with a scheme that `interlock.evidence` knows.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    def uri(self, path: str) -> str:
        """The URL."""
        return f"{self._root}/{path}"

    def read(self, path: str) -> bytes | None:
        """The object's bytes, or None when it is not there."""
        from interlock.evidence.remote import remote_errors, remote_filesystem

        try:
            with remote_errors(self.uri(path)):
                content: bytes = remote_filesystem(self._root).cat_file(self.uri(path))
        except SubjectNotFoundError:
            return None
        return content

    def replace(self, path: str, content: bytes) -> None:
        """One PUT, which an object store makes whole or not at all."""
        from interlock.evidence.remote import remote_errors, remote_filesystem

        with remote_errors(self.uri(path)):
            remote_filesystem(self._root).pipe_file(self.uri(path), content)

    def protect(self, path: str) -> None:
        """Nothing: object locks and bucket policies are the store's own."""

    def alone(self, path: str) -> AbstractContextManager[None]:  # noqa: ARG002 (the protocol's)
        """Nobody can be kept out; see the module."""
        return nullcontext()


@contextmanager
def _errors(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"the registry cannot be used: {error.strerror}", where=where, next_step="check its space and rights"
        ) from error
