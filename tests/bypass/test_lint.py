"""The tricks that are DAG files, before they are merged: `interlock lint` (L0) denies each, by its own process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.bypass.field import Field
from tests.bypass.play import installed
from tests.bypass.tricks import Outcome

pytestmark = pytest.mark.slow

FILES = [trick.name for trick, _, _ in installed(("L0",), played=False)]


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What lint says of each file, by name."""
    field = Field(tmp_path_factory.mktemp("lint"))
    for name in (*FILES, "sound", "control_ordinary"):
        field.install(name, "L0")
    report = field.root / "lint.json"
    field.say("lint", "-m", "interlock.cli", "lint", "--out", str(report), str(field.dags / "L0"))
    assert report.exists(), field.said["lint"]
    return {Path(file["path"]).stem: file for file in json.loads(report.read_text())["files"]}


@pytest.mark.parametrize("name", FILES)
def test_a_trick_is_denied_with_its_reason(linted: dict[str, dict[str, Any]], name: str) -> None:
    assert linted[name]["verdict"] == "DENY"
    found = {finding["rule_id"] for finding in linted[name]["findings"]}
    assert found & {"lint.ungated-training", "lint.tampering"}


@pytest.mark.parametrize("name", ["sound", "control_ordinary"])
def test_what_is_gated_or_needs_no_gate_is_allowed(linted: dict[str, dict[str, Any]], name: str) -> None:
    assert (linted[name]["verdict"], linted[name]["findings"]) == ("ALLOW", [])


def test_the_table_says_so() -> None:
    assert {trick.at["L0"] for trick, _, _ in installed(("L0",), played=False)} == {Outcome.DENIED}
