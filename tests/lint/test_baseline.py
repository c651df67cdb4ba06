"""The baseline: what it accepts, for how long, and what it does not forgive."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from interlock.gate import Level, UsageError, Verdict
from interlock.lint import Baseline, FileResult, LintFinding, LintResult

TODAY = date(2026, 11, 26)
ENTRY = {
    "file": "dags/old.py",
    "dag": "old",
    "step": "train",
    "gate": "data-poisoning",
    "reason": "older than the gates, ML-12",
    "expires": date(2027, 1, 31),
}


def finding(**other: object) -> LintFinding:
    said = {"rule_id": "lint.ungated-training", "level": Level.ERROR, "message": "no gate", "path": "dags/old.py"}
    return LintFinding(**said | {"line": 7, "dag": "old", "step": "train", "gate": "data-poisoning"} | other)  # type: ignore[arg-type]  # as each test says


def file(*findings: LintFinding, path: str = "dags/old.py") -> FileResult:
    return FileResult(path=path, digest="ab" * 32, findings=findings)


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "old.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def baseline(*entries: dict[str, object], today: date = TODAY) -> Baseline:
    Path("baseline.yaml").write_text(yaml.safe_dump({"accepted": list(entries)}))
    return Baseline.read(Path("baseline.yaml"), today=today)


def test_what_is_accepted_does_not_count_and_is_still_told() -> None:
    (found,), more = baseline(ENTRY).apply([file(finding())], today=TODAY)
    assert found.verdict is Verdict.ALLOW
    assert found.findings[0].accepted is not None
    assert found.findings[0].accepted.reason == "older than the gates, ML-12"
    assert not more


def test_an_entry_survives_every_move_inside_the_file_and_of_the_working_folder(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = baseline(ENTRY)
    moved, _ = known.apply([file(finding(line=900, message="other words"))], today=TODAY)
    assert moved[0].verdict is Verdict.ALLOW
    monkeypatch.chdir(repository / "dags")
    above = Baseline.read(Path("../baseline.yaml"), today=TODAY)
    found, _ = above.apply([file(finding(path="old.py"), path="old.py")], today=TODAY)
    assert found[0].verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    "other", [{"path": "dags/new.py"}, {"dag": "new"}, {"step": "train2"}, {"gate": "data-validation"}], ids=str
)
def test_an_entry_is_for_one_finding_only(other: dict[str, str]) -> None:
    (found,), _ = baseline(ENTRY).apply([file(finding(**other), path=other.get("path", "dags/old.py"))], today=TODAY)
    assert found.verdict is Verdict.DENY


@pytest.mark.parametrize("rule", ["lint.import-error", "lint.timeout", "lint.tampering", "airflow.cluster-policy"])
def test_only_a_missing_gate_can_be_accepted(rule: str) -> None:
    unsaid = finding(rule_id=rule, gate="", step="")
    (found,), _ = baseline(ENTRY).apply([file(unsaid)], today=TODAY)
    assert found.verdict is not Verdict.ALLOW


def test_an_entry_counts_to_the_end_of_its_last_day_and_no_longer() -> None:
    known = baseline(ENTRY)
    (on_the_day,), _ = known.apply([file(finding())], today=date(2027, 1, 31))
    assert on_the_day.verdict is Verdict.ALLOW
    (later,), more = known.apply([file(finding())], today=date(2027, 2, 1))
    assert later.verdict is Verdict.DENY
    assert [(one.rule_id, "ran out on 2027-01-31" in one.message) for one in more] == [("lint.baseline-expired", True)]


def test_an_entry_that_nothing_needs_is_stale_where_its_file_was_looked_at_or_is_gone() -> None:
    gone = ENTRY | {"file": "dags/gone.py"}
    other = ENTRY | {"file": "dags/old.py", "step": "other"}
    _, more = baseline(gone, other).apply([file()], today=TODAY)
    assert [one.rule_id for one in more] == ["lint.baseline-stale"] * 2
    assert all(one.verdict is Verdict.ALLOW for one in more)
    _, more = baseline(ENTRY).apply([file(path="dags/another.py")], today=TODAY)
    assert not more


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": ""}, "has no reason"),
        ({"reason": "  "}, "has no reason"),
        ({"reason": None}, "has no reason"),
        ({"expires": None}, "no date"),
        ({"expires": "2027-01-31"}, "no date"),
        ({"expires": TODAY + timedelta(days=400)}, "more than a year"),
        ({"gate": ""}, "has no gate"),
        ({"more": "x"}, "not whole"),
    ],
    ids=str,
)
def test_an_entry_that_is_not_whole_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        baseline(ENTRY | change)


@pytest.mark.parametrize("field", sorted(ENTRY))
def test_an_entry_without_one_of_its_fields_is_refused(field: str) -> None:
    with pytest.raises(UsageError, match=r"entry is not whole .*entry 1"):
        baseline({key: value for key, value in ENTRY.items() if key != field})


@pytest.mark.parametrize("text", ["", "accepted: 3", "- a", "{", "!!python/object/apply:os.getpid []"], ids=repr)
def test_what_is_no_baseline_is_refused(text: str) -> None:
    Path("baseline.yaml").write_text(text)
    with pytest.raises(UsageError):
        Baseline.read(Path("baseline.yaml"), today=TODAY)


def test_two_entries_for_one_finding_are_refused() -> None:
    with pytest.raises(UsageError, match="two entries"):
        baseline(ENTRY, ENTRY)


def test_what_is_written_accepts_what_was_found_and_keeps_what_is_there() -> None:
    known = baseline(ENTRY, ENTRY | {"file": "dags/another.py"})
    files = [file(finding(), finding(gate="data-validation"), finding(rule_id="lint.import-error", gate=""))]
    text = known.written(files, reason="new", expires=date(2027, 2, 1), today=TODAY)
    Path("baseline.yaml").write_text(text)
    again = Baseline.read(Path("baseline.yaml"), today=TODAY)
    assert {(one.file, one.gate, one.accepted.reason) for one in again.entries} == {
        ("dags/another.py", "data-poisoning", "older than the gates, ML-12"),
        ("dags/old.py", "data-poisoning", "older than the gates, ML-12"),
        ("dags/old.py", "data-validation", "new"),
    }
    (found,), _ = again.apply(files, today=TODAY)
    assert found.verdict is Verdict.UNDECIDED  # what could not be loaded is not accepted


def test_an_entry_that_ran_out_is_written_anew() -> None:
    text = baseline(ENTRY).written([file(finding())], reason="new", expires=date(2027, 6, 1), today=date(2027, 3, 1))
    assert yaml.safe_load(text)["accepted"][0]["reason"] == "new"


def test_what_was_found_stands_before_what_could_not_be_told() -> None:
    files = (file(finding()), file(finding(rule_id="lint.timeout", gate="")))
    assert LintResult(profile="dev", bundle_digest="", files=files).verdict is Verdict.DENY
