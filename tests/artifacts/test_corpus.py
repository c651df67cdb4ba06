"""The corpus: no hostile subject is allowed under any profile, no harmless one is denied under its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.artifacts import corpus_onnx, tensorflow_models
from tests.artifacts.corpus import Hostile, hostile
from tests.artifacts.harmless import Harmless, harmless
from tests.artifacts.harmless_hf import harmless_hf
from tests.artifacts.harmless_onnx import harmless_onnx
from tests.artifacts.looking import PROFILES, allowed, errors, look

from interlock.artifacts.record import FORMAT

HOSTILE = [
    *hostile(),
    *(case for group in (*corpus_onnx.GROUPS, *tensorflow_models.GROUPS) for case in group()),
]


@pytest.fixture(scope="module")
def saved() -> dict[str, Harmless]:
    return {**harmless(), **harmless_hf(), **harmless_onnx(), **tensorflow_models.harmless_tensorflow()}


def test_corpus_is_large_and_has_no_name_twice(saved: dict[str, Harmless]) -> None:
    assert len(HOSTILE) >= 150
    assert len({case.name for case in HOSTILE}) == len(HOSTILE)
    assert len(saved) >= 60


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_hostile_subject_is_not_allowed(case: Hostile, tmp_path: Path) -> None:
    for profile in PROFILES:
        seen = look(tmp_path, case.files, profile)
        assert not allowed(seen), profile
        if not case.rule:
            continue
        # Where a profile refuses the global itself, it need not come as far as the trick.
        assert errors(seen), profile
        if profile == "torch-checkpoint":
            assert case.rule in errors(seen), [finding.message for finding in seen.findings]


@pytest.mark.slow
def test_harmless_subjects_pass_under_their_profile(saved: dict[str, Harmless], tmp_path: Path) -> None:
    refused = {}
    for name, case in saved.items():
        seen = look(tmp_path / name, case.files, case.profile)
        formats = {
            json.loads(finding.evidence)["format"]
            for finding in seen.findings
            if finding.rule_id == FORMAT and "!" not in finding.location.path
        }
        if not allowed(seen) or formats != case.formats:
            refused[name] = [finding.message for finding in seen.findings], seen.coverage.failed
    assert refused == {}


def test_state_dict_profile_is_narrower_than_the_checkpoint_profile(saved: dict[str, Harmless], tmp_path: Path) -> None:
    seen = look(tmp_path, saved["checkpoint-numpy"].files, "torch-state-dict")
    assert "artifact-scan.unsafe-global" in errors(seen)


def test_whole_module_is_denied(tmp_path: Path) -> None:
    import torch
    from tests.artifacts.harmless import saved as torch_saved

    seen = look(tmp_path, {"": torch_saved(torch.nn.Linear(2, 2))})
    assert "artifact-scan.unsafe-global" in errors(seen)
