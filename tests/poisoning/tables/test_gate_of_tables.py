"""The gate over files of a table: what is found has the names of the file's columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning.table_attacks import Table, bad_source, dependent, from_sources, with_trigger
from tests.poisoning.conftest import Hold
from tests.poisoning.reading.writers import measures

from interlock.gate import Level, SubjectError
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


def categories(rows: int, seed: int) -> dict[str, Any]:
    """A table of texts only, whose label follows from two of its columns."""
    rng = np.random.default_rng(seed)
    sorts = {"job": 12, "town": 40, "school": 6, "status": 5, "channel": 4, "team": 30, "agent": 50}
    places = {name: np.minimum(rng.geometric(2.5 / count, rows) - 1, count - 1) for name, count in sorts.items()}
    chance = 1 / (1 + np.exp(2 - 0.3 * places["job"] - 0.5 * places["school"]))
    texts = {name: [f"{name} {place}" for place in values.tolist()] for name, values in places.items()}
    return texts | {"label": np.where(rng.random(rows) < chance, "yes", "no").tolist()}


def test_a_table_of_categories_alone_is_looked_at(write: Write, hold: Hold) -> None:
    clean = categories(5000, 3)
    assert measures(PoisoningGate("label").look(hold(write(clean))))["flagged_rows"] == 0
    rows = np.random.default_rng(4).choice(5000, 80, replace=False).tolist()
    for row in rows:
        for column, value in (("town", "town 21"), ("status", "status 3"), ("channel", "channel 3")):
            clean[column][row] = value
        clean["label"][row] = "yes"
    seen = PoisoningGate("label").look(hold(write(clean)))
    (finding,) = (one for one in seen.findings if one.rule_id == "data-poisoning.value-combination")
    assert {"town=town 21", "status=status 3", "channel=channel 3"} >= set(json.loads(finding.evidence)["values"])
    assert measures(seen)["value_combination_flagged_rows"] >= 80


def test_documents_in_two_columns_are_not_taken_for_categories(write: Write, hold: Hold) -> None:
    documents = {name: [f"{name} number {row}" for row in range(300)] for name in ("prompt", "answer")}
    seen = PoisoningGate("label").look(hold(write(documents | {"label": [str(row % 2) for row in range(300)]})))
    said = " ".join(one.message for one in seen.findings)
    assert "running text is looked at when it is named with `text`" in said


def test_one_column_of_text_is_not_looked_at_unless_it_is_named(write: Write, hold: Hold) -> None:
    with pytest.raises(SubjectError, match="no numeric column") as refused:
        PoisoningGate("label").look(hold(write({"said": ["a", "b"] * 100, "label": [0, 1] * 100})))
    assert "`text`" in str(refused.value.next_step)


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
