"""`interlock budget`: what is printed of the accounts in a ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.cli.conftest import Interlock

from interlock.policy.schemas import schema


@pytest.fixture
def budgeted(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    layer = tmp_path / "layer" / "interlock" / "budgets"
    layer.mkdir(parents=True)
    (layer / "data.json").write_text(
        json.dumps({"fraud": {"pipelines": "any", "gpu_hours": 100, "energy_kwh": "any", "money": 400}})
    )
    (tmp_path / "layer" / ".manifest").write_text('{"roots": ["interlock/budgets/fraud"]}')
    monkeypatch.setenv("INTERLOCK_POLICY_LAYERS", str(tmp_path / "layer"))
    return home


@pytest.mark.usefixtures("budgeted")
def test_an_empty_month_leaves_all_of_the_budget(interlock: Interlock) -> None:
    said = interlock("budget", "show", "--month", "2026-10")
    assert said.status == 0
    assert said.out.splitlines() == [
        "fraud\tgpu_hours\t0 GPU-hours\t0 GPU-hours\t100\t100 GPU-hours",
        "fraud\tenergy_kwh\t0 kWh\t0 kWh\tany\tany",
        "fraud\tmoney\t0\t0\t400\t400",
    ]


@pytest.mark.usefixtures("budgeted")
def test_json_is_one_object_of_the_published_schema(interlock: Interlock) -> None:
    said = interlock("budget", "show", "--format", "json", "--team", "fraud", "--month", "2026-10")
    Draft202012Validator(schema("budget.json")).validate(said.json)
    assert said.json["teams"][0]["left"] == {"gpu_hours": 100, "money": 400}


def test_without_budgets_a_team_has_to_be_named(interlock: Interlock) -> None:
    said = interlock("budget", "show")
    assert said.status == 2
    assert "no team has a budget (data.interlock.budgets)" in said.err
    assert interlock("budget", "show", "--team", "new").status == 0


def test_a_month_that_is_none_is_a_usage_error(interlock: Interlock) -> None:
    said = interlock("budget", "show", "--team", "new", "--month", "November")
    assert said.status == 2
    assert "write 2026-11" in said.err
