"""Which files of a folder Airflow loads, by Airflow's own functions, and which it passes over and why."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_IGNORED = "an .airflowignore excludes it"
_NO_LOOKS = "it does not look like a DAG file: Airflow wants the words 'airflow' and 'dag' or 'asset' in it"
_NO_FILE = "Airflow loads .py files and zip archives only"


def files_in(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The files that Airflow would load, and the Python files and archives that it would not, with the reason."""
    from airflow.configuration import conf

    syntax = conf.get_mandatory_value("core", "DAG_IGNORE_FILE_SYNTAX", fallback="glob")
    seen = {Path(path) for path in _finder()(str(folder), ".airflowignore", syntax)}
    taken: list[Path] = []
    passed: list[tuple[Path, str]] = []
    for path in sorted(set(_candidates(folder)) | {path for path in seen if _is_code(path)}):
        reason = passes_over(path) if path in seen else _IGNORED
        if reason:
            passed.append((path, reason))
        else:
            taken.append(path)
    return taken, passed


def passes_over(file: Path) -> str:
    """Why Airflow would not load `file`; empty when it would."""
    from airflow.configuration import conf
    from airflow.utils.file import might_contain_dag

    if not _is_code(file):
        return _NO_FILE
    safe_mode = conf.getboolean("core", "DAG_DISCOVERY_SAFE_MODE", fallback=True)
    return "" if might_contain_dag(str(file), safe_mode) else _NO_LOOKS


def _candidates(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in {"__pycache__", ".git"})
        yield from (path for path in (Path(here, name) for name in names) if _is_code(path))


def _is_code(path: Path) -> bool:
    try:
        return path.is_file() and (path.suffix == ".py" or zipfile.is_zipfile(path))
    except OSError:
        return False


def _finder() -> Callable[..., Any]:
    with contextlib.suppress(ImportError):
        from airflow._shared.module_loading import find_path_from_directory

        found: Callable[..., Any] = find_path_from_directory
        return found
    from airflow.utils.file import find_path_from_directory as before_3_2

    older: Callable[..., Any] = before_3_2
    return older
