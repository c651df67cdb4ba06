"""A scan of a repository, as pre-commit and CI run it: what could run is refused, what is no model is left alone."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import save
from tests.artifacts.corpus import CALL, raw_zip, torch_entries
from tests.cli.conftest import Interlock

Scan = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def scan(interlock: Interlock) -> Scan:
    def call(*arguments: object) -> tuple[int, list[str], str]:
        said = interlock("artifacts", "scan", *arguments)
        return said.status, said.out.splitlines(), said.err

    return call


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import numpy as np

    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    (root / "models/good").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git/hooks.pkl").write_bytes(CALL)
    (root / "src/train.py").write_text("import os\nos.system('true')\n")
    (root / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (root / "models/good/model.safetensors").write_bytes(save({"w": np.zeros(3, dtype=np.float32)}))
    (root / "models/link.pkl").symlink_to(root / ".git/hooks.pkl")
    monkeypatch.chdir(root)
    return root


@pytest.mark.usefixtures("repository")
def test_a_repository_without_a_hostile_file_passes(scan: Scan) -> None:
    status, lines, said = scan()
    assert (status, lines) == (0, [])
    assert said == "3 files: 0 errors, 0 warnings, 0 notes, 0 not read to their end, 1 of no format that is read here\n"
    assert scan("--strict")[0] == 3


@pytest.mark.usefixtures("repository")
def test_notes_are_not_counted_as_warnings(scan: Scan) -> None:
    status, lines, said = scan("--weights", "models")
    assert (status, [line.split("\t")[0] for line in lines]) == (0, ["note", "note"])
    assert said.startswith("1 files: 0 errors, 0 warnings, 2 notes, ")


def test_a_hostile_file_is_named_by_its_path(repository: Path, scan: Scan) -> None:
    (repository / "models/logo.jpg").write_bytes(gzip.compress(CALL))
    status, lines, _ = scan("models")
    assert status == 1
    assert lines[0].split("\t")[:3] == ["error", "artifact-scan.unsafe-global", "models/logo.jpg!gzip, byte 0"]


def test_only_the_given_files_are_reported_and_their_neighbours_are_known(repository: Path, scan: Scan) -> None:
    (repository / "models/bad.pkl").write_bytes(CALL)
    (repository / "models/config.json").write_text("{}")
    assert scan("models/config.json")[0] == 0
    assert scan("models/config.json", "models/bad.pkl")[0] == 1
    (repository / "models/good/model.safetensors").rename(repository / "models/good/part-1.safetensors")
    index = {"weight_map": {"w": "part-1.safetensors"}, "metadata": {}}
    (repository / "models/good/model.safetensors.index.json").write_text(json.dumps(index))
    assert scan("models/good/model.safetensors.index.json")[:2] == (0, [])


@pytest.mark.parametrize("name", ["hid\u200bden.pkl", "new\nline.pkl", "a" * 200 + ".pkl"])
def test_no_name_hides_a_hostile_file(name: str, repository: Path, scan: Scan) -> None:
    (repository / "models" / name).write_bytes(CALL)
    assert scan()[0] == 1
    assert scan(f"models/{name}")[0] == 1


def test_a_file_that_is_named_like_a_member_hides_nothing(repository: Path, scan: Scan) -> None:
    (repository / "models/logo.jpg").write_bytes(gzip.compress(CALL))
    (repository / "models/logo.jpg!gzip").write_text("a decoy")
    assert scan("models/logo.jpg")[0] == 1
    status, lines, _ = scan("models/logo.jpg!gzip")
    assert status == 1
    assert any("cannot be told from a member" in line for line in lines)


def test_a_file_that_cannot_be_read_to_its_end_leaves_it_undecided(repository: Path, scan: Scan) -> None:
    (repository / "models/empty.bin").write_bytes(b"")
    status, lines, _ = scan()
    assert status == 3
    assert lines == ["undecided\tmodels/empty.bin\tan empty file: there is nothing to look at"]


def test_code_that_a_loader_would_run_is_an_error_and_other_code_is_none(repository: Path, scan: Scan) -> None:
    (repository / "models/good/config.json").write_text('{"auto_map": {"AutoModel": "modeling.Model"}}')
    status, lines, _ = scan()
    assert status == 1
    assert [line.split("\t")[1:3] for line in lines] == [["artifact-scan.remote-code", "models/good/config.json"]]


def test_sarif_has_the_paths_of_the_files(repository: Path, scan: Scan) -> None:
    with zipfile.ZipFile(repository / "models/m.pt", "w") as archive:
        archive.writestr("m/data.pkl", CALL)
    status, _, _ = scan("--format", "sarif", "--out", "report.sarif")
    assert status == 1
    [run] = json.loads((repository / "report.sarif").read_text())["runs"]
    places = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]}
    assert all(place.startswith(f"{repository.as_uri()}/models/m.pt") for place in places)


@pytest.mark.parametrize("path", ["nothing", "/etc/passwd", "../other"])
def test_what_is_not_there_or_not_below_is_refused(path: str, repository: Path, scan: Scan) -> None:
    (repository.parent / "other").mkdir()
    assert scan(path)[0] == 2


def test_a_scan_of_a_torch_file_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """A hook before each commit pays for the start of the command more than for what it looks at."""
    (tmp_path / "m.pt").write_bytes(raw_zip(torch_entries()))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "interlock.cli", "artifacts", "scan", "m.pt"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "interlock.artifacts.pickles.second_layer" in loaded
    others = {
        "numpy", "rich", "jinja2", "sqlalchemy", "cryptography", "importlib.metadata", "interlock.reporting",
        "interlock.evidence", "interlock.policy", "interlock.gate.run", "interlock.gate.settings",
        "interlock.gate.protocols", "interlock.artifacts.containers.streams",
        "interlock.artifacts.opinions", "interlock.artifacts.privacy.look", "interlock.artifacts.weights.look",
        "interlock.artifacts.containers.tar_archive", "interlock.artifacts.containers.described_archive",
    }  # fmt: skip
    assert loaded.isdisjoint(others), loaded & others
    scanners = {name for name in loaded if name.startswith("interlock.artifacts.formats.")}
    assert {name.rpartition(".")[2] for name in scanners} == {"config_tree", "graph_file", "native", "protobuf"}
