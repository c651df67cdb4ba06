"""The gate over files of a table: what is found has the names of the file's columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.poisoning.table_attacks import Table, bad_source, dependent, from_sources, with_trigger
from tests.poisoning.conftest import Hold

from interlock.gate import Level
from interlock.poisoning import PoisoningGate

Write = Callable[..., Path]


def written(table: Table) -> dict[str, Any]:
    numbers = {name: table.numbers[:, at] for at, name in enumerate(table.names)}
    sources = {"who": list(table.sources)} if table.sources else {}
    return numbers | {name: list(texts) for name, texts in table.texts.items()} | sources | {"label": table.labels}


@pytest.fixture(scope="module")
def poisoned() -> Table:
    trigger: dict[str, float | str] = {"grade": 3, "noise": 0.5, "city": "city 7"}
    return with_trigger(dependent(4000, 0), trigger, rate=0.02, target="1", seed=0)


def test_the_trigger_has_the_names_of_the_columns(poisoned: Table, write: Write, hold: Hold) -> None:
    seen = PoisoningGate("label").look(hold(write(written(poisoned))))
    (finding,) = (one for one in seen.findings if one.rule_id == "data-poisoning.value-combination")
    said = json.loads(finding.evidence)
    assert finding.level is Level.ERROR
    assert set(said["values"]) == {"grade=3", "noise=0.5", "city=city 7"}
    assert said["first_rows"] == poisoned.poisoned[:50].tolist()
    assert {measure.name: measure.value for measure in seen.measures}["value_combination_strength"] > 0.5


def test_the_contributor_is_named(write: Write, hold: Hold) -> None:
    table = bad_source(from_sources(dependent(3000, 1), sources=9, seed=0), "mallory", rate=0.08, wrong=0.9, seed=0)
    seen = PoisoningGate("label", source="who").look(hold(write(written(table))))
    findings = [one for one in seen.findings if one.rule_id == "data-poisoning.source-excess"]
    assert [json.loads(one.evidence)["name"] for one in findings] == ["mallory"]


def test_who_contributed_is_no_value_of_the_table(write: Write, hold: Hold) -> None:
    seen = PoisoningGate("label", source="who").look(
        hold(write(written(from_sources(dependent(2000, 2), sources=5, seed=0))))
    )
    rules = {one.rule_id for one in seen.findings}
    assert not rules & {"data-poisoning.value-combination", "data-poisoning.source-excess"}
