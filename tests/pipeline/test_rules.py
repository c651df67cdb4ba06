"""What a deployment's policy says of pipelines, read through a profile that stands on another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import PolicyError, Settings
from interlock.pipeline.rules import Rules, read_rules

IMAGE = "registry.example/ml/interlock-python@sha256:" + "1" * 64


def rules(profile: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Rules:
    profiles = folder / "layer" / "interlock" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "data.json").write_text(json.dumps({"ours": profile}))
    said = {"revision": "1", "roots": ["interlock/profiles/ours"], "rego_version": 1}
    (folder / "layer" / ".manifest").write_text(json.dumps(said))
    monkeypatch.setenv("INTERLOCK_POLICY_LAYERS", str(folder / "layer"))
    monkeypatch.setenv("INTERLOCK_PROFILE", "ours")
    return read_rules(Settings.load(), "kubeflow")


@pytest.mark.parametrize(
    ("profile", "taken"),
    [
        pytest.param({"extends": "dev"}, True, id="as-the-profile-below"),
        pytest.param({"extends": "dev", "pipeline": {"gate_images": ["registry.example/*"]}}, True, id="its-own"),
        pytest.param({"extends": "dev", "pipeline": {"gate_images": ["elsewhere/*"]}}, False, id="its-own-and-other"),
        pytest.param({"extends": "dev", "pipeline": {"gate_images": []}}, False, id="none"),
    ],
)
def test_a_profile_that_extends_another_says_which_images_gates_run_in(
    profile: dict[str, Any], taken: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rules(profile, tmp_path, monkeypatch).gate_images(IMAGE) is taken


def test_a_profile_without_a_list_of_images_takes_none(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PolicyError, match="no list of patterns"):
        rules({"extends": "dev", "pipeline": {"gate_images": None}}, tmp_path, monkeypatch).gate_images(IMAGE)
