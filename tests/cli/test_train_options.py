"""The options of `interlock train` that change how it runs, each in a real training: what it does, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Interlock, Said
from tests.training import option_training

from interlock.training import BwrapSandbox

SCRIPT = str(Path(option_training.__file__))

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interlock: Interlock) -> Path:
    """A dataset that passed both gates in the current folder."""
    if not BwrapSandbox().probe().available:
        pytest.skip("bubblewrap does not work here")
    monkeypatch.setenv("INTERLOCK_PROFILE", "dev")
    monkeypatch.chdir(tmp_path)
    Path("train.csv").write_text("a,b,label\n" + "".join(f"{n % 7},{n % 5},{n % 2}\n" for n in range(60)))
    expectation = {"type": "expect_column_to_exist", "kwargs": {"column": "label"}}
    Path("suite.json").write_text(json.dumps({"name": "s", "expectations": [expectation]}))
    assert interlock("gate", "data-validation", "train.csv", "--suite", "suite.json").status == 0
    assert interlock("gate", "data-poisoning", "train.csv", "--label", "label").status == 0
    return tmp_path


def trained(interlock: Interlock, mode: str, *options: str) -> tuple[Said, dict[str, Any]]:
    """What was said, and the report."""
    said = interlock(
        *("train", "--data", "train.csv", "--out", "model", "--report", "r.json", "--env", f"MODE={mode}"),
        *(*options, "--", "python", SCRIPT),
    )
    return said, json.loads(Path("r.json").read_text())["report"]


def measured(report: dict[str, Any]) -> dict[str, float]:
    return {name: measure["value"] for name, measure in report["measures"].items()}


def found(report: dict[str, Any]) -> set[str]:
    return {finding["rule_id"] for finding in report["findings"]}


def test_a_training_that_dies_is_started_again_from_its_checkpoint(project: Path, interlock: Interlock) -> None:
    said, report = trained(interlock, "dies", "--checkpoints", "kept", "--max-restarts", "1")
    assert said.status == 0, said.out
    assert (project / "model" / "result.txt").read_text() == "3 15"
    assert measured(report)["started_again"] == 1
    invocations = report["configuration"]["safeguards"]["checkpoints"]["invocations"]
    assert [one["exit_status"] for one in invocations] == [7, 0]


def test_without_restarts_the_next_run_goes_on_and_the_receipt_says_from_where(
    project: Path, interlock: Interlock
) -> None:
    died, _ = trained(interlock, "dies", "--checkpoints", "kept", "--max-restarts", "0")
    assert died.status == 1
    assert not (project / "model").exists()
    said, report = trained(interlock, "dies", "--checkpoints", "kept")
    assert said.status == 0, said.out
    assert (project / "model" / "result.txt").read_text() == "3 15"
    before = report["configuration"]["safeguards"]["checkpoints"]["before"]
    newest = max(before, key=lambda one: one["step"])
    assert (report["facts"]["training"]["resumed_from"], newest["step"]) == (newest["digest"], 3)


@pytest.mark.parametrize(
    ("mode", "deterministic", "rule"),
    [
        pytest.param("same", True, "training.deterministic", id="repeatable"),
        pytest.param("differs", False, "training.not-deterministic", id="not-repeatable"),
    ],
)
def test_a_check_of_determinism_runs_twice_and_tells_policy(
    mode: str, deterministic: bool, rule: str, project: Path, interlock: Interlock
) -> None:
    said, report = trained(interlock, mode, "--check-determinism")
    assert said.status == 0, said.out
    assert report["facts"]["training"]["deterministic"] is deterministic
    assert rule in found(report)


def test_what_makes_a_training_repeatable_is_set_before_it_starts(project: Path, interlock: Interlock) -> None:
    said, report = trained(interlock, "same", "--deterministic", "--seed", "11", "--gpus", "0")
    assert said.status == 0, said.out
    environment = report["configuration"]["environment"]
    assert (project / "model" / "result.txt").read_text().splitlines() == [
        "CUBLAS_WORKSPACE_CONFIG=:4096:8",
        "CUDA_VISIBLE_DEVICES=",
        "PYTHONHASHSEED=11",
        f"OMP_NUM_THREADS={environment['OMP_NUM_THREADS']}",
    ]
    assert int(environment["OMP_NUM_THREADS"]) >= 1
    assert "deterministic" not in report["facts"]["training"]  # nobody looked


def test_a_private_training_that_tells_nothing_is_denied(project: Path, interlock: Interlock) -> None:
    said, report = trained(interlock, "same", "--epsilon", "3", "--delta", "1e-3")
    assert said.status == 1
    assert "training.epsilon-unheard" in found(report)
    assert not (project / "model").exists()


def test_what_a_private_training_spent_is_in_its_receipt(project: Path, interlock: Interlock) -> None:
    said, report = trained(interlock, "private", "--epsilon", "3", "--delta", "1e-3", "--max-grad-norm", "0.5")
    assert said.status == 0, said.out
    spent, _, asked = (project / "model" / "result.txt").read_text().split()
    assert measured(report)["epsilon"] == pytest.approx(float(spent), rel=1e-4)
    assert 0 < float(spent) <= float(asked) == 3
    assert report["configuration"]["safeguards"]["privacy"]["max_grad_norm"] == 0.5
