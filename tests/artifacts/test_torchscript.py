"""TorchScript: allowed only under its own profile, and then only code that computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.artifacts.corpus_torchscript import exported, harmless_torchscript, hostile_archives, really_saved
from tests.artifacts.looking import PROFILES, allowed, errors, look, record_of

from interlock.artifacts import profile_named
from interlock.artifacts.formats.torchscript_operators import ATEN, COMPUTING_NAMESPACES, PRIM

HOSTILE = hostile_archives()


def test_what_torch_saves_is_allowed_under_its_profile(tmp_path: Path) -> None:
    refused = {}
    for name, case in harmless_torchscript().items():
        seen = look(tmp_path / name, case.files, case.profile)
        if not allowed(seen):
            refused[name] = [finding.message for finding in seen.findings], seen.coverage.failed
    assert refused == {}


@pytest.mark.parametrize("profile", PROFILES)
def test_no_other_profile_allows_code(profile: str, tmp_path: Path) -> None:
    seen = look(tmp_path, {"": really_saved()["traced"]}, profile)
    assert "artifact-scan.executable-format" in errors(seen)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_archive_is_not_allowed(name: str) -> None:
    record = record_of(HOSTILE[name], "torchscript")
    assert not record.clean
    if name.startswith("code-") and name not in ("code-large",):
        assert "artifact-scan.unsafe-operator" in {finding.rule_id for finding in record.findings}


def test_no_operator_that_acts_is_among_those_that_compute() -> None:
    assert not {"save", "from_file", "get_gradients", "set_data"} & ATEN
    assert not {"PythonOp", "IgnoredPythonOp", "rpc_sync", "rpc_async", "rpc_remote", "TimePoint"} & PRIM
    assert not {"profiler", "c10d", "symm_mem", "inductor", "debugprims"} & COMPUTING_NAMESPACES


def test_profile_of_an_archive_is_no_profile_of_the_next_one() -> None:
    record_of(really_saved()["scripted"], "torchscript")
    assert not any(rule.module.startswith("__torch__") for rule in profile_named("torchscript").rules)


@pytest.mark.slow
def test_exported_program_is_recognised_and_left_open(tmp_path: Path) -> None:
    seen = look(tmp_path, {"": exported()}, "torchscript")
    assert not errors(seen)
    assert any("torch.export" in gap.reason for gap in seen.coverage.failed)
