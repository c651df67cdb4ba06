"""A git repository, of which Airflow sees what a listed key signed and lint passed."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.bundles.admission import Offered, Refused
from interlock.airflow_plugin.bundles.bundle import Verified, VerifiedDagBundle
from interlock.airflow_plugin.bundles.git_mirror import Mirror
from interlock.airflow_plugin.bundles.git_run import Git, Signers
from interlock.airflow_plugin.bundles.receipts import Evidence
from interlock.airflow_plugin.bundles.snapshots import Snapshots
from interlock.evidence.listing import checked_path
from interlock.gate.errors import SettingsError, SignatureError, UsageError

if TYPE_CHECKING:
    from airflow.dag_processing.bundles.base import BundleVersion

_VERSION = re.compile(r"([0-9a-f]{40})(-[0-9a-f]{16})?\Z")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}\Z")


class VerifiedGitDagBundle(VerifiedDagBundle):
    """A git repository in place of the git provider's `GitDagBundle`, which shares the names of its settings.

    The commit that is read must be signed by a listed key; its signature covers every file in it, so data goes in
    with it. Code also needs a lint receipt over its bytes.

    Args:
        tracking_ref: Branch or tag.
        allowed_signers: OpenSSH allowed-signers file on every machine; never one of the repository.
        gpg_home: GnuPG home whose keyring holds the keys that count, and no other.
        repo_url: ``https://``, ``ssh://``, ``git@host:path`` or a path; that of the connection when not given.
        git_conn_id: Airflow connection with credentials; needs apache-airflow-providers-git.
        subdir: Folder of the repository that is the bundle.
        kwargs: As for Airflow's bundles.

    Raises:
        SettingsError: No signer is listed, or everybody may list one; a program is missing.
        UsageError: A value is malformed.
    """

    supports_versioning = True

    def __init__(
        self,
        *,
        tracking_ref: str,
        allowed_signers: str = "",
        gpg_home: str = "",
        repo_url: str = "",
        git_conn_id: str = "",
        subdir: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"DAG bundle {self.name}"
        if not _REF.match(tracking_ref) or ".." in tracking_ref:
            raise UsageError(f"`tracking_ref` is a branch or a tag, not {tracking_ref!r}", where=where)
        if self.version is not None and not _VERSION.match(self.version):
            raise UsageError(f"{self.version!r} is no version of this bundle", where=where)
        if not repo_url and not git_conn_id:
            raise UsageError("neither `repo_url` nor `git_conn_id` is given", where=where)
        self.tracking_ref = tracking_ref
        self.subdir = checked_path(subdir.strip("/"), where) if subdir.strip("/") else ""
        self.repo_url = repo_url
        self._git_conn_id = git_conn_id
        self._signers = Signers(allowed_signers=allowed_signers, gpg_home=gpg_home)
        self._commit = ""

    def get_current_version(self) -> str | BundleVersion:
        """The commit, with a mark of what is in the copy when a file of the commit is refused.

        Airflow looks for new files only when the version changes, and a lint receipt may come after the commit.
        """
        version = self.version or self._version_now()
        try:
            from airflow.dag_processing.bundles.base import BundleVersion
        except ImportError:  # before Airflow 3.3
            return version
        return BundleVersion(version=version)

    def _version_now(self) -> str:
        if self._verified is None or not self._verified.refused:
            return self._commit
        return f"{self._commit}-{self._verified.digest[:16]}"

    @property
    def _snapshots(self) -> Snapshots:
        # Airflow itself removes old versions from there.
        return Snapshots(self.versions_dir / self.version) if self.version else super()._snapshots

    def _vouches(self, path: str) -> bool:  # noqa: ARG002 - the signature on the commit covers data wherever it lies
        return True

    def _verify(self, evidence: Evidence) -> Verified:
        check_signers(self._signers)
        return super()._verify(evidence)

    def _offers(self) -> Iterator[Offered | Refused]:
        with self._connected() as (url, environment):
            mirror = Mirror(Git(self.base_dir / "mirror.git", self._signers), url=url, ref=self.tracking_ref)
            self._commit = self._pinned(mirror, environment) if self.version else mirror.fetch(environment)
        mirror.verify(self._commit)
        yield from mirror.files(self._commit, self.subdir)

    def _pinned(self, mirror: Mirror, environment: Mapping[str, str]) -> str:
        """The commit of a run that began earlier; it counts only while it is part of the branch."""
        commit = str(self.version).partition("-")[0]
        if not mirror.holds(commit):
            mirror.fetch(environment)
            if not mirror.holds(commit):
                raise SignatureError(
                    f"commit {commit} is not part of {self.tracking_ref}",
                    where=f"DAG bundle {self.name}",
                    next_step="clear the run with the newest version of the bundle",
                )
        return commit

    @contextmanager
    def _connected(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The URL, and what the connection adds to git's environment while it is in use."""
        if not self._git_conn_id:
            yield self.repo_url, {}
            return
        try:
            hook_class = import_module("airflow.providers.git.hooks.git").GitHook
        except ImportError as error:
            raise SettingsError(
                "the connection of a git bundle is read by Airflow's git provider, which is not installed",
                where=f"git_conn_id={self._git_conn_id}",
                next_step="pip install apache-airflow-providers-git, or give `repo_url` and no `git_conn_id`",
            ) from error
        hook = hook_class(git_conn_id=self._git_conn_id, repo_url=self.repo_url or None)
        with hook.configure_hook_env():
            yield str(hook.repo_url), dict(hook.env)


def check_signers(signers: Signers) -> None:
    """Refuse signers that are not there, or that everybody may add to.

    Raises:
        SettingsError: Says which file.
    """
    if not signers.allowed_signers and not signers.gpg_home:
        raise SettingsError(
            "no signer of commits is listed", next_step="give `allowed_signers` or `gpg_home` in the bundle's kwargs"
        )
    for text, is_kind, kind in (
        (signers.allowed_signers, stat.S_ISREG, "a file"),
        (signers.gpg_home, stat.S_ISDIR, "a folder"),
    ):
        if not text:
            continue
        if not Path(text).is_absolute():
            raise SettingsError("the signers of commits are named by an absolute path", where=text)
        try:
            mode = Path(text).stat().st_mode
        except OSError as error:
            raise SettingsError(f"the signers of commits cannot be read: {error.strerror}", where=text) from error
        if not is_kind(mode):
            raise SettingsError(f"the signers of commits are {kind}", where=text)
        if mode & stat.S_IWOTH:
            raise SettingsError("everybody may add signers of commits", where=text, next_step=f"chmod o-w {text}")
