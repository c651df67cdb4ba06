"""What to run and how much of the machine it may use. Decides nothing; `interlock.training.run` carries it out."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from interlock.gate import UsageError

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_PINNED_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:([0-9a-f]{64})\Z")
_SECRET_WORDS = frozenset({"SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS", "KEY", "APIKEY"})
_SCRIPT_SUFFIXES = frozenset({".py", ".pyz", ".sh", ".bash", ".pl", ".r", ".jl"})

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one training may use. Passing any of them ends the run; none is a request to the training code.

    Args:
        wall_seconds: Seconds from start to end.
        output_bytes: Bytes in the output folder, all files together.
        output_files: Files and folders in the output folder.
        memory_bytes: Private writable memory of each process (``RLIMIT_DATA``, which leaves alone the address space
            that torch and CUDA only reserve); None is the machine's physical memory.
        scratch_bytes: Bytes in ``/tmp`` and, again, in ``/dev/shm``; both are memory.
        processes: Processes and threads at one time.
        open_files: Open files of each process; never more than the caller itself may open.
        cpu_seconds: Processor seconds of each process; None is no limit besides `wall_seconds`.
        log_bytes: How much of the end of the output text is kept.
        disk_reserve_bytes: Free bytes that stay on the disk of the output folder.
    """

    wall_seconds: float = 3600.0
    output_bytes: int = 10 * GIB
    output_files: int = 10_000
    memory_bytes: int | None = None
    scratch_bytes: int = GIB
    processes: int = 4096
    open_files: int = 4096
    cpu_seconds: int | None = None
    log_bytes: int = 64 * 2**10
    disk_reserve_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError("a limit of a training is a positive number", where=f"{name} = {value!r}")

    @property
    def memory(self) -> int:
        """`memory_bytes`, or the machine's physical memory."""
        return self.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """A user's training code, as it is, and its limits. Make it with `training_spec`, which fills in the gaps.

    Exactly one of `command` and `function` is given.

    Args:
        command: Program and arguments. ``{data}`` and ``{out}`` become the paths inside the sandbox.
        function: ``module:qualified.name`` of a function ``f(data: Path, out: Path)`` found in `code` or installed.
        code: Absolute paths of files and folders that the run may read besides Python itself. They are copied before
            the run, so the receipt names the bytes that ran. Names that begin with a dot stay outside.
        visible: Absolute paths of further folders shown read-only where they are, uncopied (another Python, a
            toolchain); they stand in the receipt by name only.
        environment: Names and values set on top of Interlock's own; all of them stand in the receipt, so no secrets.
        seed: For ``PYTHONHASHSEED`` and ``INTERLOCK_SEED``; function mode seeds `random`, numpy and torch with it.
        limits: What it may use.
        image: ``registry/name@sha256:...`` of a container image whose root file system the run sees in place of this
            machine's; empty for this machine's. Command, function and code are as without one.
    """

    command: tuple[str, ...] = ()
    function: str = ""
    code: tuple[Path, ...] = ()
    visible: tuple[Path, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    image: str = ""

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.function):
            raise UsageError("a training is either a command or a function", next_step="give exactly one of the two")
        if self.function and not _REFERENCE.match(self.function):
            raise UsageError("a training function is named module:name", where=repr(self.function))
        if any("\0" in word for word in (*self.command, *(text for pair in self.environment for text in pair))):
            raise UsageError("a command or environment value holds a NUL character")
        if not 0 <= self.seed < 2**32:
            raise UsageError("a seed is a whole number from 0 to 4294967295", where=f"seed = {self.seed!r}")
        for name, _ in self.environment:
            check_name(name)
        self._check_places()

    def _check_places(self) -> None:
        if self.image:
            image_digest(self.image)
            if self.visible:
                step = "put them into the image or the code"
                raise UsageError("an image shows its own files only", where="visible", next_step=step)
        for path in (*self.code, *self.visible):
            if not path.is_absolute():
                raise UsageError("a path of the training's code is absolute", where=str(path))
            if not path.exists():
                raise UsageError("this part of the training's code is not there", where=str(path))


def training_spec(
    *,
    command: Sequence[str] | None = None,
    function: str | Callable[..., object] | None = None,
    code: Sequence[str | Path] = (),
    visible: Sequence[str | Path] = (),
    environment: Mapping[str, str] | None = None,
    seed: int = 0,
    limits: Limits | None = None,
    image: str = "",
    wall_clock: float | None = None,
    output_bytes: int | None = None,
    folder: Path | None = None,
) -> TrainingSpec:
    """Make a `TrainingSpec` out of what a person writes.

    Args:
        command: As in `TrainingSpec`. Without `code`, the script that it names is the code.
        function: ``module:name``, or a function, whose source file is the code when `code` is not given.
        code: As in `TrainingSpec`; relative to `folder`.
        visible: As in `TrainingSpec`; relative to `folder`.
        environment: As in `TrainingSpec`.
        seed: As in `TrainingSpec`.
        limits: As in `TrainingSpec`.
        image: As in `TrainingSpec`.
        wall_clock: Seconds; replaces ``limits.wall_seconds``.
        output_bytes: Replaces ``limits.output_bytes``.
        folder: What relative paths are relative to; the current folder when not given.

    Raises:
        UsageError: Both or neither of command and function, a missing or unreadable script, a function that no
            other process could find, or an environment name that looks like a secret.
    """
    folder = (folder or Path.cwd()).absolute()
    paths = tuple((folder / path).absolute() for path in code)
    words = tuple(str(word) for word in command or ())
    reference = ""
    if callable(function):
        paths, reference = _located(function, paths)
    elif function:
        reference = function
    if words:
        words, paths = _with_script(words, paths, folder, in_image=bool(image))
    bounds = limits or Limits()
    if wall_clock is not None:
        bounds = replace(bounds, wall_seconds=wall_clock)
    if output_bytes is not None:
        bounds = replace(bounds, output_bytes=output_bytes)
    return TrainingSpec(
        command=words,
        function=reference,
        code=paths,
        visible=tuple((folder / path).absolute() for path in visible),
        environment=tuple(sorted((environment or {}).items())),
        seed=seed,
        limits=bounds,
        image=image,
    )


def image_digest(reference: str) -> str:
    """The digest in the name of an image, hexadecimal.

    Raises:
        UsageError: It is not named by digest.
    """
    found = _PINNED_IMAGE.match(reference)
    if found is None:
        raise UsageError(
            "an image is named by its digest: registry/name@sha256:...",
            where=reference,
            next_step="podman image inspect --format '{{index .RepoDigests 0}}' IMAGE says it",
        )
    return found[1]


def _with_script(
    words: tuple[str, ...], code: tuple[Path, ...], folder: Path, *, in_image: bool
) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Make the paths of code in `words` absolute, and the script the code when none was given."""
    script = _script_of(words)
    if in_image and not (folder / script).is_file():
        script = ""  # it lies in the image
    if script and not (folder / script).is_file():
        raise UsageError(
            "the training script is not there", where=str(folder / script), next_step="give its absolute path"
        )
    if script and not os.access(folder / script, os.R_OK):
        raise UsageError("the training script cannot be read", where=str(folder / script))
    if script == words[0] and not os.access(folder / script, os.X_OK):
        where = str(folder / script)
        raise UsageError("the training command is not executable", where=where, next_step=f"chmod +x {where}")
    if script and not code:
        code = ((folder / script).absolute(),)
    held = tuple(
        str(path) if (path := Path(os.path.normpath(folder / word))) and _is_code(path, code) else word
        for word in words
    )
    return held, code


def _is_code(path: Path, code: tuple[Path, ...]) -> bool:
    return path.exists() and any(path == root or root in path.parents for root in code)


def _script_of(words: tuple[str, ...]) -> str:
    """The word that names the user's own script, or nothing for ``-m``, ``-c`` and installed programs."""
    if "/" in words[0] and not words[0].startswith("/"):
        return words[0]
    for word in words[1:]:
        if word in {"-c", "-m"}:
            return ""
        if not word.startswith("-") and Path(word).suffix.lower() in _SCRIPT_SUFFIXES:
            return word
    return ""


def _located(function: Callable[..., object], code: tuple[Path, ...]) -> tuple[tuple[Path, ...], str]:
    name = getattr(function, "__qualname__", "")
    try:
        source = Path(inspect.getsourcefile(inspect.unwrap(function)) or "").absolute()
    except TypeError:
        source = Path()
    if not name or "<" in name or not source.is_file():
        raise UsageError(
            "the training function cannot be found from another process",
            where=name or repr(function),
            next_step="define it at the top level of a file",
        )
    for root in code:
        if root.is_dir() and root in source.parents:
            return code, f"{'.'.join(source.relative_to(root).with_suffix('').parts)}:{name}"
    return (*code, *(() if source in code else (source,))), f"{source.stem}:{name}"


def check_name(name: str) -> None:
    """Raise for a variable that a training may not set: no name, one of Interlock's own, or what looks like a secret.

    Raises:
        UsageError: It may not be set.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name.upper().startswith("INTERLOCK_"):
        raise UsageError("this name cannot be set in the training's environment", where=repr(name))
    if _SECRET_WORDS & set(name.upper().split("_")):
        raise UsageError(
            "the training's environment stands in the receipt, so it holds no secrets",
            where=name,
            next_step="bring what the training needs in its data or code",
        )
