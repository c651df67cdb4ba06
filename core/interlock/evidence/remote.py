"""Object stores behind fsspec: S3, Google Cloud Storage, and memory for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any

from interlock.evidence.listing import Listing, Reader, SnapshotLimits, Tally, checked_path
from interlock.gate.errors import (
    InterlockError,
    MissingExtraError,
    SubjectError,
    SubjectNotFoundError,
    UnavailableError,
    UnsafeSubjectError,
    UsageError,
)

REMOTE = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs"), "memory": None}
"""fsspec protocols that a subject may name, with the package and the extra that bring them.

Everything else is refused: a pipeline's author may say *what* is checked, and fsspec's chained and computed protocols
(``zip::``, ``reference://``, ``generic://``) would let that text reach files and hosts nobody meant.
"""


class RemoteSource:
    """A file or prefix of an object store, through fsspec."""

    workers = 8

    def __init__(self, uri: str) -> None:
        """Find the file system behind `uri`; nothing is read yet.

        Raises:
            UsageError: The scheme is not one that a subject may name, or the URL carries credentials.
            MissingExtraError: The package behind the scheme is not installed.
        """
        self.uri = uri
        self._fs = remote_filesystem(uri)
        self._root: str = str(self._fs._strip_protocol(uri)).rstrip("/")  # noqa: SLF001 - fsspec's documented idiom
        last = self._root.rpartition("/")[2]
        self.name = checked_path(last, uri) if last else "root"

    def __enter__(self) -> RemoteSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close: fsspec keeps one session per process."""

    def listing(self, limits: SnapshotLimits) -> Listing:
        """List all objects below the prefix; see `Source`."""
        tally = Tally(limits, self.uri)
        with remote_errors(self.uri):
            # A listing remembered from before a swap would hide the swap.
            self._fs.invalidate_cache()
            about = self._fs.info(self._root)
            if about["type"] == "file" and not self.uri.endswith("/"):
                tally.add("", int(about["size"]))
                return Listing(single_file=True, files=tuple(tally.files))
            found: dict[str, dict[str, Any]] = self._fs.find(self._root, detail=True)
        for key, entry in found.items():
            if entry["type"] != "file":
                raise UnsafeSubjectError(f"a {entry['type']} is neither file nor folder", where=f"{self.uri}: {key}")
            if not (key.endswith("/") and not entry["size"]):  # a console's placeholder for an empty folder
                tally.add(self._relative(key), int(entry["size"]))
        _refuse_file_that_is_also_folder({listed.path for listed in tally.files}, self.uri)
        if not tally.files:
            raise SubjectNotFoundError("nothing is there", where=self.uri)
        return Listing(single_file=False, files=tuple(tally.files))

    def _relative(self, key: str) -> str:
        prefix = f"{self._root}/"
        if not key.startswith(prefix):
            raise UnsafeSubjectError("a path leaves its root", where=f"{self.uri}: {key!r}")
        return key.removeprefix(prefix)

    @contextmanager
    def open(self, path: str) -> Iterator[Reader]:
        """Open one object; see `Source`."""
        key = f"{self._root}/{path}" if path else self._root
        with remote_errors(f"{self.uri}: {path}" if path else self.uri), self._fs.open(key, "rb") as stream:
            yield stream


def remote_filesystem(uri: str) -> Any:
    """The fsspec file system behind `uri`, set up by fsspec's own configuration (files and ``FSSPEC_*`` variables).

    Raises:
        UsageError: The scheme is not one that a subject may name, or the URL carries credentials.
        MissingExtraError: The package behind the scheme is not installed.
    """
    scheme, _, rest = uri.partition("://")
    if scheme not in REMOTE:
        known = ", ".join(f"{name}://" for name in REMOTE)
        raise UsageError(f"no subject is read from {scheme!r}", where=uri, next_step=f"use a path, file://, {known}")
    if "@" in rest.partition("/")[0]:
        raise UsageError(
            "a subject's URL carries credentials", where=f"{scheme}://...", next_step="put them in fsspec's config"
        )
    import fsspec  # type: ignore[import-untyped]  # no stubs are published

    needs = REMOTE[scheme]
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        package, extra = needs if needs is not None else ("fsspec", "all")
        raise MissingExtraError(package, extra=extra) from error


@contextmanager
def remote_errors(where: str) -> Iterator[None]:
    """Turn what a storage back end raises into the tree of `interlock.gate.errors`."""
    try:
        yield
    except InterlockError:
        raise
    except FileNotFoundError as error:
        raise SubjectNotFoundError("nothing is there", where=where) from error
    except PermissionError as error:
        raise SubjectError(
            "may not be read", where=where, next_step="give this identity read access to that place"
        ) from error
    except Exception as error:
        # The plug-in boundary: s3fs, gcsfs and what they stand on raise their own families of errors.
        raise UnavailableError(
            f"the storage did not answer: {type(error).__name__}: {error}",
            where=where,
            next_step="check endpoint, credentials and network, then try again",
        ) from error


def _refuse_file_that_is_also_folder(paths: set[str], uri: str) -> None:
    """An object store allows both ``a`` and ``a/b``; a held copy cannot, so one of them would go unseen."""
    for path in paths:
        for parent in PurePosixPath(path).parents:
            if str(parent) in paths:
                raise UnsafeSubjectError("a name is both file and folder", where=f"{uri}: {parent}")
