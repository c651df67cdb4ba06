"""The page of the rules names every id that a denial or a warning can carry, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "policy-rules.md").read_text(encoding="utf-8")
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
