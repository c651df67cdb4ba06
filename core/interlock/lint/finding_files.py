"""Which files are looked at: those that are named, and those that a worker finds in the folders that are named."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interlock.gate.errors import SettingsError, SubjectNotFoundError
from interlock.lint.values import Passed
from interlock.lint.workers import Worker

_LISTING = 120.0
"""Seconds that listing one folder may take."""
CODE = (".py",)
"""What else is looked at where every file needs a receipt: Python modules that pipelines import."""
COMPILED = (".yaml", ".yml", ".json")
"""Files that may be compiled Kubeflow pipelines; all others are for Airflow."""
_DAG_WORDS = (b"airflow", b"dag", b"asset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file to look at.

    Args:
        path: As the user named it, or below the folder that they named.
        root: The folder from which its orchestrator imports modules.
        kind: Of worker (`interlock.lint.workers.KINDS`).
    """

    path: str
    root: str
    kind: str

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


Workers = Callable[[str], Worker]
"""Gives the started worker for a kind of file; raises SettingsError where its orchestrator is not installed."""


def find_files(
    paths: Iterable[str], workers: Workers, *, root: str, every_module: bool
) -> tuple[list[Found], list[Passed]]:
    """Find the files below `paths`.

    Args:
        paths: Files and folders.
        workers: Know what is a pipeline's file.
        root: The folder from which modules are imported; when empty, the folder that was named, or that of the file.
        every_module: Look at Python modules too that hold no pipeline by their looks.

    Raises:
        SubjectNotFoundError: Nothing is at one of the paths.
        SettingsError: A file needs an orchestrator that is not installed.
        InterlockError: A folder cannot be listed.
    """
    found: dict[str, Found] = {}
    passed: dict[str, Passed] = {}
    for path in paths:
        here = Path(path)
        if not here.is_dir() and not here.is_file():
            raise _nothing_there(path)
        below = absolute(root or (path if here.is_dir() else str(here.parent)))
        for kind, taken, over in _of_kinds(path, workers):
            modules = [file for file, _ in over if every_module and file.endswith(CODE)]
            for file in (*taken, *modules):
                found.setdefault(os.path.realpath(file), Found(path=_shown(file, path), root=below, kind=kind))
            for file, reason in over:  # those that are found all the same are left out below
                passed.setdefault(os.path.realpath(file), Passed(path=_shown(file, path), reason=reason))
    files = sorted(found.values(), key=lambda one: one.path)
    return files, sorted((one for real, one in passed.items() if real not in found), key=lambda one: one.path)


def _nothing_there(path: str) -> SubjectNotFoundError:
    return SubjectNotFoundError("nothing is there to lint", where=path)


def _of_kinds(path: str, workers: Workers) -> Iterator[tuple[str, list[str], list[tuple[str, str]]]]:
    """The files of one path by kind: those to look at, and those passed over with the reason."""
    if Path(path).is_file():
        kind = "kubeflow" if path.endswith(COMPILED) else "airflow"
        reason = str(workers(kind).ask({"file": absolute(path)}, seconds=_LISTING)["passed"])
        yield (kind, [], [(path, reason)]) if reason else (kind, [path], [])
        return
    code, compiled = _sorts(path)
    if compiled:
        yield ("kubeflow", *_listed(path, workers("kubeflow")))
    if code or not compiled:
        try:
            yield ("airflow", *_listed(path, workers("airflow")))
        except SettingsError:
            if not compiled or any(map(_may_be_dag, code)):
                raise
            yield "airflow", [], [(str(file), "it is no DAG file, and Airflow is not installed") for file in code]


def _listed(path: str, worker: Worker) -> tuple[list[str], list[tuple[str, str]]]:
    answer = worker.ask({"folder": absolute(path)}, seconds=_LISTING)
    return list(answer["files"]), [(str(file), str(reason)) for file, reason in answer["passed"]]


def _sorts(path: str) -> tuple[list[Path], bool]:
    """Modules and archives below a folder, and whether there is anything that may be a compiled pipeline."""
    code, compiled = [], False
    for here, folders, names in os.walk(absolute(path), followlinks=False):
        folders[:] = [name for name in folders if name not in {"__pycache__", ".git"}]
        for name in names:
            file = Path(here, name)
            if name.endswith(COMPILED):
                compiled = True
            elif name.endswith(CODE) or (file.is_file() and zipfile.is_zipfile(file)):
                code.append(file)
    return code, compiled


def _may_be_dag(file: Path) -> bool:
    """By the words that Airflow looks for; what cannot be read may be one."""
    try:
        text = file.read_bytes().lower()
    except OSError:
        return True
    airflow, *others = _DAG_WORDS
    return not file.name.endswith(CODE) or (airflow in text and any(word in text for word in others))


def _shown(file: str, named: str) -> str:
    """A file below a folder is shown below the folder as it was named."""
    below = os.path.relpath(file, absolute(named)) if Path(named).is_dir() else ""
    return os.path.normpath(Path(named, below))


def absolute(path: str) -> str:
    """Without following links: a pipeline's file is loaded under the name that its orchestrator knows."""
    return os.path.abspath(path)  # noqa: PTH100  # pathlib's way follows links
