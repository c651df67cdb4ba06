"""The real engine, once for the session, and the input documents that the Rego tests call allowed."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import Settings, UnavailableError
from interlock.policy import Bundle, EmbeddedEngine, EngineMissingError, Library, install_engine, locate
from interlock.policy.engines.install import place_for

Documents = Mapping[str, dict[str, Any]]
MakeEngine = Callable[..., EmbeddedEngine]


@pytest.fixture(scope="session")
def library() -> Library:
    settings = Settings.load({}, system_file=Path("/nonexistent"))
    try:
        return locate(settings)
    except EngineMissingError:
        pass
    try:
        install_engine(place_for(settings))
    except UnavailableError as error:
        pytest.skip(f"the engine cannot be installed here: {error}")
    return locate(settings)


@pytest.fixture(scope="session")
def opa() -> str:
    """Path of the real program, the reference."""
    found = shutil.which("opa", path=os.pathsep.join((os.environ.get("PATH", ""), str(Path.home() / "go" / "bin"))))
    if found is None:
        pytest.skip("needs the opa program: go install github.com/open-policy-agent/opa@v1.20.2")
    return found


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return Bundle.load()


@pytest.fixture(scope="session")
def engine(library: Library, bundle: Bundle) -> Iterator[EmbeddedEngine]:
    """The shipped bundle with its Rego tests, so that their example documents can be asked for."""
    engine = EmbeddedEngine(bundle.with_tests(), library=library)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def examples(engine: EmbeddedEngine) -> Callable[[], Documents]:
    """A fresh copy of the allowed input documents."""
    value: Any = engine.evaluate("data.interlock.examples_test.allowed", {}).value
    return lambda: copy.deepcopy(value)


@pytest.fixture
def make_engine(library: Library, tmp_path: Path) -> Iterator[MakeEngine]:
    """Make an engine over one Rego text; it is closed at the end of the test."""
    made: list[EmbeddedEngine] = []

    def make(source: str, *, deadline: float = 5.0, **more: Any) -> EmbeddedEngine:
        path = tmp_path / f"rule{len(made)}.rego"
        path.write_text(source)
        made.append(EmbeddedEngine(Bundle.load(path), deadline=deadline, **{"library": library, **more}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()
