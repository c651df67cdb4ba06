"""`interlock lint` on compiled Kubeflow pipelines: what it finds, what it passes over, and what it cannot tell."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.kubeflow.sample_pipelines import changed, clean, collect, compiled, fit

from interlock.cli import main
from interlock.policy.schemas import schema

Lint = Callable[..., tuple[int, Any]]


@pytest.fixture
def lint(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Lint:
    monkeypatch.setenv("INTERLOCK_PROFILE", "standard")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["lint", "--format", "json", *arguments])
        assert isinstance(ended.value.code, int)
        out = capsys.readouterr().out
        document = json.loads(out[out.index("{") :])
        Draft202012Validator(schema("lint.json")).validate(document)
        return ended.value.code, document

    return run


def ungated() -> None:
    fit(data=collect().outputs["data"])


def findings(document: Any) -> list[tuple[str, str]]:
    return [(one["rule_id"], one["step"]) for file in document["files"] for one in file["findings"]]


def test_a_folder_is_looked_at_and_what_is_no_pipeline_is_named(lint: Lint, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(compiled(clean))
    (tmp_path / "bad.yml").write_text(compiled(ungated))
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    status, document = lint(".")
    assert status == 1
    assert [(file["path"], file["verdict"]) for file in document["files"]] == [
        ("bad.yml", "DENY"),
        ("good.yaml", "ALLOW"),
    ]
    assert {one["path"] for one in document["passed_over"]} == {"values.yaml"}
    assert {("lint.ungated-training", "fit"), ("lint.unguarded", "fit")} <= set(findings(document))
    (line,) = {one["line"] for one in document["files"][0]["findings"] if one["step"] == "fit"}
    assert (tmp_path / "bad.yml").read_text().splitlines()[line - 1].strip() == "fit:"


@pytest.mark.parametrize("text", ["replicas: 3\n", "a: &a [*a]\n", "not yaml: ["])
def test_a_file_that_is_named_and_is_no_pipeline_is_undecided(lint: Lint, tmp_path: Path, text: str) -> None:
    (tmp_path / "values.yaml").write_text(text)
    status, document = lint("values.yaml")
    assert status == 3
    assert findings(document) == [("lint.unreadable", "")]


def test_policy_is_asked_about_all_that_stands_in_the_file(lint: Lint, tmp_path: Path) -> None:
    def spoil(document: Any) -> None:
        container = document["deploymentSpec"]["executors"]["exec-collect"]["container"]
        container["image"] = "python:latest"
        container["command"] = ["sh", "-c", 'pip install evil && exec "$@"', *container["command"]]
        container["env"] = [
            {"name": "HF_TOKEN", "value": "hf_" + "a" * 34},
            {"name": "INTERLOCK_PROFILE", "value": "dev"},
        ]

    (tmp_path / "p.yaml").write_text(changed(compiled(clean), spoil))
    status, document = lint("p.yaml")
    said = " ".join(one["message"] for one in document["files"][0]["findings"])
    assert status == 1
    for rule in ("pipeline.images", "pipeline.packages", "pipeline.credentials", "pipeline.environment"):
        assert f"[{rule}]" in said
    assert "hf_" not in said


def test_an_old_pipeline_is_taken_over_by_a_baseline(lint: Lint, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(compiled(ungated))
    arguments = ("bad.yaml", "--baseline", "lint.yaml")
    with pytest.raises(SystemExit) as ended:
        main(["lint", *arguments, "--write-baseline", "--reason", "older than the gates"])
    assert ended.value.code == 0
    status, document = lint(*arguments)
    assert status == 0
    assert all(one["accepted"] for file in document["files"] for one in file["findings"])


@pytest.mark.slow
def test_a_receipt_is_written_for_a_gated_pipeline(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "good.yaml").write_text(compiled(clean))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["lint", "--format", "json", "--receipts", "good.yaml"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["receipt_id"]


@pytest.mark.slow
def test_no_airflow_is_needed(home: Path, tmp_path: Path) -> None:
    """The whole command in a process in which Airflow and kfp cannot be imported, as its workers cannot."""
    (tmp_path / "good.yaml").write_text(compiled(clean))
    (tmp_path / "pipeline.py").write_text("from kfp import dsl\n")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("airflow", "kfp"):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name}', name='{name}')\n")
    program = (
        "import os, sys\nfrom interlock.cli import main\n"
        f"os.environ['PYTHONPATH'] = {str(hidden)!r} + os.pathsep + os.environ.get('PYTHONPATH', '')\n"
        f"main(['lint', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 DAG" in done.stdout
