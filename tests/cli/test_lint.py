"""`interlock lint` from the command line: exit status, formats, baseline, receipts, and what the repository ships."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from jsonschema import Draft202012Validator
from tests.lint.dag_files import CASES, GATED, HEAD, UNGATED

from interlock.cli import main
from interlock.policy.schemas import schema

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "dags_examples" / "airflow"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        monkeypatch.delenv(name)
    (tmp_path / "repository" / "dags").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository")

    def started(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["lint", *arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return started


@pytest.mark.slow
def test_the_examples_are_gated(run: Run) -> None:
    status, out, _ = run("--format", "json", str(EXAMPLES))
    document = json.loads(out)
    Draft202012Validator(schema("lint.json")).validate(document)
    assert status == 0
    assert [dag["dag"] for file in document["files"] for dag in file["dags"] if dag["protected"]] == [
        "gated_promotion",
        "gated_retraining",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["no-such-file.py"], "nothing is there to lint"),
        (["--format", "html", "dags"], "Invalid value"),
        (["--baseline", "missing.yaml", "dags"], "the baseline cannot be read"),
        (["--write-baseline", "dags"], "--write-baseline needs --baseline FILE and --reason"),
        (["--write-baseline", "--baseline", "b.yaml", "--reason", " ", "dags"], "and --reason"),
        (["--write-baseline", "--baseline", "b.yaml", "--reason", "x", "--receipts", "dags"], "two things"),
        (["--timeout", "0", "dags"], "Invalid value"),
        (["--days", "900", "dags"], "Invalid value"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "nothing",
)
def test_what_is_asked_wrongly_is_usage(run: Run, arguments: list[str], said: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert said in err


@pytest.mark.slow
def test_an_ungated_file_is_refused_with_its_fix(run: Run) -> None:
    Path("dags/old.py").write_text(HEAD + UNGATED)
    status, out, err = run("dags", "--out", "report.sarif")
    assert status == 1
    assert "dags/old.py:" in out
    assert "no data-poisoning gate holds training step 'train'" in out
    assert 'fix: ScanPoisoningOperator(task_id="data-poisoning", subject=\'data\', label="label")' in out
    assert out.splitlines()[-1].startswith("DENY  1 file, 1 DAG, 1 protected step: not everything is gated")
    assert "report: report.sarif" in err
    (result,) = json.loads(Path("report.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "lint.ungated-training"


@pytest.mark.slow
def test_a_file_that_cannot_be_loaded_is_undecided(run: Run) -> None:
    Path("dags/broken.py").write_text(CASES["variable-at-import"].source)
    status, out, _ = run("dags", "--format", "junit")
    assert status == 3
    assert [suite.get("errors") for suite in ET.fromstring(out)] == ["1"]


@pytest.mark.slow
def test_an_old_repository_is_taken_over_by_a_baseline(run: Run) -> None:
    Path("dags/old.py").write_text(HEAD + UNGATED)
    written, out, _ = run("dags", "--baseline", "lint.yaml", "--write-baseline", "--reason", "ML-12", "--days", "30")
    assert written == 0
    assert "counts again after" in out
    Path("dags/old.py").write_text("# moved\n\n" + HEAD + UNGATED)
    status, out, _ = run("dags", "--baseline", "lint.yaml")
    assert status == 0
    assert "but for 1 in the baseline" in out
    Path("dags/old.py").write_text(HEAD + UNGATED + "\nwith DAG('new'):\n    train()\n")
    assert run("dags", "--baseline", "lint.yaml")[0] == 1
    Path("dags/old.py").write_text(HEAD + GATED)
    status, out, _ = run("dags", "--baseline", "lint.yaml")
    assert status == 0
    assert "nothing needs this entry any more" in out


@pytest.mark.slow
def test_receipts_are_written_for_what_is_gated_and_read_by_the_verifying_bundle(run: Run, home: Path) -> None:
    from interlock.airflow_plugin.bundles.receipts import opened_evidence

    Path("dags/good.py").write_text(HEAD + "from helper import X\n" + GATED)
    Path("dags/helper.py").write_text("X = 1\n")
    Path("dags/old.py").write_text(HEAD + UNGATED)
    Path("dags/broken.py").write_text("import airflow, no_such_dag\n")
    status, out, _ = run("dags", "--receipts", "--format", "json")
    files = {Path(file["path"]).name: file for file in json.loads(out)["files"]}
    assert status == 1
    assert {name for name, file in files.items() if file["receipt_id"]} == {"good.py", "helper.py"}
    with opened_evidence() as evidence:
        said = {name: evidence.attestations.of(file["digest"]["sha256"]) for name, file in files.items()}
    assert {name for name, attestation in said.items() if attestation.receipt is not None} == {"good.py", "helper.py"}
    assert "DENY" in said["old.py"].reason
    assert "it has no pipeline receipt" in said["broken.py"].reason


@pytest.mark.slow
def test_a_later_lint_takes_a_receipt_back(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.airflow.layers import lay

    from interlock.airflow_plugin.bundles.receipts import opened_evidence

    Path("dags/good.py").write_text(HEAD + GATED)
    file = json.loads(run("dags", "--receipts", "--format", "json")[1])["files"][0]
    assert file["receipt_id"]
    layer = lay(tmp_path / "layer", monkeypatch, {"interlock/profiles/dev/required": {"training": ["model-probe"]}})
    assert layer.is_dir()
    assert run("dags", "--receipts")[0] == 1
    with opened_evidence() as evidence:
        assert evidence.attestations.of(file["digest"]["sha256"]).receipt is None


def hooks() -> list[dict[str, object]]:
    found: list[dict[str, object]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: str(hook["id"]))
def test_the_hook_that_is_shipped_runs_on_the_example(hook: dict[str, object]) -> None:
    command = shlex.split(str(hook["entry"]))
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [*command, "dags_examples/airflow/gated_retraining.py"],
        cwd=ROOT,
        env=os.environ | {"PATH": beside},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert hook["require_serial"] is True


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_the_action_that_is_shipped_runs_on_the_example(tmp_path: Path) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = [step for step in action["runs"]["steps"] if step.get("name") == "Lint"]
    (tmp_path / "interlock").mkdir()
    (tmp_path / "interlock" / "bin").symlink_to(Path(sys.executable).parent)
    given = {name: str(one["default"]) for name, one in action["inputs"].items()}
    given |= {"paths": "dags_examples/airflow/gated_retraining.py", "sarif": str(tmp_path / "report.sarif")}
    names = {
        name: expression.removeprefix("${{ inputs.").removesuffix(" }}") for name, expression in step["env"].items()
    }
    environ = {name: given[key] for name, key in names.items()} | {"RUNNER_TEMP": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step["run"]],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "report.sarif").read_text())["runs"][0]["results"] == []


def test_the_action_puts_no_input_into_a_command() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert not [step for step in action["runs"]["steps"] if "${{" in step.get("run", "")]
