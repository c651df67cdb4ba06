"""A folder of DAG files, of which Airflow sees those that passed lint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from interlock.airflow_plugin.bundles.admission import MAX_FILE_BYTES, MAX_FILES, Offered, Refused
from interlock.airflow_plugin.bundles.bundle import VerifiedDagBundle
from interlock.evidence.listing import checked_path
from interlock.evidence.local import LocalSource
from interlock.gate.errors import SubjectError, SubjectNotFoundError, UnavailableError, UnsafeSubjectError, UsageError

_PASSED_OVER = ("__pycache__", ".git")
"""Folders that tools leave in any folder of DAGs and that nothing is imported from."""


class VerifiedLocalDagBundle(VerifiedDagBundle):
    """A local folder in place of Airflow's `LocalDagBundle`; each file needs a lint receipt over its bytes.

    Args:
        path: The folder; Airflow's ``[core] dags_folder`` when not given. It may be a link, as git-sync makes one.
        allow_unattested: Patterns (``*.sql``, ``conf/*``) of files that go in without a receipt. They are matched with
            the name and with the path, where ``*`` also matches a slash. Code needs its receipt in any case.
        kwargs: As for Airflow's bundles.

    Raises:
        UsageError: `allow_unattested` is no list of patterns.
    """

    supports_versioning = False

    def __init__(
        self, *, path: str | None = None, allow_unattested: Sequence[str] = (".airflowignore",), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(allow_unattested, str) or not all(isinstance(pattern, str) for pattern in allow_unattested):
            raise UsageError("`allow_unattested` is a list of patterns", where=f"DAG bundle {self.name}")
        if path is None:
            from airflow import settings

            path = settings.DAGS_FOLDER
        self.source = Path(path)
        self._allow_unattested = tuple(allow_unattested)

    def get_current_version(self) -> None:
        """A folder has no versions."""
        return

    def _vouches(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(fnmatchcase(path, pattern) or fnmatchcase(name, pattern) for pattern in self._allow_unattested)

    def _offers(self) -> Iterator[Offered | Refused]:
        root = Path(os.path.realpath(self.source))
        try:
            source = LocalSource(root)
        except SubjectError as error:
            # Not a refusal: a volume that is not mounted is no reason to pause every DAG.
            raise UnavailableError(
                f"the folder of DAG files cannot be read: {error.what}",
                where=str(self.source),
                next_step=f"see `path` of DAG bundle {self.name} in [dag_processor] dag_bundle_config_list",
            ) from error
        with source:
            for count, path in enumerate(_listing(root), start=1):
                if count > MAX_FILES:
                    raise UnsafeSubjectError(f"the bundle has more than {MAX_FILES} files", where=str(self.source))
                offer = _read(source, path)
                if offer is not None:
                    yield offer


def _listing(root: Path) -> Iterator[str]:
    """All names that are no folder; a link to a folder is one name and is not followed."""
    for folder, folders, names in os.walk(root, onerror=_raise):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted((*names, *links)):
            yield Path(folder, name).relative_to(root).as_posix()


def _read(source: LocalSource, path: str) -> Offered | Refused | None:
    """One file, opened without following links; None when it is gone since it was listed."""
    try:
        checked_path(path, source.uri)
        with source.open(path) as stream:
            content = bytearray()
            buffer = bytearray(1 << 20)
            while count := stream.readinto(buffer):
                content += memoryview(buffer)[:count]
                if len(content) > MAX_FILE_BYTES:
                    raise UnsafeSubjectError(f"it is larger than {MAX_FILE_BYTES} bytes")
    except SubjectNotFoundError:
        return None
    except SubjectError as error:
        return Refused(path=path, reason=error.what, next_step=error.next_step)
    return Offered(path=path, content=bytes(content))


def _raise(error: OSError) -> None:
    raise UnavailableError(f"a folder of DAG files cannot be listed: {error.strerror}", where=str(error.filename))
