"""DAG bundles that let Airflow import only what was verified: signed by a listed key, and passed by lint.

`VerifiedGitDagBundle` reads a git repository, `VerifiedLocalDagBundle` a folder. Both run where Airflow prepares a
bundle, in the DAG processor's manager and on the worker before a task's file is imported; no author's code runs there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.airflow_plugin.bundles.git import VerifiedGitDagBundle
    from interlock.airflow_plugin.bundles.local import VerifiedLocalDagBundle

__all__ = ["VerifiedGitDagBundle", "VerifiedLocalDagBundle"]

_PLACES = {"VerifiedGitDagBundle": "git", "VerifiedLocalDagBundle": "local"}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
