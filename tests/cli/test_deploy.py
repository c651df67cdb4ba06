"""`interlock deploy`: no manifest without the guard, and a way back to what was served before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from tests.cli.conftest import Interlock
from tests.deployment.served import vouch_for_model
from tests.training.cluster.objects import problems

from interlock.deployment import FolderRegistry
from interlock.gate import Settings
from interlock.runner import LocalRunner

TO = "registry://fraud/champion"
SERVING = ("--name", "fraud", "--namespace", "serving", "--model-format", "onnx", "--unchecked-storage")


def weights(path: Path, value: int) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes([value]) * 8)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return weights(tmp_path / "model.safetensors", 0)


def scanned(model: Path) -> str:
    """As after a training and a scan that allowed it; the guard looks for these receipts."""
    with LocalRunner(Settings.load()) as runner:
        subject = runner.snapshot(str(model)).subject
        vouch_for_model(runner, subject)
    return subject.digest


def uri(digest: str) -> tuple[str, str]:
    return "--storage-uri", f"s3://models/fraud/versions/sha256-{digest}/model.safetensors"


def test_a_model_without_receipts_gets_no_manifest(interlock: Interlock, model: Path, tmp_path: Path) -> None:
    with LocalRunner(Settings.load()) as runner:
        digest = runner.snapshot(str(model)).subject.digest
    said = interlock("deploy", "render", model, *SERVING, *uri(digest), "--out", tmp_path / "out.yaml")
    assert (said.status, said.out) == (1, "")
    assert "no artifact-scan receipt opens for these bytes" in said.err
    assert not (tmp_path / "out.yaml").exists()


def test_a_scanned_model_gets_manifests_with_its_receipts(interlock: Interlock, model: Path, tmp_path: Path) -> None:
    digest, file = scanned(model), tmp_path / "out.yaml"
    said = interlock("deploy", "render", model, *SERVING, *uri(digest), "--out", file)
    assert said.status == 0, said.err
    service, policy = yaml.safe_load_all(file.read_text())
    assert problems(service) == problems(policy) == []
    notes = service["metadata"]["annotations"]
    assert notes["interlock.dev/subject-sha256"] == digest
    assert interlock("verify", notes["interlock.dev/receipt"]).status == 0
    assert all(interlock("verify", one).status == 0 for one in notes["interlock.dev/receipts"].split(","))
    with LocalRunner(Settings.load()) as runner:
        assert notes["interlock.dev/bundle-sha256"] == runner.decider.bundle_digest
    assert interlock("deploy", "check", file, "--unchecked-storage").status == 0
    assert interlock("deploy", "check", file).status == 1

    file.write_text(
        file.read_text().replace("automountServiceAccountToken: false", "automountServiceAccountToken: true")
    )
    said = interlock("deploy", "check", file, "--unchecked-storage", "--format", "json")
    assert said.status == 1
    assert [one["where"] for one in said.json["findings"]] == ["spec.predictor.automountServiceAccountToken"]


def test_policy_judges_the_very_manifests(interlock: Interlock, model: Path) -> None:
    """Egress to everywhere: rule deployment.network-policy of every profile."""
    digest = scanned(model)
    said = interlock("deploy", "render", model, *SERVING, *uri(digest), "--storage", "0.0.0.0/0")
    assert (said.status, said.out) == (1, "")
    assert "no network policy holds its pods for Egress" in said.err


def test_bytes_that_change_after_the_scan_get_no_manifest(interlock: Interlock, model: Path) -> None:
    digest = scanned(model)
    weights(model, 1)
    said = interlock("deploy", "render", model, *SERVING, *uri(digest))
    assert (said.status, said.out) == (2, "")
    assert "is not named by the model's digest" in said.err


def promote(model: Path) -> str:
    digest = scanned(model)
    with LocalRunner(Settings.load()) as runner, runner.store.open(str(model)) as held:
        FolderRegistry(Settings.load().registry).promote(held, to=TO)
    return digest


def test_rollback_serves_what_was_promoted_before(interlock: Interlock, model: Path) -> None:
    first = promote(model)
    second = promote(weights(model, 1))
    said = interlock("deploy", "render", TO, *SERVING, *uri(second), "--format", "json")
    assert (said.status, said.json["digest"]["sha256"]) == (0, second)

    said = interlock("deploy", "rollback", TO, *SERVING, *uri(first), "--format", "json")
    assert said.status == 0, said.err
    assert said.json["digest"]["sha256"] == first
    assert FolderRegistry(Settings.load().registry).resolve(TO).digest == first
    said = interlock("deploy", "rollback", TO, *SERVING, *uri(first))
    assert (said.status, said.out) == (2, "")
    assert "no former version" in said.err


@pytest.mark.slow
def test_rollback_to_a_model_without_receipts_leaves_the_alias(interlock: Interlock, model: Path) -> None:
    with LocalRunner(Settings.load()) as runner, runner.store.open(str(model)) as held:
        FolderRegistry(Settings.load().registry).promote(held, to=TO)
        first = held.subject.digest
    second = promote(weights(model, 1))
    assert interlock("deploy", "rollback", TO, *SERVING, *uri(first)).status == 1
    assert FolderRegistry(Settings.load().registry).resolve(TO).digest == second


def test_a_registry_on_this_machine_is_no_place_for_a_cluster(interlock: Interlock, model: Path) -> None:
    promote(model)
    said = interlock("deploy", "render", TO, *SERVING)
    assert (said.status, said.out) == (2, "")
    assert "cannot load a model from this machine's disk" in said.err


def test_the_loader_is_rendered_for_a_pinned_image(interlock: Interlock) -> None:
    said = interlock("deploy", "storage-container", "--image", f"registry.example/interlock@sha256:{'1' * 64}")
    assert said.status == 0
    assert problems(yaml.safe_load(said.out)) == []
    assert interlock("deploy", "storage-container", "--image", "registry.example/interlock:latest").status == 2
