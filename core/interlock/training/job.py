"""The one process that a training is: which program with which words, and everything that it will find set.

Decides what is run and where; how it is kept from the machine is the sandbox's, how it went `interlock.training.run`'s.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from interlock.gate import UsageError
from interlock.training.code import HeldCode
from interlock.training.events import CHANNEL
from interlock.training.images import HeldImage
from interlock.training.safeguards import Provision
from interlock.training.sandbox import Folders, Job, Sandbox
from interlock.training.spec import TrainingSpec

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


def job_of(
    spec: TrainingSpec,
    outside: Folders,
    sandbox: Sandbox,
    *,
    code: HeldCode,
    brought: Provision,
    image: HeldImage | None,
) -> Job:
    """The job of one run.

    Args:
        spec: What to run.
        outside: Where its parts lie.
        sandbox: Says where the job will see them.
        code: Held; paths of it in the command become paths inside.
        brought: What the safeguards bring.
        image: The root file system, when it has one of its own.

    Raises:
        UsageError: The program is not there, or somebody sets a variable that is Interlock's own.
    """
    inside = sandbox.inside(outside)
    environment = _environment(spec, inside, code, brought)
    start = inside.scratch
    if image is not None:
        start = Path(image.working_folder)
        # The image's own variables, its PATH among them, and over them what this run sets.
        environment = dict(image.environment) | {name: text for name, text in environment.items() if name != "PATH"}
    if spec.function:
        python = sys.executable if image is None else "python3"
        words = [python, os.fspath(sandbox.harness), "--function", spec.function, "--data", "{data}", "--out", "{out}"]
    elif image is not None:
        words = list(spec.command)
    else:
        words = [_program(spec, code, environment["PATH"]), *spec.command[1:]]
    filled = (code.moved(word, inside.code) for word in words)
    places = {"{data}": os.fspath(inside.data), "{out}": os.fspath(inside.out)}
    return Job(
        argv=tuple(_filled(word, places) for word in filled),
        environment=tuple(sorted(environment.items())),
        folders=outside,
        visible=tuple(dict.fromkeys((*spec.visible, *brought.visible))),
        limits=spec.limits,
        working_folder=(*code.import_folders(inside.code), start)[0],
        devices=brought.devices,
        root=image.root if image is not None else None,
        secrets=brought.secrets,
    )


def _filled(word: str, places: dict[str, str]) -> str:
    for name, path in places.items():
        word = word.replace(name, path)
    return word


def _program(spec: TrainingSpec, code: HeldCode, path: str) -> str:
    """Where the command's program lies: a part of the code, this Python, or on the sandbox's PATH."""
    name = spec.command[0]
    if code.moved(name, Path("/")) != name:
        return name
    if name in {"python", "python3"}:
        return sys.executable
    found = shutil.which(name, path=path)
    if found is None:
        raise UsageError(
            "the training's program is not on the sandbox's PATH, or is not executable",
            where=f"{name} on {path}",
            next_step="give its absolute path, and show its folder with `visible` if it lies outside /usr",
        )
    return found


def _environment(spec: TrainingSpec, inside: Folders, code: HeldCode, brought: Provision) -> dict[str, str]:
    """All that the code will find set. Thread counts and seeds have to be there before Python starts.

    Interlock's own variables come first, then those of the safeguards, then those of the spec, and none is set twice.
    """
    scratch = os.fspath(inside.scratch)
    places = {CHANNEL: inside.events, "INTERLOCK_CHECKPOINTS": inside.checkpoints}
    own = {name: os.fspath(path) for name, path in places.items() if path is not None}
    imported = (*code.import_folders(inside.code), *((inside.library,) if inside.library else ()))
    own |= {
        "HOME": scratch,
        "INTERLOCK_DATA": os.fspath(inside.data),
        "INTERLOCK_OUT": os.fspath(inside.out),
        "INTERLOCK_SEED": str(spec.seed),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join(dict.fromkeys((os.fspath(Path(sys.prefix, "bin")), *_SYSTEM_PATH))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": str(spec.seed),
        "PYTHONPATH": os.pathsep.join(map(os.fspath, imported)),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": scratch,
        "USER": "trainer",
    }
    for name, value in (*brought.environment, *spec.environment):
        if name in own:
            raise UsageError("Interlock sets this variable itself", where=f"environment: {name}")
        own[name] = value
    return own
