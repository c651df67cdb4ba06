"""torch's older format and its checkpoint folders: what is asked for has to be exactly what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import raw_zip, torch_entries
from tests.artifacts.corpus_checkpoints import EVIL, LEGACY_MAIN, checkpoint_folders, legacy, metadata, stored
from tests.artifacts.looking import allowed, errors, look, record_of

LEGACY = legacy(LEGACY_MAIN)
ARCHIVE = raw_zip(torch_entries())
quick = settings(max_examples=150, derandomize=True, database=None, deadline=None)


def test_no_cut_of_a_legacy_file_is_allowed() -> None:
    assert record_of(LEGACY).clean
    assert not [size for size in range(2, len(LEGACY)) if record_of(LEGACY[:size]).clean]


@quick
@given(position=st.integers(0, 4000), value=st.integers(0, 255))
def test_changed_byte_never_hides_a_call_in_a_legacy_file(position: int, value: int) -> None:
    content = bytearray(legacy(LEGACY_MAIN, keys=EVIL))
    start = content.index(EVIL)
    position %= len(content)
    if not start <= position < start + len(EVIL):
        content[position] = value
    record = record_of(bytes(content))
    # A change before the call may end every reader before it; it is refused all the same.
    assert not record.clean


@pytest.mark.slow
def test_handmade_legacy_file_is_one_that_torch_loads(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "model.pt"
    path.write_bytes(LEGACY)
    assert torch.load(path, weights_only=True)["w"].tolist() == [1.0, 2.0]


CHECKPOINT_REASONS = {
    "stretch-inside-a-tensor": "artifact-scan.checkpoint-slice",
    "stretch-past-the-end": "artifact-scan.checkpoint-slice",
    "path-that-leaves": "artifact-scan.unsafe-call",
    "path-that-is-absolute": "artifact-scan.unsafe-call",
    "with-a-transform": "artifact-scan.unsafe-call",
    "with-a-further-field": "artifact-scan.unsafe-call",
    "with-another-layout": "artifact-scan.unsafe-call",
    "ghsa-h6w6-rm56-8m58-metadata-that-calls": "artifact-scan.unsafe-global",
}


@pytest.mark.parametrize("name", sorted(CHECKPOINT_REASONS))
def test_checkpoint_folder_is_refused_for_what_it_is(name: str, tmp_path: Path) -> None:
    case = next(case for case in checkpoint_folders() if case.name == f"dcp-{name}")
    assert CHECKPOINT_REASONS[name] in errors(look(tmp_path, case.files, "torch-dcp"))


def test_checkpoint_folder_by_hand_is_allowed(tmp_path: Path) -> None:
    files = {
        "step-1/.metadata": metadata(stored("__0_0.distcp", len(ARCHIVE), len(ARCHIVE))),
        "step-1/__0_0.distcp": ARCHIVE * 2,
    }
    assert allowed(look(tmp_path, files, "torch-dcp"))


def test_metadata_without_its_files_is_undecided(tmp_path: Path) -> None:
    seen = look(tmp_path, {"": metadata(stored("__0_0.distcp", 0, len(ARCHIVE)))}, "torch-dcp")
    assert not errors(seen)
    assert "scan the whole folder" in seen.coverage.failed[0].reason


def test_row_of_archives_is_allowed_under_the_profile_of_checkpoints_only() -> None:
    assert record_of(ARCHIVE * 3, "torch-dcp").clean
    refused = record_of(ARCHIVE * 3, "torch-checkpoint")
    assert "artifact-scan.zip-structure" in {finding.rule_id for finding in refused.findings}
    assert not record_of(ARCHIVE + b"x" + ARCHIVE, "torch-dcp").clean
    assert not record_of(ARCHIVE + raw_zip(torch_entries(EVIL)), "torch-dcp").clean
