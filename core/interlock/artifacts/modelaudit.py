"""Asks modelaudit, the scanner of Promptfoo: a program in a virtual environment of its own, called in the sandbox.

Its sixty packages do not fit beside ours, so it is no extra: it is found on PATH or by the setting ``modelaudit``, and
of our installation it sees nothing. It reports its use unless told not to; it is told, and the sandbox has no network.
Its JSON is that of 0.2: ``issues`` with ``message``, ``severity`` and ``location``, and ``has_errors``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from interlock.artifacts import record as rules
from interlock.artifacts.boxed import answer, boxed, result_limits, sandbox_here
from interlock.artifacts.record import Record, shown
from interlock.gate.errors import UsageError
from interlock.gate.protocols import OpenSubject
from interlock.gate.settings import Settings

NAME = "modelaudit"
# What its telemetry.py (0.2.54) takes for a no, and what keeps its lines free of colours.
ENVIRONMENT = (("PROMPTFOO_DISABLE_TELEMETRY", "1"), ("NO_ANALYTICS", "1"), ("CI", "1"), ("NO_COLOR", "1"))
STATUSES = (0, 1, 2)
"""Nothing found, something found, and not all could be read; it writes its answer each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The program.

    Args:
        program: Where it is, links resolved.
        version: As its environment says.
        visible: Folders that it needs: its environment, and the Python behind it.
    """

    program: Path
    version: str
    visible: tuple[Path, ...]


def find() -> Command:
    """The installed program.

    Raises:
        UsageError: It is not there, or not in a virtual environment.
    """
    named = Settings.load().modelaudit or shutil.which(NAME)
    if not named or not Path(named).is_file():
        raise UsageError(
            f"{NAME} is not installed",
            where=named or "",
            next_step="uv tool install modelaudit, or name the program in the setting `modelaudit`",
        )
    program = Path(named).resolve()
    root = program.parent.parent
    version = next((one.version for one in _distributions(root)), None)
    if version is None or not (root / "pyvenv.cfg").is_file():
        raise UsageError(
            f"{NAME} is not in a virtual environment of its own, so it cannot be shown to the sandbox alone",
            where=str(program),
            next_step="uv tool install modelaudit",
        )
    return Command(program=program, version=version, visible=_folders(root))


def ask(opened: OpenSubject, record: Record, *, seconds: float) -> None:
    """Pass on whatever it says of a model, as warnings.

    Args:
        opened: The held model.
        record: Where warnings go.
        seconds: How long it may take.

    Raises:
        UsageError: It is not there any more, or no sandbox works.
        BoxError: It failed, passed a limit, or wrote no JSON object.
        KeyError, TypeError: It wrote another one.
    """
    command = find()
    places: list[Path] = []

    def argv(data: Path, _: Path, result: Path) -> tuple[str, ...]:
        places.append(data)
        options = ("--format", "json", "--strict", "--no-cache", "--timeout", str(max(int(seconds), 1)))
        return (str(command.program), "scan", *options, "--output", str(result), str(data))

    with boxed(
        opened.path,
        argv,
        sandbox=sandbox_here(),
        limits=result_limits(seconds),
        visible=command.visible,
        environment=ENVIRONMENT,
        statuses=STATUSES,
    ) as result:
        said = answer(result)
    for issue in said["issues"]:
        _pass_on(issue, places[0], opened, record)
    if said["has_errors"]:
        record.warning(rules.SECOND_OPINION, f"{NAME} could not read all of it", opened.subject.name)


def _pass_on(issue: Mapping[str, Any], data: Path, opened: OpenSubject, record: Record) -> None:
    """One issue; paths of the sandbox become those of the model."""
    severity, location = shown(str(issue["severity"]), 20), str(issue["location"] or "")
    path = location.partition(" (pos ")[0].removeprefix(str(data)).removeprefix("/") or opened.subject.name
    text = str(issue["message"]).replace(f"{data}/", "").replace(str(data), opened.subject.name)
    record.warning(rules.SECOND_OPINION, f"{NAME} says {severity}: {shown(text)}", shown(path, 1000), severity=severity)


def _distributions(root: Path) -> list[metadata.Distribution]:
    places = [str(place) for place in sorted(root.glob("lib/python*/site-packages"))]
    return list(metadata.distributions(name=NAME, path=places))


def _folders(root: Path) -> tuple[Path, ...]:
    """The environment, and the Python that it is made from: as its links name it, and as it is."""
    python = root / "bin" / "python"
    made_from = [Path(line.partition("=")[2].strip()).parent for line in _lines(root) if line.startswith("home")]
    both = dict.fromkeys((root, *made_from, python.resolve().parent.parent))
    return tuple(place for place in both if place.is_dir() and Path("/usr") not in (place, *place.parents))


def _lines(root: Path) -> list[str]:
    return (root / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
