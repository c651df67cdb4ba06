"""The weights on the command line: a NaN under each profile, and the last accepted version, with real receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save
from tests.cli.conftest import Interlock


def model(path: Path, **changes: float) -> Path:
    weights: dict[str, NDArray[Any]] = {
        name: np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8) for name in ("first", "second")
    }
    for name, value in changes.items():
        weights[name][2, 3] = value
    path.write_bytes(save(weights))
    return path


@pytest.mark.parametrize(("profile", "status"), [("dev", 0), ("standard", 1)])
def test_a_nan_is_a_warning_that_the_policy_judges(
    interlock: Interlock, tmp_path: Path, profile: str, status: int
) -> None:
    bad = model(tmp_path / "m.safetensors", second=float("nan"))
    said = interlock("gate", "artifact-scan", bad, "--profile", profile)
    assert said.status == status
    assert "second: 1 NaN of 64 elements" in " ".join(said.out.split())
    assert ("nan_tensors is 1; profile standard bears 0" in " ".join(said.out.split())) == bool(status)


@pytest.mark.parametrize(("option", "status"), [("--weights", 0), ("--no-weights", 1)])
def test_a_profile_that_bounds_weights_wants_them_looked_at(
    interlock: Interlock, tmp_path: Path, option: str, status: int
) -> None:
    said = interlock("gate", "artifact-scan", model(tmp_path / "m.safetensors"), option, "--profile", "standard")
    assert said.status == status
    assert ("nan_tensors is nothing readable" in " ".join(said.out.split())) == bool(status)


def test_a_model_is_compared_with_the_last_accepted_version(interlock: Interlock, tmp_path: Path) -> None:
    old, new = model(tmp_path / "old.safetensors"), model(tmp_path / "new.safetensors", second=0.5)
    refused = interlock("gate", "artifact-scan", new, "--accepted", old, "--format", "json")
    assert refused.status == 3
    assert "nothing shows that this model was accepted" in refused.out
    assert interlock("gate", "artifact-scan", old).status == 0
    compared = interlock("gate", "artifact-scan", new, "--accepted", old, "--format", "json")
    assert compared.status == 0
    report = compared.json["report"]
    assert report["measures"]["changed_tensors"]["value"] == 1
    assert report["configuration"]["accepted"]["uri"].endswith("old.safetensors")
    assert len(report["configuration"]["accepted"]["receipt"]) > 10
    assert any(finding["message"].startswith("second: 1 of 64 elements changed") for finding in report["findings"])


def test_a_scan_of_a_repository_looks_at_weights_when_asked(
    interlock: Interlock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(tmp_path / "m.safetensors", first=float("inf"))
    monkeypatch.chdir(tmp_path)
    assert "artifact-scan.not-finite" not in interlock("artifacts", "scan").out
    said = interlock("artifacts", "scan", "--weights")
    assert said.status == 0
    assert "first: 1 infinite of 64 elements" in said.out
