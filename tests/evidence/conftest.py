"""Fixtures of the evidence room."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evidence.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workbench of its own for each test."""
    return Bench.at(tmp_path)
