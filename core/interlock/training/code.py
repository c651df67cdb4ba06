"""The training code held still: copied before the run, so that the receipt names the bytes that ran."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from interlock.gate import SubjectError, UnsafeSubjectError, UsageError

MAX_FILES = 10_000
MAX_BYTES = 256 * 2**20
_LEFT_OUT = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCode:
    """A private copy of the code.

    Args:
        root: Folder that holds it; each of `sources` lies there under its own name.
        sources: Where it came from, absolute.
        digest: sha256 of the copy as `interlock.evidence` counts a folder; empty when there is no code.
    """

    root: Path
    sources: tuple[Path, ...]
    digest: str

    def moved(self, word: str, inside: Path) -> str:
        """`word`, or where the sandbox shows what it names when it names a part of the code."""
        path = Path(os.path.normpath(word))
        for source in self.sources:
            if path == source or source in path.parents:
                return os.fspath(inside / source.name / path.relative_to(source))
        return word

    def import_folders(self, inside: Path) -> tuple[Path, ...]:
        """What goes on Python's path inside: each folder of code, and the place of the single files."""
        folders = [inside / source.name for source in self.sources if (self.root / source.name).is_dir()]
        alone = any((self.root / source.name).is_file() for source in self.sources)
        return (*folders, *((inside,) if alone else ()))


def hold_code(sources: Sequence[Path], root: Path) -> HeldCode:
    """Copy `sources` into the empty folder `root`.

    Names that begin with a dot are left out (``.env``, ``.git``, ``.venv``): secrets and history are no code.

    Args:
        sources: Absolute files and folders.
        root: Where the copies go.

    Raises:
        UsageError: Two sources have one name.
        SubjectError: A source cannot be read.
        UnsafeSubjectError: A link or special file among the code, or more of it than code should be.
    """
    names = [source.name for source in sources]
    if "" in names or len(set(names)) < len(names):
        raise UsageError("the parts of the training's code need different names", where=", ".join(map(str, sources)))
    count, size = 0, 0
    try:
        for source in sources:
            for path in files_of(source):
                target = root / source.name / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                count, size = count + 1, size + _copy(path, target)
                if count > MAX_FILES or size > MAX_BYTES:
                    raise UnsafeSubjectError(
                        f"more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB of training code",
                        where=str(source),
                        next_step="name the folder of the code alone; data is opened by the guard",
                    )
    except OSError as error:
        raise SubjectError(
            f"the training's code cannot be read: {error.strerror}", where=str(error.filename)
        ) from error
    return HeldCode(root=root, sources=tuple(sources), digest=_digest(root) if count else "")


def files_of(source: Path) -> Iterator[Path]:
    """What is held of a source: the file itself, or the files of a folder without those that begin with a dot."""
    if not source.is_dir() or source.is_symlink():
        yield source
        return
    for folder, inner, files in os.walk(source):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in _LEFT_OUT)
        for name in (*sorted(files), *(name for name in inner if Path(folder, name).is_symlink())):
            if not name.startswith("."):
                yield Path(folder, name)


def _copy(source: Path, target: Path) -> int:
    """Copy one file, never through a link; returns its bytes."""
    if source.is_symlink():
        raise UnsafeSubjectError("the training's code holds a link", where=str(source), next_step="copy what it names")
    with FileIO(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise UnsafeSubjectError("a part of the training's code is no file, or a large one", where=str(source))
        data = stream.readall() or b""
    target.write_bytes(data)
    target.chmod(0o500 if found.st_mode & stat.S_IXUSR else 0o400)
    return len(data)


def _digest(root: Path) -> str:
    from interlock.evidence.snapshot import take_snapshot

    return take_snapshot(str(root), threads=1).digest
