"""The evaluation on a terminal, and the options that the gate and the operator have."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from tests.cli.conftest import Interlock

from interlock.airflow import EvaluateModelOperator
from interlock.cli import gates
from interlock.probes import EvaluationGate
from interlock.training import BwrapSandbox

SET = "hint,scanner,label\n" + "".join(f"{name},a,{name}\n" for name in ("cat", "dog") * 20)


def test_an_evaluation_from_the_command_line(interlock: Interlock, tmp_path: Path) -> None:
    found = BwrapSandbox().probe()
    if not found.available:
        pytest.skip(f"bubblewrap does not work here: {found.reason}. To get it: {found.how_to_get}")
    (tmp_path / "pets.csv").write_text(SET)
    (tmp_path / "model.json").write_text("{}")
    code = tmp_path / "pets.py"
    code.write_text("def predict(model, rows):\n    return rows.read_text().split()[1:]\n")
    words = ("gate", "model-probe", tmp_path / "model.json", "--evaluation", tmp_path / "pets.csv", "--label", "label")
    said = interlock(*words, "--slice", "scanner", "--predict", "pets:predict", "--code", code, "--format", "json")
    assert said.status == 0, said.err
    assert said.json["report"]["measures"]["accuracy"]["value"] == 1
    facts = said.json["report"]["facts"]["evaluation"]
    assert (facts["name"], facts["accepted"], facts["shown"]) == ("pets", None, ["hint"])


def test_gate_command_and_operator_have_the_same_options() -> None:
    gate = set(inspect.signature(EvaluationGate).parameters) - {"sandbox"}
    command = {parameter.name for parameter in gates.model_probe.params} - {"subject", "profile", "format_", "out"}
    operator = set(inspect.signature(EvaluateModelOperator).parameters) - {"kwargs"}
    assert gate == command == operator
