"""The private folder that Airflow imports from: a copy of the verified bytes, named by what is in it.

Airflow opens files by path, some time after they were verified. So what was verified is written to a folder that only
this Unix user writes to, and `path` points there: whatever happens to the source afterwards, what is imported is what
was verified. A folder that is there already is compared with what was just verified, byte for byte, before it is used
again; bytecode that Python left in it is thrown away, since nobody verified that.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interlock.airflow_plugin.bundles.admission import Offered
from interlock.gate.documents import canonical_json
from interlock.gate.errors import SettingsError, UnavailableError

_LOG = logging.getLogger(__name__)

_BYTECODE = "__pycache__"
_STAGING = ".staging-"
_NEXT = "set `[dag_processor] dag_bundle_storage_path` to a folder that only Airflow's user may write to"


class Staging:
    """A folder that is being filled; nobody imports from it yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, str] = {}

    @property
    def files(self) -> dict[str, str]:
        """sha256 of each written file by its path."""
        return dict(self._written)

    @property
    def digest(self) -> str:
        """sha256 over paths and bytes: the same files have the same digest wherever they came from."""
        return hashlib.sha256(canonical_json(self._written)).hexdigest()

    def write(self, offered: Offered) -> None:
        """Write one file, read-only.

        Args:
            offered: Its path was checked: it stays below the root.

        Raises:
            UnavailableError: There is no room, or it collides with another file.
        """
        place = self.folder / offered.path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o444)
            with os.fdopen(descriptor, "wb") as file:
                file.write(offered.content)
        except OSError as error:
            raise UnavailableError(
                f"a verified copy cannot be written: {error.strerror}", where=str(place), next_step="make room"
            ) from error
        self._written[offered.path] = offered.digest


class Snapshots:
    """The snapshot folders below one root; callers hold the bundle's lock while they settle or prune.

    Args:
        root: Folder of this bundle's own; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        """A fresh folder to be filled and then settled; what is left of it afterwards is removed.

        Raises:
            SettingsError: Somebody else may write where it would be.
        """
        private_folder(self._root)
        folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._root))
        folder.chmod(0o755)  # a task that runs as another user reads it
        try:
            yield Staging(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def settle(self, staging: Staging) -> Path:
        """Give the staged files their place, or find that they are there already; nothing else lies in that folder."""
        place = self._root / staging.digest
        if place.is_symlink() or place.exists():
            if _holds_exactly(place, staging.files):
                os.utime(place)
                return place
            _LOG.error("%s is not what was verified: somebody changed it. It is made anew", place)
            _remove(place)
        staging.folder.rename(place)
        return place

    def hold(self, place: Path) -> int:
        """Keep a snapshot from being pruned until the returned descriptor is closed, here and in children."""
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def prune(self, *, keep: Path, age: float) -> None:
        """Remove snapshots that nobody holds and nobody has asked for lately.

        Args:
            keep: Stays in any case.
            age: Seconds since it was last asked for.
        """
        before = time.time() - age
        for entry in os.scandir(self._root):
            place = Path(entry.path)
            if place != keep and entry.is_dir(follow_symlinks=False) and entry.stat().st_mtime < before:
                _remove_unless_held(place)


def private_folder(folder: Path) -> None:
    """Make a folder that only this user may write to, or refuse one where somebody else could change what is imported.

    Members of the group may write further up, as container images for Airflow have it; everybody may nowhere.

    Raises:
        SettingsError: It belongs to somebody else, or everybody may write to it or rename what it is in.
        UnavailableError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SettingsError(
                "verified DAG files would lie in a folder of somebody else", where=str(folder), next_step=_NEXT
            )
        folder.chmod(0o755)
        for above in folder.resolve().parents:
            mode, owner = above.stat().st_mode, above.stat().st_uid
            if owner not in {0, os.geteuid()} or (mode & stat.S_IWOTH and not mode & stat.S_ISVTX):
                raise SettingsError("others could replace verified DAG files", where=str(above), next_step=_NEXT)
    except OSError as error:
        raise UnavailableError(
            f"the folder for verified DAG files cannot be used: {error.strerror}", where=str(folder), next_step=_NEXT
        ) from error


def _holds_exactly(place: Path, files: dict[str, str]) -> bool:
    found: dict[str, str] = {}
    try:
        if place.is_symlink():
            return False
        for folder, folders, names in os.walk(place, onerror=_raise):
            if _BYTECODE in folders and not Path(folder, _BYTECODE).is_symlink():
                folders.remove(_BYTECODE)
                shutil.rmtree(Path(folder, _BYTECODE))
            for name in (*names, *(inner for inner in folders if Path(folder, inner).is_symlink())):
                path = Path(folder, name)
                if path.is_symlink() or not path.is_file():
                    return False
                found[path.relative_to(place).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return False
    return found == files


def _raise(error: OSError) -> None:
    raise error


def _remove(place: Path) -> None:
    """Move it out of the way first, so that nothing is imported from a half-removed folder."""
    grave = Path(tempfile.mkdtemp(prefix=_STAGING, dir=place.parent))
    try:
        place.rename(grave / "removed")
    finally:
        shutil.rmtree(grave, ignore_errors=True)


def _remove_unless_held(place: Path) -> None:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # gone already
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(place)
    except BlockingIOError:
        _LOG.debug("%s is still in use", place)
    finally:
        os.close(descriptor)
