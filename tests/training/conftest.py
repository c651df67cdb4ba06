"""A small dataset, and runs of small scripts in either sandbox."""

from __future__ import annotations

import hashlib
import textwrap
from pathlib import Path
from typing import Any, Protocol

import pytest

from interlock.gate import OpenSubject, Subject
from interlock.training import (
    BwrapSandbox,
    LandlockSandbox,
    Limits,
    RlimitsSandbox,
    Sandbox,
    TrainingRun,
    run_training,
    training_spec,
)


class RunScript(Protocol):
    """Runs Python source as a training script; what the spec and the sandbox take is passed on."""

    def __call__(self, source: str, *, sandbox: Sandbox, limits: Limits = ..., **more: Any) -> TrainingRun: ...


@pytest.fixture
def dataset(tmp_path: Path) -> OpenSubject:
    path = tmp_path / "held" / "rows.csv"
    path.parent.mkdir()
    path.write_text("a,label\n1,0\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return OpenSubject(subject=Subject(name=path.name, uri=path.as_uri(), digest=digest), path=path, files=("",))


@pytest.fixture
def bwrap() -> BwrapSandbox:
    sandbox = BwrapSandbox()
    found = sandbox.probe()
    if not found.available:
        pytest.skip(f"bubblewrap does not work here: {found.reason}. To get it: {found.how_to_get}")
    return sandbox


@pytest.fixture
def landlock() -> LandlockSandbox:
    sandbox = LandlockSandbox()
    found = sandbox.probe()
    if not found.available:
        pytest.skip(f"Landlock does not work here: {found.reason}. To get it: {found.how_to_get}")
    return sandbox


@pytest.fixture(params=["bwrap", "landlock"])
def confining_sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Those that keep the code from the rest of the machine."""
    sandbox: Sandbox = request.getfixturevalue(request.param)
    return sandbox


@pytest.fixture(params=["bwrap", "landlock", "rlimits"])
def each_sandbox(request: pytest.FixtureRequest) -> Sandbox:
    if request.param == "rlimits":
        return RlimitsSandbox()
    sandbox: Sandbox = request.getfixturevalue(request.param)
    return sandbox


@pytest.fixture
def run_script(tmp_path: Path, dataset: OpenSubject) -> RunScript:
    runs = 0

    def run(source: str, *, sandbox: Sandbox, limits: Limits | None = None, **more: Any) -> TrainingRun:
        nonlocal runs
        runs += 1
        script = tmp_path / f"train{runs}.py"
        script.write_text(textwrap.dedent(source))
        of_run = {name: more.pop(name) for name in ("on_line", "safeguards", "checkpoints") if name in more}
        spec = training_spec(command=["python", str(script), "{data}", "{out}"], limits=limits, **more)
        return run_training(spec, dataset, tmp_path / f"box{runs}" / "out", sandbox=sandbox, **of_run)

    return run


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the same user that no training has business with: a signing key, a ledger, another run's data."""
    path = tmp_path / "home" / "keys" / "dev.key"
    path.parent.mkdir(parents=True)
    path.write_text("s3cr3t")
    return path
