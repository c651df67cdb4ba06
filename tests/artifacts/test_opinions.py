"""Second opinions: picklescan is asked strictly, in the sandbox; what it says is a warning and lets nothing pass."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from safetensors.numpy import save
from tests.artifacts.corpus import CALL, called
from tests.artifacts.looking import errors, opened

from interlock.artifacts import ArtifactGate
from interlock.artifacts import opinions as room
from interlock.artifacts.boxed import BoxError
from interlock.artifacts.record import SECOND_OPINION
from interlock.gate import Level, MissingExtraError, Observation, UsageError


def asked(folder: Path, files: dict[str, bytes]) -> tuple[Observation, dict[str, str]]:
    seen = ArtifactGate(also=["picklescan", "picklescan"]).look(opened(folder, files))
    said = [finding for finding in seen.findings if finding.rule_id == SECOND_OPINION]
    assert all(finding.level is Level.WARNING for finding in said)
    return seen, {finding.location.path: finding.message for finding in said}


def test_what_it_knows_to_be_bad_is_named_file_by_file(tmp_path: Path) -> None:
    seen, said = asked(tmp_path, {"a/model.pkl": CALL, "notes.txt": b"weights"})
    assert said == {"a/model.pkl": "picklescan calls it dangerous: os.system"}
    assert "artifact-scan.unsafe-global" in errors(seen)


def test_strict_counts_names_that_it_does_not_know(tmp_path: Path) -> None:
    _, said = asked(tmp_path, {"model.pkl": called("some.module", "function")})
    assert said == {"model.pkl": "picklescan calls it dangerous: some.module.function"}


def test_what_it_cannot_read_is_said(tmp_path: Path) -> None:
    _, said = asked(tmp_path, {"model.pkl": b"\x80\x04\x93."})
    assert said["model.pkl"].startswith("picklescan could not read it: ValueError: Found")


def test_its_silence_lets_nothing_pass(tmp_path: Path) -> None:
    seen, said = asked(tmp_path, {"model.bin": gzip.compress(CALL)})
    assert said == {}
    assert "artifact-scan.unsafe-global" in errors(seen)


def test_it_is_silent_on_what_is_harmless_and_stands_in_the_receipt(tmp_path: Path) -> None:
    import numpy as np

    gate = ArtifactGate(also=["picklescan"])
    seen = gate.look(opened(tmp_path, {"model.safetensors": save({"w": np.zeros(3, dtype=np.float32)})}))
    assert not [finding for finding in seen.findings if finding.rule_id == SECOND_OPINION]
    assert gate.configuration()["also"] == ["picklescan"]
    assert [tool.name for tool in gate.tools] == ["interlock-artifacts", "python", "picklescan", "numpy"]
    assert not errors(seen)


def test_a_scanner_that_ends_badly_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(room, "CHILD", tmp_path / "child.py")
    _, said = asked(tmp_path / "m", {"model.pkl": CALL})
    assert said == {"model": "picklescan could not be asked: exit status 3"}


@pytest.mark.parametrize("answer", ["[]", "{", '{"": 1}', '{"": {}}', '{"": {"issues": 1, "names": 3}}'])
def test_an_answer_of_another_shape_is_a_warning(answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text(f"import sys\nopen(sys.argv[2], 'w').write({answer!r})")
    monkeypatch.setattr(room, "CHILD", tmp_path / "child.py")
    _, said = asked(tmp_path / "m", {"model.pkl": CALL})
    assert "could not be asked" in said["model"]


def test_another_scanner_and_a_missing_one_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="picklescan"):
        ArtifactGate(also=["clamav"])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="picklescan"):
        ArtifactGate(also=["picklescan"])


def test_an_error_of_the_box_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BoxError("wall_seconds")

    monkeypatch.setattr(room, "asked", broken)
    _, said = asked(tmp_path, {"model.pkl": CALL})
    assert said == {"model": "picklescan could not be asked: wall_seconds"}
