"""What the room offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import interlock.gate
import interlock.reporting


@pytest.mark.parametrize("room", [interlock.gate, interlock.reporting], ids=lambda room: str(room.__name__))
def test_exported_members(room: object) -> None:
    names = room.__all__  # type: ignore[attr-defined]  # each has one
    assert names == sorted(set(names), key=lambda n: (not n.isupper(), n[0].islower(), n))
    for name in names:
        assert getattr(room, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = room.nothing  # type: ignore[attr-defined]  # that is the point


def test_an_error_costs_no_more_than_the_errors() -> None:
    code = "import sys; from interlock.gate import UsageError; print([n for n in sys.modules if 'interlock.gate' in n])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "['interlock.gate', 'interlock.gate.errors']"
