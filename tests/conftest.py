"""What tests of several rooms share: a deployment of its own for each test that asks for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests import warm_engine

settings.register_profile("interlock", deadline=None)  # no test asserts a time
settings.load_profile("interlock")


@pytest.fixture(scope="session", autouse=True)
def warm_engine_helpers() -> Iterator[None]:
    """Deployments of all tests ask helpers that already have their policy in them."""
    with warm_engine.shared():
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home with the profile `dev`; nothing of whoever runs the tests reaches it."""
    for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "interlock-home"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("INTERLOCK_HOME", str(folder))
    monkeypatch.setenv("INTERLOCK_PROFILE", "dev")
    return folder
