"""A policy layer of an organisation's own data, made for one test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest


def lay(folder: Path, monkeypatch: pytest.MonkeyPatch, documents: Mapping[str, Any]) -> Path:
    """Write a layer and name it in the settings.

    Args:
        folder: Where it is made.
        monkeypatch: Sets ``INTERLOCK_POLICY_LAYERS``.
        documents: Data by its path, such as ``interlock/enforcement/airflow/legacy``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"revision": "test", "roots": sorted(documents), "rego_version": 1}
    (folder / ".manifest").write_text(json.dumps(manifest))
    for path, document in documents.items():
        (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / path / "data.json").write_text(json.dumps(document))
    monkeypatch.setenv("INTERLOCK_POLICY_LAYERS", str(folder))
    return folder
