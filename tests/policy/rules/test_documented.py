"""The page of the rules names every id that a denial or a warning can carry; that of the profiles every parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "policy-rules.md").read_text(encoding="utf-8")
PROFILES_PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
POLICIES = ROOT / "policies" / "interlock"

# Only in METADATA of rules; the text `id:` of a control stands on a line of its own list.
_ID = re.compile(r"^# custom:\n#   id: ([a-z.-]+)$", re.MULTILINE)
_TITLE = re.compile(r"^# title: (.+)\n(?:#.*\n)*?# custom:\n#   id: ([a-z.-]+)$", re.MULTILINE)


def sources() -> list[str]:
    return [path.read_text() for path in POLICIES.rglob("*.rego") if not path.name.endswith("_test.rego")]


def test_the_page_names_every_rule_and_no_other() -> None:
    written = {name for source in sources() for name in _ID.findall(source)}
    assert set(re.findall(r"^\| `([a-z.-]+)` \|", PAGE, re.MULTILINE)) == written
    assert len(written) > 80


@pytest.mark.parametrize("name", ["dataset.poisoning-flagged", "deployment.approval", "kubernetes.receipt"])
def test_the_page_says_what_metadata_says(name: str) -> None:
    [title] = {title for source in sources() for title, found in _TITLE.findall(source) if found == name}
    assert f"| `{name}` | {title} |" in PAGE


def parameters(part: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in part.items():
        if isinstance(value, dict):
            yield from parameters(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value


def cell(value: Any) -> str:
    """A value as the page writes it: a list that is too long for a table is counted."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(value) or "nothing"
        return text if len(text) <= 60 else f"{len(value)} entries"
    return str(value)


def spelt_out(name: str) -> list[str]:
    """`a.{b,c}.d` as `a.b.d` and `a.c.d`."""
    before, brace, rest = name.partition("{")
    middle, _, after = rest.partition("}")
    return [f"{before}{one}{after}" for one in middle.split(",")] if brace else [name]


def test_the_page_says_what_each_profile_asks() -> None:
    profiles = json.loads((POLICIES / "profiles" / "data.json").read_text())
    asked = [dict(parameters(profiles[name])) for name in ("dev", "standard", "strict")]
    rows = re.findall(r"^\| `([a-z_.{},]+\.[a-z_.{},]+)` \| (.+) \| (.+) \| (.+) \|$", PROFILES_PAGE, re.MULTILINE)
    said = {name: tuple(cells) for row, *cells in rows for name in spelt_out(row)}
    assert said == {name: tuple(cell(profile[name]) for profile in asked) for name in asked[0]}
    assert len(said) == sum(len(spelt_out(row)) for row, *_ in rows)
    assert all(asked[0].keys() == profile.keys() for profile in asked)
