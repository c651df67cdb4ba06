"""Where a training's code and packages come from, beside the bytes that ran: commit, lock file, packages, base model.

The digest of the held code is what counts; all this says is where a person finds those bytes again. git is asked for
nothing that runs a program which the repository names (no index refresh, filters, hooks or lazy fetches), because the
repository is as little trusted as the code in it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from interlock.gate import Json, OpenSubject, Subject, UsageError
from interlock.gate.documents import digest_of
from interlock.training.code import files_of
from interlock.training.safeguards import IdleSafeguard, Part, Provision
from interlock.training.sandbox import Ended
from interlock.training.spec import TrainingSpec

BASE = "INTERLOCK_BASE"
"""The variable that names the base model's place inside."""

LOCK_FILES = (
    "pylock.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "conda-lock.yml",
    "requirements.lock",
)
_GIT_SECONDS = 20
_GIT = ("git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never")
_GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What git knows of the code.

    Args:
        root: Top folder of the work tree.
        id: Of the commit that is checked out, hexadecimal.
        changed: Files of the code that are not as they are in that commit; the first of them.
    """

    root: Path
    id: str
    changed: tuple[str, ...]

    def document(self) -> dict[str, Json]:
        """As the receipt's configuration holds it."""
        return {"id": self.id, "clean": not self.changed, "changed": list(self.changed)}


class OriginSafeguard(IdleSafeguard):
    """Puts the origin of a training into its receipt, and shows it the base model that it starts from.

    Args:
        spec: What runs.
        base: Path or URL of the model that the training starts from, untrusted; empty when it starts from none.
        opener: Holds the base model's bytes still.
    """

    def __init__(
        self, spec: TrainingSpec, *, base: str = "", opener: Callable[[str], AbstractContextManager[OpenSubject]]
    ) -> None:
        self._spec = spec
        self._base = base
        self._opener = opener
        self._held = ExitStack()
        self._materials: tuple[Subject, ...] = ()
        self._configuration: Mapping[str, Json] = {}

    @property
    def name(self) -> str:
        """``origin``."""
        return "origin"

    def provision(self) -> Provision:
        """Hold the base model and show it; look up where the code comes from.

        Raises:
            SubjectError: The base model is missing, unreadable or unsafe.
            UnavailableError: Its storage did not answer; try again.
        """
        commits = [found for found in map(commit_of, self._spec.code) if found is not None]
        lock = next(_lock_files(self._spec.code, commits[0].root if commits else None), None)
        self._configuration = {
            "commit": commits[0].document() if commits else None,
            "lock": None if lock is None else {"name": lock.name, "digest": {"sha256": lock.digest}},
            "packages": packages() if _is_this_python(self._spec) else None,
            "base": self._base,
        }
        self._materials = () if lock is None else (lock,)
        if not self._base:
            return Provision()
        base = self._held.enter_context(self._opener(self._base))
        self._materials += (base.subject,)
        return Provision(environment=((BASE, os.fspath(base.path)),), visible=(base.path,))

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002
        """What was looked up before."""
        return Part(configuration=self._configuration, materials=self._materials)

    def close(self) -> None:
        """Let go of the base model."""
        self._held.close()


def commit_of(source: Path) -> Commit | None:
    """The commit that a part of the code was checked out from, and how it differs; None where there is no git.

    Args:
        source: File or folder of code.
    """
    folder = source if source.is_dir() else source.parent
    top, head = _git(folder, "rev-parse", "--show-toplevel"), _git(folder, "rev-parse", "--verify", "HEAD^{commit}")
    if not top or not head:
        return None
    root = Path(top)
    known = dict(_tree(root, head))
    algorithm = "sha256" if len(head) == 64 else "sha1"
    changed = [name for path in files_of(source) if known.get(name := _below(path, root)) != _blob(path, algorithm)]
    return Commit(root=root, id=head, changed=tuple(changed[:_MOST_NAMED]))


def packages() -> dict[str, Json]:
    """How many packages this Python has, and the digest of their names and versions, sorted."""
    found = sorted({f"{one.metadata['Name']}=={one.version}" for one in distributions()})
    return {"count": len(found), "digest": {"sha256": digest_of(found)}}


def _is_this_python(spec: TrainingSpec) -> bool:
    return not spec.image and (bool(spec.function) or spec.command[0] in {"python", "python3", sys.executable})


def _lock_files(sources: tuple[Path, ...], root: Path | None) -> Iterator[Subject]:
    """Lock files beside the code, and above it as far as its work tree goes."""
    for source in sources:
        folder = source if source.is_dir() else source.parent
        above = [place for place in folder.parents if root is not None and place.is_relative_to(root)]
        for place in (folder, *above):
            for path in (place / name for name in LOCK_FILES):
                if path.is_file() and not path.is_symlink():
                    with path.open("rb") as stream:
                        digest = hashlib.file_digest(stream, "sha256").hexdigest()
                    yield Subject(name=path.name, uri=path.as_uri(), digest=digest)


def _below(path: Path, root: Path) -> str:
    resolved = path.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else os.fspath(path)


def _blob(path: Path, algorithm: str) -> str:
    """What git would call the file's content (git-hash-object), without its filters."""
    content = path.read_bytes()
    return hashlib.new(algorithm, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _tree(root: Path, commit: str) -> Iterator[tuple[str, str]]:
    """Path and blob of each file of a commit."""
    for line in _git(root, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
        about, _, name = line.partition("\t")
        if name:
            yield name, about.split(" ")[2]


def _git(folder: Path, *words: str) -> str:
    """What git answers; nothing where it is not installed, not at home, or refuses.

    Raises:
        UsageError: It did not answer in time.
    """
    environment = _GIT_ENVIRONMENT | {"PATH": os.environ.get("PATH", "")}
    try:
        done = subprocess.run(
            [*_GIT, "-C", os.fspath(folder), *words],
            capture_output=True,
            env=environment,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError("git did not answer for the training's code", where=os.fspath(folder)) from error
    except OSError:
        return ""
    return done.stdout.decode(errors="replace").strip("\n") if done.returncode == 0 else ""
