"""What the room offers, and what importing it costs a DAG file."""

from __future__ import annotations

import subprocess
import sys

import interlock.evidence


def test_exported_members() -> None:
    for name in interlock.evidence.__all__:
        assert getattr(interlock.evidence, name) is not None
    assert interlock.evidence.__all__ == sorted(
        interlock.evidence.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )


def test_importing_the_room_loads_nothing_heavy() -> None:
    heavy = ("sqlalchemy", "securesystemslib", "cryptography", "jsonschema", "fsspec")
    code = f"import sys, interlock.evidence; print([name for name in {heavy!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
