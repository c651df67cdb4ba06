"""Signing a model as a person does it: sign, verify, see a swapped file refused, and see policy ask for the signer."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import save
from tests.cli.conftest import Interlock


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key as the documentation says how to make one."""
    private, public = tmp_path / "release.key", tmp_path / "release.pem"
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    private.chmod(0o600)
    return private


@pytest.fixture
def model(tmp_path: Path) -> Path:
    import numpy as np

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(save({"weight": np.zeros((2, 2), dtype=np.float32)}))
    (folder / "config.json").write_text('{"hidden_size": 2}')
    return folder


def signed(interlock: Interlock, model: Path, key: Path) -> None:
    assert interlock("artifacts", "sign", model, "--signer", f"file2:{key}").status == 0


def test_a_signed_model_verifies_with_the_public_key_and_a_swapped_file_does_not(
    interlock: Interlock, model: Path, key: Path
) -> None:
    signed(interlock, model, key)
    said = interlock("artifacts", "verify", model, "--key", key.with_suffix(".pem"))
    assert said.status == 0
    assert "is what release signed as 'model': 2 files" in said.out
    (model / "config.json").write_text('{"hidden_size": 3}')
    said = interlock("artifacts", "verify", model, "--key", key.with_suffix(".pem"))
    assert said.status == 3
    assert "other bytes than were signed: config.json" in said.err
    assert "Next:" in said.err


def test_a_model_that_is_one_file_has_its_signature_beside_it(interlock: Interlock, model: Path, key: Path) -> None:
    file = model / "model.safetensors"
    signed(interlock, file, key)
    assert file.with_name("model.safetensors.sig").exists()
    assert interlock("artifacts", "verify", file, "--key", key.with_suffix(".pem")).status == 0


def test_nobody_is_trusted_for_models_until_somebody_says_so(interlock: Interlock, model: Path, key: Path) -> None:
    signed(interlock, model, key)
    said = interlock("artifacts", "verify", model)
    assert said.status == 3
    assert "interlock keys trust --models" in said.err
    assert interlock("keys", "trust", key.with_suffix(".pem"), "--name", "release", "--models").status == 0
    assert interlock("artifacts", "verify", model).status == 0
    assert "models" in interlock("keys", "list").out


def test_the_dev_key_is_no_key_for_models(interlock: Interlock, model: Path) -> None:
    said = interlock("artifacts", "sign", model)
    assert said.status == 2
    assert "P-256" in said.err
    assert not (model / "model.sig").exists()


@pytest.mark.parametrize(
    ("trusted", "swapped", "facts", "rules"),
    [
        (True, False, {"verified": True, "signer": "release"}, []),
        (False, False, {"verified": False, "signer": ""}, ["warning"]),
        (True, True, {"verified": False, "signer": ""}, ["error"]),
    ],
    ids=["trusted", "a-stranger", "swapped"],
)
def test_the_gate_tells_policy_who_signed(
    interlock: Interlock, model: Path, key: Path, *, trusted: bool, swapped: bool, facts: object, rules: list[str]
) -> None:
    signed(interlock, model, key)
    if trusted:
        interlock("keys", "trust", key.with_suffix(".pem"), "--name", "release", "--models")
    if swapped:
        (model / "config.json").write_text('{"hidden_size": 3}')
    report = json.loads(interlock("gate", "artifact-scan", model, "--format", "json").out)
    assert report["report"]["facts"]["model"]["signature"] == facts
    found = [one["level"] for one in report["report"]["findings"] if one["rule_id"] == "artifact-scan.signature"]
    assert found == rules


def test_a_model_without_a_signature_says_nothing_of_it(interlock: Interlock, model: Path) -> None:
    report = json.loads(interlock("gate", "artifact-scan", model, "--format", "json").out)
    assert "signature" not in report["report"]["facts"]["model"]


def test_files_that_the_signature_leaves_out_are_not_verified(interlock: Interlock, model: Path, key: Path) -> None:
    interlock("artifacts", "sign", model, "--signer", f"file2:{key}", "--ignore", "config.json")
    interlock("keys", "trust", key.with_suffix(".pem"), "--name", "release", "--models")
    assert "not signed: config.json" in interlock("artifacts", "verify", model).out
    report = json.loads(interlock("gate", "artifact-scan", model, "--format", "json").out)
    assert report["report"]["facts"]["model"]["signature"] == {"verified": False, "signer": "release"}


def test_a_bill_of_materials_names_datasets_by_their_bytes_and_the_pinned_libraries(
    interlock: Interlock, model: Path, tmp_path: Path
) -> None:
    data, lock = tmp_path / "reviews.csv", tmp_path / "lock.txt"
    data.write_text("a,b\n")
    lock.write_text("torch==2.13.0\n")
    said = interlock("artifacts", "bom", model, "--dataset", data, "--requirements", lock, "--out", model / "bom.json")
    assert said.status == 0
    parts = json.loads((model / "bom.json").read_text())["components"]
    assert [one["type"] for one in parts] == ["data", "library", "file", "file"]
    assert parts[0]["hashes"][0]["content"] == hashlib.sha256(b"a,b\n").hexdigest()
    report = json.loads(interlock("gate", "artifact-scan", model, "--format", "json").out)
    assert report["report"]["facts"]["model"]["bom"] == {"format": "CycloneDX", "version": "1.7"}
    assert json.loads(interlock("artifacts", "bom", model / "config.json", "--spec", "1.6").out)["specVersion"] == "1.6"
