"""A gated pipeline under kfp's DockerRunner: each step a container of the image that was built, by podman's socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.evidence import authentic
from interlock.gate import Settings
from interlock.runner import LocalRunner

pytestmark = pytest.mark.slow

PROFILE = {
    "contained": {
        "extends": "dev",
        "required": {"training": ["data-validation"]},
        "evidence": {"accept_profiles": ["contained"]},
    }
}
"""The image of the test has no torch, so there is no poisoning scan to require."""


@pytest.fixture
def image() -> str:
    folder = os.environ.get("INTERLOCK_TEST_IMAGE", "")
    if not folder:
        pytest.skip("no image to run steps in: `make image-test` builds one, where containers can run")
    return str(json.loads((Path(folder) / "image.json").read_text())["image"])


@pytest.fixture
def root(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the steps' user can write, with the deployment that they share."""
    layer = tmp_path / "policy"
    (layer / "interlock" / "profiles").mkdir(parents=True)
    (layer / "interlock" / "profiles" / "data.json").write_text(json.dumps(PROFILE))
    said = {"revision": "contained-1", "roots": ["interlock/profiles/contained"], "rego_version": 1}
    (layer / ".manifest").write_text(json.dumps(said))
    root = tmp_path / "root"
    artifacts = root / "artifacts"
    deployment = artifacts / "deployment"
    deployment.mkdir(parents=True)
    for folder in (artifacts, deployment):
        folder.chmod(0o777)
    layer.rename(artifacts / "policy")
    monkeypatch.setenv("INTERLOCK_HOME", str(deployment / "home"))
    monkeypatch.setenv("INTERLOCK_POLICY_LAYERS", str(artifacts / "policy"))
    monkeypatch.setenv("INTERLOCK_PROFILE", "contained")
    return root


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[str]:
    """Podman's API, for the time of the test."""
    path = tmp_path / "podman.sock"
    service = subprocess.Popen(["podman", "system", "service", "--time", "0", f"unix://{path}"])
    try:
        while not path.exists():
            assert service.poll() is None, "podman's service has ended"
            time.sleep(0.05)
        yield f"unix://{path}"
    finally:
        service.terminate()
        service.wait()


def run(image: str, root: Path, rows: str, socket: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: PLW1510 (the tests read the status)
        [sys.executable, "-m", "tests.kubeflow.contained", image, str(root), rows],
        env={**os.environ, "DOCKER_HOST": socket},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )


def verdicts() -> list[tuple[str, str]]:
    """What the ledger of the steps says, oldest first."""
    with LocalRunner(Settings.load()) as runner:
        receipts = [authentic(entry.envelope, runner.keyring).receipt for entry in runner.ledger.entries()]
    return [(f"{one.stage.value}:{one.gate}", one.decision.verdict.value) for one in reversed(receipts)]


def test_clean_data_is_trained_on_in_containers(image: str, root: Path, socket: str) -> None:
    ended = run(image, root, "a,label\n1,0\n2,1\n", socket)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "trained as 65532 on " in ended.stdout
    assert len(list(root.glob("artifacts/*/train/model"))) == 1
    assert verdicts() == [
        ("gate:data-validation", "ALLOW"),
        ("guard:training", "ALLOW"),
        ("gate:artifact-scan", "ALLOW"),
    ]


def test_data_that_was_denied_is_not_trained_on_whatever_kfp_says_of_the_gate(
    image: str, root: Path, socket: str
) -> None:
    ended = run(image, root, "a,label\n1,0\n2,\n", socket)
    assert ended.returncode != 0
    assert "trained as" not in ended.stdout
    assert not list(root.glob("artifacts/*/train/model"))
    assert verdicts()[0] == ("gate:data-validation", "DENY")
    assert ("guard:training", "ALLOW") not in verdicts()
