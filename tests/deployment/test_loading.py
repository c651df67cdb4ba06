"""A cluster's loader of models: the bytes that the place is named by, or an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.deployment.loading import load_model
from interlock.evidence.snapshot import take_snapshot
from interlock.gate import InterlockError, SubjectError, UsageError


@pytest.fixture(params=["file", "folder"])
def version(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A version as the registry holds it."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "model.onnx").write_bytes(b"weights")
    if request.param == "folder":
        (made / "tokens").mkdir()
        (made / "tokens" / "words.txt").write_text("a b")
    single = request.param == "file"
    digest = take_snapshot(str(made / "model.onnx" if single else made)).digest
    place = tmp_path / "versions" / f"sha256-{digest}"
    place.parent.mkdir()
    made.rename(place)
    return place / "model.onnx" if single else place


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_model_lies_in_the_folder_that_was_mounted(version: Path, tmp_path: Path) -> None:
    target = tmp_path / "mnt" / "models"
    target.mkdir(parents=True)
    load_model(str(version), target)
    assert files(target) == ({"model.onnx"} if version.is_file() else {"model.onnx", "tokens/words.txt"})
    assert sorted(path.name for path in target.iterdir())[0] != ".interlock-loading"


def test_changed_bytes_are_not_loaded_and_nothing_is_left(version: Path, tmp_path: Path) -> None:
    (version if version.is_file() else version / "model.onnx").write_bytes(b"evil")
    target = tmp_path / "models"
    target.mkdir()
    with pytest.raises(SubjectError, match="the bytes are sha256:"):
        load_model(str(version), target)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("place", ["s3://models/champion", "sha256-00", f"s3://m/sha256-{'1' * 64}/sha256-{'2' * 64}"])
def test_a_place_that_names_no_digest_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not named by a digest"):
        load_model(place, tmp_path / "models")


def test_a_folder_with_something_in_it_is_refused(version: Path, tmp_path: Path) -> None:
    target = tmp_path / "models"
    target.mkdir()
    (target / "other").touch()
    with pytest.raises(UsageError, match="something in the folder"):
        load_model(str(version), target)


def test_nothing_at_the_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InterlockError):
        load_model(str(tmp_path / f"sha256-{'1' * 64}"), tmp_path / "models")
