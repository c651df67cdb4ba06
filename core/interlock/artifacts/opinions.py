"""What other scanners say of the same files: second opinions, in the sandbox, as warnings.

``picklescan`` (extra ``picklescan``) is asked strictly, so that every name that it does not know counts. It has a list
of what is bad where Interlock has one of what is good, so what it finds besides is worth a person's look, and what it
does not find says nothing. ``modelaudit`` is a program of its own, see `interlock.artifacts.modelaudit`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from interlock.artifacts import modelaudit
from interlock.artifacts import record as rules
from interlock.artifacts.boxed import BoxError, asked, sandbox_here
from interlock.artifacts.record import Record, shown
from interlock.gate.errors import MissingExtraError, UsageError
from interlock.gate.protocols import OpenSubject
from interlock.gate.values import Tool

PICKLESCAN = "picklescan"
SCANNERS = (PICKLESCAN, modelaudit.NAME)
CHILD = Path(__file__).with_name("picklescan_child.py")
SECONDS = 300.0


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """The scanners of these names, each once.

    Raises:
        UsageError: There is no such scanner, or its program is not installed.
        MissingExtraError: Its package is not installed.
    """
    for name in names:
        if name not in SCANNERS:
            raise UsageError(f"no other scanner {name!r} can be asked", next_step=f"use {', '.join(SCANNERS)}")
        if name == modelaudit.NAME:
            modelaudit.find()
        elif importlib.util.find_spec(name) is None:
            raise MissingExtraError(name, extra=name)
    return tuple(dict.fromkeys(names))


def tools(names: Sequence[str]) -> tuple[Tool, ...]:
    """These scanners by version."""
    return tuple(
        Tool(name=name, version=modelaudit.find().version if name == modelaudit.NAME else metadata.version(name))
        for name in names
    )


def ask(names: Sequence[str], opened: OpenSubject, record: Record) -> None:
    """Ask them all.

    Args:
        names: From `checked`.
        opened: The held model.
        record: Where warnings go.
    """
    seconds = min(record.budget.limits.seconds, SECONDS)
    for name in names:
        try:
            if name == modelaudit.NAME:
                modelaudit.ask(opened, record, seconds=seconds)
            else:
                _ask_picklescan(opened, record, seconds)
        except (BoxError, UsageError, TypeError, KeyError) as error:
            why = error.what if isinstance(error, UsageError) else str(error)
            record.warning(rules.SECOND_OPINION, f"{name} could not be asked: {shown(why)}", opened.subject.name)


def _ask_picklescan(opened: OpenSubject, record: Record, seconds: float) -> None:
    said: dict[str, Any] = asked(CHILD, opened.path, seconds=seconds, sandbox=sandbox_here())
    for file, one in sorted(said.items()):
        path = shown(file or opened.subject.name, 1000)
        if one["issues"]:
            names = ", ".join(shown(str(bad)) for bad in one["names"])
            record.warning(rules.SECOND_OPINION, f"{PICKLESCAN} calls it dangerous: {names}", path)
        elif one["broken"]:
            why = f": {shown(str(one['why']))}" if one["why"] else ""
            record.warning(rules.SECOND_OPINION, f"{PICKLESCAN} could not read it{why}", path)
