"""A private mirror of one branch: fetches it, verifies a commit's signature, and reads its files as git stores them.

There is no work tree. Files come out of the object store byte for byte, so filters, line endings, attributes, links,
submodules and hooks have no part in what is imported.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from interlock.airflow_plugin.bundles.admission import MAX_FILE_BYTES, MAX_FILES, Offered, Refused
from interlock.airflow_plugin.bundles.git_run import Git
from interlock.evidence.listing import checked_path
from interlock.gate.errors import (
    SignatureError,
    SubjectError,
    SubjectNotFoundError,
    UnavailableError,
    UnsafeSubjectError,
)

TIP = "refs/interlock/tip"
FETCH_SECONDS = 600.0

_OBJECT = re.compile(r"[0-9a-f]{40}\Z")
_GOOD_SSH = re.compile(rb'^Good "git" signature for (.+?) with ', re.MULTILINE)
_OTHER_KEY = re.compile(rb'^Good "git" signature with (.+)$', re.MULTILINE)
_GOOD_GPG = re.compile(rb"^\[GNUPG:\] GOODSIG [0-9A-F]+ (.+)$", re.MULTILINE)
_BAD_GPG = re.compile(rb"^\[GNUPG:\] (BADSIG|ERRSIG|EXPSIG|EXPKEYSIG|REVKEYSIG)", re.MULTILINE)
_PLAIN = {"100644", "100755"}
_OTHER = {"120000": "a symlink", "160000": "a submodule"}


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    object_id: str
    size: int
    path: str


class Mirror:
    """One branch or tag of one remote repository.

    Args:
        git: The private repository.
        url: The remote.
        ref: Branch or tag.
    """

    def __init__(self, git: Git, *, url: str, ref: str) -> None:
        self._git = git
        self._url = url
        self._ref = ref

    def fetch(self, environment: Mapping[str, str]) -> str:
        """Fetch the branch, or the tag where there is no such branch.

        Args:
            environment: What the connection adds.

        Returns:
            The commit at its tip, unverified.

        Raises:
            UnavailableError: The remote did not answer, or has no such branch or tag.
        """
        self._git.prepare()
        options = ("--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        for kind in ("heads", "tags"):
            refspec = f"+refs/{kind}/{self._ref}:{TIP}"
            # "--": a URL that starts with a dash is no option.
            asked = ("fetch", *options, "--", self._url, refspec)
            done = self._git.try_run(*asked, environment=environment, timeout=FETCH_SECONDS)
            if done.returncode == 0:
                return self.tip()
            if b"couldn't find remote ref" not in done.stderr:
                break
        raise UnavailableError(
            f"branch or tag {self._ref!r} cannot be fetched: {done.stderr.decode(errors='replace').strip()[-500:]}",
            where=self._url,
            next_step="see that the repository is there, and that this machine may read it",
        )

    def tip(self) -> str:
        """The commit that was fetched last, unverified; empty when there is none."""
        done = self._git.try_run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{TIP}^{{commit}}")
        found = done.stdout.decode().strip()
        return found if _OBJECT.match(found) else ""

    def holds(self, commit: str) -> bool:
        """Whether a commit is the tip or one of its ancestors."""
        done = self._git.try_run("merge-base", "--is-ancestor", commit, TIP)
        return done.returncode == 0

    def verify(self, commit: str) -> str:
        """Verify the signature on a commit.

        Returns:
            Whose it is, as the allowed-signers file or the keyring name them.

        Raises:
            SignatureError: It has none, or none of a listed key.
        """
        done = self._git.try_run("verify-commit", "--raw", "--end-of-options", commit)
        said = done.stdout + b"\n" + done.stderr
        good = _GOOD_SSH.search(said) or _GOOD_GPG.search(said)
        # git's exit status alone would do for a key that nobody listed, at trust level "undefined".
        if done.returncode != 0 or good is None or _BAD_GPG.search(said):
            raise SignatureError(
                f"commit {commit} is not signed by a listed key{_why(said)}",
                where=f"{self._url} {self._ref}",
                next_step="sign the commit with a listed key (git commit -S), or let a key of the reviewers be listed",
            )
        return good.group(1).decode(errors="replace")

    def files(self, commit: str, folder: str) -> Iterator[Offered | Refused]:
        """The files of a commit, as they are stored.

        Args:
            commit: Verified.
            folder: Folder below the repository's root, or empty.

        Raises:
            SubjectError: The folder is not there, or holds too much.
        """
        entries = self._entries(commit, folder)
        blobs = [entry for entry in entries if _refused(entry) is None]
        yield from filter(None, map(_refused, entries))
        with subprocess.Popen(
            self._git.command("cat-file", "--batch"),
            env=self._git.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None  # noqa: S101 (for mypy)
            assert process.stdout is not None  # noqa: S101
            for entry in blobs:
                process.stdin.write(f"{entry.object_id}\n".encode())
                process.stdin.flush()
                yield Offered(path=entry.path, content=_blob(process.stdout, entry))
            process.stdin.close()

    def _entries(self, commit: str, folder: str) -> list[_Entry]:
        tree = f"{commit}:{folder}"
        done = self._git.try_run("ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", tree)
        if done.returncode != 0:
            raise SubjectNotFoundError(
                f"folder {folder!r} is not in commit {commit}", where=self._url, next_step="see `subdir` of the bundle"
            )
        lines = done.stdout.split(b"\0")[:-1]
        if len(lines) > MAX_FILES:
            raise UnsafeSubjectError(f"the bundle has more than {MAX_FILES} files", where=self._url)
        return [_entry(line) for line in lines]


def _entry(line: bytes) -> _Entry:
    about, _, path = line.partition(b"\t")
    mode, _kind, object_id, size = about.decode().split()
    return _Entry(mode, object_id, 0 if size == "-" else int(size), path.decode(errors="surrogateescape"))


def _refused(entry: _Entry) -> Refused | None:
    shown = entry.path.encode(errors="replace").decode()
    if entry.mode not in _PLAIN:
        return Refused(path=shown, reason=f"{_OTHER.get(entry.mode, 'it')} is no file of this commit")
    if entry.size > MAX_FILE_BYTES:
        return Refused(path=shown, reason=f"it is larger than {MAX_FILE_BYTES} bytes")
    try:
        checked_path(entry.path, "the commit")
    except SubjectError as error:
        return Refused(path=shown, reason=error.what, next_step=error.next_step)
    return None


def _blob(stream: IO[bytes], entry: _Entry) -> bytes:
    header = stream.readline().split()
    if header != [entry.object_id.encode(), b"blob", str(entry.size).encode()]:
        raise UnavailableError("git's answer is not the file that was asked for", where=entry.path)
    content = stream.read(entry.size)
    if len(content) != entry.size or stream.read(1) != b"\n":
        raise UnavailableError("git's answer ended too early", where=entry.path)
    return content


def _why(said: bytes) -> str:
    if key := _OTHER_KEY.search(said):
        return f" but with {key.group(1).decode(errors='replace')}"
    line = next((line for line in said.decode(errors="replace").splitlines() if line.strip()), "it has no signature")
    return f": {line.strip()[:200]}"
