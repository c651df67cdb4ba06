"""The worker's side of lint: one process that knows one orchestrator, asked for one file at a time.

Requests come as JSON lines on standard input, answers go as JSON lines to a descriptor of their own. Nothing of an
author runs in this process: each file is loaded in a fork of it (`interlock.lint.forked`), so that the orchestrator is
imported once and no file sees what another one changed. A worker for another orchestrator implements `Parser`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from interlock.gate.errors import InterlockError
from interlock.gate.values import Json
from interlock.lint.forked import in_a_fork, inherit_orphans

Load = Callable[[Mapping[str, str]], Json]
"""Loads the file of the request in a fork that gets these variables; raises as `in_a_fork`."""


class Parser(Protocol):
    """Knows the files of one orchestrator."""

    def files_in(self, folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
        """The files that the orchestrator would load from a folder, and those passed over with the reason."""
        ...

    def passes_over(self, file: Path) -> str:
        """Why the orchestrator would not load this file; empty when it would."""
        ...

    def load(self, file: Path, root: Path) -> Json:
        """In a fork: load the file, which runs its author's code, and say what is in it.

        Args:
            file: Untrusted.
            root: Folder from which the orchestrator imports modules.
        """
        ...

    def judge(self, load: Load) -> Json:
        """In the worker itself: judge what `load` says, which is untrusted.

        Returns:
            ``{"dags": [...], "findings": [...]}``, as `interlock.lint.answers` reads it.
        """
        ...


def serve(start: Callable[[], Parser], answers: int) -> None:
    """Answer requests until there are no more.

    Args:
        start: Makes the parser, which may take seconds; its errors are the first answer.
        answers: Descriptor to which answers go.
    """
    inherit_orphans()
    try:
        parser = start()
    except InterlockError as error:
        _send(answers, {"error": {"what": error.what, "where": error.where, "next_step": error.next_step}})
        return
    except Exception as error:  # noqa: BLE001  # the orchestrator and its plug-ins: whatever they raise, say it
        _send(answers, {"error": {"what": f"{type(error).__name__}: {error}", "where": "", "next_step": ""}})
        return
    _send(answers, {"ready": True})
    for line in sys.stdin.buffer:
        _send(answers, _answer(parser, json.loads(line), answers))


def _answer(parser: Parser, request: Mapping[str, Any], answers: int) -> Json:
    try:
        if "folder" in request:
            files, passed = parser.files_in(Path(request["folder"]))
            return {"files": [os.fspath(file) for file in files], "passed": [[os.fspath(p), why] for p, why in passed]}
        file = Path(request["file"])
        if "root" not in request:
            return {"passed": parser.passes_over(file)}
        root, seconds = Path(request["root"]), float(request["seconds"])

        def load(environ: Mapping[str, str]) -> Json:
            return in_a_fork(lambda: parser.load(file, root), seconds=seconds, environ=environ, private=(answers,))

        return parser.judge(load)
    except InterlockError as error:
        return {"error": {"what": error.what, "where": error.where, "next_step": error.next_step}}
    except Exception as error:  # noqa: BLE001  # a defect, or a file that finds one: the file is undecided, not lost
        return {"error": {"what": f"{type(error).__name__}: {error}", "where": "", "next_step": ""}}


def _send(answers: int, document: Json) -> None:
    left = memoryview(json.dumps(document).encode() + b"\n")
    while left:
        left = left[os.write(answers, left) :]
