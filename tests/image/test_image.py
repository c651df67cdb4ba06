"""The built image, run as a cluster would that trusts nobody: no root, no capability, no network, no writable root."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.image.conftest import Built, Inside

pytestmark = pytest.mark.slow

KFP_PATHS = {"/.cache", "/.config", "/.local", "/gcs", "/minio", "/s3"}
"""Where Kubeflow Pipelines mounts volumes of a pod (backend/src/v2/compiler/argocompiler/container.go)."""


def test_it_starts_as_a_numbered_user_with_no_entry_point(built: Built) -> None:
    said = subprocess.run(["podman", "image", "inspect", built.reference], check=True, capture_output=True).stdout
    (image,) = json.loads(said)
    assert image["Config"]["User"] == "65532:65532"
    assert "Entrypoint" not in image["Config"]
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])


def test_a_step_has_no_privilege_and_no_way_to_one(inside: Inside) -> None:
    ended = inside(
        "sh", "-c", "id -u; grep -E '^(CapPrm|CapBnd|NoNewPrivs)' /proc/self/status; find / -xdev -type f -perm /6000"
    )
    user, *status = ended.stdout.splitlines()
    assert user == "65532"
    assert status == ["CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]


def test_nothing_can_be_written_but_tmp(inside: Inside) -> None:
    script = "find / -xdev ! -type l -writable 2>/dev/null; touch /opt/interlock/x /gcs/x"
    ended = inside("sh", "-c", script)
    assert ended.stdout.split() == ["/tmp"]
    assert ended.stderr.count("Read-only file system") == 2


def test_without_a_read_only_root_only_the_folders_of_kfp_are_open(built: Built, inside: Inside) -> None:
    script = "find / -xdev ! -type l -writable 2>/dev/null"
    command = ["podman", "run", "--rm", "--network", "none", built.reference, "sh", "-c", script]
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()
    assert set(found) - {"/tmp", "/var/tmp", "/run/lock"} == KFP_PATHS


@pytest.mark.parametrize("user", ["65532:65532", "1000680000:0"], ids=["its-own-user", "a-number-of-the-cluster"])
def test_doctor_finds_the_engine_and_says_which_isolation_there_is(user: str, inside: Inside) -> None:
    ended = inside("interlock", "doctor", "--format", "json", options=("--user", user))
    assert ended.returncode == 0, ended.stderr
    checks = {check["what"]: check for check in json.loads(ended.stdout)["checks"]}
    assert checks["policy engine"]["found"].startswith("opa-embedded ")
    assert checks["extra kubeflow"]["state"] == "ok"
    isolation = checks["isolation"]["found"]
    print(f"isolation inside: {isolation}")
    assert isolation.startswith(("bwrap", "landlock+seccomp"))


def test_no_installer_is_there(inside: Inside) -> None:
    ended = inside("sh", "-c", "command -v pip pip3 uv; python3 -m pip --version")
    assert ended.stdout == ""
    assert "No module named pip" in ended.stderr


def test_python_reads_compiled_files_without_asking_for_the_source(inside: Inside) -> None:
    script = """
import pathlib, sys
files = list(pathlib.Path(sys.prefix).rglob("*.pyc"))
print(len(files), sum(file.open("rb").read(8)[4] != 1 for file in files))
"""
    ended = inside("python3", "-c", script)
    compiled, otherwise = map(int, ended.stdout.split())
    assert compiled > 1000
    assert otherwise == 0


@pytest.mark.parametrize(
    ("rows", "status", "verdict"),
    [
        pytest.param("a,label\n1,0\n2,1\n", 0, "ALLOW", id="clean"),
        pytest.param("a,label\n1,0\n2,\n", 1, "DENY", id="a-row-without-label"),
    ],
)
def test_a_gate_decides_and_signs_inside(rows: str, status: int, verdict: str, inside: Inside, tmp_path: Path) -> None:
    not_null = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "label"}}
    suite = {"name": "train", "expectations": [not_null], "meta": {"great_expectations_version": "1.24.1"}}
    (tmp_path / "suite.json").write_text(json.dumps(suite))
    (tmp_path / "train.csv").write_text(rows)
    tmp_path.chmod(0o755)
    ended = inside(
        *("interlock", "gate", "data-validation", "/data/train.csv", "--suite", "/data/suite.json", "--format", "json"),
        options=("--volume", f"{tmp_path}:/data:ro", "--env", "INTERLOCK_PROFILE=dev"),
    )
    assert ended.returncode == status, ended.stderr
    assert json.loads(ended.stdout)["verdict"] == verdict


def test_the_guard_of_a_users_step_is_there_and_refuses_to_be_used_wrongly(inside: Inside) -> None:
    ended = inside("python3", "-m", "interlock.kubeflow.guard", "--step", "training")
    assert ended.returncode == 2
    assert "the guard is used wrongly" in ended.stderr


def bill_of_materials(built: Built) -> Any:
    text = (built.folder / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def test_the_bill_of_materials_names_every_package_that_is_in_the_image(built: Built, inside: Inside) -> None:
    known = {(one["name"].lower(), one.get("version")) for one in bill_of_materials(built)["components"]}
    listing = "import importlib.metadata as m; [print(d.name.lower(), d.version) for d in m.distributions()]"
    packages = inside(
        "sh", "-c", f"dpkg-query --show --showformat='${{Package}} ${{Version}}\\n'; python3 -c '{listing}'"
    )
    held = {tuple(line.split()) for line in packages.stdout.splitlines()}
    assert len(held) > 150
    assert held - known == set()


def test_the_bill_of_materials_beside_the_image_is_the_one_inside(built: Built, inside: Inside) -> None:
    assert inside("cat", "/usr/share/interlock/sbom.cdx.json").stdout == (built.folder / "sbom.cdx.json").read_text()


def test_the_bill_of_materials_has_what_no_package_manager_knows_of(built: Built) -> None:
    components = {one["name"]: one for one in bill_of_materials(built)["components"]}
    engine = components["opa-golib-python-bindings"]
    assert len(engine["hashes"][0]["content"]) == 64
    assert components["python"]["purl"].startswith("pkg:generic/python@3.")
