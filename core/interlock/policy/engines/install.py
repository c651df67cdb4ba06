"""Where the OPA library comes from: taken once from its wheel by pinned hash, and found again by every engine.

The wheel says that it needs Python 3.14, but what it holds is a C library that any Python can load in a helper
process (`interlock.policy.engines.opa_worker`). So only the library is taken, and the hash of the library itself is
checked at every load, against the pins in this file and not against something that lies beside it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.gate.errors import MissingExtraError, PolicyError, SettingsError, UnavailableError
from interlock.gate.settings import Settings

BESIDE_PYTHON = Path(sys.prefix) / "share" / "interlock"
"""Where a virtual environment keeps the engine: whoever uses that environment has it, whatever their home is."""

VARIABLE = "INTERLOCK_OPA_LIB"
"""Environment variable that names another library; whoever sets the deployment's environment answers for it."""

PACKAGE = "opa-golib-python-bindings"
PACKAGE_VERSION = "0.4.4"
LIBRARY = "libopabridge.so"
REQUIREMENTS = Path(__file__).with_name("engine_requirements.txt")
PINNED = (
    "8da2cf16edeae1c07e617b9572d2d1c61bad2ead8b620c79fc093be493b0f582",  # Linux x86_64
    "625726f68c558892dd0bfbaeca08c69d13959364c20a193d2545be5737d3d145",  # Linux aarch64
    "0a5bf598c6f607d9b7a45ff85c3bb11f3edd8f6e434c931aad836fa493a76762",  # macOS arm64
)
"""sha256 of the library in each wheel of `REQUIREMENTS`."""

_PIP_SECONDS = 900
_MAX_LIBRARY_BYTES = 256 * 1024 * 1024


class EngineMissingError(MissingExtraError):
    """No OPA library is installed; the message says which command brings it."""

    def __init__(self, where: Path) -> None:
        super(MissingExtraError, self).__init__(
            "the embedded policy engine is not installed",
            where=str(where),
            next_step=f"interlock policy install-engine (or set {VARIABLE} to a {LIBRARY})",
        )
        self.package = PACKAGE
        self.extra = "opa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """An OPA library on this machine.

    Args:
        path: The shared object.
        accepted: sha256 digests of which it must have one; empty when the deployment answers for it instead.
        source: Where it comes from, for people.
    """

    path: Path
    accepted: tuple[str, ...]
    source: str


def locate(settings: Settings) -> Library:
    """Find the library: the environment variable first, then what was installed, then the importable package.

    Raises:
        EngineMissingError: There is none.
        SettingsError: The environment variable names no file.
    """
    named = os.environ.get(VARIABLE, "")
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"{VARIABLE} names no file", where=named, next_step=f"unset it or name a {LIBRARY}")
        return Library(path=Path(named).absolute(), accepted=(), source=VARIABLE)
    for home in (settings.home, BESIDE_PYTHON):
        installed = _target(home) / LIBRARY
        if installed.is_file():
            return Library(path=installed, accepted=PINNED, source="interlock policy install-engine")
    return _from_package() or _missing(_target(settings.home) / LIBRARY)


def place_for(settings: Settings) -> Path:
    """Where `install_engine` should put the library: into this virtual environment, or else under the home folder."""
    in_environment = sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK)
    return BESIDE_PYTHON if in_environment else settings.home


def install_engine(home: Path) -> Path:
    """Bring the library with pip, by pinned hash, unless the right one is there already.

    Args:
        home: `place_for(settings)`; the library goes to ``engine/<version>/`` below it.

    Returns:
        The path of the library.

    Raises:
        SettingsError: pip is missing, there is no wheel for this machine, or `home` cannot be written.
        UnavailableError: pip did not get the wheel; try again.
        PolicyError: What came is not what was pinned.
    """
    target = _target(home)
    if _digest(target / LIBRARY) in PINNED:
        return target / LIBRARY
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as folder:
            wheel = _download(Path(folder))
            fresh = Path(folder) / PACKAGE_VERSION
            _unpack(wheel, fresh)
            _put(fresh, target, Path(folder) / "old")
    except OSError as error:
        raise SettingsError(f"the engine cannot be written: {error.strerror}", where=str(target)) from error
    return target / LIBRARY


def _target(home: Path) -> Path:
    return home / "engine" / PACKAGE_VERSION


def _missing(where: Path) -> Library:
    raise EngineMissingError(where)


def _from_package() -> Library | None:
    from importlib.metadata import PackageNotFoundError, version

    found = importlib.util.find_spec("opa_bindings")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / LIBRARY
    if not path.is_file():
        return None
    try:
        known = version(PACKAGE) == PACKAGE_VERSION
    except PackageNotFoundError:
        known = True  # a package that pip does not know of: then it must be the pinned library
    return Library(path=path, accepted=PINNED if known else (), source=f"Python package {PACKAGE}")


def _download(folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise SettingsError("pip is not installed", where=sys.executable, next_step="python -m ensurepip, then again")
    strictly = ("--no-deps", "--ignore-requires-python", "--require-hashes", "--only-binary", ":all:")
    quietly = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
    done = _run_pip(["download", *strictly, *quietly, "--dest", str(folder), "--requirement", str(REQUIREMENTS)])
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-1:]
    what = said[0].removeprefix("ERROR: ") if said else f"pip ended with status {done.returncode}"
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise PolicyError("what pip got is not the pinned policy engine", where=str(REQUIREMENTS))
    if "No matching distribution" in done.stderr:
        raise SettingsError(
            f"pip found no wheel of {PACKAGE} {PACKAGE_VERSION} for this machine: {what}",
            next_step="it needs glibc 2.34 on x86_64 or aarch64; an OPA server is the other way",
        )
    raise UnavailableError(f"pip did not get the policy engine: {what}", next_step="check pip's index, then again")


def _run_pip(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, "-m", "pip", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PIP_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"pip did not end within {_PIP_SECONDS} seconds") from error


def _unpack(wheel: Path, fresh: Path) -> None:
    """Take the library and its licence out of the wheel, and nothing else."""
    import zipfile

    fresh.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = Path(member.filename).name
            if name not in {LIBRARY, "LICENSE"} or member.file_size > _MAX_LIBRARY_BYTES:
                continue
            with archive.open(member) as source, (fresh / name).open("wb") as copy:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fsync(copy.fileno())
            (fresh / name).chmod(0o444)
    if _digest(fresh / LIBRARY) not in PINNED:
        raise PolicyError("the library in the wheel is not the pinned one", where=wheel.name)


def _put(fresh: Path, target: Path, aside: Path) -> None:
    """Rename into place; a wrong or half old one goes first, and a colleague who was quicker has the right one."""
    if target.exists() and _digest(target / LIBRARY) not in PINNED:
        target.rename(aside)
    try:
        fresh.rename(target)
    except OSError:
        if _digest(target / LIBRARY) not in PINNED:
            raise


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
