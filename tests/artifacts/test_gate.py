"""The gate: what it reports, how it is set, and what it says of what it cannot read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.artifacts.corpus import CALL, called, raw_zip, safetensors, torch_entries
from tests.artifacts.looking import allowed, errors, look, opened

from interlock.artifacts import PROFILES, ArtifactGate, GlobalRule, Limits, Profile
from interlock.gate import Decision, Level, UsageError, Verdict, conclude
from interlock.gate import look as look_as_the_run_does
from interlock.gate.documents import canonical_json, report_document


def test_measures_count_files_bytes_unsafe_globals_and_opcodes(tmp_path: Path) -> None:
    seen = look(tmp_path, {"a.pkl": called("os", "system"), "b.pkl": called("os", "system"), "c.txt": b"hello\n"})
    measures = {measure.name: measure.value for measure in seen.measures}
    assert measures["files"] == 3
    assert measures["bytes"] == 2 * len(called("os", "system")) + 6
    assert measures["unsafe_globals"] == 1
    assert measures["opcodes"] > 10


def test_each_file_has_a_note_with_its_format(tmp_path: Path) -> None:
    files = {"m.bin": safetensors({}), "m.txt": raw_zip(torch_entries()), "x": b'{"a": 1}', "y": b"plain\n"}
    notes = {
        finding.location.path: json.loads(finding.evidence)
        for finding in look(tmp_path, files).findings
        if finding.rule_id == "artifact-scan.format"
    }
    assert notes == {
        "m.bin": {"format": "safetensors"},
        "m.txt": {"format": "torch-zip"},
        "x": {"format": "json"},
        "y": {"format": "text"},
    }


def test_coverage_names_files_and_members(tmp_path: Path) -> None:
    seen = look(tmp_path, {"m.pt": raw_zip(torch_entries())})
    assert set(seen.coverage.looked_at) >= {"m.pt", "m.pt!archive/data.pkl", "m.pt!archive/data/0"}


def test_unknown_profile_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="lightgbm, numpy, pandas, sklearn, torch-checkpoint, torch-dcp, torch-state-dict"
    ):
        ArtifactGate(profile="anything")


def test_configuration_binds_the_rules_of_the_profile() -> None:
    configuration = ArtifactGate(profile="numpy").configuration()
    assert configuration["profile_digest"] == PROFILES["numpy"].digest
    assert len({profile.digest for profile in PROFILES.values()}) == len(PROFILES)


def test_digest_of_a_profile_changes_with_any_rule() -> None:
    rule = GlobalRule(module="m", name="f", calls=(("str",),))
    wider = GlobalRule(module="m", name="f", calls=(("str",), ()))
    digests = {
        Profile(name=name, version=version, purpose="", rules=rules).digest
        for name, version, rules in (
            ("p", "1", (rule,)),
            ("p", "2", (rule,)),
            ("p", "1", (wider,)),
            ("q", "1", (rule,)),
        )
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "an empty file", id="empty"),
        pytest.param(b"Rar!\x1a\x07\x01\x00junk", "scan what comes out", id="rar"),
        pytest.param(b"\xff\xfe\x00\x01", "unknown format", id="unknown"),
    ],
)
def test_what_cannot_be_read_is_a_gap_with_a_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    seen = look(tmp_path, {"": content})
    assert reason in seen.coverage.failed[0].reason
    assert not errors(seen)


@pytest.mark.parametrize("name", ["model.pt", "model.jpg", "README.md", "config.json", "noextension"])
def test_name_never_decides_the_format(name: str, tmp_path: Path) -> None:
    assert errors(look(tmp_path, {name: called("os", "system")})) >= {"artifact-scan.unsafe-global"}
    assert allowed(look(tmp_path, {name: raw_zip(torch_entries())}))


def test_source_code_in_a_model_folder_is_a_warning(tmp_path: Path) -> None:
    seen = look(tmp_path, {"modeling.py": b"import os\n", "w.safetensors": safetensors({})})
    assert {finding.rule_id for finding in seen.findings if finding.level is Level.WARNING} == {
        "artifact-scan.source-code"
    }


def test_names_that_cannot_be_printed_do_not_break_the_report(tmp_path: Path) -> None:
    hostile = b"\x80\x04X\x03\0\0\0\xed\xa0\x80X\x02\0\0\0a\x1b\x93."
    report = look_as_the_run_does(ArtifactGate(), opened(tmp_path, {"": hostile}))
    assert canonical_json(report_document(report)).isascii()


def test_flood_of_findings_is_capped_and_still_an_error(tmp_path: Path) -> None:
    seen = look(tmp_path, {"": b"\x80\x02" + b"cos\nsystem\n0" * 500 + b"N."})
    assert "artifact-scan.unsafe-global" in errors(seen)
    assert len(seen.findings) <= 2 * Limits().findings + 10


@pytest.mark.parametrize("content", [CALL, b"", b"\xff\xfe\x00"], ids=["hostile", "empty", "unknown"])
def test_even_a_policy_that_allows_everything_cannot_allow_what_was_not_examined(
    content: bytes, tmp_path: Path
) -> None:
    report = look_as_the_run_does(ArtifactGate(), opened(tmp_path, {"": content}))
    decision = conclude(report, Decision(verdict=Verdict.ALLOW))
    if report.observation.coverage.failed:
        assert decision.verdict is Verdict.UNDECIDED
    else:
        assert errors(report.observation)


def test_importing_and_scanning_brings_in_no_framework(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(raw_zip(torch_entries()))
    program = (
        "import sys, pathlib\n"
        "from interlock.artifacts.limits import Budget, Limits\n"
        "from interlock.artifacts.record import Record\n"
        "from interlock.artifacts.pickles.profiles import profile_named\n"
        "from interlock.artifacts.scan import scan_file\n"
        "record = Record(Budget(Limits()))\n"
        "scan_file(pathlib.Path(sys.argv[1]), 'm', profile=profile_named('numpy'), record=record)\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'safetensors', 'pickletools'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "m.pt")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        pytest.param(("a\\u200b.txt", "a\u200b.txt"), "several files are told under this name", id="one-unprintable"),
        pytest.param((f"{'d' * 200}/" * 6 + "a.txt", f"{'d' * 200}/" * 6 + "b.txt"), "several files", id="long-paths"),
        pytest.param(("m.pt!a", "m.pt"), "cannot be told from a member", id="like-a-member"),
    ],
)
def test_files_that_would_be_taken_for_each_other_are_gaps(tmp_path: Path, names: tuple[str, str], reason: str) -> None:
    seen = look(tmp_path, dict.fromkeys(names, b"a text\n"))
    assert any(reason in gap.reason for gap in seen.coverage.failed)
