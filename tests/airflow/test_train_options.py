"""The arguments of `SecureTrainOperator` that change how it runs, each in a real task run on one dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.runs import QUIET, RunDag, gates_of, verdicts
from tests.training import option_training

from interlock.training import BwrapSandbox

pytestmark = [*QUIET, pytest.mark.slow]

STEPS: dict[str, dict[str, Any]] = {
    "restarted": {"mode": "dies", "checkpoints": "kept", "restarts": 1},
    "not_restarted": {"mode": "dies", "checkpoints": "other", "restarts": 0},
    "repeatable": {"mode": "same", "check_determinism": True},
    "not_repeatable": {"mode": "differs", "check_determinism": True},
    "deterministic": {"mode": "same", "deterministic": True, "gpus": 0, "seed": 11},
    "private": {"mode": "private", "epsilon": 3.0, "delta": 1e-3, "max_grad_norm": 0.5},
    "silent": {"mode": "same", "epsilon": 3.0, "delta": 1e-3},
}


def reports() -> dict[str, dict[str, Any]]:
    """The newest report of each task, as it stands in the ledger beside its receipt."""
    from interlock.evidence import KeyRing, Ledger, verify_receipt
    from interlock.gate import Settings, utc_now

    settings = Settings.load()
    ring = KeyRing.load(settings)
    ledger = Ledger.open(settings.ledger_url)
    told: dict[str, dict[str, Any]] = {}
    for entry in reversed(ledger.entries()):
        receipt = verify_receipt(entry.envelope, ring, now=utc_now())
        told[receipt.run.task_id] = json.loads(ledger.get(receipt.receipt_id).report or "")
    return told


def test_each_argument_does_what_it_says(run_dag: RunDag, data: Path, tmp_path: Path) -> None:
    from airflow.sdk import DAG

    from interlock.airflow import SecureTrainOperator

    if not BwrapSandbox().probe().available:
        pytest.skip("bubblewrap does not work here")
    with DAG("options", schedule=None) as dag:
        gates = gates_of(data)
        for name, step in STEPS.items():
            arguments = {key: value for key, value in step.items() if key != "mode"}
            if "checkpoints" in arguments:
                arguments["checkpoints"] = str(tmp_path / arguments["checkpoints"])
            gates >> SecureTrainOperator(
                task_id=name,
                data=str(data),
                out=str(tmp_path / name),
                command=["python", str(Path(option_training.__file__))],
                environment={"MODE": step["mode"]},
                **arguments,
            )
    failing = {"not_restarted", "silent"}
    states = run_dag(dag)
    assert {name: states[name] for name in STEPS} == {
        name: "failed" if name in failing else "success" for name in STEPS
    }
    assert {name: verdicts()[name] for name in STEPS} == {
        name: "DENY" if name in failing else "ALLOW" for name in STEPS
    }
    assert {name for name in STEPS if (tmp_path / name).exists()} == STEPS.keys() - failing
    told = reports()
    assert told["restarted"]["measures"]["started_again"]["value"] == 1
    assert (tmp_path / "restarted" / "result.txt").read_text() == "3 15"
    assert told["repeatable"]["facts"]["training"]["deterministic"] is True
    assert told["not_repeatable"]["facts"]["training"]["deterministic"] is False
    assert (tmp_path / "deterministic" / "result.txt").read_text().splitlines()[:3] == [
        "CUBLAS_WORKSPACE_CONFIG=:4096:8",
        "CUDA_VISIBLE_DEVICES=",
        "PYTHONHASHSEED=11",
    ]
    assert 0 < told["private"]["measures"]["epsilon"]["value"] <= 3
    assert told["private"]["configuration"]["safeguards"]["privacy"]["max_grad_norm"] == 0.5
    assert "training.epsilon-unheard" in {finding["rule_id"] for finding in told["silent"]["findings"]}
