"""The example pipeline compiles, is gated, and caches no gate."""

from __future__ import annotations

import functools
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from interlock.kubeflow.demo.drive import STEPS
from interlock.kubeflow.images import PLACEHOLDER
from interlock.kubeflow.pipelines import compiled
from interlock.kubeflow_plugin.ir_check import check_ir

EXAMPLE = Path(__file__).parents[2] / "dags_examples" / "kubeflow" / "gated_retraining.py"


@pytest.fixture
def example(home: Path) -> str:
    """The compiled example; `home` is a deployment of its own."""
    return compiled_once()


@functools.cache
def compiled_once() -> str:
    return compiled(runpy.run_path(str(EXAMPLE))["gated_retraining"])


def test_the_example_has_the_steps_that_the_demo_looks_for_and_caches_no_gate(example: str) -> None:
    tasks: dict[str, Any] = yaml.safe_load(example)["root"]["dag"]["tasks"]
    assert set(tasks) == set(STEPS.order)
    cached = {name for name, task in tasks.items() if task["cachingOptions"]}
    assert cached == {STEPS.collect, STEPS.others}


@pytest.mark.parametrize("profile", ["dev", "standard"])
def test_the_example_is_gated(example: str, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_PROFILE", profile)
    found = check_ir(example)
    assert found.profile == profile
    assert found.said == ""


def test_the_strict_profile_wants_gates_from_an_image_that_policy_names(
    example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_PROFILE", "strict")
    found = check_ir(example)
    assert found.violations
    assert not found.problems
    assert found.said.count(PLACEHOLDER) == len(found.violations)
