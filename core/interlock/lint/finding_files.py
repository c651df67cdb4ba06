"""Which files are looked at: those that are named, and those that a worker finds in the folders that are named."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from interlock.gate.errors import SubjectNotFoundError
from interlock.lint.values import Passed
from interlock.lint.workers import Worker

_LISTING = 120.0
"""Seconds that listing one folder may take."""
CODE = (".py",)
"""What else is looked at where every file needs a receipt: Python modules that pipelines import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file to look at.

    Args:
        path: As the user named it, or below the folder that they named.
        root: The folder from which its orchestrator imports modules.
    """

    path: str
    root: str

    @property
    def absolute(self) -> str:
        """Where it lies."""
        return absolute(self.path)


def require_there(paths: Iterable[str]) -> None:
    """Refuse a path where nothing is, before a worker is started, which takes seconds.

    Raises:
        SubjectNotFoundError: Nothing is at one of the paths.
    """
    for path in paths:
        if not Path(path).exists():
            raise _nothing_there(path)


def find_files(
    paths: Iterable[str], worker: Worker, *, root: str, every_module: bool
) -> tuple[list[Found], list[Passed]]:
    """Find the files below `paths`.

    Args:
        paths: Files and folders.
        worker: Knows what is a pipeline's file.
        root: The folder from which modules are imported; when empty, the folder that was named, or that of the file.
        every_module: Look at Python modules too that hold no pipeline by their looks.

    Raises:
        SubjectNotFoundError: Nothing is at one of the paths.
        InterlockError: A folder cannot be listed.
    """
    found: dict[str, Found] = {}
    passed: dict[str, Passed] = {}
    for path in paths:
        here = Path(path)
        if here.is_dir():
            answer = worker.ask({"folder": absolute(path)}, seconds=_LISTING)
            taken = list(answer["files"])
            over = [(str(file), str(reason)) for file, reason in answer["passed"]]
        elif here.is_file():
            reason = str(worker.ask({"file": absolute(path)}, seconds=_LISTING)["passed"])
            taken, over = ([], [(path, reason)]) if reason else ([path], [])
        else:
            raise _nothing_there(path)
        if every_module:
            taken += [file for file, _ in over if file.endswith(CODE)]
            over = [(file, reason) for file, reason in over if not file.endswith(CODE)]
        below = root or (path if here.is_dir() else str(here.parent))
        for file in taken:
            shown = _shown(file, path)
            found.setdefault(os.path.realpath(file), Found(path=shown, root=absolute(below)))
        for file, reason in over:
            passed.setdefault(os.path.realpath(file), Passed(path=_shown(file, path), reason=reason))
    files = sorted(found.values(), key=lambda one: one.path)
    return files, sorted((one for real, one in passed.items() if real not in found), key=lambda one: one.path)


def _nothing_there(path: str) -> SubjectNotFoundError:
    return SubjectNotFoundError("nothing is there to lint", where=path)


def _shown(file: str, named: str) -> str:
    """A file below a folder is shown below the folder as it was named."""
    below = os.path.relpath(file, absolute(named)) if Path(named).is_dir() else ""
    return os.path.normpath(Path(named, below))


def absolute(path: str) -> str:
    """Without following links: a pipeline's file is loaded under the name that its orchestrator knows."""
    return os.path.abspath(path)  # noqa: PTH100  # pathlib's way follows links
