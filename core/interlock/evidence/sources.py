"""Where a subject's bytes come from: a local file or folder, or an object store behind fsspec."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from interlock.evidence.listing import Source
from interlock.evidence.local import LocalSource
from interlock.evidence.remote import RemoteSource
from interlock.gate.errors import UsageError


def open_source(uri: str) -> Source:
    """Open the subject at `uri`: a path, ``file://``, ``s3://``, ``gs://`` or ``memory://``.

    Raises:
        UsageError: The URL's scheme is not one that a subject may name, or it carries credentials.
        MissingExtraError: The package behind the scheme is not installed.
        SubjectError: Missing, unreadable or unsafe.
    """
    path = local_path(uri)
    return LocalSource(path) if path is not None else RemoteSource(uri)


def local_path(uri: str) -> Path | None:
    """The local path that `uri` names, or None when it names a remote place.

    Raises:
        UsageError: Empty, or a ``file://`` URL with a host.
    """
    if not uri or "\0" in uri:
        raise UsageError("a subject needs a path or URL", where=repr(uri))
    if uri.startswith("file://"):
        path = unquote(uri.removeprefix("file://").removeprefix("localhost"))  # RFC 8089 section 2
        if not path.startswith("/"):
            raise UsageError("a file URL names an absolute path and no host", where=uri, next_step="use file:///...")
        return Path(path)
    if "://" in uri or "::" in uri:
        return None
    return Path(uri).expanduser().absolute()
