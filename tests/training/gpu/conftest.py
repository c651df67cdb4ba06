"""A laid-out machine for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.gpu.machine import Machine, lay_out


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return lay_out(tmp_path / "machine")
