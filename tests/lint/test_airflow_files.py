"""What lint says of real DAG files on a real Airflow, with an organisation's own policies: one run over all of them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.airflow.layers import lay
from tests.lint.dag_files import CASES, GATED, HEAD, LAYER, LOCAL_SETTINGS, UNGATED

from interlock.gate import Level, Settings, Verdict
from interlock.lint import FileResult, LintRequest, LintResult, lint

pytestmark = pytest.mark.slow

HELPER = "def dags():\n    from airflow.sdk import DAG\n    return DAG('made')\n"


@dataclass
class Organisation:
    """An Airflow home with policies, and a folder of DAG files."""

    folder: Path
    settings: Settings

    def lint(self, *paths: Path | str, **how: object) -> LintResult:
        request = LintRequest(paths=tuple(map(str, paths)), jobs=1, **how)  # type: ignore[arg-type]  # as each test says
        return lint(request, self.settings)


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    home = tmp_path_factory.mktemp("organisation")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("INTERLOCK_", "AIRFLOW"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("INTERLOCK_HOME", str(home / "interlock"))
        patch.setenv("AIRFLOW_HOME", str(home / "airflow"))
        lay(home / "layer", patch, LAYER)
        (home / "airflow" / "config").mkdir(parents=True)
        (home / "airflow" / "config" / "airflow_local_settings.py").write_text(LOCAL_SETTINGS)
        folder = home / "dags"
        folder.mkdir()
        yield Organisation(folder, Settings.load())
        assert sorted(path.name for path in (home / "airflow").iterdir()) == ["config"]  # nothing was written there


@pytest.fixture(scope="module")
def results(organisation: Organisation) -> Mapping[str, FileResult]:
    for case, one in CASES.items():
        (organisation.folder / f"{case}.py").write_text(one.source)
    found = organisation.lint(organisation.folder, seconds=60)
    return {Path(file.path).stem: file for file in found.files}


@pytest.mark.parametrize("case", CASES)
def test_lint_says_of_a_file(case: str, results: Mapping[str, FileResult]) -> None:
    expected, found = CASES[case], results[case]
    assert found.verdict is expected.verdict, found.findings
    assert {finding.rule_id for finding in found.findings} == expected.rules
    assert any(expected.text in finding.message + "".join(finding.fixes) for finding in found.findings) or (
        not expected.text
    ), found.findings


def test_a_violation_names_its_line_and_its_fix(results: Mapping[str, FileResult]) -> None:
    (finding,) = results["forgotten"].findings
    assert (finding.dag, finding.step, finding.gate) == ("d", "train", "data-poisoning")
    assert finding.line == (HEAD + UNGATED).splitlines().index("with DAG('d'):") + 1  # the helper is above the DAG
    assert finding.fixes == (
        'ScanPoisoningOperator(task_id="data-poisoning", subject=\'data\', label="label") >> dag.get_task("train")',
    )


def test_what_modes_let_pass_is_a_warning_that_strict_counts(organisation: Organisation) -> None:
    file = organisation.folder / "mode-warn.py"
    file.write_text(CASES["mode-warn"].source)
    (found,) = organisation.lint(file, strict=True).files
    assert found.verdict is Verdict.DENY
    assert {finding.level for finding in found.findings} == {Level.ERROR}


def test_a_folder_is_searched_as_airflow_does_and_what_is_passed_over_is_told(
    organisation: Organisation, tmp_path: Path
) -> None:
    (tmp_path / ".airflowignore").write_text("ignored/*\n")
    for name, source in {
        "good.py": HEAD + GATED,
        "plain.py": "x = 1\n",
        "ignored/bad.py": HEAD + UNGATED,
        "deep/er/bad.py": HEAD + UNGATED,
        "uses.py": "from shared.helper import dags\nfrom airflow.sdk import DAG\nd = dags()\n",
        "shared/helper.py": HELPER,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed_dag.py", HEAD + UNGATED)
    found = organisation.lint(tmp_path)
    verdicts = {os.path.relpath(file.path, tmp_path): file.verdict for file in found.files}
    assert verdicts == {
        "deep/er/bad.py": Verdict.DENY,
        "good.py": Verdict.ALLOW,
        "packed.zip": Verdict.DENY,
        "shared/helper.py": Verdict.ALLOW,
        "uses.py": Verdict.ALLOW,
    }
    passed = {os.path.relpath(one.path, tmp_path): one.reason for one in found.passed}
    assert "an .airflowignore excludes it" in passed["ignored/bad.py"]
    assert "does not look like a DAG file" in passed["plain.py"]
    assert found.verdict is Verdict.DENY


def test_an_empty_folder_is_undecided_and_a_plain_file_by_itself_is_passed_over(
    organisation: Organisation, tmp_path: Path
) -> None:
    (tmp_path / "plain.py").write_text("x = 1\n")
    nothing = organisation.lint(tmp_path)
    assert (nothing.verdict, nothing.findings[0].rule_id) == (Verdict.UNDECIDED, "lint.nothing")
    plain = organisation.lint(tmp_path / "plain.py")
    assert (plain.verdict, len(plain.passed)) == (Verdict.ALLOW, 1)


def test_a_module_of_a_subfolder_is_found_below_the_root_that_is_named(
    organisation: Organisation, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "helper.py").write_text(HELPER)
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "uses.py").write_text(
        "from shared.helper import dags\nfrom airflow.sdk import DAG\nd = dags()\n"
    )
    assert organisation.lint(tmp_path / "team").verdict is Verdict.UNDECIDED
    assert organisation.lint(tmp_path / "team", root=str(tmp_path)).verdict is Verdict.ALLOW


def test_several_workers_say_what_one_says(
    organisation: Organisation, results: Mapping[str, FileResult], tmp_path: Path
) -> None:
    names = [*list(CASES)[:8], "os-exit", "policies-unregistered"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(CASES[name].source)
    request = LintRequest(paths=(str(tmp_path),), jobs=2)
    found = {Path(file.path).stem: file for file in lint(request, organisation.settings).files}
    assert {name: file.verdict for name, file in found.items()} == {name: results[name].verdict for name in names}
