"""The files of a bundle, from a folder or a tar.gz, within limits and without leaving the root."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from interlock.gate.errors import PolicyError

if TYPE_CHECKING:
    import tarfile  # imported where it is used: DAG parsing reads folders only

MAX_FILES = 10_000
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_BYTES = 64 * 1024 * 1024
"""Limits of a whole bundle; ours is under 100 KiB. An archive is measured packed and unpacked."""

MANIFEST = ".manifest"
SIGNATURES = ".signatures.json"
TEST_ENDING = "_test.rego"

_ONLY_OPA = {
    "data.yaml": "write it as data.json",
    "data.yml": "write it as data.json",
    "patch.json": "send whole bundles: a delta bundle is not signed",
    "policy.wasm": "put the rules there as .rego",
    "plan.json": "put the rules there as .rego",
    "plan.pb": "put the rules there as .rego",
    ".manifest.pb": "write it as .manifest, in JSON",
}
"""Names that OPA gives a meaning which is not read here, with what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """One file of a bundle.

    Args:
        path: Relative to the root, with ``/``.
        content: Unverified bytes.
    """

    path: str
    content: bytes


def taking_part(files: Iterable[BundleFile]) -> list[BundleFile]:
    """The files that OPA would load, sorted: ``*.rego``, ``data.json`` and ``.manifest``."""
    return sorted((file for file in files if _belongs(file.path)), key=lambda file: file.path)


def files_of_folder(root: Path, *, whole: bool = False) -> list[BundleFile]:
    """What OPA would load from a folder.

    Args:
        root: The bundle's root.
        whole: Read the other files too, as a signature speaks of them; only ``.git`` is left out.

    Raises:
        PolicyError: A link, a file that cannot be read or that only OPA would load, or a limit passed.
    """
    found: list[BundleFile] = []
    total = 0
    for count, (path, entry) in enumerate(_walk(root, "")):
        if count >= MAX_FILES:
            raise _too_large(str(root), f"more than {MAX_FILES} files")
        _refuse_only_opa(path, str(root))
        if not whole and not _belongs(path):
            continue
        content = _read(Path(entry.path))
        total += len(content)
        if total > MAX_BYTES:
            raise _too_large(str(root), f"more than {MAX_BYTES} bytes")
        found.append(BundleFile(path=path, content=content))
    return found


def file_alone(path: Path) -> list[BundleFile]:
    """A bundle of one Rego file.

    Raises:
        PolicyError: It is a link, cannot be read, or is too large.
    """
    if path.is_symlink():
        raise PolicyError("a bundle holds no links", where=str(path), next_step="put the file itself there")
    return [BundleFile(path=path.name, content=_read(path))]


def archive_bytes(archive: Path) -> bytes:
    """The bytes of a ``bundle.tar.gz``, still packed.

    The path may be a link: whoever sets it may point where it likes, and a mounted ConfigMap is made of links.

    Raises:
        PolicyError: It cannot be read or is too large.
    """
    return _read(archive, limit=MAX_BYTES, links=True)


def files_of_archive(packed: bytes, *, where: str) -> list[BundleFile]:
    """Every file in a ``bundle.tar.gz``.

    Args:
        packed: Unverified bytes.
        where: For messages.

    Raises:
        PolicyError: It is no gzipped tar, holds a link, a device, a path that leaves the root or a file that only OPA
            would load, or passes a limit.
    """
    import gzip
    import io
    import tarfile
    import zlib

    found: dict[str, BundleFile] = {}
    try:
        with gzip.open(io.BytesIO(packed)) as stream:  # to its end: only there gzip says that nothing is cut off
            unpacked = stream.read(MAX_BYTES + 1)
        if len(unpacked) > MAX_BYTES:
            raise _too_large(where, f"more than {MAX_BYTES} bytes unpacked")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
            for count, member in enumerate(tar):
                if count >= MAX_FILES:
                    raise _too_large(where, f"more than {MAX_FILES} files")
                path = _inside(member, where)
                if member.isdir():
                    continue
                _refuse_only_opa(path, where)
                if path in found:
                    raise PolicyError(
                        "two members of one name", where=f"{where}/{path}", next_step="make the archive again"
                    )
                found[path] = BundleFile(path=path, content=_member(tar, member, where))
            if unpacked[tar.offset :].strip(b"\0"):  # Python takes a broken header for the end, and Go does not
                raise PolicyError("a member is broken", where=where, next_step="make the archive again")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise PolicyError(
            f"the bundle cannot be unpacked: {error}", where=where, next_step="make it with `interlock policy bundle`"
        ) from error
    return list(found.values())


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise PolicyError(
            f"a folder of the bundle cannot be read: {error.strerror}", where=str(folder), next_step="check its rights"
        ) from error
    for entry in listed:
        path = prefix + entry.name
        if entry.is_symlink():
            raise PolicyError("a bundle holds no links", where=entry.path, next_step="put the file itself there")
        if entry.is_dir(follow_symlinks=False):
            if entry.name != ".git":
                yield from _walk(Path(entry.path), path + "/")
        elif entry.is_file(follow_symlinks=False):
            yield path, entry
        elif _belongs(path):
            raise PolicyError("a bundle holds only plain files", where=entry.path, next_step="take it away")


def _belongs(path: str) -> bool:
    return path == MANIFEST or PurePosixPath(path).name == "data.json" or path.endswith(".rego")


def _refuse_only_opa(path: str, where: str) -> None:
    """Refuse what OPA would load and we do not: two engines would decide by different policies."""
    name = PurePosixPath(path).name
    if name in _ONLY_OPA:
        what = "data in YAML is" if name.startswith("data.") else f"{name} is"
        raise PolicyError(f"{what} not read here", where=f"{where}/{path}", next_step=_ONLY_OPA[name])
    for only_root in (MANIFEST, SIGNATURES):  # OPA goes by the ending of the whole path
        if path.endswith(only_root) and path != only_root:
            raise PolicyError(
                f"a bundle has one {only_root}, at its root", where=f"{where}/{path}", next_step="take this one away"
            )


def _inside(member: tarfile.TarInfo, where: str) -> str:
    path = PurePosixPath(member.name.removeprefix("/"))  # `opa build` writes the root of the bundle as /
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise PolicyError(
            "a path leaves the bundle", where=f"{where}: {member.name!r}", next_step="do not use this archive"
        )
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise PolicyError(
            "a bundle holds only plain files", where=f"{where}: {member.name!r}", next_step="make the archive again"
        )
    return str(path)


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> bytes:
    if member.size > MAX_FILE_BYTES:
        raise _too_large(where, f"{member.name} has more than {MAX_FILE_BYTES} bytes")
    stream = tar.extractfile(member)
    content = stream.read() if stream is not None else b""
    if len(content) != member.size:
        raise PolicyError("a member is cut off", where=f"{where}: {member.name!r}", next_step="make the archive again")
    return content


def _read(path: Path, *, limit: int = MAX_FILE_BYTES, links: bool = False) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW))
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise PolicyError(
            f"a file of the bundle cannot be read: {error.strerror}", where=str(path), next_step="check its rights"
        ) from error
    if len(content) > limit:
        raise _too_large(str(path), f"more than {limit} bytes")
    return content


def _too_large(where: str, what: str) -> PolicyError:
    return PolicyError(f"the bundle is too large: {what}", where=where, next_step="split it, or take files away")
