"""Whatever moment a training is killed at, it goes on to the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interlock.training.sandbox import PACKAGE

pytest.importorskip("torch")

DRIVER = Path(__file__).with_name("killed_training.py")
KINDS = ["fsync", "mkdir", "rename", "rmdir", "step", "unlink", "write"]


def killed(cases: int, seed: int) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    ran = subprocess.run(
        [sys.executable, str(DRIVER), str(cases), str(seed)], check=True, capture_output=True, env=environment
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def check(found: dict[str, Any]) -> None:
    assert found["kinds"] == KINDS
    assert {result["kind"] for result in found["results"]} == set(KINDS)
    assert any(result["killed"] == [-9, -9] for result in found["results"])
    assert any(name.startswith(".writing-") for result in found["results"] for name in result["left"])
    for result in found["results"]:
        assert set(result["killed"]) <= {-9, 0}, result
        assert (result["status"], result["final"]) == (0, found["final"]), result


@pytest.mark.slow
def test_a_training_killed_twice_at_many_moments_of_each_kind_ends_with_the_same_weights() -> None:
    check(killed(cases=6 * len(KINDS), seed=2026))
