"""The files of a bundle, from a folder or a tar.gz, within limits and without leaving the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from interlock.gate.errors import PolicyError

if TYPE_CHECKING:
    import tarfile  # imported where it is used: DAG parsing reads folders only

MAX_FILES = 10_000
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_BYTES = 64 * 1024 * 1024
"""Limits of a whole bundle; ours is under 100 KiB. An archive is measured unpacked."""

_YAML = ("data.yaml", "data.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """One file that OPA would load from a bundle.

    Args:
        path: Relative to the root, with ``/``.
        content: Unverified bytes.
    """

    path: str
    content: bytes


def files_of_folder(root: Path, *, only: str = "") -> list[BundleFile]:
    """What OPA would load from a folder: ``*.rego``, ``data.json`` and ``.manifest``.

    Args:
        root: The bundle's root.
        only: A single file name to take, for a bundle of one rule.

    Raises:
        PolicyError: A link, a file that cannot be read, or a limit passed.
    """
    found: list[BundleFile] = []
    total = 0
    for count, (path, entry) in enumerate(_walk(root, "")):
        if count >= MAX_FILES:
            raise _too_large(root, f"more than {MAX_FILES} files")
        if (only and path != only) or not _belongs(path, root):
            continue
        content = _read(Path(entry.path))
        total += len(content)
        if total > MAX_BYTES:
            raise _too_large(root, f"more than {MAX_BYTES} bytes")
        found.append(BundleFile(path=path, content=content))
    return found


def files_of_archive(archive: Path) -> list[BundleFile]:
    """What OPA would load from a ``bundle.tar.gz``.

    Raises:
        PolicyError: It is no gzipped tar, holds a link, a device or a path that leaves the root, or passes a limit.
    """
    import gzip
    import io
    import tarfile
    import zlib

    found: dict[str, BundleFile] = {}
    try:
        with gzip.open(archive) as packed:  # to its end: only there gzip says that nothing is cut off or changed
            unpacked = packed.read(MAX_BYTES + 1)
        if len(unpacked) > MAX_BYTES:
            raise _too_large(archive, f"more than {MAX_BYTES} bytes unpacked")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
            for count, member in enumerate(tar):
                if count >= MAX_FILES:
                    raise _too_large(archive, f"more than {MAX_FILES} files")
                path = _inside(member, archive)
                if member.isdir() or not _belongs(path, archive):
                    continue
                if path in found:
                    raise PolicyError("two members of one name", where=f"{archive}/{path}")
                found[path] = BundleFile(path=path, content=_member(tar, member, archive))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise PolicyError(
            f"the bundle cannot be unpacked: {error}", where=str(archive), next_step="make it with `tar -czf`"
        ) from error
    return list(found.values())


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise PolicyError(f"a folder of the bundle cannot be read: {error.strerror}", where=str(folder)) from error
    for entry in listed:
        path = prefix + entry.name
        if entry.is_symlink():
            raise PolicyError("a bundle holds no links", where=entry.path, next_step="put the file itself there")
        if entry.is_dir(follow_symlinks=False):
            if entry.name != ".git":
                yield from _walk(Path(entry.path), path + "/")
        elif entry.is_file(follow_symlinks=False):
            yield path, entry
        elif _belongs(path, folder):
            raise PolicyError("a bundle holds only plain files", where=entry.path)


def _belongs(path: str, root: Path) -> bool:
    """Whether OPA would load the file; a file that only OPA would load is refused rather than left out."""
    name = PurePosixPath(path).name
    if name in _YAML:
        raise PolicyError("data in YAML is not read here", where=f"{root}/{path}", next_step="write it as data.json")
    return path == ".manifest" or name == "data.json" or name.endswith(".rego")


def _inside(member: tarfile.TarInfo, archive: Path) -> str:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise PolicyError("a path leaves the bundle", where=f"{archive}: {member.name!r}")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise PolicyError("a bundle holds only plain files", where=f"{archive}: {member.name!r}")
    return str(path)


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> bytes:
    if member.size > MAX_FILE_BYTES:
        raise _too_large(archive, f"{member.name} has more than {MAX_FILE_BYTES} bytes")
    stream = tar.extractfile(member)
    content = stream.read() if stream is not None else b""
    if len(content) != member.size:
        raise PolicyError("a member is cut off", where=f"{archive}: {member.name!r}")
    return content


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"a file of the bundle cannot be read: {error.strerror}", where=str(path)) from error
    if len(content) > MAX_FILE_BYTES:
        raise _too_large(path, f"more than {MAX_FILE_BYTES} bytes")
    return content


def _too_large(where: Path, what: str) -> PolicyError:
    return PolicyError(f"the bundle is too large: {what}", where=str(where))
